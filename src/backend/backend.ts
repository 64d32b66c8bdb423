// What the service asks of whatever holds volumes. A backend knows nothing of images, snapshots or sessions: it makes,
// grows and removes named volumes in a place, and says how a client's process reaches one.
import type { CephAnswer } from './ceph-command.js';
import type { CephFigures } from './ceph-figures.js';

/** Where a pool's volumes are: a directory of the backend and, where it has owners (CurveBS), the owner of what is made there. */
export interface Place {
  readonly dir: string;
  readonly owner: string;
}

/** A volume as its backend sees it. */
export interface VolumeInfo {
  readonly name: string;
  /** Bytes that can be addressed. */
  readonly size: number;
  /** Bytes that it takes from the backend; undefined where finding out would cost a call a volume. */
  readonly allocated?: number;
}

/** Bytes of a volume. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** What is held below a directory. */
export interface DirectoryUsage {
  readonly volumes: number;
  readonly allocated: number;
}

export interface Capacity {
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly availBytes: number;
}

/** Who opens a volume, and as which. The same one is given the same access again. */
export interface VolumeUser {
  readonly writable: boolean;
  readonly session: number;
  readonly handle: number;
  readonly pid?: number;
  /** Another one is another access, though it is the same volume. */
  readonly generation?: number;
  /** An access of its own, beside what the handle has. */
  readonly beside?: true;
}

/** A volume that a session has open through a server on this host. */
export interface OpenVolume {
  readonly session: number;
  /** Where it is on the backend. */
  readonly path: string;
  /** What the server knows it by. */
  readonly name: string;
}

/** A limit on a volume's I/O; `limit` 0: none. `burst` (0: none) may be used for `burstSeconds`. */
export interface VolumeLimit {
  readonly kind: 'IOPS_TOTAL' | 'IOPS_READ' | 'IOPS_WRITE' | 'BPS_TOTAL' | 'BPS_READ' | 'BPS_WRITE';
  readonly limit: number;
  readonly burst: number;
  readonly burstSeconds: number;
}

/** What sizes a backend's volumes may have. */
export interface VolumeRules {
  readonly minSize: number;
  readonly maxSize: number;
  /** Sizes are multiples of this. */
  readonly sizeStep: number;
  /** Requests to a volume are in whole blocks of this many bytes. */
  readonly blockSize: number;
  /** False: a volume keeps its size for good, and shrinkVolume only zeroes. */
  readonly canShrink: boolean;
  /** A writer's requests may arrive at the volume after its process died, so it is fenced before another writes. */
  readonly fencesDead?: boolean;
  /** What of a volume is zero can be given back block by block, and reads as zero at once. */
  readonly givesBackBlocks?: boolean;
  /** Who has a volume open loses it when it is removed, so nobody may have it open then. */
  readonly losesRemoved?: boolean;
  /** Other tools make volumes in our directories too, and those are images. */
  readonly hasOthersVolumes?: boolean;
  /** A volume name has at most this many bytes. */
  readonly maxNameBytes: number;
}

/**
 * How a session's process reaches a volume. `file`: a descriptor that the daemon opened and passes over the socket; the
 * caller of openVolume owns `fd` and closes it with `release`. `nebd`: the name to give to the nebd-server behind `socket`.
 */
export type VolumeAccess =
  | { readonly driver: 'file'; readonly fd: number; readonly blockSize: number; release(): void }
  | { readonly driver: 'nebd'; readonly socket: string; readonly file: string; readonly size: number; readonly blockSize: number };

/**
 * Every call may be repeated: after a crash the daemon calls again what it does not know to be done. Failures are
 * ServiceError with the errno that RBD gives for it and the name at fault; ETIMEDOUT where the backend does not answer.
 */
export interface Backend {
  /** 'local' or 'curvebs'. */
  readonly kind: string;
  readonly rules: VolumeRules;
  /** The socket that clients' processes must be able to write to for their I/O. */
  readonly clientSocket?: string;
  /** Where directories have owners and names that people see: the owner that the administrator stands for, and a pool's directory. */
  readonly defaults?: { readonly owner: string; dir(pool: string): string };

  /** Makes the directory; it may be there already. EINVAL for a dir that would lead outside the root, EPERM for another owner's. */
  createDirectory(place: Place): Promise<void>;
  /** Removes an empty directory; one that is not there is fine. ENOTEMPTY where something is in it. */
  removeDirectory(place: Place): Promise<void>;
  /** ENOENT where it does not exist. */
  statDirectory(place: Place): Promise<DirectoryUsage>;

  /**
   * Makes a volume of zeroes of `size` bytes (already rounded by roundVolumeSize). EEXIST where the name is taken, save by a volume
   * that an interrupted createVolume of the same name and size left behind. ENOSPC where it does not fit.
   */
  createVolume(place: Place, name: string, size: number): Promise<void>;
  /** Grows a volume to `size` bytes; one that is larger already stays as it is. */
  extendVolume(place: Place, name: string, size: number): Promise<void>;
  /**
   * Where `rules.canShrink`: cuts a volume to the smallest that holds `size` bytes; its bytes from `size` (to the byte) on read as zeroes
   * afterwards, also when it has grown again. Else the volume keeps its size, and its bytes from `size`
   * on read as zeroes. Nobody ever wrote at `usedSize` or behind.
   */
  shrinkVolume(place: Place, name: string, size: number, usedSize: number): Promise<void>;
  /** Removes a volume; one that is not there is fine. EBUSY where the backend says that it is in use for longer than a short retry. */
  removeVolume(place: Place, name: string): Promise<void>;
  /** Gives a volume another name in its directory. Done already: fine. EEXIST where the new name is taken, ENOENT where neither is there. */
  renameVolume(place: Place, name: string, to: string): Promise<void>;
  /** Undefined where it does not exist. `allocated` is always filled in. */
  statVolume(place: Place, name: string): Promise<VolumeInfo | undefined>;
  /** Every volume in the directory, in no order. ENOENT where the directory does not exist. */
  listVolumes(place: Place): Promise<VolumeInfo[]>;

  /**
   * What of a range may hold data, in order and without overlaps; the rest of it reads as zeroes. Undefined for a volume of which nobody can
   * tell. Only where clients cannot find out by themselves. ENOENT.
   */
  allocatedRanges?(place: Place, name: string, range: ByteRange): Promise<ByteRange[] | undefined>;

  /** How a session reaches the volume. Who (session id, its handle, its process) and `writable` are for backends whose access depends on it. ENOENT. */
  openVolume(place: Place, name: string, as: VolumeUser): Promise<VolumeAccess>;
  /** The session has closed what it was given for that handle. */
  forgetVolumes(session: number, handle: number): void;
  /** Nothing of what the session was given (one volume, or all of them) may stay open on the host: it died, or was fenced. Never fails. */
  closeVolumes(session: number, volume?: { place: Place; name: string }): Promise<void>;
  /** The volumes that were given to sessions (0: the daemon's own work) and are not closed yet, and what the host's server calls each. Only where there is one. */
  openVolumes?(): readonly OpenVolume[];
  /** From when this resolves on, whoever opened the volume before can no longer write to it. Backends that cannot do so throw EOPNOTSUPP. */
  fenceVolume(place: Place, name: string): Promise<void>;

  /** Keeps limits on a volume's I/O from now on, whoever does it. Only where the backend can. */
  limitVolume?(place: Place, name: string, limits: readonly VolumeLimit[]): Promise<void>;
  /**
   * Has the backend make a snapshot of its own of a volume that nobody writes to, and keep it elsewhere. Resolves with its id when it is
   * whole. `onProgress` is told per cent; where it says false the snapshot is given up (ECANCELED). Only where the backend can.
   */
  archiveVolume?(place: Place, name: string, options: { title: string; onProgress: (percent: number) => boolean }): Promise<string>;

  capacity(): Promise<Capacity>;
  /** Where pools are on a cluster that is not ours: what that says of itself and its pools, `reach` being the pool's `ceph`. Undefined where it does not answer. */
  realFigures?(reach: Readonly<Record<string, string>>): Promise<CephFigures | undefined>;
  /** Gives the monitors of such a cluster a command. Rejects, saying why, where it cannot be asked. */
  realCommand?(reach: Readonly<Record<string, string>>, command: Readonly<Record<string, string | number>>): Promise<CephAnswer>;
  /** The daemon ends soon: a call that waits for somebody who does not answer fails within a second (ESHUTDOWN). Only where calls wait long. */
  hurry?(): void;
  /** Lets go of connections and timers; what still waits fails with ESHUTDOWN. */
  close(): Promise<void>;
}

/** The smallest volume that `rules` allow and that holds `size` bytes; undefined where there is none. */
export function roundVolumeSize(rules: VolumeRules, size: number): number | undefined {
  const steps = Math.max(1, Math.ceil(Math.max(size, rules.minSize) / rules.sizeStep));
  const rounded = steps * rules.sizeStep;
  return rounded <= rules.maxSize ? rounded : undefined;
}
