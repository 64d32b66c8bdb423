// Exactly once: a client that lost its connection sends a change again under the same op id, and gets the first answer.
import type { Store } from '../store/store.js';
import { keys } from './records.js';
import { readRecord, type Tx } from './transact.js';

const keepMs = 600_000;

interface OpRecord {
  readonly at: number;
  readonly answer: unknown;
}

export class Ops {
  private readonly running = new Map<string, Promise<unknown>>();

  constructor(private readonly store: Store, private readonly now: () => number) {}

  /**
   * Runs `body` unless the op has finished (then its answer is returned) or is running (then its end is awaited). `body` passes its
   * answer to `finish` inside the transaction that makes the change. An op that failed is not remembered: nothing changed.
   */
  async once<T>(op: string | undefined, body: (finish: (tx: Tx, answer: T) => T) => Promise<T>): Promise<T> {
    if (op === undefined) return body((_tx, answer) => answer);
    const running = this.running.get(op);
    if (running) return running as Promise<T>;
    const run = this.runFirst(op, body);
    this.running.set(op, run);
    try {
      return await run;
    } finally {
      this.running.delete(op);
    }
  }

  /** Forgets answers older than ten minutes. */
  async expire(): Promise<void> {
    const entries = await this.store.list({ prefix: keys.ops });
    const old = entries.filter(({ value }) => (JSON.parse(value) as OpRecord).at < this.now() - keepMs);
    for (let i = 0; i < old.length; i += 100) {
      const changes = old.slice(i, i + 100).map(({ key }) => ({ remove: key }));
      await this.store.commit({ changes, survives: 'process-death' });
    }
  }

  private async runFirst<T>(op: string, body: (finish: (tx: Tx, answer: T) => T) => Promise<T>): Promise<T> {
    const finished = await readRecord<OpRecord>(this.store, keys.op(op));
    if (finished) return finished.answer as T;
    return body((tx, answer) => {
      tx.put(keys.op(op), { at: this.now(), answer } satisfies OpRecord);
      return answer;
    });
  }
}
