// CurveBS's own snapshots, by its snapshotcloneserver: made of a volume, copied to the object store behind it, and waited for.

import { setTimeout as pause } from 'node:timers/promises';
import { ServiceError, type ErrnoName } from '../../service/errors.js';

export interface SnapshotCloneOptions {
  /** host:port of every server. */
  readonly addresses: readonly string[];
  /** How long one call may take. */
  readonly timeoutMs: number;
}

export interface SnapshotRequest {
  readonly file: string;
  readonly user: string;
  readonly title: string;
  readonly onProgress: (percent: number) => boolean;
}

interface Snapshot {
  readonly UUID: string;
  readonly Status: number;
  readonly Progress: number;
}

type Answer = Readonly<Record<string, unknown>> & { readonly Code?: unknown; readonly Message?: unknown };

const VERSION = '0.0.6';
const POLL_MS = 500;
const LARGEST_PAUSE_MS = 5000;
const DONE = 0;
const PENDING = 1;

const ERRNO_OF: Readonly<Record<string, ErrnoName>> = { '-5': 'EINVAL', '-7': 'EPERM', '-8': 'ENOENT', '-16': 'EBUSY', '-19': 'EEXIST' };

/** Returns the snapshot's UUID when it is whole. EIO where CurveBS could not finish it, ECANCELED where `onProgress` said false. */
export async function makeSnapshot(options: SnapshotCloneOptions, { file, user, title, onProgress }: SnapshotRequest): Promise<string> {
  const made = await call(options, 'CreateSnapshot', { User: user, File: file, Name: title });
  const uuid = made['UUID'];
  if (typeof uuid !== 'string') throw new ServiceError('EIO', `CreateSnapshot of '${file}': the answer has no UUID`);
  for (let wait = POLL_MS;; wait = Math.min(wait * 2, LARGEST_PAUSE_MS)) {
    const { Status, Progress } = await look(options, { file, user, uuid });
    if (Status === DONE) return uuid;
    if (Status !== PENDING) throw new ServiceError('EIO', `CurveBS could not finish snapshot ${uuid} of '${file}' (status ${Status})`);
    if (!onProgress(Progress)) {
      await call(options, 'CancelSnapshot', { User: user, File: file, UUID: uuid });
      throw new ServiceError('ECANCELED', `snapshot ${uuid} of '${file}' was given up`);
    }
    await pause(wait);
  }
}

async function look(options: SnapshotCloneOptions, { file, user, uuid }: { file: string; user: string; uuid: string }): Promise<Snapshot> {
  const { Snapshots } = await call(options, 'GetFileSnapshotInfo', { User: user, File: file, UUID: uuid, Limit: '10', Offset: '0' });
  const found = Array.isArray(Snapshots) ? (Snapshots as Snapshot[]).find(({ UUID }) => UUID === uuid) : undefined;
  if (!found) throw new ServiceError('EIO', `CurveBS does not know snapshot ${uuid} of '${file}' any more`);
  return found;
}

/** Asks one server after the other. */
async function call({ addresses, timeoutMs }: SnapshotCloneOptions, action: string, fields: Readonly<Record<string, string>>): Promise<Answer> {
  const query = new URLSearchParams({ Action: action, Version: VERSION, ...fields });
  let last = '';
  for (const address of addresses) {
    let text: string;
    try {
      text = await (await fetch(`http://${address}/SnapshotCloneService?${query.toString()}`, { signal: AbortSignal.timeout(timeoutMs) })).text();
    } catch (error) {
      last = `${address}: ${error instanceof Error ? error.message : String(error)}`;
      continue;
    }
    return taken(text, `${action} of '${fields['File'] ?? ''}'`);
  }
  throw new ServiceError('ETIMEDOUT', `no snapshotcloneserver answers (${last})`);
}

function taken(text: string, what: string): Answer {
  let answer: Answer;
  try {
    answer = JSON.parse(text) as Answer;
  } catch {
    throw new ServiceError('EIO', `${what}: the snapshotcloneserver's answer is no JSON`);
  }
  const code = String(answer.Code);
  if (code !== '0') throw new ServiceError(ERRNO_OF[code] ?? 'EIO', `${what}: CurveBS says ${code} ${String(answer.Message ?? '')}`);
  return answer;
}
