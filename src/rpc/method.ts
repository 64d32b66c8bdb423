// What a method's handler is given, and the questions about rights that handlers share.
import type { Identity } from '../access/identity.js';
import type { Context } from '../service/context.js';
import { ServiceError } from '../service/errors.js';
import { getPool } from '../service/pools.js';
import type { At, PoolRecord } from '../service/records.js';
import type { OpenImage, Session } from '../service/sessions.js';
import type { Answer } from './connection.js';
import type { Params } from './params.js';

export interface Call {
  readonly method: string;
  readonly ctx: Context;
  readonly session: Session;
  readonly identity: Identity;
  readonly params: Params;
}

export type Method = (call: Call) => Promise<Answer>;
export type Methods = Readonly<Record<string, Method>>;

export const done: Answer = { result: {} };

/** `at` of the request, once it is known that the caller may do this there. ENOENT for a missing pool, EPERM. */
export async function placeFor({ ctx, identity, params }: Call, rights: 'rx' | 'rwx'): Promise<At> {
  const at = params.at();
  const pool = await getPool(ctx, at.pool);
  identity.require(rights, { pool: pool.name, namespace: at.namespace });
  return at;
}

/** `pool` of the request, likewise. */
export async function poolFor({ ctx, identity, params }: Call, rights: 'rx' | 'rwx'): Promise<PoolRecord> {
  const pool = await getPool(ctx, params.number('pool'));
  identity.require(rights, { pool: pool.name, namespace: '' });
  return pool;
}

/** `handle` of the request, likewise. */
export async function openFor({ ctx, session, identity, params }: Call, rights: 'rx' | 'rwx'): Promise<OpenImage> {
  const open = session.open(params.number('handle'));
  const pool = await getPool(ctx, open.image.pool);
  identity.require(rights, { pool: pool.name, namespace: open.image.namespace });
  return open;
}

const maxOpBytes = 128;

/** The op id of a call that changes something. It stands for this method and user alone: no other call gets its answer. EINVAL. */
export function opOf({ method, identity, params }: Call): { op?: string } {
  if (!params.has('op')) return {};
  const op = params.text('op');
  if (op === '' || Buffer.byteLength(op) > maxOpBytes || op.includes('\0')) throw new ServiceError('EINVAL', `op must be a text of 1 to ${maxOpBytes} bytes`);
  return { op: `${method}/${identity.entity}/${op}` };
}

/** Where the request has a `progress` token: tells the client how far it is; false once it wants no more. */
export function progressOf({ session, params }: Call): { onProgress?: (done: number, total: number) => boolean } {
  if (!params.has('progress')) return {};
  const token = params.number('progress');
  session.cancelled.delete(token);
  return {
    onProgress(done, total) {
      session.channel?.notify('progress', { token, done, total });
      return !session.cancelled.has(token);
    },
  };
}
