// A user who proved who he is, and the questions that services ask of his caps. It knows nothing of how caps are written.
import {ServiceError} from '../service/errors.js';
import {parseMonCaps, parseOsdCaps, type MonCaps, type OsdCaps, type Rights, type Where} from './caps.js';
import type {User} from './user.js';

export class Identity {
  readonly entity: string;
  /** The CurveBS owner that volumes made for him get. */
  readonly owner: string;
  /** No key was presented: he has the daemon's uid. */
  readonly isTrusted: boolean;
  private readonly mon: MonCaps;
  private readonly osd: OsdCaps;

  constructor(user: User, options: {trusted: boolean}) {
    this.entity = user.entity;
    this.owner = user.owner;
    this.isTrusted = options.trusted;
    this.mon = parseMonCaps(user.caps['mon'] ?? '');
    this.osd = parseOsdCaps(user.caps['osd'] ?? '');
  }

  /** Whether the session may be opened at all: as Ceph, a client must be able to read the maps. */
  get mayConnect(): boolean {
    return this.mon.allows('r');
  }

  /** mon `allow *`: may use `admin.*` and every monitor command. */
  get isAdmin(): boolean {
    return this.mon.allows('*');
  }

  /** May he do this on the images and objects of a pool and namespace? Looking needs
   * "rx" and changing "rwx" (docs/access.md). */
  may(rights: Rights, where: Where): boolean {
    return this.osd.allows(rights, where);
  }

  /** Whether the pool's own settings (rbd_config_pool_list) may be read; rights on one of its namespaces are enough. */
  readsPool(pool: string): boolean {
    return this.osd.readsPool(pool);
  }

  /** EPERM, as the OSDs answer, where `may` says no. */
  require(rights: Rights, where: Where): void {
    if (this.may(rights, where)) return;
    const place = where.namespace ? `${where.pool}/${where.namespace}` : where.pool;
    throw new ServiceError('EPERM', `${this.entity} has no right "${rights}" on pool ${place}`);
  }

  /** Whether his mon caps reach a command (`r` look, `w` change, `x` run, `*` everything) of a service ("osd"). */
  mayAsk(rights: Rights|'*', what: {service?: string, command?: string} = {}): boolean {
    return this.mon.allows(rights, what);
  }

  /** EACCES, as the monitor answers, where `mayAsk` says no. */
  requireMon(rights: Rights|'*', command: string): void {
    if (this.mayAsk(rights, {command, service: command.split(' ')[0] ?? ''})) return;
    throw new ServiceError('EACCES', `access denied: ${this.entity} may not use ${JSON.stringify(command)}`);
  }

  /** For `session.auth`'s result: pool name, or "*" for all, and its letters. */
  summary(): Record<string, string> {
    return this.osd.summary();
  }
}
