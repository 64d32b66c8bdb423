// The one family of errors that the service raises. Doors (rpc, http, cli) translate them once, into -errno, a status or an exit code.

/** Linux errno values that RBD's calls give, by name. */
export const Errno = {
  EPERM: 1, ENOENT: 2, EINTR: 4, EIO: 5, E2BIG: 7, ENOEXEC: 8, EAGAIN: 11, ENOMEM: 12, EACCES: 13, EBUSY: 16, EEXIST: 17, EXDEV: 18,
  ENOTDIR: 20, EINVAL: 22, EFBIG: 27, ENOSPC: 28, EROFS: 30, EDOM: 33, ERANGE: 34, ENAMETOOLONG: 36, ENOSYS: 38,
  ENOTEMPTY: 39, ENODATA: 61, EILSEQ: 84, EOPNOTSUPP: 95, EISCONN: 106, ENOTCONN: 107, ESHUTDOWN: 108, ETIMEDOUT: 110,
  ESTALE: 116, EDQUOT: 122, ECANCELED: 125,
} as const;

export type ErrnoName = keyof typeof Errno;

/** A refusal with the errno that librbd or librados gives in the same case. `message` names the value at fault. */
export class ServiceError extends Error {
  constructor(readonly errno: ErrnoName, message: string) {
    super(message);
    this.name = 'ServiceError';
  }

  /** The negative errno, as the C ABI returns it. */
  get code(): number {
    return -Errno[this.errno];
  }
}
