// For tests: sends recorded frames to a server and returns what comes back. Knows no meaning of a frame.

import { readFileSync, readdirSync } from 'node:fs';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { join, resolve } from 'node:path';

const CAPTURES = resolve('test/data/captures');

export interface Recorded {
  /** As "07_read", the files' common name. */
  readonly step: string;
  readonly request: Buffer;
  /** Nothing where the real server never answered. */
  readonly reply: Buffer | undefined;
}

/** A folder's recorded exchanges in their order; without those of which only the reply was kept. */
export function recorded(set: string): Recorded[] {
  const folder = join(CAPTURES, set);
  const files = new Set(readdirSync(folder));
  return [...files]
    .filter((file) => file.endsWith('.req.bin'))
    .sort()
    .map((file) => {
      const step = file.slice(0, -'.req.bin'.length);
      const reply = files.has(`${step}.resp.bin`) ? readFileSync(join(folder, `${step}.resp.bin`)) : undefined;
      return { step, request: readFileSync(join(folder, file)), reply };
    });
}

/** A connection that sends whole frames and waits for one frame back. */
export class Wire {
  private held: Buffer = Buffer.alloc(0);
  private wake: () => void = () => undefined;
  private closed = false;

  private constructor(private readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.held = Buffer.concat([this.held, chunk]);
      this.wake();
    });
    socket.on('close', () => {
      this.closed = true;
      this.wake();
    });
    socket.on('error', () => undefined);
  }

  static async open(where: NetConnectOpts): Promise<Wire> {
    const socket = connect(where);
    await new Promise<void>((done, fail) => socket.once('connect', () => done()).once('error', fail));
    return new Wire(socket);
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** The next frame, or nothing where the connection ended or `until` resolved first. */
  async receive(until?: Promise<unknown>): Promise<Buffer | undefined> {
    let late = false;
    void until?.then(() => {
      late = true;
      this.wake();
    });
    for (;;) {
      const length = this.held.length >= 12 ? 12 + this.held.readUInt32BE(4) : Infinity;
      if (this.held.length >= length) {
        const frame = this.held.subarray(0, length);
        this.held = this.held.subarray(length);
        return frame;
      }
      if (this.closed || late) return undefined;
      await new Promise<void>((resume) => (this.wake = resume));
    }
  }

  close(): void {
    this.socket.destroy();
  }
}
