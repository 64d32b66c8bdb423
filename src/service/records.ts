// What the service keeps in the store: the records, and the key of each. Names come last in a key, for they may hold any byte.

export interface Time {
  readonly sec: number;
  readonly nsec: number;
}

export interface PoolRecord {
  readonly id: number;
  readonly name: string;
  /** The name of a backend in the configuration. */
  readonly backend: string;
  readonly dir: string;
  readonly owner: string;
  /** Application name -> its metadata. */
  readonly apps: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** For pools that a real Ceph serves: how the client reaches it. */
  readonly ceph?: Readonly<Record<string, string>>;
  readonly createTime: Time;
  /** What `ceph osd pool set` set: name -> value. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Who keeps the limits of I/O (rbd_qos_*): the client's library (absent: it), or the backend. */
  readonly qos?: 'client' | 'backend';
  /** 0 or absent: none. */
  readonly quota?: { readonly maxBytes: number; readonly maxObjects: number };
}

export interface ImageRecord {
  readonly id: string;
  readonly name: string;
  readonly pool: number;
  readonly namespace: string;
  readonly size: number;
  readonly order: number;
  readonly features: number;
  readonly opFeatures: number;
  readonly flags: number;
  readonly stripeUnit: number;
  readonly stripeCount: number;
  /** Pool id, or null where data is in the image's own pool. */
  readonly dataPool: number | null;
  readonly createTime: Time;
  readonly accessTime: Time;
  readonly modifyTime: Time;
  /** The newest layer: the head, or where there is none yet, the newest frozen one. */
  readonly top: Link;
  /** `top` takes the image's writes. */
  readonly head: boolean;
  /** Clones only. */
  readonly parent: ParentRecord | null;
  /** It was flattened when it showed nothing of its parent any more: to flatten it again is a success, as with the real library. */
  readonly leftUnseen?: true;
  /** In the order of creation. */
  readonly snaps: readonly SnapRecord[];
  /** At most so many snapshots of users; null: no limit. */
  readonly snapLimit: number | null;
}

/** A layer as another layer, an image or a snapshot sees it: bytes at and past `overlap` are zero. */
export interface Link {
  readonly layer: string;
  readonly overlap: number;
}

export interface SnapRecord {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  readonly top: Link;
  readonly parent: ParentRecord | null;
  readonly isProtected: boolean;
  readonly createTime: Time;
  /** In the trash (removed while it has clones of format 2) `name` is made up. */
  readonly namespace: { readonly type: 'user' } | { readonly type: 'trash'; readonly originalName: string };
}

/** What a clone was made from. */
export interface ParentRecord {
  readonly image: ImageRef;
  readonly snapId: number;
  readonly overlap: number;
  readonly format: 1 | 2;
}

/** A clone that left its parent. */
export interface LeftRecord {
  readonly child: ImageRef;
  readonly parent: ParentRecord;
}

/** A clone, in its parent's index. */
export interface ChildRecord {
  readonly image: ImageRef;
  readonly format: 1 | 2;
}

export interface LayerRecord {
  readonly id: string;
  readonly pool: number;
  /** The id of the image whose writes it took. */
  readonly image: string;
  readonly kind: 'plain' | 'cow';
  /** Bytes: the image's size for a head; for a frozen layer the image's size when it was frozen. */
  readonly size: number;
  /** The volume's name on the pool's backend, and its size there. */
  readonly volume: string;
  /** How often the volume was changed by a merge; sessions know the layer by volume and generation. */
  readonly generation: number;
  /** What is below. */
  readonly parent: Link | null;
  /** Nobody writes to it any more. */
  readonly frozen: boolean;
  /** How many images, snapshots and layers have a link to it. */
  readonly refs: number;
  readonly volumeSize: number;
  /** Bytes from `size` up to here may still hold old data: the volume is to be cut before it grows again. */
  readonly untrimmed?: number;
}

/** A volume that is being made or removed. Whatever is found in one at start is removed. */
export interface IntentRecord {
  readonly pool: number;
  readonly volume: string;
  readonly why: 'create' | 'remove';
}

export interface TrashRecord {
  readonly id: string;
  readonly name: string;
  readonly source: 'user';
  readonly deletionTime: Time;
  readonly deferUntil: Time;
}

export interface Locker {
  /** "client.<session id>" */
  readonly client: string;
  readonly cookie: string;
  readonly address: string;
  readonly session: number;
}

/** The advisory lock of an image. */
export interface LockRecord {
  readonly tag: string;
  readonly exclusive: boolean;
  readonly lockers: readonly Locker[];
}

/** Who holds the managed exclusive lock. */
export interface ExclusiveLockRecord {
  readonly session: number;
  readonly handle: number;
  readonly address: string;
}

/** A session that the daemon has promised something to; it may come back after a restart of the daemon. */
export interface SessionRecord {
  readonly id: number;
  readonly entity: string;
  readonly pid: number;
  readonly uid: number;
  readonly program: string;
  readonly opens: readonly OpenRecord[];
}

export interface OpenRecord {
  readonly handle: number;
  readonly image: ImageRef;
  readonly readOnly: boolean;
  readonly snapId: number | null;
  readonly holds: Hold;
}

/** What a handle may do with a head that only one writes to (docs/protocol-layers.md, `own`). */
export type Hold = 'none' | 'read' | 'write';

/** Where an image is. */
export interface At {
  readonly pool: number;
  readonly namespace: string;
}

export interface ImageRef extends At {
  readonly id: string;
}

const within = (at: At): string => `${at.pool}/${encodeURIComponent(at.namespace)}`;
const ofImage = (image: ImageRef): string => `${within(image)}/${image.id}`;

export const keys = {
  fsid: 'cluster/fsid',
  /** A backup is being put into the store. */
  restoring: 'restoring',
  counter: (name: string) => `counter/${name}`,
  pool: (id: number) => `pool/${id}`,
  pools: 'pool/',
  poolName: (name: string) => `pool-name/${name}`,
  /** Each namespace has its own; options are those of the first, the pool's. */
  poolMetadata: (at: At, key: string) => (at.namespace === '' ? `pool-metadata/${at.pool}/${key}` : `space-metadata/${within(at)}/${key}`),
  poolMetadataOfSpaces: (pool: number) => `space-metadata/${pool}/`,
  namespace: (at: At) => `namespace/${within(at)}`,
  namespaces: (pool: number) => `namespace/${pool}/`,
  image: (image: ImageRef) => `image/${ofImage(image)}`,
  allImages: 'image/',
  images: (at: At) => `image/${within(at)}/`,
  imagesOfPool: (pool: number) => `image/${pool}/`,
  imageName: (at: At, name: string) => `image-name/${within(at)}/${name}`,
  imageNames: (at: At) => `image-name/${within(at)}/`,
  metadata: (image: ImageRef, key: string) => `metadata/${ofImage(image)}/${key}`,
  lock: (image: ImageRef) => `lock/${ofImage(image)}`,
  locks: 'lock/',
  exclusiveLock: (image: ImageRef) => `exclusive-lock/${ofImage(image)}`,
  exclusiveLocks: 'exclusive-lock/',
  trash: (image: ImageRef) => `trash/${ofImage(image)}`,
  trashOf: (at: At) => `trash/${within(at)}/`,
  layer: (id: string) => `layer/${id}`,
  intent: (volume: string) => `intent/${volume}`,
  intents: 'intent/',
  release: (id: string) => `release/${id}`,
  releases: 'release/',
  /** A clone that is gone, or has no parent any more: the parent may not have been told. */
  left: (child: ImageRef) => `left/${ofImage(child)}`,
  lefts: 'left/',
  untrimmed: (layer: string) => `untrimmed/${layer}`,
  child: (parent: ImageRef, snapId: number, child: ImageRef) => `child/${ofImage(parent)}/${snapId}/${ofImage(child)}`,
  childrenOfSnap: (parent: ImageRef, snapId: number) => `child/${ofImage(parent)}/${snapId}/`,
  childrenOfImage: (parent: ImageRef) => `child/${ofImage(parent)}/`,
  layers: 'layer/',
  untrimmedLayers: 'untrimmed/',
  /** An image whose writer died or fell silent, and may still have writes under way. */
  unfenced: (image: ImageRef) => `unfenced/${ofImage(image)}`,
  /** Under which a daemon itself has a volume open in nebd-server. */
  ownName: (name: string) => `nebd-name/${name}`,
  ownNames: 'nebd-name/',
  op: (op: string) => `op/${op}`,
  ops: 'op/',
  session: (id: number) => `session/${id}`,
  sessions: 'session/',
  blocklist: (address: string) => `blocklist/${address}`,
  blocklisted: 'blocklist/',
  option: (section: string, name: string) => `option/${section}/${name}`,
  options: 'option/',
  user: (entity: string) => `user/${entity}`,
  users: 'user/',
} as const;

/** One text a image, for maps. */
export const imageKey = (image: ImageRef): string => ofImage(image);
