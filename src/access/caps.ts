// Capability texts: a small parser for what Ceph writes in `mon` and `osd` caps, and what they allow.
// It knows nothing of users. The grammar: OSDCap.cc and MonCap.cc of Ceph 16 (described, not copied, in docs/access.md).
import {ServiceError} from '../service/errors.js';

/** Letters out of "rwx". */
export type Rights = string;

/** A place that rights are asked for. */
export interface Where {
  readonly pool: string;
  /** "" or absent: the default namespace. */
  readonly namespace?: string;
}

interface Grant {
  readonly rights: Set<string>;
  /** Absent: every pool. */
  readonly pool?: string;
  /** Absent: every namespace; may end in `*`. */
  readonly namespace?: string;
}

export class OsdCaps {
  constructor(private readonly grants: readonly Grant[]) {}

  /** Whether the grants together give every one of the letters in this place. */
  allows(rights: Rights, where: Where): boolean {
    const left = new Set(rights);
    for (const grant of this.grants) {
      if (!covers(grant, where)) continue;
      for (const letter of grant.rights) left.delete(letter);
    }
    return left.size === 0;
  }

  summary(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const grant of this.grants) {
      const pool = grant.pool ?? '*';
      const letters = new Set([...(found[pool] ?? ''), ...grant.rights]);
      found[pool] = ['r', 'w', 'x'].filter((letter) => letters.has(letter)).join('');
    }
    return found;
  }
}

export class MonCaps {
  constructor(private readonly rights: ReadonlySet<string>) {}

  allows(rights: Rights|'*'): boolean {
    if (this.rights.has('*')) return true;
    return [...rights].every((letter) => this.rights.has(letter));
  }
}

function covers(grant: Grant, where: Where): boolean {
  if (grant.pool !== undefined && grant.pool !== where.pool) return false;
  if (grant.namespace === undefined) return true;
  const asked = where.namespace ?? '';
  if (grant.namespace.endsWith('*')) return asked.startsWith(grant.namespace.slice(0, -1));
  return grant.namespace === asked;
}

type Token = {kind: 'word', text: string}|{kind: 'sign', text: '='|','};

function tokens(text: string): Token[] {
  const pattern = /\s*(?:"([^"]*)"|'([^']*)'|([=,;])|([^\s=,;"']+))/y;
  const found: Token[] = [];
  const end = text.trimEnd().length;
  while (pattern.lastIndex < end) {
    const match = pattern.exec(text);
    if (!match) throw new ServiceError('EINVAL', `caps ${JSON.stringify(text)} cannot be read: a quote is not closed`);
    const sign = match[3];
    if (sign) found.push({kind: 'sign', text: sign === '=' ? '=' : ','});
    else found.push({kind: 'word', text: match[1] ?? match[2] ?? match[4] ?? ''});
  }
  return found;
}

interface Clause {
  readonly words: readonly string[];
  readonly values: ReadonlyMap<string, string>;
}

// A caps text is clauses, parted by commas or semicolons; a clause is words and key=value pairs.
function clauses(text: string): Clause[] {
  const found: Clause[] = [];
  let words: string[] = [];
  let values = new Map<string, string>();
  const list = tokens(text);
  const close = (): void => {
    if (words.length === 0) throw new ServiceError('EINVAL', `caps ${JSON.stringify(text)} have an empty part`);
    found.push({words, values});
    words = [];
    values = new Map<string, string>();
  };
  for (let at = 0; at < list.length; at++) {
    const token = list[at];
    if (!token) break;
    if (token.text === ',' && token.kind === 'sign') {
      close();
      continue;
    }
    if (token.kind === 'sign') throw new ServiceError('EINVAL', `caps ${JSON.stringify(text)} have a stray "="`);
    const next = list[at + 1];
    if (next?.kind === 'sign' && next.text === '=') {
      const value = list[at + 2];
      if (value?.kind !== 'word') throw new ServiceError('EINVAL', `caps ${JSON.stringify(text)}: ${token.text}= has no value`);
      values.set(token.text, value.text);
      at += 2;
    } else {
      words.push(token.text);
    }
  }
  if (list.length > 0) close();
  return found;
}

function letters(text: string): Set<string>|undefined {
  if (text === '*' || text === 'all') return new Set(['r', 'w', 'x', '*']);
  return /^[rwx]+$/.test(text) ? new Set(text) : undefined;
}

function profileRights(name: string): Set<string>|undefined {
  switch (name) {
    case 'rbd': return new Set(['r', 'w', 'x']);
    case 'rbd-read-only': return new Set(['r', 'x']);
    default: return undefined;
  }
}

function osdGrant(clause: Clause, text: string): Grant {
  const bad = (why: string): ServiceError => new ServiceError('EINVAL', `osd caps ${JSON.stringify(text)}: ${why}`);
  const [verb, argument, ...rest] = clause.words;
  let rights: Set<string>|undefined;
  if (verb === 'allow') rights = letters(argument ?? '');
  else if (verb === 'profile') rights = profileRights(argument ?? '');
  else throw bad(`${JSON.stringify(verb)} is neither "allow" nor "profile"`);
  if (!rights) throw bad(`${JSON.stringify(argument ?? '')} is no right or profile that is known here`);
  if (rest.length > 0) throw bad(`${JSON.stringify(rest[0])} is not understood`);
  for (const key of clause.values.keys()) {
    if (key !== 'pool' && key !== 'namespace') throw bad(`${JSON.stringify(key)} is not supported`);
  }
  const pool = clause.values.get('pool');
  const namespace = clause.values.get('namespace');
  return {rights, ...(pool ? {pool} : {}), ...(namespace !== undefined ? {namespace} : {})};
}

/** EINVAL, naming the text, where it cannot be read. "" allows nothing. */
export function parseOsdCaps(text: string): OsdCaps {
  return new OsdCaps(clauses(text).map((clause) => osdGrant(clause, text)));
}

/** EINVAL, naming the text, where it cannot be read. "" allows nothing. */
export function parseMonCaps(text: string): MonCaps {
  const rights = new Set<string>();
  for (const clause of clauses(text)) {
    const [verb, argument] = clause.words;
    const found = verb === 'allow' ? letters(argument ?? '') :
        verb === 'profile'         ? (profileRights(argument ?? '') ? new Set(['r']) : undefined) :
                                     undefined;
    if (!found) throw new ServiceError('EINVAL', `mon caps ${JSON.stringify(text)}: ${JSON.stringify(clause.words.join(' '))} is not known here`);
    for (const letter of found) rights.add(letter);
  }
  return new MonCaps(rights);
}
