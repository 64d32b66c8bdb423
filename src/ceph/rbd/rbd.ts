// The `rbd` command: words in, what it prints and its exit code out. Help, completion, and commands that move data are answered in the
// caller's process (hooks/) and are not here; what is not supported is refused by name.
import type {Call, Methods} from '../../rpc/method.js';
import {ServiceError} from '../../service/errors.js';
import {release} from '../commands/status.js';
import type {Cluster} from '../command.js';
import type {Outcome} from '../shell/ceph.js';
import {configCommands, globalCommands} from './commands/config.js';
import {dataCommands} from './commands/data.js';
import {imageCommands} from './commands/images.js';
import {lockCommands} from './commands/locks.js';
import {metadataCommands} from './commands/metadata.js';
import {perfCommands} from './commands/perf.js';
import {poolCommands} from './commands/pools.js';
import {showCommands} from './commands/show.js';
import {snapCommands} from './commands/snaps.js';
import {trashCommands} from './commands/trash.js';
import type {RbdCommand} from './command.js';
import {argumentsThere, elsewhereCode, RbdElsewhere} from './elsewhere.js';
import {errnoOf, RbdFailure, strerror} from './errors.js';
import {overview} from './help.js';
import {readOptions} from './options.js';
import {RbdShell} from './shell.js';

export interface RbdCall {
  readonly cluster: Cluster;
  readonly methods: Methods;
  readonly call: Omit<Call, 'params'|'method'>;
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

const kernel = 'mapping to a kernel device needs a Ceph cluster; use qemu-nbd, or librbd through qemu, fio and the like';
/** What is refused by name, and why. */
export const refused: readonly (readonly [string, string])[] = [
  ['map', kernel], ['unmap', kernel], ['device map', kernel], ['device unmap', kernel], ['device attach', kernel], ['device detach', kernel],
  ['mirror', 'mirroring is not supported'], ['journal', 'journals are not supported'], ['group', 'consistency groups are not supported'],
  ['object-map', 'there are no object maps: which blocks are in use is always known'], ['migration', 'migration is not supported'],
  ['encryption', 'encryption formats are not supported; qemu\'s luks works over any image'], ['trash purge schedule', 'schedules are not supported; use cron'],
  ['mirror snapshot schedule', 'schedules are not supported'], ['persistent-cache', 'there is no persistent cache'],
  ['ggate', kernel], ['nbd', 'use qemu-nbd'],
];

/** All commands but `config global`, which needs the caller's rights. */
const ownCommands = (): readonly RbdCommand[] => [
  ...imageCommands, ...showCommands, ...snapCommands, ...trashCommands, ...lockCommands, ...metadataCommands, ...poolCommands, ...configCommands,
  ...perfCommands, ...mappedCommands, ...dataCommands,
];

function commandsFor({cluster, call}: RbdCall): readonly RbdCommand[] {
  const global = globalCommands(() => ({
    options: cluster.options,
    require: (rights) => call.identity.requireMon(rights, rights === 'r' ? 'config get' : 'config set'),
  }));
  return [...ownCommands(), ...global];
}

// Nothing is ever mapped: an empty list is the truth.
const mappedCommands: readonly RbdCommand[] = [{
  names: ['device list', 'device ls', 'showmapped'], usage: '', help: 'Show mapped images (there are none).', words: 0,
  options: [{name: 'device-type', letter: 't'}, {name: 'format'}, {name: 'pretty-format', isSwitch: true}],
  run: async (shell) => {
    const {List} = await import('../document.js');
    shell.printed('devices', () => new List('device', []));
  },
}];

/** What there is, for the manual page. */
export const rbdTable: readonly RbdCommand[] = [...ownCommands(), ...globalCommands(() => { throw new Error('there is no cluster in a manual page'); })];

const printed = (text: string): Outcome => ({stdout: Buffer.from(text), stderr: '', code: 0});
const failed = (code: number, stderr: string): Outcome => ({stdout: Buffer.alloc(0), stderr, code});

export async function runRbd(request: RbdCall): Promise<Outcome> {
  const {argv} = request;
  const commands = commandsFor(request);
  if (argv[0] === '--version' || argv[0] === '-v') return printed(`ceph version ${release.version} (${release.build}) ${release.name} (stable)\n`);
  const words = firstWords(commands, argv).map((at) => argv[at]);
  const no = refused.find(([name]) => name.split(' ').every((word, at) => words[at] === word));
  if (no) return failed(95, `rbd: ${no[0]}: ${no[1]}\n`);
  const found = find(commands, argv);
  if (!found) return unknown(commands, argv);
  return runCommand(request, found.command, found.rest);
}

// A command's words may have options between them ("-p pool ls"): the first words that are no options name it.
function find(commands: readonly RbdCommand[], argv: readonly string[]): {command: RbdCommand, name: string, rest: readonly string[]}|undefined {
  const starts = firstWords(commands, argv);
  let best: {command: RbdCommand, name: string, places: readonly number[]}|undefined;
  for (const command of commands) {
    for (const name of command.names) {
      const parts = name.split(' ');
      if (!parts.every((part, at) => argv[starts[at] ?? -1] === part)) continue;
      if (!best || parts.length > best.places.length) best = {command, name, places: starts.slice(0, parts.length)};
    }
  }
  if (!best) return undefined;
  const {command, name, places} = best;
  return {command, name, rest: argv.filter((_, at) => !places.includes(at))};
}

// Where the words that are neither options nor options' values stand; an option's value is known by any command that has it.
function firstWords(commands: readonly RbdCommand[], argv: readonly string[]): number[] {
  const valued = new Set(commands.flatMap((command) => command.options).filter((option) => !option.isSwitch)
      .flatMap((option) => [`--${option.name}`, ...(option.letter ? [`-${option.letter}`] : [])]));
  const places: number[] = [];
  for (let at = 0; at < argv.length && places.length < 3; at++) {
    const word = argv[at] ?? '';
    if (valued.has(word)) at++;
    else if (!word.startsWith('-')) places.push(at);
  }
  return places;
}

async function runCommand(request: RbdCall, command: RbdCommand, argv: readonly string[]): Promise<Outcome> {
  let shell: RbdShell|undefined;
  try {
    const options = readOptions(command.options, argv);
    if (options.words.length > command.words) return failed(1, 'rbd: too many arguments\n');
    shell = new RbdShell(request.methods, request.call, options, request.environment);
    await command.run(shell);
    return {stdout: Buffer.from(shell.output.stdout), stderr: shell.output.stderr, code: 0};
  } catch (error) {
    if (error instanceof RbdElsewhere && shell) return runElsewhere(error, request, command, shell);
    const before = shell?.output ?? {stdout: '', stderr: ''};
    const [code, text] = error instanceof RbdFailure ? [error.code, error.text] : unexpected(error);
    return {stdout: Buffer.from(before.stdout), stderr: before.stderr + text, code};
  }
}

// The launcher runs Ceph's own rbd with these arguments.
async function runElsewhere(reason: RbdElsewhere, {argv}: RbdCall, command: RbdCommand, shell: RbdShell): Promise<Outcome> {
  const {options, defaultPool} = shell;
  try {
    const there = await argumentsThere(reason, {argv, command: command.names[0] ?? '', options, defaultPool, look: (pool) => shell.look(pool)});
    return {stdout: Buffer.from(JSON.stringify(there)), stderr: '', code: elsewhereCode};
  } catch (error) {
    const [code, text] = error instanceof RbdFailure ? [error.code, error.text] : unexpected(error);
    return failed(code, text);
  }
}

function unexpected(error: unknown): [number, string] {
  const errno = errnoOf(error);
  return [errno, `rbd: ${error instanceof ServiceError ? error.message : 'error'}: ${strerror(errno)}\n`];
}

function unknown(commands: readonly RbdCommand[], words: readonly string[]): Outcome {
  return {stdout: Buffer.from(overview(commands)), stderr: `error: unknown option '${words.join(' ')}'\n\n`, code: 1};
}
