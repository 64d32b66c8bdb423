// The daemon's options: one table that the parser, the help, the commented default file and `config show` read.
// It knows neither files nor the environment.

/** Where things are by default: everything below one folder, or the system's places. */
export interface Layout {
  readonly file: string;
  readonly listen: string;
  readonly state: string;
}

interface Described {
  readonly name: string;
  /** Sentences for the commented file. */
  readonly help: readonly string[];
}

/** What values an option takes, and its default as it would be written. */
export type Option = Described&(
  {readonly kind: 'path' | 'text' | 'boolean' | 'integer' | 'list' | 'store'}|
  {readonly kind: 'duration'}|
  {readonly kind: 'choice', readonly choices: readonly string[]})&{
    readonly byDefault: (layout: Layout) => string;
    /** A path that may be left empty. */
    readonly isOptional?: true;
  };

export const logLevels = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

export const options = [
  {
    name: 'listen', kind: 'path', byDefault: (layout) => layout.listen,
    help: ['The unix socket that clients connect to. At most 107 bytes.'],
  },
  {
    name: 'listen_group', kind: 'text', byDefault: () => '',
    help: ['The group, by name or number, whose members may connect to it (mode 0660). Empty: everybody (mode 0666).', 'Either way keys and caps decide what each may do.'],
  },
  {
    name: 'store', kind: 'store', byDefault: (layout) => `sqlite:${layout.state}/metadata.sqlite`,
    help: ['Where metadata is kept: sqlite:/a/file, or etcd:http://host:port[,host:port...][/prefix] for many hosts.'],
  },
  {
    name: 'local_root', kind: 'path', byDefault: (layout) => `${layout.state}/volumes`,
    help: ['The folder that the local backend keeps its volumes in.'],
  },
  {
    name: 'local_capacity', kind: 'text', byDefault: () => 'filesystem',
    help: ['How much the local backend may use: "filesystem" (what its file system has), or a size such as 500G.'],
  },
  {
    name: 'default_backend', kind: 'choice', choices: ['local', 'curvebs'], byDefault: () => 'local',
    help: ['Where pools are made that name no backend (ceph osd pool create, rados_pool_create): local or curvebs.'],
  },
  {
    name: 'default_pools', kind: 'list', byDefault: () => 'rbd',
    help: ['Pools that are made on the default backend when the store is new; may be empty.'],
  },
  {
    name: 'fsid', kind: 'text', byDefault: () => '',
    help: ['The cluster\'s id that clients see. Empty: made once, then kept in the store.'],
  },
  {
    name: 'trust_own_uid', kind: 'boolean', byDefault: () => 'true',
    help: ['Whether a process of the daemon\'s own user may connect without a key.'],
  },
  {
    name: 'grace', kind: 'duration', byDefault: () => '10s',
    help: ['After a restart, how long sessions that were known before are waited for.'],
  },
  {
    name: 'request_timeout', kind: 'duration', byDefault: () => '30s',
    help: ['How long the daemon waits for a backend before it answers ETIMEDOUT.'],
  },
  {
    name: 'log_level', kind: 'choice', choices: logLevels, byDefault: () => 'info',
    help: ['What is written to standard error: error, warn, info or debug.'],
  },
  {
    name: 'curvebs_mds', kind: 'list', byDefault: () => '',
    help: ['CurveBS: the MDS addresses, host:port, separated by commas. Empty: no CurveBS.'],
  },
  {
    name: 'curvebs_nebd_socket', kind: 'path', byDefault: () => '/data/nebd/nebd.sock',
    help: ['CurveBS: nebd-server\'s socket on every client host.'],
  },
  {
    name: 'curvebs_root_password_file', kind: 'path', isOptional: true, byDefault: () => '',
    help: ['CurveBS: a file with the password of its root user, for directories of other owners. Empty: none.'],
  },
  {
    name: 'curvebs_snapshotclone', kind: 'list', byDefault: () => '',
    help: ['CurveBS: the snapshotcloneserver addresses, host:port, separated by commas; for `cbd2rbd snap archive` alone. Empty: none.'],
  },
  {
    name: 'curvebs_owner', kind: 'text', byDefault: () => 'cbd2rbd',
    help: ['CurveBS: the owner of directories and volumes of pools that name none.'],
  },
] as const satisfies readonly Option[];

export type OptionName = (typeof options)[number]['name'];

/** The environment's name for an option: `listen` is CBD2RBD_LISTEN. */
export function environmentName(name: string): string {
  return `CBD2RBD_${name.toUpperCase()}`;
}
