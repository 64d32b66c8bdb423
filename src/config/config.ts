// The daemon's configuration: the file, the CBD2RBD_* environment over it, the defaults below it. A bad line stops the start.
// It knows nothing of what the values are for.
import {createHash} from 'node:crypto';
import {existsSync, readFileSync} from 'node:fs';
import {homedir, tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import {environmentName, options, type Layout, type LogLevel, type Option, type OptionName} from './options.js';
import {complaint, parseBoolean, parseDuration, parseList, parseSize, parseStore, type StoreConfig} from './values.js';

export interface Config {
  /** The folder of `--dir`, where it was given. */
  readonly dir: string|undefined;
  /** The file that was read, or the place where one would be. */
  readonly file: string;
  readonly listen: string;
  /** Empty: everybody. */
  readonly listenGroup: string;
  readonly store: StoreConfig;
  readonly localRoot: string;
  /** Bytes, or undefined for what the file system has. */
  readonly localCapacity: number|undefined;
  readonly defaultBackend: string;
  readonly defaultPools: readonly string[];
  readonly fsid: string|undefined;
  readonly trustOwnUid: boolean;
  readonly graceMs: number;
  readonly requestTimeoutMs: number;
  readonly logLevel: LogLevel;
  readonly curvebsMds: readonly string[];
  readonly curvebsNebdSocket: string;
  readonly curvebsRootPasswordFile: string|undefined;
  readonly curvebsSnapshotClone: readonly string[];
  readonly curvebsOwner: string;
  /** Central options for clients by section: "global", "client", "client.cinder". */
  readonly ceph: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** Where each option's value came from, for `config show`. */
  readonly sources: ReadonlyMap<OptionName, {readonly value: string, readonly from: string}>;
}

/** One or more bad lines, each "file:line: ..."; the message holds all of them. */
export class ConfigError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ConfigError';
  }
}

export interface ConfigRequest {
  /** Everything below this folder. */
  readonly dir?: string;
  /** This file must exist. */
  readonly file?: string;
  readonly environment?: Readonly<Record<string, string|undefined>>;
}

const systemFile = '/etc/cbd2rbd/cbd2rbd.conf';
/** sockaddr_un's sun_path, less its final zero. */
const socketPathBytes = 107;

/** Where things are when nothing is said: the system's places for root or where they are set up, else the user's own. */
export function layoutFor(dir: string|undefined): Layout {
  if (dir !== undefined) return folderLayout(resolve(dir));
  if (process.getuid?.() === 0 || existsSync(systemFile)) {
    return {file: systemFile, listen: '/run/cbd2rbd/cbd2rbd.sock', state: '/var/lib/cbd2rbd'};
  }
  return folderLayout(join(process.env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state'), 'cbd2rbd'));
}

// A folder whose path is too long for a socket has its socket under the temporary folder, by a name made of the path.
function folderLayout(folder: string): Layout {
  const inside = join(folder, 'cbd2rbd.sock');
  const listen = Buffer.byteLength(inside) <= socketPathBytes ?
      inside :
      join(tmpdir(), `cbd2rbd-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`, 'cbd2rbd.sock');
  return {file: join(folder, 'cbd2rbd.conf'), listen, state: folder};
}

/** Reads and checks everything. Throws ConfigError with every bad line. */
export function loadConfig(request: ConfigRequest = {}): Config {
  const environment = request.environment ?? process.env;
  const dir = request.dir ?? (environment['CBD2RBD_DIR'] || undefined);
  const file = request.file ?? (environment['CBD2RBD_CONFIG'] || undefined);
  const layout = layoutFor(dir);
  const path = resolve(file ?? layout.file);
  const problems: string[] = [];
  const read = readLines(path, {mustExist: file !== undefined}, problems);
  const sources = new Map<OptionName, {value: string, from: string}>();
  for (const option of options) {
    const variable = environmentName(option.name);
    const fromEnvironment = environment[variable];
    const fromFile = read.values.get(option.name);
    const chosen = fromEnvironment !== undefined ? {value: fromEnvironment, from: `environment ${variable}`} :
        fromFile                                 ? {value: fromFile.value, from: `${path}:${fromFile.line}`} :
                                                   {value: option.byDefault(layout), from: 'default'};
    const wrong = complaint(option, chosen.value);
    if (wrong) problems.push(`${chosen.from}: ${option.name} = ${JSON.stringify(chosen.value)} ${wrong}`);
    sources.set(option.name, chosen);
  }
  const listen = sources.get('listen');
  if (listen && Buffer.byteLength(listen.value) > socketPathBytes) {
    problems.push(`${listen.from}: listen = ${JSON.stringify(listen.value)} is longer than ${socketPathBytes} bytes, which is all that a socket's path may have`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return build({dir: dir === undefined ? undefined : resolve(dir), file: path, sources, ceph: read.ceph});
}

function build(parts: Pick<Config, 'dir'|'file'|'sources'|'ceph'>): Config {
  const value = (name: OptionName): string => parts.sources.get(name)?.value ?? '';
  const store = parseStore(value('store'));
  if (!store) throw new ConfigError([`store = ${JSON.stringify(value('store'))}`]);
  return {
    ...parts,
    listen: value('listen'),
    listenGroup: value('listen_group'),
    store,
    localRoot: value('local_root'),
    localCapacity: parseSize(value('local_capacity')),
    defaultBackend: value('default_backend'),
    defaultPools: parseList(value('default_pools')),
    fsid: value('fsid') || undefined,
    trustOwnUid: parseBoolean(value('trust_own_uid')) ?? false,
    graceMs: parseDuration(value('grace')) ?? 0,
    requestTimeoutMs: parseDuration(value('request_timeout')) ?? 0,
    logLevel: value('log_level') as LogLevel,
    curvebsMds: parseList(value('curvebs_mds')),
    curvebsNebdSocket: value('curvebs_nebd_socket'),
    curvebsRootPasswordFile: value('curvebs_root_password_file') || undefined,
    curvebsSnapshotClone: parseList(value('curvebs_snapshotclone')),
    curvebsOwner: value('curvebs_owner'),
  };
}

interface ReadFile {
  readonly values: Map<string, {value: string, line: number}>;
  readonly ceph: Map<string, Map<string, string>>;
}

function readLines(path: string, how: {mustExist: boolean}, problems: string[]): ReadFile {
  const values = new Map<string, {value: string, line: number}>();
  const ceph = new Map<string, Map<string, string>>();
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (!isAbsent || how.mustExist) problems.push(`${path}: cannot be read: ${(error as Error).message}`);
  }
  let section: Map<string, string>|undefined;
  let isSkipping = false;
  for (const [at, raw] of text.split('\n').entries()) {
    const line = raw.replace(/\r$/, '').trim();
    const complain = (why: string): void => void problems.push(`${path}:${at + 1}: ${why}`);
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue;
    if (line.startsWith('[')) {
      const name = /^\[ceph ([a-z]+(?:\.[^\s\]]+)?)\]$/.exec(line)?.[1];
      isSkipping = name === undefined || !/^(global|client(\..+)?)$/.test(name);
      if (isSkipping || name === undefined) complain(`${JSON.stringify(line)} is no section: [ceph global], [ceph client] or [ceph client.NAME]`);
      else ceph.set(name, section = ceph.get(name) ?? new Map<string, string>());
      continue;
    }
    const match = /^([^=]+?)\s*=\s*(.*)$/.exec(line);
    if (!match) {
      complain(`${JSON.stringify(line)} is neither "name = value", a comment nor a section`);
      continue;
    }
    const [, name = '', value = ''] = match;
    if (isSkipping) continue;
    if (section) section.set(name.replaceAll(/[\s-]+/g, '_').toLowerCase(), value);
    else if (!isOption(name)) complain(`${JSON.stringify(name)} is no option${nearest(name)} (value ${JSON.stringify(value)})`);
    else if (values.has(name)) complain(`${name} = ${JSON.stringify(value)} stands here a second time (first on line ${values.get(name)?.line ?? 0})`);
    else values.set(name, {value, line: at + 1});
  }
  return {values, ceph};
}

function isOption(name: string): boolean {
  return options.some((option) => option.name === name);
}

function nearest(name: string): string {
  const like = options.find((option) => option.name.startsWith(name.slice(0, 4)) || option.name.endsWith(name.slice(-4)));
  return like ? `; ${like.name} is one` : '';
}

/** The central options for one client: [ceph global], then [ceph client], then [ceph client.NAME], the later ones winning. */
export function centralOptions(config: Pick<Config, 'ceph'>, entity: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const section of ['global', entity.split('.')[0] ?? '', entity]) {
    for (const [name, value] of config.ceph.get(section) ?? []) found[name] = value;
  }
  return found;
}

/** A complete, commented configuration file that says what would hold without it. */
export function defaultFile(layout: Layout): string {
  const head = [
    '# cbd2rbd.conf: the daemon\'s configuration. Every option has a working default, shown here behind "#".',
    '# The environment overrides the file: listen is CBD2RBD_LISTEN, and so on. `cbd2rbd config check` tries a file.',
    '',
  ];
  const body = (options as readonly Option[]).flatMap((option) => [
    ...option.help.map((sentence) => `# ${sentence}`), `#${option.name} = ${option.byDefault(layout)}`, '']);
  const tail = [
    '# Options for clients, as `ceph config set` keeps them on a Ceph: a client\'s own ceph.conf has the last word.',
    '#[ceph global]', '#rbd_default_features = 61', '', '#[ceph client.cinder]', '#rbd_default_clone_format = 2', '',
  ];
  return [...head, ...body, ...tail].join('\n');
}
