// Capability texts: a parser for what Ceph writes in `mon` and `osd` caps, and what they allow.
// It knows nothing of users. docs/access.md says which part of Ceph's grammar is taken.
import {ServiceError} from '../service/errors.js';

/** Letters out of "rwx". */
export type Rights = string;

/** A place that rights are asked for. */
export interface Where {
  readonly pool: string;
  /** "" or absent: the default namespace. */
  readonly namespace?: string;
}

interface OsdGrant {
  readonly rights: ReadonlySet<string>;
  /** Absent: every pool. */
  readonly pool?: string;
  /** Absent: every namespace; may end in `*`. */
  readonly namespace?: string;
  /** Only objects whose names begin so: no image is one. */
  readonly objectPrefix?: string;
}

interface MonGrant {
  readonly rights: ReadonlySet<string>;
  /** Only commands of this service ("osd", "mon", "auth", ...). */
  readonly service?: string;
  /** Only this command. */
  readonly command?: string;
}

/** What a user may do with images and objects. */
export class OsdCaps {
  constructor(private readonly grants: readonly OsdGrant[]) {}

  /** Whether the grants together give every one of the letters in this place. */
  allows(rights: Rights, where: Where): boolean {
    const left = new Set(rights);
    for (const grant of this.grants) {
      if (!covers(grant, where)) continue;
      for (const letter of grant.rights) left.delete(letter);
    }
    return left.size === 0;
  }

  /** Whether any namespace of the pool may be read: enough for what is the pool's own (its configuration). */
  readsPool(pool: string): boolean {
    return this.grants.some((grant) => (grant.pool ?? pool) === pool && grant.objectPrefix === undefined &&
        grant.rights.has('r') && grant.rights.has('x'));
  }

  /** Pool name, or "*" for all, and the letters that hold in at least one of its namespaces. */
  summary(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const grant of this.grants) {
      if (grant.objectPrefix !== undefined) continue;
      const pool = grant.pool ?? '*';
      const held = new Set([...(found[pool] ?? ''), ...grant.rights]);
      found[pool] = ['r', 'w', 'x'].filter((letter) => held.has(letter)).join('');
    }
    return found;
  }
}

/** What a user may ask the monitor. */
export class MonCaps {
  constructor(private readonly grants: readonly MonGrant[]) {}

  /** Whether the letters are given for this command ("osd pool create") of this service ("osd"). "*" is everything. */
  allows(rights: Rights|'*', what: {service?: string, command?: string} = {}): boolean {
    const left = new Set(rights);
    for (const grant of this.grants) {
      if (grant.service !== undefined && grant.service !== what.service) continue;
      if (grant.command !== undefined && grant.command !== what.command) continue;
      if (grant.rights.has('*')) return true;
      for (const letter of grant.rights) left.delete(letter);
    }
    return left.size === 0;
  }
}

function covers(grant: OsdGrant, where: Where): boolean {
  if (grant.objectPrefix !== undefined) return false;
  if (grant.pool !== undefined && grant.pool !== where.pool) return false;
  if (grant.namespace === undefined) return true;
  const asked = where.namespace ?? '';
  if (grant.namespace.endsWith('*')) return asked.startsWith(grant.namespace.slice(0, -1));
  return grant.namespace === asked;
}

interface Token {
  readonly text: string;
  /** An unquoted one of `=`, `,` and `;`. */
  readonly isSign: boolean;
  /** Where it begins in the text. */
  readonly start: number;
}

function tokens(text: string): Token[] {
  const pattern = /\s*(?:"([^"]*)"|'([^']*)'|([=,;])|([^\s=,;"']+))/y;
  const found: Token[] = [];
  const end = text.trimEnd().length;
  while (pattern.lastIndex < end) {
    const match = pattern.exec(text);
    if (!match) throw new ServiceError('EINVAL', `caps ${JSON.stringify(text)}: a quote is not closed`);
    const sign = match[3];
    const start = match.index + match[0].length - match[0].trimStart().length;
    found.push({text: sign ?? match[1] ?? match[2] ?? match[4] ?? '', isSign: sign !== undefined, start});
  }
  return found;
}

// One clause of a caps text and how far it has been read.
class Clause {
  private at = 0;
  /** `from`: where it begins in the text, with what parts it from the one before. */
  constructor(private readonly list: readonly Token[], private readonly from: number) {}

  /** The next plain word, if there is one and it passes the test. */
  word(isWanted: (text: string) => boolean = () => true): string|undefined {
    const token = this.list[this.at];
    if (!token || token.isSign || !isWanted(token.text)) return undefined;
    this.at++;
    return token.text;
  }

  /** The value behind `key value`, `key=value` or `key = value`. */
  value(key: string): string|undefined {
    const before = this.at;
    if (this.word((text) => text === key) === undefined) return undefined;
    if (this.list[this.at]?.isSign) this.at++;
    const value = this.word();
    if (value === undefined) this.at = before;
    return value;
  }

  /** How many words are left. */
  get left(): number {
    return this.list.length - this.at;
  }

  /** Where reading stopped: behind what gives something, or in front of a clause that gives nothing. */
  stop({isGiven}: {isGiven: boolean}): number {
    return isGiven ? this.list[this.at]?.start ?? Infinity : this.from;
  }
}

// Clauses are parted by commas or semicolons.
function clauses(kind: string, text: string): Clause[] {
  const parts: {readonly from: number, readonly list: Token[]}[] = [{from: 0, list: []}];
  for (const token of tokens(text)) {
    if (token.isSign && token.text !== '=') parts.push({from: token.start, list: []});
    else parts.at(-1)?.list.push(token);
  }
  if (parts.length === 1 && parts[0]?.list.length === 0) return [];
  const empty = parts.find(({list}) => list.length === 0);
  if (empty) throw bad(kind, text, empty.from);
  return parts.map(({list, from}) => new Clause(list, from));
}

// As the monitor words it: "osd capability parse failed, stopped at 'bogus' of 'allow bogus'".
function bad(kind: string, text: string, stop: number): ServiceError {
  return new ServiceError('EINVAL', `${kind} capability parse failed, stopped at '${text.slice(stop)}' of '${text}'`);
}

function rightsOf(text: string): ReadonlySet<string>|undefined {
  if (text === '*' || text === 'all') return new Set(['r', 'w', 'x', '*']);
  return /^[rwx]+$/.test(text) ? new Set(text) : undefined;
}

const osdProfiles = new Map<string, string>([
  ['rbd', 'rwx'], ['rbd-read-only', 'rx'], ['rbd-mirror', 'rwx'], ['rbd-mirror-peer', 'rx'], ['read-only', 'rx'],
  ['read-write', 'rwx'],
]);

function osdGrants(clause: Clause, text: string): OsdGrant[] {
  const verb = clause.word((word) => word === 'allow' || word === 'profile');
  if (!verb) throw bad('osd', text, clause.stop({isGiven: false}));
  let pool: string|undefined;
  let namespace: string|undefined;
  let objectPrefix: string|undefined;
  const rights = new Set<string>();
  let isGiven = false;
  if (verb === 'profile') {
    const profile = clause.word((word) => osdProfiles.has(word));
    if (!profile) throw bad('osd', text, clause.stop({isGiven: false}));
    for (const letter of osdProfiles.get(profile) ?? '') rights.add(letter);
    isGiven = true;
  }
  for (let moved = true; moved && clause.left > 0;) {
    const before = clause.left;
    pool = clause.value('pool') ?? pool;
    namespace = clause.value('namespace') ?? namespace;
    objectPrefix = clause.value('object_prefix') ?? objectPrefix;
    if (verb === 'allow') {
      const word = clause.word((text) => rightsOf(text) !== undefined || text === 'class-read' || text === 'class-write');
      if (word !== undefined) {
        isGiven = true;
        for (const letter of rightsOf(word) ?? ['x']) rights.add(letter);
      }
    }
    moved = clause.left < before;
  }
  if (clause.left > 0 || !isGiven) throw bad('osd', text, clause.stop({isGiven}));
  const place = {
    ...(pool ? {pool} : {}),
    ...(namespace !== undefined ? {namespace} : {}),
    ...(objectPrefix !== undefined ? {objectPrefix} : {}),
  };
  return [{rights, ...place}];
}

const monProfiles = new Map<string, readonly MonGrant[]>([
  ['rbd', [{rights: new Set('r')}, {rights: new Set('rwx'), command: 'osd blocklist'}, {rights: new Set('rwx'), command: 'osd blacklist'}]],
  ['rbd-read-only', [{rights: new Set('r')}]],
  ['rbd-mirror', [{rights: new Set('r')}]],
  ['rbd-mirror-peer', [{rights: new Set('r')}]],
  ['simple-rados-client', [{rights: new Set('r')}]],
  ['read-only', [{rights: new Set('r')}]],
  ['read-write', [{rights: new Set('rw')}]],
  ['role-definer', [{rights: new Set('r')}, {rights: new Set('*'), service: 'auth'}]],
]);

function monGrants(clause: Clause, text: string): readonly MonGrant[] {
  const verb = clause.word((word) => word === 'allow' || word === 'profile');
  if (!verb) throw bad('mon', text, clause.stop({isGiven: false}));
  const profile = verb === 'profile' ? clause.word() : clause.value('profile');
  if (profile !== undefined) {
    const grants = monProfiles.get(profile);
    if (!grants || clause.left > 0) throw bad('mon', text, clause.stop({isGiven: grants !== undefined}));
    return grants;
  }
  const command = clause.value('command');
  const service = clause.value('service');
  const word = clause.word((text) => rightsOf(text) !== undefined);
  const rights = command !== undefined ? new Set(['r', 'w', 'x']) : rightsOf(word ?? '');
  if (!rights || clause.left > 0) throw bad('mon', text, clause.stop({isGiven: rights !== undefined}));
  return [{rights, ...(command !== undefined ? {command} : {}), ...(service !== undefined ? {service} : {})}];
}

/** EINVAL, worded as the monitor does, where it cannot be read. "" allows nothing. */
export function parseOsdCaps(text: string): OsdCaps {
  return new OsdCaps(clauses('osd', text).flatMap((clause) => osdGrants(clause, text)));
}

/** EINVAL, worded as the monitor does, where it cannot be read. "" allows nothing. */
export function parseMonCaps(text: string): MonCaps {
  return new MonCaps(clauses('mon', text).flatMap((clause) => monGrants(clause, text)));
}

/** EINVAL where one of the texts cannot be read. Caps of other kinds (mgr, mds) are kept and mean nothing here. */
export function checkCaps(caps: Readonly<Record<string, string>>): void {
  parseMonCaps(caps['mon'] ?? '');
  parseOsdCaps(caps['osd'] ?? '');
}
