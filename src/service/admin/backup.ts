// All records as lines of text, and back into an empty store. What only holds while processes live is left out. Behind: `cbd2rbd backup`
// (asked of the daemon) and `cbd2rbd restore` (on a store that no daemon uses).
import { randomBytes } from 'node:crypto';
import { daemonLockKey } from '../../store/daemon-lock.js';
import { StoreError, type Change, type Store } from '../../store/store.js';
import type { Context } from '../context.js';
import { ServiceError } from '../errors.js';
import { keys } from '../records.js';

/** The first line of a backup. */
export interface BackupHead {
  readonly format: 'cbd2rbd metadata';
  readonly version: 1;
  readonly fsid: string;
  /** When it was made: ISO 8601. */
  readonly made: string;
  readonly records: number;
}

const ephemeral = [keys.sessions, keys.ops, keys.exclusiveLocks, daemonLockKey];
const atOnce = 64;
const pageChars = 1 << 20;

export interface Page {
  readonly token: string;
  readonly lines: readonly string[];
  readonly isLast: boolean;
}

// One backup at a time is kept between its pages.
let taken: { token: string; lines: readonly string[]; next: number } | undefined;

/** Without a token: takes a backup (one reading of the store, so it is of one moment) and gives its first page. */
export async function backupPage(ctx: Context, token: string | undefined): Promise<Page> {
  if (token === undefined) taken = { token: randomBytes(8).toString('hex'), lines: await backupLines(ctx.store, new Date()), next: 0 };
  const backup = taken;
  if (!backup || (token !== undefined && backup.token !== token)) throw new ServiceError('ESTALE', 'another backup was begun meanwhile');
  const first = backup.next;
  for (let chars = 0; chars < pageChars && backup.next < backup.lines.length; backup.next += 1) chars += backup.lines[backup.next]?.length ?? 0;
  const isLast = backup.next === backup.lines.length;
  if (isLast) taken = undefined;
  return { token: backup.token, lines: backup.lines.slice(first, backup.next), isLast };
}

async function backupLines(store: Store, now: Date): Promise<string[]> {
  const entries = (await store.list({ prefix: '' })).filter(({ key }) => !ephemeral.some((prefix) => key.startsWith(prefix)));
  const fsid = entries.find(({ key }) => key === keys.fsid)?.value ?? '""';
  const head: BackupHead = { format: 'cbd2rbd metadata', version: 1, fsid: JSON.parse(fsid) as string, made: now.toISOString(), records: entries.length };
  return [JSON.stringify(head), ...entries.map(({ key, value }) => JSON.stringify([key, value]))];
}

/** Reads a backup whole before anything is changed. EINVAL naming the line that is none. */
export function parseBackup(text: string): { head: BackupHead; records: [string, string][] } {
  const [first = '', ...lines] = text.split('\n').filter((line) => line !== '');
  const head = parseLine(first, 1) as Partial<BackupHead> | null;
  if (head?.format !== 'cbd2rbd metadata' || head.version !== 1) throw new ServiceError('EINVAL', 'line 1: this is no backup of cbd2rbd\'s metadata');
  const records = lines.map((line, at): [string, string] => {
    const record = parseLine(line, at + 2);
    const [key, value, ...more]: unknown[] = Array.isArray(record) ? record : [];
    if (typeof key !== 'string' || typeof value !== 'string' || key === '' || more.length > 0) throw new ServiceError('EINVAL', `line ${at + 2}: this is no record`);
    return [key, value];
  });
  if (records.length !== head.records) throw new ServiceError('EINVAL', `the backup is cut: ${records.length} of ${String(head.records)} records`);
  return { head: head as BackupHead, records };
}

function parseLine(line: string, number: number): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new ServiceError('EINVAL', `line ${number}: this is not JSON`);
  }
}

/**
 * Puts a backup's records into a store that no daemon uses. ENOTEMPTY where it has records, unless `replace`, or where they are what an
 * interrupted restore left. Until all is there no daemon starts on the store.
 */
export async function restoreInto(store: Store, records: readonly (readonly [string, string])[], { replace }: { replace: boolean }): Promise<void> {
  const there = (await store.list({ prefix: '' })).filter(({ key }) => key !== daemonLockKey);
  const isHalf = there.some(({ key }) => key === keys.restoring);
  if (there.length > 0 && !replace && !isHalf) throw new ServiceError('ENOTEMPTY', 'the store has records already; --replace removes them first');
  const kept = new Set([keys.restoring, ...records.map(([key]) => key)]);
  const changes: Change[] = [
    ...there.filter(({ key }) => !kept.has(key)).map(({ key }): Change => ({ remove: key })), ...records.map(([put, value]): Change => ({ put, value })),
  ];
  await store.commit({ changes: [{ put: keys.restoring, value: 'true' }] });
  for (let at = 0; at < changes.length; at += atOnce) await store.commit({ changes: changes.slice(at, at + atOnce) });
  await store.commit({ changes: [{ remove: keys.restoring }] });
}

/** Throws where a restore was cut short. */
export async function requireWhole(store: Store): Promise<void> {
  if (await store.get(keys.restoring)) throw new StoreError('the store holds a part of a backup: a restore was cut short; run `cbd2rbd restore` again');
}
