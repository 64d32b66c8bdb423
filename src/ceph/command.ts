// What a monitor command is: its words, arguments and rights, and what its handler gets and gives.
import type {Identity} from '../access/identity.js';
import type {UserRecords} from '../access/user.js';
import type {Context} from '../service/context.js';
import type {ErrnoName} from '../service/errors.js';
import type {Doc} from './document.js';
import type {Facts} from './facts.js';
import type {StoredOptions} from './stored-options.js';
import type {Argument, Values} from './signature.js';

/** What handlers work with. */
export interface Cluster {
  readonly ctx: Context;
  readonly users: UserRecords;
  readonly options: StoredOptions;
  readonly fsid: string;
  /** When the daemon started. */
  readonly since: {readonly sec: number, readonly nsec: number};
}

export interface Request {
  readonly cluster: Cluster;
  readonly identity: Identity;
  readonly values: Values;
  readonly input: Buffer;
  /** Gathered when first asked for. */
  readonly facts: () => Promise<Facts>;
}

export interface Reply {
  /** Absent: 0. */
  readonly errno?: ErrnoName;
  /** The status line. */
  readonly outs?: string;
  /** The answer for json and xml, and for plain where there is no `plain`. */
  readonly doc?: Doc;
  /** The outermost element's name in XML. */
  readonly root?: string;
  /** Stands behind compact JSON and XML ("\n" with some commands, as measured); pretty forms end in a newline anyway. */
  readonly end?: string;
  /** Stands behind the pretty forms. */
  readonly prettyEnd?: string;
  /** As measured of one command: a line ends in front of the outermost section's end, save in pretty XML. */
  readonly hasInnerEnd?: true;
  readonly plain?: string;
}

export interface MonCommand {
  /** "osd pool create" */
  readonly name: string;
  readonly args: readonly Argument[];
  /** One line for `ceph --help`. */
  readonly help: string;
  readonly module: 'mon'|'osd'|'pg'|'mgr'|'auth'|'config'|'log';
  /** What its caller's mon caps must give. */
  readonly rights: 'r'|'rw'|'rx'|'rwx'|'w';
  /** Kept for old callers; help does not show it. */
  readonly isDeprecated?: boolean;
  readonly run: (request: Request) => Promise<Reply>|Reply;
}

/** A refusal in a handler: the errno and the status line. */
export class MonRefusal extends Error {
  constructor(readonly errno: ErrnoName, readonly outs: string) {
    super(outs);
    this.name = 'MonRefusal';
  }
}
