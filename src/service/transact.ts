// Reads and changes of metadata that take effect together or are tried again: what was read must still hold when the
// changes are committed. It knows nothing of what the records mean.
import type { Change, Condition, Entry, Store } from '../store/store.js';
import { ServiceError } from './errors.js';

const maxTries = 64;

/** The view of one try. Everything read through it becomes a condition of the commit, save what `list` and `peek` return. */
export class Tx {
  private readonly read = new Map<string, Entry | undefined>();
  private readonly written = new Map<string, string | undefined>();
  private readonly emptied: string[] = [];
  private readonly empty: string[] = [];

  constructor(private readonly store: Store) {}

  /** A record, or undefined. */
  async get<T>(key: string): Promise<T | undefined> {
    if (this.written.has(key)) return parse<T>(this.written.get(key));
    if (!this.read.has(key)) this.read.set(key, await this.store.get(key));
    return parse<T>(this.read.get(key)?.value);
  }

  /** A record that may change before the commit without harm. */
  async peek<T>(key: string): Promise<T | undefined> {
    return parse<T>((await this.store.get(key))?.value);
  }

  put(key: string, value: unknown): void {
    this.written.set(key, JSON.stringify(value));
  }

  remove(key: string): void {
    this.written.set(key, undefined);
  }

  /** Removes every key that begins with the prefix at the time of the commit. */
  removeAll(prefix: string): void {
    this.emptied.push(prefix);
  }

  /** At the commit no key may begin with the prefix. A commit that fails for it is tried again, so the body must find it out itself. */
  requireEmpty(prefix: string): void {
    this.empty.push(prefix);
  }

  conditions(): Condition[] {
    const unchanged = [...this.read].map(([key, entry]) => ({ key, revision: entry?.revision ?? 0 }));
    return [...unchanged, ...this.empty.map((emptyPrefix) => ({ emptyPrefix }))];
  }

  changes(): Change[] {
    const single = [...this.written]
      .filter(([key]) => !this.emptied.some((prefix) => key.startsWith(prefix)))
      .map(([key, value]): Change => (value === undefined ? { remove: key } : { put: key, value }));
    return [...single, ...this.emptied.map((removePrefix) => ({ removePrefix }))];
  }
}

export interface TransactOptions {
  /** As in Transaction. */
  readonly survives?: 'power-loss' | 'process-death';
}

/** Runs `body` until what it read still held when its changes were committed, and returns what it returned. */
export async function transact<T>(store: Store, body: (tx: Tx) => Promise<T> | T, options: TransactOptions = {}): Promise<T> {
  for (let tries = 0; tries < maxTries; tries += 1) {
    const tx = new Tx(store);
    const result = await body(tx);
    const changes = tx.changes();
    if (changes.length === 0) return result;
    const { done } = await store.commit({ when: tx.conditions(), changes, ...options });
    if (done) return result;
  }
  throw new ServiceError('EAGAIN', 'the record is being changed by too many at once');
}

/** A record outside a transaction. */
export async function readRecord<T>(store: Store, key: string): Promise<T | undefined> {
  return parse<T>((await store.get(key))?.value);
}

/** Many at once, in the order of their keys; what changes meanwhile is seen or not. */
export async function readRecords<T>(store: Store, keys: readonly string[]): Promise<(T | undefined)[]> {
  return (await store.getAll(keys)).map((entry) => parse<T>(entry?.value));
}

function parse<T>(value: string | undefined): T | undefined {
  return value === undefined ? undefined : JSON.parse(value) as T;
}
