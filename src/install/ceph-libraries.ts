// Copies of a real Ceph's librados and librbd under sonames of their own, so that they can be loaded beside
// ours (shim/ceph opens them). Knows ELF files as far as their dynamic string table, and nothing of the rest.
import {mkdirSync, readFileSync, renameSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';

// The real soname and the copy's. Both have the same length, so that the string table keeps its layout;
// shim/ceph/library.h has the same names.
export const cephLibraries: ReadonlyArray<readonly[string, string]> = [
  ['librados.so.2', 'ceprados.so.2'],
  ['librbd.so.1', 'ceprbd.so.1'],
];

/** Where `cbd2rbd ceph libraries` puts the copies. */
export const cephCopyFolder = '/usr/lib/cbd2rbd/ceph';

/** The folders in which a program of ours looks for the copies, the first first. */
export function cephLibraryFolders(): string[] {
  return [process.env['CBD2RBD_CEPH_LIBS'] ?? '', cephCopyFolder].filter((folder) => folder !== '');
}

export class CephLibraryError extends Error {}

interface Section {
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

const dynamicSection = 6;

// The sections of a little-endian 64-bit ELF file. Throws where it is none, or is cut short.
function sections(file: Buffer, path: string): Section[] {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) {
    throw new CephLibraryError(`${path} is not a 64-bit little-endian ELF file`);
  }
  const table = Number(file.readBigUInt64LE(0x28));
  const entrySize = file.readUInt16LE(0x3a);
  const count = file.readUInt16LE(0x3c);
  if (count === 0 || entrySize < 64 || table + entrySize * count > file.length) {
    throw new CephLibraryError(`${path} has no section table`);
  }
  return Array.from({length: count}, (_, i) => {
    const at = table + i * entrySize;
    return {
      type: file.readUInt32LE(at + 4),
      offset: Number(file.readBigUInt64LE(at + 24)),
      size: Number(file.readBigUInt64LE(at + 32)),
      link: file.readUInt32LE(at + 40),
    };
  });
}

// The same file with our names for the real libraries wherever its dynamic string table names one: as its own
// soname, as what it needs, and as where a version comes from.
function renamed(file: Buffer, path: string): Buffer {
  const all = sections(file, path);
  const dynamic = all.find(section => section.type === dynamicSection);
  const strings = dynamic === undefined ? undefined : all[dynamic.link];
  if (strings === undefined || strings.offset + strings.size > file.length) {
    throw new CephLibraryError(`${path} is not a shared library`);
  }
  const copy = Buffer.from(file);
  const table = copy.subarray(strings.offset, strings.offset + strings.size);
  for (const [real, ours] of cephLibraries) {
    const wanted = Buffer.from(`\0${real}\0`, 'latin1');
    for (let at = table.indexOf(wanted); at >= 0; at = table.indexOf(wanted, at + 1)) {
      table.write(ours, at + 1, 'latin1');
    }
  }
  return copy;
}

// Copies the real libraries of folder `from` into folder `to` (made if need be), each whole or not at all.
// Returns the files written. CephLibraryError where a library is missing or is one of our own.
export function copyCephLibraries(options: {readonly from: string, readonly to: string}): string[] {
  const copies = cephLibraries.map(([real, ours]) => {
    const path = join(options.from, real);
    let file: Buffer;
    try {
      file = readFileSync(path);
    } catch (error) {
      throw new CephLibraryError(
          `no ${real} of Ceph in ${options.from}: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (file.includes('cbd_native_') || !file.includes('libceph-common.so')) {
      throw new CephLibraryError(`${path} is not Ceph's own library`);
    }
    return {path: join(options.to, ours), bytes: renamed(file, path)};
  });
  mkdirSync(options.to, {recursive: true});
  for (const {path, bytes} of copies) {
    writeFileSync(`${path}.new`, bytes, {mode: 0o755});
    renameSync(`${path}.new`, path);
  }
  return copies.map(copy => copy.path);
}
