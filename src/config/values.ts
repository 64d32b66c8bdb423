// Reads one option's value from text. A failure is a sentence about the value; who asks adds where it stands.
import type {Option} from './options.js';

/** Bytes of a size such as 512, 4K, 10G or 1.5T (powers of 1024); undefined where it is none. */
export function parseSize(text: string): number|undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  if (!match) return undefined;
  const power = 'kmgtp'.indexOf((match[2] ?? '').toLowerCase()) + 1;
  const bytes = Number(match[1]) * 1024 ** (match[2] ? power : 0);
  return Number.isSafeInteger(Math.round(bytes)) ? Math.round(bytes) : undefined;
}

/** Milliseconds of 250ms, 10s, 5m or 2h. */
export function parseDuration(text: string): number|undefined {
  const match = /^(\d+)\s*(ms|s|m|h)$/.exec(text.trim());
  if (!match) return undefined;
  const unit = {ms: 1, s: 1000, m: 60_000, h: 3_600_000}[match[2] ?? ''] ?? 1;
  return Number(match[1]) * unit;
}

export function parseBoolean(text: string): boolean|undefined {
  if (/^(true|yes|on|1)$/i.test(text)) return true;
  if (/^(false|no|off|0)$/i.test(text)) return false;
  return undefined;
}

export function parseList(text: string): string[] {
  return text.split(/[,\s]+/).filter((part) => part !== '');
}

/** Where metadata is kept. */
export type StoreConfig = {readonly kind: 'sqlite', readonly path: string}|
    {readonly kind: 'etcd', readonly endpoints: readonly string[], readonly prefix: string};

export function parseStore(text: string): StoreConfig|undefined {
  const sqlite = /^sqlite:(\/.+)$/.exec(text);
  if (sqlite?.[1]) return {kind: 'sqlite', path: sqlite[1]};
  const etcd = /^etcd:(https?):\/\/([^/]+)(\/.*)?$/.exec(text);
  if (!etcd) return undefined;
  const hosts = parseList(etcd[2] ?? '');
  if (hosts.length === 0 || hosts.some((host) => !/^([\w.-]+|\[[0-9a-f:]+\])(:\d+)?$/i.test(host))) return undefined;
  return {kind: 'etcd', endpoints: hosts.map((host) => `${etcd[1]}://${host}`), prefix: etcd[3] ?? '/cbd2rbd'};
}

/** What is wrong with a value; undefined where it is good. */
export function complaint(option: Option, text: string): string|undefined {
  if (/[\0-\x08\x0e-\x1f]/.test(text)) return 'holds control characters';
  switch (option.kind) {
    case 'path': return text.startsWith('/') || (text === '' && option.isOptional) ? undefined : 'is no absolute path';
    case 'boolean': return parseBoolean(text) === undefined ? 'is neither true nor false' : undefined;
    case 'integer': return /^\d{1,15}$/.test(text) ? undefined : 'is no whole number';
    case 'duration': return parseDuration(text) === undefined ? 'is no duration such as 250ms, 10s, 5m or 2h' : undefined;
    case 'store': return parseStore(text) ? undefined : 'is neither sqlite:/a/file nor etcd:http://host:port';
    case 'choice': return option.choices.includes(text) ? undefined : `is none of ${option.choices.join(', ')}`;
    case 'list':
    case 'text': return namedComplaint(option.name, text);
  }
}

// Texts with a shape of their own.
function namedComplaint(name: string, text: string): string|undefined {
  switch (name) {
    case 'fsid':
      return text === '' || /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text) ? undefined : 'is no UUID in lower case';
    case 'listen_group':
      return /^([a-z_][a-z0-9_-]*|\d{1,10})?$/i.test(text) ? undefined : 'is no name of a group';
    case 'local_capacity':
      return text === 'filesystem' || (parseSize(text) ?? 0) > 0 ? undefined : 'is neither "filesystem" nor a size such as 500G';
    case 'curvebs_mds':
      return parseList(text).every((host) => /^[^\s:]+:\d{1,5}$/.test(host)) ? undefined : 'is no list of host:port';
    default: return undefined;
  }
}
