// object.* as docs/protocol-objects.md has them.
import { ServiceError } from '../../service/errors.js';
import { listObjects, readObject, writeObject, type ObjectRequest } from '../../service/objects.js';
import type { Params as OpParams } from '../../service/object-params.js';
import { getPool } from '../../service/pools.js';
import { done, opOf, type Call, type Methods } from '../method.js';
import { Params } from '../params.js';

const maxPage = 1000;

/** One operation of a request, as the service reads it. */
class WireOp extends Params implements OpParams {
  bytes(name: string): Buffer {
    return Buffer.from(this.text(name), 'base64');
  }

  pairs(name: string): [string, string][] {
    const value = this.fields[name];
    const isPair = (item: unknown): item is [string, string] => Array.isArray(item) && item.length === 2 && item.every((part) => typeof part === 'string');
    if (!Array.isArray(value) || !value.every(isPair)) throw new ServiceError('EINVAL', `${name} must be a list of pairs of texts`);
    return value;
  }
}

export const objectMethods: Methods = {
  'object.watch': async (call) => {
    const place = await watchPlace(call);
    await call.ctx.objectWatches.watch(call.ctx, call.session, { ...place, handle: call.params.number('handle') });
    return done;
  },
  'object.unwatch': async ({ ctx, session, params }) => {
    ctx.objectWatches.unwatch(session, params.number('handle'));
    return done;
  },
  'object.notify': async (call) => {
    const place = await watchPlace(call);
    const timeoutMs = Math.min(call.params.number('timeoutMs'), maxNotifyMs);
    return { result: { ...await call.ctx.objectWatches.notify(call.ctx, { ...place, payload: call.params.text('payload', ''), timeoutMs, session: call.session }) } };
  },
  'object.read': async (call) => ({ result: { ...await readObject(call.ctx, await requestOf(call, 'r')) } }),
  'object.write': async (call) => {
    const { params } = call;
    const time = params.object('mtime');
    const mtime = params.has('mtime') ? { mtime: { sec: time.number('sec'), nsec: time.number('nsec') } } : {};
    return { result: { ...await writeObject(call.ctx, { ...await requestOf(call, 'rw'), ...mtime, ...opOf(call) }) } };
  },
  'object.list': async ({ ctx, identity, params }) => {
    const pool = await getPool(ctx, params.number('pool'));
    const namespace = params.has('namespace') ? params.text('namespace') : null;
    identity.require('r', { pool: pool.name, namespace: namespace ?? '' });
    const after = params.has('after') ? { after: params.text('after') } : {};
    return { result: { ...await listObjects(ctx, { pool: pool.id, namespace, max: Math.min(params.number('max', maxPage), maxPage), ...after }) } };
  },
};

/** The longest time that a notification waits for acknowledgements. */
const maxNotifyMs = 600_000;

async function watchPlace({ ctx, identity, params }: Call): Promise<{ at: ReturnType<Params['at']>; name: string }> {
  const at = params.at();
  const pool = await getPool(ctx, at.pool);
  // As the OSD has it: watching and notifying need no right to write.
  identity.require('r', { pool: pool.name, namespace: at.namespace });
  return { at, name: params.text('name') };
}

async function requestOf({ ctx, identity, params }: Call, rights: 'r' | 'rw'): Promise<ObjectRequest> {
  const at = params.at();
  const pool = await getPool(ctx, at.pool);
  identity.require(rights, { pool: pool.name, namespace: at.namespace });
  const list = params.fields['ops'];
  if (!Array.isArray(list)) throw new ServiceError('EINVAL', 'ops must be a list of operations');
  const ops = list.map((item: unknown, index) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) throw new ServiceError('EINVAL', `ops.${index} must be an object`);
    return new WireOp(item as Record<string, unknown>, `ops.${index}.`);
  });
  return { at, name: params.text('name'), ops };
}
