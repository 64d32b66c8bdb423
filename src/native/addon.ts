// The typed face of build/lib/cbd2rbd.node (shim/addon): what Node itself cannot do with unix sockets and files.
// It knows nothing of sessions, users or images.
import {existsSync} from 'node:fs';
import {createRequire} from 'node:module';
import type {Socket} from 'node:net';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

/** Who is at the other end of a unix socket, as the kernel noted it when the connection was made. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

interface NativeModule {
  peerCredentials(fd: number): PeerCredentials;
  sendDescriptors(socketFd: number, fds: readonly number[]): boolean;
  tryLock(fd: number): boolean;
}

/** The most descriptors that one message carries (SCM_MAX_FD in Linux). */
export const maxDescriptors = 253;

let loaded: unknown;

/** Where the addon is: `CBD2RBD_ADDON`, or build/lib beside dist/. */
export function addonPath(): string {
  const override = process.env['CBD2RBD_ADDON'];
  if (override) return override;
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = join(folder, 'build', 'lib', 'cbd2rbd.node');
    if (existsSync(candidate)) return candidate;
    const parent = dirname(folder);
    if (parent === folder) throw new Error('the addon build/lib/cbd2rbd.node is missing: run `npm run build`');
    folder = parent;
  }
}

/** The addon's exports, whose types are known where they are used. Loaded on first need. */
export function loadAddon(): unknown {
  loaded ??= createRequire(import.meta.url)(addonPath());
  return loaded;
}

function native(): NativeModule {
  return loadAddon() as NativeModule;
}

/** The credentials of a connected unix socket's peer. Throws an error with `code` and `errno` (EBADF, ENOTSOCK, ...). */
export function peerCredentials(fd: number): PeerCredentials {
  return native().peerCredentials(fd);
}

/**
 * Sends one blank byte that carries `fds` (SCM_RIGHTS, at most `maxDescriptors`) on a non-blocking unix socket. The caller
 * keeps its descriptors. Returns false where the socket's buffer is full (EAGAIN; nothing was sent); throws otherwise.
 */
export function sendDescriptors(socketFd: number, fds: readonly number[]): boolean {
  return native().sendDescriptors(socketFd, fds);
}

/**
 * Takes flock(2)'s exclusive lock of an open file without waiting; it ends when the descriptor is closed, also by a crash.
 * False where another process has it.
 */
export function tryLock(fd: number): boolean {
  return native().tryLock(fd);
}

/** The descriptor of a connected socket (-1 where it is closed): Node knows it, but has no public name for it. */
export function descriptorOf(socket: Socket): number {
  const handle = (socket as unknown as {_handle?: {fd?: number}|null})._handle;
  return handle?.fd ?? -1;
}
