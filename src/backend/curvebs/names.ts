// Names between RBD and CurveBS: what CurveBS cannot hold is written as %XX, and back. Knows no protocol.

import { ServiceError } from '../../service/errors.js';

/** A component of a CurveBS path has at most this many bytes, and a whole path that many. */
const MAX_COMPONENT_BYTES = 255;
const MAX_PATH_BYTES = 800;
const RECYCLE_BIN = 'RecycleBin';

function encode(text: string, keeps: (character: string) => boolean): string {
  return [...text]
    .map((character) => (character !== '%' && keeps(character) ? character : [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')))
    .join('');
}

/** The name that `encode` made something of. Throws EINVAL for text that it never made. */
function decode(text: string): string {
  const bytes: number[] = [];
  const source = Buffer.from(text);
  for (let at = 0; at < source.length; at++) {
    if (source[at] !== 0x25) {
      bytes.push(source[at]!);
      continue;
    }
    const hex = source.toString('latin1', at + 1, at + 3);
    if (!/^[0-9A-F]{2}$/.test(hex)) throw new ServiceError('EINVAL', `'${text}' is no encoded name`);
    bytes.push(Number.parseInt(hex, 16));
    at += 2;
  }
  return Buffer.from(bytes).toString();
}

/**
 * The CurveBS owner for an RBD user's (or a configured) name. NEBD parts path and owner by "_", so there is none in an owner.
 * EINVAL for an empty one and for root, whose volumes no client can open.
 */
export function encodeOwner(name: string): string {
  if (name === '') throw new ServiceError('EINVAL', 'an owner without a name');
  if (name === 'root') throw new ServiceError('EINVAL', "owner 'root': CurveBS opens no volume of root's for clients");
  const encoded = encode(name, (character) => /^[A-Za-z0-9.@+-]$/.test(character));
  if (encoded.length > MAX_COMPONENT_BYTES) throw new ServiceError('ENAMETOOLONG', `owner '${name}' is longer than CurveBS can hold`);
  return encoded;
}

export function decodeOwner(owner: string): string {
  return decode(owner);
}

/** One component of a path. EINVAL for "", "." and "..", ENAMETOOLONG. */
export function encodeComponent(name: string): string {
  if (name === '' || name === '.' || name === '..') throw new ServiceError('EINVAL', `'${name}' is no name of a file or directory`);
  const encoded = encode(name, (character) => character >= ' ' && character !== '/' && character !== '\x7f');
  if (Buffer.byteLength(encoded) > MAX_COMPONENT_BYTES) throw new ServiceError('ENAMETOOLONG', `name '${name}' is longer than CurveBS can hold`);
  return encoded;
}

/** The name that a listing shows. One that encodeComponent never makes (made by other tools) stands for itself. */
export function decodeComponent(name: string): string {
  try {
    const decoded = decode(name);
    return encodeComponent(decoded) === name ? decoded : name;
  } catch {
    return name;
  }
}

/** A directory's path: "/a/b" or "a/b". EINVAL where it would be the root, relative within, or in the recycle bin. */
export function directoryPath(dir: string): string {
  const components = dir.replace(/^\//, '').replace(/\/$/, '').split('/').map(encodeComponent);
  if (components[0] === RECYCLE_BIN) throw new ServiceError('EINVAL', `directory '${dir}' is CurveBS's recycle bin`);
  const path = `/${components.join('/')}`;
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw new ServiceError('ENAMETOOLONG', `directory '${dir}' is longer than CurveBS can hold`);
  return path;
}

/** What nebd-server is to open. `token` is free text that makes the name its opener's own. */
export function nebdName(token: string, path: string, owner: string): string {
  // The colon at the end ends the path: without it a colon in the volume's name would.
  return `cbd:${token}/${path}_${owner}_:`;
}

/** What a name that nebdName or openedName made opens. */
export function readNebdName(name: string): { path: string; owner: string } | undefined {
  const match = /^cbd:[^/]*\/(\/.*)_([^_]+)_:$/s.exec(name);
  return match ? { path: match[1]!, owner: match[2]! } : undefined;
}

/**
 * The name under which a client's process of that id has opened `name` (shim/block/nebd_file.cc, make_name): the first one, or that which it takes
 * after so many were answered no more.
 */
export function openedName(name: string, pid: number, count = 0): string {
  const slash = name.indexOf('/');
  return `${name.slice(0, slash)}-${pid}.${count}${name.slice(slash)}`;
}

/** The one that is taken after a name of openedName's was answered no more. */
export function nextName(opened: string): string {
  return opened.replace(/^(cbd:[^/]*\.)(\d+)\//, (_, before: string, count: string) => `${before}${Number(count) + 1}/`);
}
