// Turns: of those who ask for the same key, one runs at a time, in the order they asked.

export class KeyedLock {
  private readonly tails = new Map<string, Promise<unknown>>();

  /** Runs `body` when everybody who asked for `key` before has finished. */
  async run<T>(key: string, body: () => Promise<T>): Promise<T> {
    const before = this.tails.get(key) ?? Promise.resolve();
    const mine = before.then(body, body);
    const tail = mine.then(() => undefined, () => undefined);
    this.tails.set(key, tail);
    try {
      return await mine;
    } finally {
      if (this.tails.get(key) === tail) this.tails.delete(key);
    }
  }
}
