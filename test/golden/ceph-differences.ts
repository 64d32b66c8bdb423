// Where our `ceph` answers otherwise than the real one did, and why. The list may only shrink.

export interface Difference {
  /** Matches the words behind "ceph". */
  readonly command: RegExp;
  readonly reason: string;
  /** Our exit code there, where it is always the same. */
  readonly code?: number;
  /** Only from this run on. */
  readonly from?: number;
}

export const cephDifferences: readonly Difference[] = [];
