// What `rbd help` says, and the words that bash-completion asks for: made from the table of commands, laid out as Ceph's. The launcher
// (hooks/src/help.cc) prints it.
import type {RbdCommand} from './command.js';
import {optionHelp, wordHelp} from './option-help.js';
import type {OptionSpec} from './options.js';

const width = 80;

/** Options of the connection: the launcher reads them. */
export const connectionOptions: readonly (readonly [string, string])[] = [
  ['-c [ --conf ] arg', 'the ceph.conf that says where the daemon is'], ['--cluster arg', 'read /etc/ceph/NAME.conf'], ['--id arg', 'be client.ID'],
  ['-n [ --name ] arg', 'be this user'], ['-m [ --mon_host ] arg', 'not used: the daemon is found by its socket'], ['-K [ --keyfile ] arg', 'the file with the key alone'],
  ['-k [ --keyring ] arg', 'the keyring with the key'],
];

function wrapped(words: readonly string[], first: string, indent: number, limit = width): string {
  const lines = [first];
  for (const [at, word] of words.entries()) {
    const last = lines.at(-1) ?? '';
    // The blank behind the last word does not count.
    if (last.length + word.length + (at === words.length - 1 ? 0 : 1) > limit && last.trim() !== '') lines.push(' '.repeat(indent) + `${word} `);
    else lines[lines.length - 1] = `${last}${word} `;
  }
  return lines.join('\n');
}

const placeholder = (name: string): string => `<${name}>`;

function inUsage(option: OptionSpec): string {
  const text = `--${option.name}${option.isSwitch ? '' : ` ${placeholder(option.name)}`}`;
  return option.isRequired ? text : `[${text}]`;
}

/** The "usage:" paragraph, wrapped as Ceph's. */
export function usageOf(command: RbdCommand, name: string): string {
  const first = `usage: rbd ${name} `;
  const words = command.usage === '' ? [] : command.usage.split(/ (?=<|\[<)/);
  const pieces: string[] = [];
  for (const option of command.options.filter((option) => !option.isHidden)) {
    // Lines break in front of a bracket only.
    if (option.isRequired && pieces.length > 0) pieces.push(`${pieces.pop() ?? ''} ${inUsage(option)}`);
    else pieces.push(inUsage(option));
  }
  const text = wrapped(pieces, first, first.length, width - 1);
  if (words.length === 0) return text;
  return pieces.length === 0 ? wrapped(words, first, first.length, width - 1) : `${text}\n${wrapped(words, ' '.repeat(first.length), first.length, width - 1)}`;
}

const optionTerm = (option: OptionSpec): string => `${option.letter ? `-${option.letter} [ --${option.name} ]` : `--${option.name}`}${option.isSwitch ? '' : ' arg'}`;

function termLines(rows: readonly (readonly [string, string])[], column: number): string[] {
  return rows.flatMap(([term, text]) => {
    const start = `  ${term}`;
    const lead = start.length < column ? start.padEnd(column) : `${start}\n${' '.repeat(column)}`;
    return wrapped(text.split(' '), lead, column, width + 1).split('\n').map((line) => line.trimEnd());
  });
}

export function commandHelp(command: RbdCommand, name: string): string {
  const options = command.options.filter((option) => !option.isHidden && option.name !== 'order' && option.name !== 'new-format');
  const words = [...command.usage.matchAll(/<([^>]+)>/g)].map((match) => match[1] ?? '').filter((word, at, all) => all.indexOf(word) === at);
  const rows = {words: words.map((word) => [placeholder(word), wordHelp(word)] as const), options: options.map((option) => [optionTerm(option), optionHelp(option.name)] as const)};
  const column = Math.max(23, ...[...rows.words, ...rows.options].map(([term]) => term.length + 3));
  return [
    usageOf(command, name), '', command.help,
    ...(rows.words.length > 0 ? ['', 'Positional arguments', ...termLines(rows.words, column)] : []),
    ...(rows.options.length > 0 ? ['', 'Optional arguments', ...termLines(rows.options, column)] : []), '', '',
  ].join('\n');
}

// "config global list (... ls)", "snap list (snap ls)": the shorter of the two forms.
function shownName(command: RbdCommand): string {
  const [name = '', alias] = command.names;
  if (alias === undefined) return name;
  const parts = alias.split(' ');
  const isDeep = parts.length > 1 && `${name} (${alias})`.length > 33;
  return `${name} (${isDeep ? `... ${parts.at(-1)}` : alias})`;
}

export function overview(commands: readonly RbdCommand[]): string {
  const column = 38;
  const rows = commands.filter((command) => !command.isHidden).map((command) => [`  ${shownName(command)}`, command.help] as const).sort(([a], [b]) => a < b ? -1 : 1);
  return [
    'usage: rbd <command> ...', '', 'The rbd command of cbd2rbd: images on CurveBS, on local files, or on a real Ceph.', '', 'Positional arguments:', '  <command>',
    ...termLines(rows, column), '', 'Optional arguments:', ...termLines(connectionOptions, column), '', 'See \'rbd help <command>\' for help on a specific command.', '',
  ].join('\n');
}

const globalWords = [
  '--conf path', '-c path', '--cluster arg', '--id arg', '--user arg', '--name arg', '-n arg', '--mon_host host', '-m host', '--secret path', '--keyfile path', '-K path',
  '--keyring path', '-k path',
];

const optionWords = (command: RbdCommand): string[] => command.options.filter((option) => !option.isHidden)
    .flatMap((option) => [`--${option.name}`, ...(option.letter ? [`-${option.letter}`] : [])].map((term) => option.isSwitch ? term : `${term} arg`));

const wordList = (words: readonly string[]): string => `|${[...globalWords, ...words].join('|')}|\n`;

export interface HelpTexts {
  readonly overview: string;
  /** What `rbd bash-completion` prints where its words name no command. */
  readonly words: string;
  /** By each of its names: its help, and what bash-completion prints for it. */
  readonly commands: readonly {readonly name: string, readonly help: string, readonly words: string}[];
  /** The commands behind a word that is none ("snap"). */
  readonly groups: readonly {readonly name: string, readonly overview: string}[];
}

/** `refused`: the names of commands that are not offered, with the reason. */
export function helpTexts(commands: readonly RbdCommand[], refused: readonly (readonly [string, string])[]): HelpTexts {
  const named = commands.flatMap((command) => command.names.map((name) => ({command, name})));
  const groups = new Set(named.flatMap(({name}) => name.split(' ').slice(0, -1).map((_, at, words) => words.slice(0, at + 1).join(' '))));
  const words = wordList(['help', ...commands.filter((command) => !command.isHidden).flatMap((command) => command.names)]);
  return {
    overview: overview(commands),
    words,
    commands: [
      ...named.map(({command, name}) => ({name, help: commandHelp(command, name), words: wordList(optionWords(command))})),
      ...refused.map(([name, reason]) => ({name, help: `rbd ${name} is refused: ${reason}\n`, words})),
    ],
    groups: [...groups].map((name) => ({name, overview: overview(commands.filter((command) => command.names.some((one) => one.startsWith(`${name} `))))})),
  };
}
