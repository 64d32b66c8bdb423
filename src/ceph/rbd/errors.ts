// How the rbd command fails: an exit code and what stands on standard error.
import {Errno, ServiceError} from '../../service/errors.js';

/** Ends a command: `lines` go to standard error, each behind "rbd: " where it does not say otherwise. */
export class RbdFailure extends Error {
  constructor(readonly code: number, readonly text: string) {
    super(text);
    this.name = 'RbdFailure';
  }
}

const words: Readonly<Record<number, string>> = {
  1: 'Operation not permitted', 2: 'No such file or directory', 5: 'Input/output error', 11: 'Resource temporarily unavailable',
  12: 'Cannot allocate memory', 13: 'Permission denied', 16: 'Device or resource busy', 17: 'File exists', 18: 'Invalid cross-device link',
  20: 'Not a directory', 22: 'Invalid argument', 27: 'File too large', 28: 'No space left on device', 30: 'Read-only file system',
  33: 'Numerical argument out of domain', 34: 'Numerical result out of range', 36: 'File name too long', 38: 'Function not implemented',
  39: 'Directory not empty', 61: 'No data available', 84: 'Invalid or incomplete multibyte or wide character', 95: 'Operation not supported',
  107: 'Transport endpoint is not connected', 108: 'Cannot send after transport endpoint shutdown', 110: 'Connection timed out',
  116: 'Stale file handle', 122: 'Disk quota exceeded', 125: 'Operation canceled',
};

/** "(2) No such file or directory" */
export function strerror(errno: number): string {
  return `(${errno}) ${words[errno] ?? `Unknown error ${errno}`}`;
}

/** The errno of a refusal by the service; rethrows what is none. */
export function errnoOf(error: unknown): number {
  if (error instanceof ServiceError) return Errno[error.errno];
  throw error;
}

/** "rbd: create error: (17) File exists" and the code 17. */
export function failure(what: string, errno: number): RbdFailure {
  return new RbdFailure(errno, `rbd: ${what}: ${strerror(errno)}\n`);
}

/** The command line is wrong in what it says (22), as opposed to how it is written (1). */
export const wrong = (text: string): RbdFailure => new RbdFailure(22, `rbd: ${text}\n`);
export const misspelt = (text: string): RbdFailure => new RbdFailure(1, `rbd: ${text}\n`);
