// Metadata as etcd keeps it: sorted keys, text values, revisions, transactions that compare and swap, leases, watches.
// Two implementations pass one contract test: sqlite.ts (embedded) and etcd.ts. Neither knows what the keys mean.

/** A key as it was read. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** The store's revision at which this value was written; larger means later. Never 0. */
  readonly revision: number;
}

/** What must hold for a transaction to be carried out. */
export type Condition =
  /** The key was last written at `revision`; 0: it does not exist. */
  | { readonly key: string; readonly revision: number }
  /** No key begins with `emptyPrefix`. */
  | { readonly emptyPrefix: string };

export type Change =
  | { readonly put: string; readonly value: string; readonly lease?: number }
  | { readonly remove: string }
  | { readonly removePrefix: string };

export interface Transaction {
  readonly when?: readonly Condition[];
  /** Carried out all or none; at most 100 or so (etcd's default limit is 128). No key may be changed twice. */
  readonly changes: readonly Change[];
  /**
   * What a committed change must survive: 'power-loss' (the default), or only 'process-death': for records about processes of this
   * host, which a power loss ends as well. Later commits never become durable without earlier ones.
   */
  readonly survives?: 'power-loss' | 'process-death';
}

export interface CommitResult {
  /** False: a condition did not hold, and nothing was changed. */
  readonly done: boolean;
  /** The revision that the changed keys have now, or the store's where nothing was changed. */
  readonly revision: number;
}

export interface ListOptions {
  readonly prefix: string;
  /** Only keys that sort behind this one. */
  readonly after?: string;
  /** At most so many. */
  readonly limit?: number;
}

export type WatchEvent =
  | { readonly type: 'put'; readonly key: string; readonly value: string; readonly revision: number }
  | { readonly type: 'remove'; readonly key: string; readonly revision: number };

export interface Watch {
  /** Resolves when every change committed from now on will be seen. */
  readonly ready: Promise<void>;
  close(): void;
}

/** Keys are not empty; neither keys nor values hold a NUL. Keys sort by the bytes of their UTF-8. */
export interface Store {
  get(key: string): Promise<Entry | undefined>;
  /** The same for many keys, in their order, with a call of the store for each hundred or so: what changes meanwhile is seen or not. */
  getAll(keys: readonly string[]): Promise<(Entry | undefined)[]>;
  /** Entries whose keys begin with the prefix, sorted by key. */
  list(options: ListOptions): Promise<Entry[]>;
  commit(transaction: Transaction): Promise<CommitResult>;

  /** A lease: when it is not kept alive for `ttlSeconds` (or is revoked), the keys put with it are removed. */
  grantLease(ttlSeconds: number): Promise<number>;
  /** False where the lease is gone. */
  keepLeaseAlive(lease: number): Promise<boolean>;
  revokeLease(lease: number): Promise<void>;

  /** Calls `onEvents` with each commit's changes to keys under the prefix, in the order of revisions. */
  watch(prefix: string, onEvents: (events: WatchEvent[]) => void): Watch;

  close(): Promise<void>;
}

/** The store cannot be used: another daemon has it, the disk is full, it is not a store. `message` names the file or address. */
export class StoreError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
  }
}

/** RangeError for what no store takes: an empty key, a NUL byte. */
export function checkChanges(changes: readonly Change[]): void {
  for (const change of changes) {
    const key = 'put' in change ? change.put : 'remove' in change ? change.remove : change.removePrefix;
    if (key === '' || key.includes('\0')) throw new RangeError(`not a key: ${JSON.stringify(key)}`);
    if ('put' in change && change.value.includes('\0')) throw new RangeError(`the value of ${key} holds a NUL byte`);
  }
}

/** The first key behind all keys that begin with `prefix`, in the order of UTF-8 bytes. */
export function endOfPrefix(prefix: string): string {
  const points = [...prefix];
  while (points.length > 0) {
    const last = points.pop()?.codePointAt(0) ?? 0;
    if (last < 0x10ffff) return points.join('') + String.fromCodePoint(last === 0xd7ff ? 0xe000 : last + 1);
  }
  return '\u{10ffff}\u{10ffff}';
}
