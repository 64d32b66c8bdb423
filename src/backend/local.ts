// Volumes as sparse files below one root: a directory a pool, a file a volume. The daemon opens the files; sessions get
// descriptors, so nobody else needs rights on them. It knows nothing of images.
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rmdir, stat, statfs, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ServiceError, Errno, type ErrnoName } from '../service/errors.js';
import { roundVolumeSize, type Backend, type Capacity, type DirectoryUsage, type Place, type VolumeAccess, type VolumeInfo, type VolumeRules } from './backend.js';

const blockSize = 4096;
/** S_ISVTX, which node:fs has no name for. */
const takenMark = 0o1000;
/** The largest multiple of the block size that a JSON number holds exactly. */
const largest = Number.MAX_SAFE_INTEGER - (Number.MAX_SAFE_INTEGER % blockSize);

/** Opens, or makes, the root directory (mode 0700). */
export async function openLocalBackend(root: string): Promise<Backend> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  return new LocalBackend(root);
}

class LocalBackend implements Backend {
  readonly kind = 'local';
  readonly rules: VolumeRules = { minSize: blockSize, maxSize: largest, sizeStep: blockSize, blockSize, canShrink: true, givesBackBlocks: true, maxNameBytes: 255 };

  constructor(private readonly root: string) {}

  async createDirectory(place: Place): Promise<void> {
    await this.guard(place.dir, async () => {
      await mkdir(this.directory(place), { recursive: true, mode: 0o700 });
      await syncDirectory(this.root);
    });
  }

  async removeDirectory(place: Place): Promise<void> {
    await this.guard(place.dir, async () => {
      await rmdir(this.directory(place)).catch(ignoreMissing);
      await syncDirectory(this.root);
    });
  }

  async statDirectory(place: Place): Promise<DirectoryUsage> {
    const volumes = await this.listVolumes(place);
    let allocated = 0;
    for (const { name } of volumes) allocated += (await this.statVolume(place, name))?.allocated ?? 0;
    return { volumes: volumes.length, allocated };
  }

  async createVolume(place: Place, name: string, size: number): Promise<void> {
    await this.guard(name, async () => {
      const file = await open(this.path(place, name), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
      try {
        const found = await file.stat();
        if (found.size !== 0 && (found.size !== size || found.blocks !== 0)) throw new ServiceError('EEXIST', `volume ${name} exists`);
        await file.truncate(size);
        await file.sync();
      } finally {
        await file.close();
      }
      await syncDirectory(this.directory(place));
    });
  }

  async extendVolume(place: Place, name: string, size: number): Promise<void> {
    await this.change(place, name, async (file) => {
      if ((await file.stat()).size < size) await file.truncate(size);
    });
  }

  async shrinkVolume(place: Place, name: string, size: number): Promise<void> {
    await this.change(place, name, async (file) => {
      const rounded = roundVolumeSize(this.rules, size) ?? size;
      if ((await file.stat()).size < rounded) return;
      // Cut to the byte first: what is left of the last block must read as zeroes.
      await file.truncate(size);
      await file.truncate(rounded);
    });
  }

  async removeVolume(place: Place, name: string): Promise<void> {
    await this.guard(name, async () => {
      await unlink(this.path(place, name)).catch(ignoreMissing);
      await unlink(`${this.path(place, name)}.fenced`).catch(ignoreMissing);
      await syncDirectory(this.directory(place)).catch(ignoreMissing);
    });
  }

  async renameVolume(place: Place, name: string, to: string): Promise<void> {
    await this.guard(to, async () => {
      const [from, into] = [this.path(place, name), this.path(place, to)];
      const isThere = await stat(from).then(() => true, ignoreMissing);
      if (await stat(into).then(() => true, ignoreMissing)) {
        if (isThere) throw new ServiceError('EEXIST', `volume ${to} exists`);
        return;
      }
      await rename(from, into);
      await syncDirectory(this.directory(place));
    });
  }

  async statVolume(place: Place, name: string): Promise<VolumeInfo | undefined> {
    return this.guard(name, async () => {
      const found = await stat(this.path(place, name)).catch(ignoreMissing);
      return found && { name, size: found.size, allocated: found.blocks * 512 };
    });
  }

  async listVolumes(place: Place): Promise<VolumeInfo[]> {
    return this.guard(place.dir, async () => {
      const entries = await readdir(this.directory(place), { withFileTypes: true });
      const files = entries.filter((entry) => entry.isFile());
      return Promise.all(files.map(async ({ name }) => ({ name, size: (await stat(this.path(place, name))).size })));
    });
  }

  async openVolume(place: Place, name: string, as: { writable: boolean; session: number }): Promise<VolumeAccess> {
    return this.guard(name, async () => {
      const mode = as.writable ? constants.O_RDWR : constants.O_RDONLY;
      const file = await open(this.path(place, name), mode | constants.O_NOFOLLOW);
      return { driver: 'file', fd: file.fd, blockSize, release: () => { file.close().catch(ignored); } };
    });
  }

  forgetVolumes(): void {
    // Nothing was noted.
  }

  async closeVolumes(): Promise<void> {
    // A descriptor is closed by its process, or with it.
  }

  /**
   * A file cannot be taken from who has it open, so the volume moves to a file of its own; the old one takes what still comes. It is marked
   * first (by the sticky bit, which means nothing for a file): a writer who wakes up while it is copied is told at his next flush
   * (shim/block/volume_file.cc) that what he wrote is not kept. Without a mark at the end of a flush the copy has what was flushed.
   */
  async fenceVolume(place: Place, name: string): Promise<void> {
    await this.guard(name, async () => {
      const path = this.path(place, name);
      const copy = `${path}.fenced`;
      const { mode } = await stat(path);
      await chmod(path, (mode & 0o777) | takenMark);
      await promisify(execFile)('cp', ['--reflink=auto', '--sparse=always', '--no-dereference', '--preserve=mode', path, copy]);
      const file = await open(copy, constants.O_RDWR);
      try {
        await file.chmod(mode & 0o777);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(copy, path);
      await syncDirectory(this.directory(place));
    });
  }

  async capacity(): Promise<Capacity> {
    const { bsize, blocks, bavail, bfree } = await statfs(this.root);
    return { totalBytes: blocks * bsize, usedBytes: (blocks - bfree) * bsize, availBytes: bavail * bsize };
  }

  async close(): Promise<void> {
    // Nothing is kept open.
  }

  private async change(place: Place, name: string, body: (file: FileHandle) => Promise<void>): Promise<void> {
    await this.guard(name, async () => {
      const file = await open(this.path(place, name), constants.O_RDWR | constants.O_NOFOLLOW);
      try {
        await body(file);
        await file.sync();
      } finally {
        await file.close();
      }
    });
  }

  private directory({ dir }: Place): string {
    return join(this.root, component(dir));
  }

  private path(place: Place, name: string): string {
    return join(this.directory(place), component(name));
  }

  /** Turns the file system's refusals into ServiceErrors that name what was at fault. */
  private async guard<T>(what: string, body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      throw translated(error, what);
    }
  }
}

/** One path component that names a file in its directory and nothing else. */
function component(name: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name) || Buffer.byteLength(name) > 255) {
    throw new ServiceError('EINVAL', `${JSON.stringify(name)} cannot be the name of a file below the root`);
  }
  return name;
}

function translated(error: unknown, what: string): unknown {
  if (error instanceof ServiceError || !(error instanceof Error) || !('code' in error)) return error;
  const code = error.code;
  if (code === 'EFBIG') return new ServiceError('EINVAL', `${what}: larger than the file system can hold`);
  const known = typeof code === 'string' && Object.hasOwn(Errno, code) ? code as ErrnoName : 'EIO';
  return new ServiceError(known, `${what}: ${error.message}`);
}

/** Our copy of a descriptor was never written through: its client hears of errors from its own. */
function ignored(): void {
  // Nothing to do.
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
