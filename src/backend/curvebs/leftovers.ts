// What processes that are gone have open in this host's nebd-server. It is closed, which waits for what they had under way; where nebd-server
// does not say that it has, the volume is fenced before anybody writes to it again. Knows no session and no image.

import { NebdRefusal, NebdSession } from './nebd.js';

/** A name under which a process that is gone had a volume open. */
export interface Leftover {
  readonly name: string;
  readonly path: string;
  readonly owner: string;
  /** Whether something of it may still arrive at the volume. */
  readonly mayWrite: boolean;
  /** Whether it was the daemon's. */
  readonly isOwn: boolean;
}

export interface LeftoverMeans {
  readonly nebdSocket: string;
  /** How long one CloseFile is waited for; on a real cluster it takes up to a second, and as long as I/O of its file is under way. */
  readonly closingMs: number;
  /** From when this resolves on, whoever opened the volume before writes no more. */
  readonly fence: (path: string, owner: string) => Promise<void>;
  /** Whether somebody has the volume open who lives, and would be fenced with the dead. */
  readonly isInUse: (path: string) => boolean;
  readonly log: (line: string) => void;
}

/** How many are closed at a time. */
const AT_ONCE = 8;

export class Leftovers {
  /** By volume: what could not be closed. */
  private readonly open = new Map<string, Leftover[]>();
  /** By volume: the closing or fencing that goes on. */
  private readonly busy = new Map<string, Promise<unknown>>();
  private readonly conversations = new Set<NebdSession>();

  constructor(private readonly means: LeftoverMeans) {}

  /** Closes what it can, and returns that; what it cannot is remembered. Never fails. */
  async close(left: readonly Leftover[]): Promise<Leftover[]> {
    if (left.length === 0) return [];
    const work = this.tryClosing(left);
    const paths = new Set(left.map(({ path }) => path));
    for (const path of paths) this.enter(path, work);
    const closed = await work;
    this.remember(left.filter((each) => !closed.includes(each)));
    return closed;
  }

  /** What could not be closed just now; it is closed or fenced when its volume is to be written to. */
  remember(left: readonly Leftover[]): void {
    for (const each of left) this.open.set(each.path, [...this.open.get(each.path) ?? [], each]);
  }

  /**
   * To be called before the volume is given to somebody who writes: resolves, with what is over, when nothing of the dead arrives at it
   * any more. ETIMEDOUT where that cannot be had. Where others use it as well, who write at their own risk anyway, only what was the daemon's own is fenced.
   */
  async settle(path: string): Promise<Leftover[]> {
    const over: Leftover[] = [];
    // Others may die while this goes on.
    for (;;) {
      for (let busy = this.busy.get(path); busy !== undefined; busy = this.busy.get(path)) await busy.catch(() => undefined);
      const left = (this.open.get(path) ?? []).filter(({ mayWrite }) => mayWrite);
      if (left.length === 0) return over;
      const work = this.closeOrFence(path, left);
      this.enter(path, work);
      await work;
      this.forget(path, left);
      over.push(...left);
    }
  }

  /** A conversation with nebd-server; it ends with `hangUp`, or with all of this. */
  async talk(timeoutMs: number): Promise<NebdSession> {
    const nebd = await NebdSession.connect(this.means.nebdSocket, timeoutMs);
    this.conversations.add(nebd);
    return nebd;
  }

  hangUp(nebd: NebdSession): void {
    this.conversations.delete(nebd);
    nebd.close();
  }

  end(): void {
    for (const nebd of this.conversations) this.hangUp(nebd);
  }

  private async closeOrFence(path: string, left: readonly Leftover[]): Promise<void> {
    const closed = await this.tryClosing(left);
    const rest = left.filter((each) => !closed.includes(each));
    const [first] = this.means.isInUse(path) ? rest.filter(({ isOwn }) => isOwn) : rest;
    if (!first) return;
    this.means.log(`nebd-server does not close '${path}' for a process that is gone: the volume is fenced before it is written to again`);
    await this.means.fence(path, first.owner);
  }

  private async tryClosing(left: readonly Leftover[]): Promise<Leftover[]> {
    const closed: Leftover[] = [];
    const failed = (error: unknown): void => this.means.log(`volumes of a process that is gone stay open in nebd-server: ${error instanceof Error ? error.message : String(error)}`);
    const nebd = await this.talk(this.means.closingMs).catch(failed);
    if (!nebd) return closed;
    const queue = [...left];
    const work = async (): Promise<void> => {
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        if (await closeName(nebd, next.name).catch((error: unknown) => { failed(error); return false; })) closed.push(next);
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, left.length) }, work));
    this.hangUp(nebd);
    return closed;
  }

  private forget(path: string, over: readonly Leftover[]): void {
    const rest = (this.open.get(path) ?? []).filter((each) => !over.includes(each));
    if (rest.length > 0) this.open.set(path, rest);
    else this.open.delete(path);
  }

  private enter(path: string, work: Promise<unknown>): void {
    const before = this.busy.get(path);
    const both = before ? Promise.allSettled([before, work]) : work;
    this.busy.set(path, both);
    const leave = (): void => { if (this.busy.get(path) === both) this.busy.delete(path); };
    both.then(leave, leave);
  }
}

/** True where nothing is open under that name any more. ETIMEDOUT, ENOTCONN. */
async function closeName(nebd: NebdSession, name: string): Promise<boolean> {
  // OpenFile of a name that is open answers with its fd. One that is refused is not open, and its volume is gone.
  const fd = await nebd.openOnly(name).catch((error: unknown) => {
    if (error instanceof NebdRefusal) return undefined;
    throw error;
  });
  // One that is refused was closed as well: its volume had been deleted.
  if (fd !== undefined) await nebd.closeFile(fd).catch((error: unknown) => { if (!(error instanceof NebdRefusal)) throw error; });
  return true;
}
