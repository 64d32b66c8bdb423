// Which key a client of this environment would present: as librados looks for it, the option `key`, a keyfile, then the keyrings.
import {existsSync, readFileSync} from 'node:fs';
import {parseKeyring} from '../access/keyring.js';
import {bad, note, ok, type Finding} from './findings.js';

export interface KeySources {
  /** The option `key`: the key itself. */
  readonly key?: string;
  /** The option `keyfile`: a file that holds nothing else. */
  readonly keyfile?: string;
  /** The first that has the entity counts. */
  readonly keyrings: readonly string[];
}

export interface FoundKey {
  readonly key: string;
  /** Where it is: a file, or the option. */
  readonly from: string;
}

const advice = 'mend its rights or its text';

/** The key, if there is one that can be presented, and what there is to say of it. */
export function findKey(entity: string, {key, keyfile, keyrings}: KeySources): {found?: FoundKey, finding: Finding} {
  if (key !== undefined) return judged(entity, {key, from: 'the option key in ceph.conf'});
  const files = keyfile === undefined ? keyrings.filter((file) => existsSync(file)) : [keyfile];
  for (const file of files) {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      return {finding: bad('key', `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, advice)};
    }
    const inFile = keyfile === undefined ? parseKeyring(text).find((entry) => entry.entity === entity)?.key : text.trim();
    if (inFile !== undefined) return judged(entity, {key: inFile, from: file});
  }
  const way = `only processes of the daemon's own user need none: cbd2rbd user keyring ${entity} --output ${keyrings[0] ?? 'FILE'}`;
  return {finding: note('key', `no key of ${entity} in ${keyrings.join(', ')}`, way)};
}

function judged(entity: string, found: FoundKey): {found?: FoundKey, finding: Finding} {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(found.key)) return {finding: bad('key', `what ${found.from} has for ${entity} is no key`, `write it anew: cbd2rbd user keyring ${entity}`)};
  return {found, finding: ok('key', `the key of ${entity} is in ${found.from}`)};
}
