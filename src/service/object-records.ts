// What the store keeps of a librados object: one record under its name, its data in chunks and its omap under its id, so that a
// new object of the same name shares nothing with an old one.
import type { At, Time } from './records.js';

export interface ObjectLocker {
  /** "client.<session id>" */
  readonly client: string;
  readonly cookie: string;
  readonly address: string;
  readonly description: string;
  /** When the lock ends by itself; null: never. */
  readonly expires: Time | null;
}

export interface ObjectLock {
  readonly exclusive: boolean;
  readonly tag: string;
  readonly lockers: readonly ObjectLocker[];
}

export interface ObjectRecord {
  readonly id: string;
  readonly size: number;
  readonly mtime: Time;
  /** Grows with every change, also over the removal and remaking of an object. */
  readonly version: number;
  /** Values in base64. */
  readonly xattrs: Readonly<Record<string, string>>;
  readonly locks?: Readonly<Record<string, ObjectLock>>;
}

/** Bytes of data under one key. A chunk that is not there reads as zeroes. */
export const chunkSize = 65_536;

const within = (at: At): string => `${at.pool}/${encodeURIComponent(at.namespace)}`;

export const objectKeys = {
  object: (at: At, name: string) => `object/${within(at)}/${name}`,
  objects: (at: At) => `object/${within(at)}/`,
  ofPool: (pool: number) => `object/${pool}/`,
  chunk: (pool: number, id: string, index: number) => `object-data/${pool}/${id}/${index.toString(16).padStart(8, '0')}`,
  data: (pool: number, id: string) => `object-data/${pool}/${id}/`,
  dataOfPool: (pool: number) => `object-data/${pool}/`,
  /** An omap key may hold any bytes; in hex they sort as they are. */
  omapEntry: (pool: number, id: string, hex: string) => `object-omap/${pool}/${id}/${hex}`,
  omap: (pool: number, id: string) => `object-omap/${pool}/${id}/`,
  omapOfPool: (pool: number) => `object-omap/${pool}/`,
} as const;
