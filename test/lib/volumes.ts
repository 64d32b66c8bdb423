// What a test sees of a pool's volumes past the daemon: files, or what the CurveBS stand-in keeps.
import { closeSync, openSync, readSync, readdirSync, statSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from '../curvebs/cluster.js';

export interface Volumes {
  names(): string[];
  size(name: string): number;
  /** How many bytes it takes. */
  allocated(name: string): number;
  read(name: string, offset: number, length: number): Promise<Buffer>;
  write(name: string, offset: number, data: Buffer): Promise<void>;
  /** Makes one that the daemon knows nothing of. */
  add(name: string): void;
  /** Takes one away behind the daemon's back. */
  remove(name: string): void;
}

export function localVolumes(folder: string): Volumes {
  const withFile = <T>(name: string, flags: string, use: (fd: number) => T): T => {
    const fd = openSync(join(folder, name), flags);
    try {
      return use(fd);
    } finally {
      closeSync(fd);
    }
  };
  return {
    names: () => readdirSync(folder),
    size: (name) => statSync(join(folder, name)).size,
    allocated: (name) => statSync(join(folder, name)).blocks * 512,
    read: async (name, offset, length) => withFile(name, 'r', (fd) => {
      const bytes = Buffer.alloc(length);
      readSync(fd, bytes, 0, length, offset);
      return bytes;
    }),
    write: async (name, offset, data) => withFile(name, 'r+', (fd) => { writeSync(fd, data, 0, data.length, offset); }),
    add: (name) => writeFileSync(join(folder, name), 'nobody\'s'),
    remove: (name) => unlinkSync(join(folder, name)),
  };
}

/** Of the directory `/NAME`. */
export function curvebsVolumes(cluster: Cluster, directory: string): Volumes {
  const inodes = () => {
    const folder = cluster.files.child(0, directory);
    return folder ? cluster.files.list(folder.id) : [];
  };
  const find = (name: string) => {
    const found = inodes().find(({ fileName }) => fileName === name);
    if (!found) throw new Error(`there is no volume ${name}`);
    return found;
  };
  return {
    names: () => inodes().map(({ fileName }) => fileName),
    size: (name) => find(name).length ?? 0,
    allocated: (name) => cluster.data.segments(find(name).id).length * 1024 ** 3,
    read: async (name, offset, length) => cluster.data.read(find(name).id, offset, length),
    write: async (name, offset, data) => cluster.data.write(find(name).id, offset, data),
    add: (name) => {
      const { owner } = cluster.files.child(0, directory)!;
      const { statusCode } = cluster.mds.call('CreateFile', {
        fileName: `/${directory}/${name}`, fileType: 'INODE_PAGEFILE', fileLength: 10 * 1024 ** 3, owner, date: Date.now() * 1000,
      });
      if (statusCode !== 'kOK') throw new Error(`${name}: ${statusCode}`);
    },
    remove: (name) => cluster.files.drop(find(name).id),
  };
}
