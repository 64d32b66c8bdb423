// What a user is, and what keeps users. It knows neither how a user proves his key nor what his caps allow.

/** Caps as Ceph writes them, a text for each kind of daemon ("mon", "osd", "mgr", "mds"). */
export type CapsText = Readonly<Record<string, string>>;

export interface User {
  /** As Ceph names it: "client.cinder". */
  readonly entity: string;
  /** The cephx key, base64, as ceph-authtool makes it. */
  readonly key: string;
  readonly caps: CapsText;
  /** The CurveBS owner that the user's volumes get. */
  readonly owner: string;
}

/** The users' place in the store. */
export interface UserRecords {
  read(entity: string): Promise<User|undefined>;
  /** All users, sorted by entity. */
  list(): Promise<readonly User[]>;
  /** Adds or replaces. */
  write(user: User): Promise<void>;
  /** False where there was no such user. */
  remove(entity: string): Promise<boolean>;
}
