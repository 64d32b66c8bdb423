// The bytes of the stand-in's volumes: one sparse file for each 1 GiB segment that was touched, as CurveBS allocates them.
// Knows no protocol and checks no range.

import { close, constants, mkdirSync, open, readdirSync, read, rmSync, write } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { GIB } from './namespace.js';

const openFile = promisify(open);
const closeFile = promisify(close);

export class VolumeData {
  private readonly handles = new Map<string, Promise<number>>();
  /** What uses the handles just now: none is closed under it, for its number may be another file's the moment after. */
  private readonly underWay = new Set<Promise<unknown>>();

  constructor(private readonly folder: string) {
    mkdirSync(folder, { recursive: true });
  }

  /** The numbers of the segments that take space. */
  segments(volume: number): number[] {
    try {
      return readdirSync(join(this.folder, String(volume))).map(Number).sort((a, b) => a - b);
    } catch {
      return [];
    }
  }

  /** What was never written is zero. */
  read(volume: number, offset: number, length: number): Promise<Buffer> {
    return this.track(this.readPieces(volume, offset, length));
  }

  write(volume: number, offset: number, data: Buffer): Promise<void> {
    return this.track(this.writePieces(volume, offset, data));
  }

  /** Resolves when everything that was begun before is done. */
  async idle(): Promise<void> {
    await Promise.allSettled([...this.underWay]);
  }

  private async readPieces(volume: number, offset: number, length: number): Promise<Buffer> {
    const out = Buffer.alloc(length);
    for (const piece of this.pieces(offset, length)) {
      const handle = await this.handle(volume, piece.segment, 'existing');
      if (handle === undefined) continue;
      for (let done = 0; done < piece.length; ) {
        const got = await new Promise<number>((resolve, reject) => {
          read(handle, out, piece.at + done, piece.length - done, piece.within + done, (error, bytes) => (error ? reject(error) : resolve(bytes)));
        });
        if (got === 0) break;
        done += got;
      }
    }
    return out;
  }

  private async writePieces(volume: number, offset: number, data: Buffer): Promise<void> {
    for (const piece of this.pieces(offset, data.length)) {
      const handle = (await this.handle(volume, piece.segment, 'made'))!;
      for (let done = 0; done < piece.length; ) {
        done += await new Promise<number>((resolve, reject) => {
          write(handle, data, piece.at + done, piece.length - done, piece.within + done, (error, bytes) => (error ? reject(error) : resolve(bytes)));
        });
      }
    }
  }

  /** The segment reads zero from now on and takes no space. */
  async free(volume: number, segment: number): Promise<void> {
    const file = this.file(volume, segment);
    const handle = this.handles.get(file);
    this.handles.delete(file);
    rmSync(file, { force: true });
    await this.idle();
    if (handle) await closeFile(await handle);
  }

  async remove(volume: number): Promise<void> {
    for (const segment of this.segments(volume)) await this.free(volume, segment);
    rmSync(join(this.folder, String(volume)), { recursive: true, force: true });
  }

  /** Ends when what was under way has; nothing may be begun any more. */
  async close(): Promise<void> {
    await this.idle();
    const open = [...this.handles.values()];
    this.handles.clear();
    for (const handle of open) await closeFile(await handle).catch(() => undefined);
  }

  private track<T>(work: Promise<T>): Promise<T> {
    this.underWay.add(work);
    const done = (): void => void this.underWay.delete(work);
    work.then(done, done);
    return work;
  }

  private pieces(offset: number, length: number): Array<{ segment: number; within: number; at: number; length: number }> {
    const found = [];
    for (let at = 0; at < length; ) {
      const segment = Math.floor((offset + at) / GIB);
      const within = offset + at - segment * GIB;
      const bytes = Math.min(length - at, GIB - within);
      found.push({ segment, within, at, length: bytes });
      at += bytes;
    }
    return found;
  }

  private file(volume: number, segment: number): string {
    return join(this.folder, String(volume), String(segment));
  }

  private async handle(volume: number, segment: number, mode: 'existing' | 'made'): Promise<number | undefined> {
    const file = this.file(volume, segment);
    // A reader that found no file takes its failed attempt out again; who waited on it opens for himself.
    for (let known = this.handles.get(file); known !== undefined; known = this.handles.get(file)) {
      const handle = await known.catch(() => undefined);
      if (handle !== undefined) return handle;
    }
    const flags = mode === 'made' ? constants.O_RDWR | constants.O_CREAT : constants.O_RDWR;
    if (mode === 'made') mkdirSync(join(this.folder, String(volume)), { recursive: true });
    const opening = openFile(file, flags);
    this.handles.set(file, opening);
    try {
      return await opening;
    } catch (error) {
      if (this.handles.get(file) === opening) this.handles.delete(file);
      if (mode === 'existing' && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }
}
