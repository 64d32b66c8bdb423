// Keyring files as Ceph's tools read and write them: a section for each entity, `key` and `caps mon = "..."` lines.
import type {CapsText} from './user.js';

export interface KeyringEntry {
  readonly entity: string;
  readonly key: string;
  readonly caps: CapsText;
}

/** One entry as `ceph auth get` prints it. */
export function formatKeyring(entry: KeyringEntry): string {
  const caps = Object.entries(entry.caps).sort(([a], [b]) => a < b ? -1 : 1);
  return [`[${entry.entity}]`, `\tkey = ${entry.key}`, ...caps.map(([kind, text]) => `\tcaps ${kind} = "${text}"`), ''].join('\n');
}

/** Every entry that has a key; lines that are none of a keyring's are passed over, as Ceph's parser does. */
export function parseKeyring(text: string): KeyringEntry[] {
  const found: {entity: string, key: string, caps: Record<string, string>}[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    const entity = /^\[\s*([^\]]+?)\s*\]$/.exec(line)?.[1];
    if (entity) found.push({entity, key: '', caps: {}});
    const entry = found[found.length - 1];
    if (!entry) continue;
    const key = /^key\s*=\s*"?([^"\s]+)"?$/.exec(line)?.[1];
    if (key) entry.key = key;
    const caps = /^caps[\s_]+(\w+)\s*=\s*(.*)$/.exec(line);
    if (caps?.[1]) entry.caps[caps[1]] = (caps[2] ?? '').trim().replace(/^"(.*)"$/, '$1');
  }
  return found.filter((entry) => entry.key !== '');
}
