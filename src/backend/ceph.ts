// The backend of pools that a real Ceph cluster serves. The clients' librbd goes to that cluster by itself (shim/ceph), so there are
// no volumes here: it knows how such a pool is reached, and refuses whatever would make a volume.
import { isAbsolute } from 'node:path';
import { ServiceError } from '../service/errors.js';
import { askCeph } from './ceph-command.js';
import { CephFigureBook, type CephFigures } from './ceph-figures.js';
import type { Backend, Capacity, DirectoryUsage, VolumeAccess, VolumeInfo } from './backend.js';

/** How clients reach a real Ceph pool; what is absent is Ceph's own default. Paths are the clients', so they are absolute. */
const fields = ['conf', 'user', 'keyring'] as const;

/** What a pool's record says of its pool on Ceph: `given` checked, with the pool's name there. EINVAL for what is no way to reach one. */
export function cephMapping(pool: string, given: Readonly<Record<string, string>>): Record<string, string> {
  for (const [field, value] of Object.entries(given)) {
    if (!fields.some((known) => known === field)) throw new ServiceError('EINVAL', `a Ceph pool has no "${field}": ${fields.join(', ')}`);
    if (value === '' || value.includes('\0')) throw new ServiceError('EINVAL', `${field} of a Ceph pool: ${JSON.stringify(value)}`);
    if (field !== 'user' && !isAbsolute(value)) throw new ServiceError('EINVAL', `${field} ${value} of a Ceph pool is not an absolute path`);
  }
  return { ...given, pool };
}

function elsewhere(what: string): ServiceError {
  return new ServiceError('EOPNOTSUPP', `${what}: the pool is on a real Ceph, which only librbd reaches`);
}

export const openCephBackend = (options: { log: (line: string) => void }): Backend => {
  const book = new CephFigureBook(options.log);
  return { ...nothingHere, realFigures: (reach): Promise<CephFigures | undefined> => book.figuresOf(reach), realCommand: askCeph };
};

const nothingHere: Backend = {
  kind: 'ceph',
  rules: {
    minSize: 0, maxSize: Number.MAX_SAFE_INTEGER, sizeStep: 1, blockSize: 1, canShrink: true, maxNameBytes: 255,
  },
  createDirectory: async () => undefined,
  removeDirectory: async () => undefined,
  statDirectory: async (): Promise<DirectoryUsage> => ({ volumes: 0, allocated: 0 }),
  createVolume: async (_, name) => { throw elsewhere(name); },
  extendVolume: async (_, name) => { throw elsewhere(name); },
  shrinkVolume: async (_, name) => { throw elsewhere(name); },
  removeVolume: async () => undefined,
  renameVolume: async (_, name) => { throw elsewhere(name); },
  statVolume: async (): Promise<VolumeInfo | undefined> => undefined,
  listVolumes: async (): Promise<VolumeInfo[]> => [],
  openVolume: async (_, name): Promise<VolumeAccess> => { throw elsewhere(name); },
  forgetVolumes: () => undefined,
  closeVolumes: async () => undefined,
  fenceVolume: async (_, name) => { throw elsewhere(name); },
  capacity: async (): Promise<Capacity> => ({ totalBytes: 0, usedBytes: 0, availBytes: 0 }),
  close: async () => undefined,
};
