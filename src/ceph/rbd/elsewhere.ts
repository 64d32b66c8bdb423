// Commands about pools on a real Ceph: that cluster's own `rbd` carries them out, with its own names and connection. The launcher
// (hooks/src/rbd.cc) runs it; here is what it is to be told.
import {failure} from './errors.js';
import type {Options} from './options.js';

export interface FoundPool {
  readonly name: string;
  /** How the pool is reached where it is on a real Ceph; `pool` is its name there. */
  readonly ceph: Readonly<Record<string, string>>|undefined;
}

/** Ends a command whose pool is on a real Ceph. `named`: where the command line named the pool. */
export class RbdElsewhere extends Error {
  constructor(readonly found: FoundPool&{readonly ceph: Readonly<Record<string, string>>}, readonly named: 'word'|'option'|'nowhere') {
    super(`pool ${found.name} is on a real Ceph`);
    this.name = 'RbdElsewhere';
  }
}

/** The launcher takes this exit code, EREMOTE, for the order to run Ceph's own rbd; no command of ours ends in it. */
export const elsewhereCode = 66;

export interface Line {
  readonly argv: readonly string[];
  /** The command's first name, "snap create". */
  readonly command: string;
  readonly options: Options;
  /** The pool of images that name none. */
  readonly defaultPool: string;
  readonly look: (pool: string) => Promise<FoundPool>;
}

const sameCluster = (a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean =>
    ['conf', 'user', 'keyring'].every((field) => a[field] === b[field]);

/**
 * The arguments for that cluster's rbd. RbdFailure with EXDEV where the line also names a pool that is not on the same cluster.
 */
export async function argumentsThere({found, named}: RbdElsewhere, line: Line): Promise<string[]> {
  const {ceph} = found;
  const nameThere = async (pool: string): Promise<string> => {
    const other = pool === found.name ? found : await line.look(pool);
    if (!other.ceph || !sameCluster(other.ceph, ceph)) throw failure(`${line.command} from one cluster to another`, 18);
    return other.ceph['pool'] ?? '';
  };
  const wordThere = async (word: string, at: number): Promise<string> => {
    if (!line.options.words.includes(word)) return word;
    const [, pool, rest] = /^([^/@]+)\/(.*)$/s.exec(word) ?? [];
    if (pool !== undefined) return `${await nameThere(pool)}/${rest}`;
    if (named === 'word' && word === found.name) return ceph['pool'] ?? '';
    const isCloneTarget = line.command === 'clone' && at > 0 && word === line.options.words[1];
    return isCloneTarget ? `${await nameThere(line.defaultPool)}/${word}` : word;
  };
  const argv: string[] = [];
  for (const [at, word] of line.argv.entries()) {
    const joined = /^(--(?:dest-)?pool)=(.*)$/s.exec(word);
    if (joined) argv.push(`${joined[1]}=${await nameThere(joined[2] ?? '')}`);
    else if (/^(-p|--pool|--dest-pool)$/.test(line.argv[at - 1] ?? '')) argv.push(await nameThere(word));
    else argv.push(await wordThere(word, at));
  }
  const {conf, user, keyring} = ceph;
  return [
    ...(conf !== undefined ? ['--conf', conf] : []), ...(user !== undefined ? ['--id', user] : []), ...(keyring !== undefined ? ['--keyring', keyring] : []),
    ...argv, ...(named === 'nowhere' ? ['--pool', ceph['pool'] ?? ''] : []),
  ];
}
