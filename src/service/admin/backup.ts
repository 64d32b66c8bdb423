// All records as lines of text, and back into an empty store. What only holds while processes live is left out. Behind: `cbd2rbd backup`
// (asked of the daemon) and `cbd2rbd restore` (on a store that no daemon uses).
import { randomBytes } from 'node:crypto';
import type { Change, Store } from '../../store/store.js';
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

const ephemeral = [keys.sessions, keys.ops, keys.exclusiveLocks, 'daemon'];
const atOnce = 64;
const pageChars = 1 << 20;

export interface Page {
  readonly token: string;
  readonly lines: readonly string[];
  readonly isLast: boolean;
}

// One backup at a time is kept between its pages.
let taken: { token: string; lines: string[] } | undefined;

/** Without a token: takes a backup (one reading of the store, so it is of one moment) and gives its first page. */
export async function backupPage(ctx: Context, token: string | undefined): Promise<Page> {
  if (token === undefined) taken = { token: randomBytes(8).toString('hex'), lines: await backupLines(ctx.store, new Date()) };
  else if (taken?.token !== token) throw new ServiceError('ESTALE', 'another backup was begun meanwhile');
  const { lines } = taken ?? { lines: [] };
  const page: string[] = [];
  for (let chars = 0; chars < pageChars && lines.length > 0;) {
    const line = lines.shift() ?? '';
    page.push(line);
    chars += line.length;
  }
  const isLast = lines.length === 0;
  const mine = taken?.token ?? '';
  if (isLast) taken = undefined;
  return { token: mine, lines: page, isLast };
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

/** Puts a backup's records into a store that no daemon uses. ENOTEMPTY where it has records, unless `replace`. */
export async function restoreInto(store: Store, records: readonly (readonly [string, string])[], { replace }: { replace: boolean }): Promise<void> {
  const there = await store.list({ prefix: '' });
  if (there.length > 0 && !replace) throw new ServiceError('ENOTEMPTY', 'the store has records already; --replace removes them first');
  const kept = new Set(records.map(([key]) => key));
  const changes: Change[] = [
    ...there.filter(({ key }) => !kept.has(key)).map(({ key }): Change => ({ remove: key })), ...records.map(([put, value]): Change => ({ put, value })),
  ];
  for (let at = 0; at < changes.length; at += atOnce) await store.commit({ changes: changes.slice(at, at + atOnce) });
}
