// Runs one `cbd2rbd` command line: finds the command, reads its options, turns every error into one line and an exit code.
import {parseArgs, type ParseArgsConfig} from 'node:util';
import {ConfigError, loadConfig, type Config} from '../config/config.js';
import {DaemonClient, NoDaemonError, RefusedError} from './client.js';
import {commonOptions, exitCodes, UsageError, type Command, type Invocation} from './command.js';
import {commandHelp, overview} from './help.js';

/** Where a run writes to. */
export interface Streams {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

export const processStreams: Streams = {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
};

/** Returns the exit code. */
export async function run(commands: readonly Command[], argv: readonly string[], streams = processStreams): Promise<number> {
  try {
    return await runCommand(commands, argv, streams);
  } catch (error) {
    return report(error, streams);
  }
}

function report(error: unknown, streams: Streams): number {
  const say = (line: string): void => streams.stderr(`cbd2rbd: ${line}\n`);
  if (error instanceof UsageError) {
    say(error.message);
    say(error.command ? `see: cbd2rbd help ${error.command.name}` : 'see: cbd2rbd help');
    return exitCodes.usage;
  }
  if (error instanceof ConfigError) {
    for (const problem of error.problems) say(problem);
    return exitCodes.badConfig;
  }
  if (error instanceof NoDaemonError) {
    say(error.message);
    return exitCodes.noDaemon;
  }
  say(error instanceof RefusedError ? `${error.message} (errno ${-error.code})` : error instanceof Error ? error.message : String(error));
  return exitCodes.failed;
}

// Words in front of the command that are options, so that `cbd2rbd --dir X status` finds "status".
function splitWords(argv: readonly string[]): {words: string[], leading: string[]} {
  const leading: string[] = [];
  let at = 0;
  for (; at < argv.length && argv[at]?.startsWith('-'); at++) {
    const word = argv[at] ?? '';
    leading.push(word);
    const name = word.replace(/^--/, '');
    if (commonOptions[name]?.value && at + 1 < argv.length) leading.push(argv[++at] ?? '');
  }
  return {words: argv.slice(at), leading};
}

function find(commands: readonly Command[], words: readonly string[]): {command: Command, rest: string[]} {
  for (const length of [3, 2, 1]) {
    const command = commands.find((command) => command.name === words.slice(0, length).join(' '));
    if (command) return {command, rest: words.slice(length)};
  }
  const group = commands.filter((command) => command.name.startsWith(`${words[0]} `)).map((command) => command.name);
  throw new UsageError(`${JSON.stringify(words.join(' '))} is no command${group.length > 0 ? `; there are: ${group.join(', ')}` : ''}`);
}

async function runCommand(commands: readonly Command[], argv: readonly string[], streams: Streams): Promise<number> {
  const {words, leading} = splitWords(argv);
  if (words.length === 0 || words[0] === 'help') {
    if (words.length === 0 && !leading.includes('--help')) {
      streams.stderr(`${overview(commands).join('\n')}\n`);
      return exitCodes.usage;
    }
    const about = words.slice(1);
    const lines = about.length === 0 ? overview(commands) : helpFor(commands, about);
    streams.stdout(`${lines.join('\n')}\n`);
    return exitCodes.ok;
  }
  const {command, rest} = find(commands, words);
  const own = readOptions(rest, {...commonOptions, ...command.options}, command);
  const front = readOptions(leading, commonOptions, command);
  const positionals = own.positionals;
  // An option of the command's own name hides the common one behind the command: `pool map --dir` is not the daemon's folder.
  const hidden = Object.keys(command.options ?? {}).filter((name) => name in commonOptions);
  const common = {...front.values, ...Object.fromEntries(Object.entries(own.values).filter(([name]) => !hidden.includes(name)))};
  const values = {...front.values, ...Object.fromEntries(hidden.map((name) => [name, undefined])), ...own.values};
  if (values['help'] === true) {
    streams.stdout(`${commandHelp(command).join('\n')}\n`);
    return exitCodes.ok;
  }
  if (positionals.length < command.takes.least || positionals.length > command.takes.most) {
    throw new UsageError(`${command.name} takes ${command.usage || 'no arguments'}`, command);
  }
  return invoke(command, {given: values, common, args: positionals, streams});
}

function helpFor(commands: readonly Command[], words: readonly string[]): string[] {
  const group = commands.filter((command) => command.name.startsWith(`${words.join(' ')} `));
  return group.length > 0 ? overview(group) : commandHelp(find(commands, words).command);
}

type Given = Record<string, string|boolean|undefined>;

function readOptions(argv: string[], known: NonNullable<Command['options']>, command: Command): {values: Given, positionals: string[]} {
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const [name, option] of Object.entries(known)) {
    options[name] = {type: option.value ? 'string' : 'boolean'};
  }
  try {
    const read = parseArgs({args: argv, options, allowPositionals: true, strict: true});
    return {values: read.values as Given, positionals: read.positionals};
  } catch (error) {
    throw new UsageError((error as Error).message, command);
  }
}

interface ReadLine {
  /** What the command sees. */
  readonly given: Given;
  /** Which daemon and as whom: the options that every command has. */
  readonly common: Given;
  readonly args: readonly string[];
  readonly streams: Streams;
}

/** The options that have a value. */
function textsOf(given: Given): Map<string, string> {
  return new Map(Object.entries(given).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])));
}

async function invoke(command: Command, {given, common, args, streams}: ReadLine): Promise<number> {
  const values = textsOf(given);
  const switches = new Set(Object.keys(given).filter((name) => given[name] === true));
  const place = textsOf(common);
  let client: DaemonClient|undefined;
  let config: Config|undefined;
  const readConfig = (): Config => config ??= loadConfig({
    ...(place.has('dir') ? {dir: place.get('dir') ?? ''} : {}),
    ...(place.has('config') ? {file: place.get('config') ?? ''} : {}),
    // `config check FILE`
    ...(command.name === 'config check' && args[0] !== undefined ? {file: args[0]} : {}),
  });
  const invocation: Invocation = {
    command, args, values, switches,
    config: readConfig,
    write: streams.stdout,
    note: streams.stderr,
    daemon: async () => client ??= await openDaemon(place, readConfig),
    print: (result, plain) => {
      const lines = switches.has('json') ? [JSON.stringify(result, null, 2)] : plain(result);
      if (lines.length > 0) streams.stdout(`${lines.join('\n')}\n`);
    },
  };
  try {
    return await command.run(invocation);
  } finally {
    client?.close();
  }
}

function openDaemon(values: ReadonlyMap<string, string>, config: () => Config): Promise<DaemonClient> {
  const user = values.get('user') ?? 'client.admin';
  const entity = user.includes('.') ? user : `client.${user}`;
  const given = values.get('keyring');
  const place = values.get('socket') ?? (values.has('dir') ? undefined : process.env['CBD2RBD_SOCKET'] || undefined);
  const dir = place === undefined ? config().dir : undefined;
  return DaemonClient.open({
    socket: place ?? config().listen,
    entity,
    keyrings: given !== undefined ? [given] :
                                    [...(dir ? [`${dir}/ceph.${entity}.keyring`] : []), `/etc/ceph/ceph.${entity}.keyring`],
  });
}
