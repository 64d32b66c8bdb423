// The stand-in's time: the machine's, or one that a test moves by hand.

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Runs `action` once, after `ms`. The returned function takes that back. */
  after(ms: number, action: () => void): () => void;
}

export const realClock: Clock = {
  now: () => Date.now(),
  after(ms, action) {
    const timer = setTimeout(action, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Stands still until `advance` is called; then what has become due runs, in the order of its times. */
export class ManualClock implements Clock {
  private readonly pending = new Set<{ at: number; action: () => void }>();

  constructor(private time = Date.UTC(2026, 0, 1)) {}

  now(): number {
    return this.time;
  }

  after(ms: number, action: () => void): () => void {
    const entry = { at: this.time + ms, action };
    this.pending.add(entry);
    return () => this.pending.delete(entry);
  }

  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const due = [...this.pending].filter((entry) => entry.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.pending.delete(due);
      this.time = Math.max(this.time, due.at);
      due.action();
    }
    this.time = end;
  }
}
