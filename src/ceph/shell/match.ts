// Finds the monitor command that words name, and its arguments among them, with the errors that the real `ceph` prints.
import type {MonCommand} from '../command.js';
import {show, type Argument} from '../signature.js';

/** The words name a command wrongly; `lines` go to standard error before "Error EINVAL: invalid command". */
export class Mismatch extends Error {
  constructor(readonly lines: readonly string[]) {
    super(lines.join('\n'));
    this.name = 'Mismatch';
  }
}

export const usage = (command: MonCommand): string => [command.name, ...command.args.map(show)].join(' ');

/** The command and the JSON that it is asked with. */
export function matchCommand(commands: readonly MonCommand[], words: readonly string[]): {command: MonCommand, fields: Record<string, unknown>} {
  const named = commands.filter((command) => isNamed(command, words)).sort((a, b) => b.name.length - a.name.length);
  const [command] = named;
  if (!command) throw closest(commands, words);
  const rest = words.slice(command.name.split(' ').length);
  return {command, fields: {prefix: command.name, ...readArguments(command, rest)}};
}

function isNamed(command: MonCommand, words: readonly string[]): boolean {
  return command.name.split(' ').every((word, at) => words[at] === word);
}

function closest(commands: readonly MonCommand[], words: readonly string[]): Mismatch {
  const score = (command: MonCommand): number => {
    const parts = command.name.split(' ');
    const at = parts.findIndex((part, at) => words[at] !== part);
    return at < 0 ? parts.length : at;
  };
  const best = commands.filter((command) => !command.isDeprecated).sort((a, b) => score(b) - score(a)).slice(0, 10);
  return new Mismatch([`no valid command found; ${best.length} closest matches:`, ...best.map(usage)]);
}

const kindNames: Readonly<Record<Argument['kind'], string>> = {
  pool: 'poolname', text: 'string', int: 'int', float: 'float', flag: 'bool', address: 'IPaddr[:port]', osd: 'osdname', choice: 'choices',
};

// As Python shows numbers.
const shown = (number: number, kind: Argument['kind']): string => kind === 'float' && Number.isInteger(number) ? `${number}.0` : `${number}`;

const tooSmall = ({kind, least}: Argument, word: string): string|undefined =>
  least !== undefined && Number(word) < least ? `${shown(Number(word), kind)} not in range [${shown(least, kind)}]` : undefined;

// What is wrong with a word as a value of this argument; undefined where nothing is.
function complaint(argument: Argument, word: string): string|undefined {
  switch (argument.kind) {
    case 'choice': return argument.choices.includes(word) ? undefined : `${word} not in ${argument.choices.join('|')}`;
    case 'int': return /^[+-]?\d+$/.test(word) ? tooSmall(argument, word) : `${word} doesn't represent an int`;
    case 'float': return word.trim() !== '' && Number.isFinite(Number(word)) ? tooSmall(argument, word) : `${word} doesn't represent a float`;
    case 'address': return /^(v[12]:)?(\d{1,3}\.){3}\d{1,3}|^(v[12]:)?\[/.test(word) ? undefined : `${word} not valid IPv6 address`;
    case 'osd': return /^(osd\.)?\d+$/.test(word) ? undefined : `invalid osd id ${word}`;
    case 'pool':
    case 'text':
    case 'flag': return undefined;
  }
}

function valueOf(argument: Argument, word: string): unknown {
  return argument.kind === 'int' || argument.kind === 'float' ? Number(word) : word;
}

// `--name value`, `--name=value` and flags are taken out first; what is left is read in the order of the signature.
function takeNamed(command: MonCommand, words: readonly string[]): {named: Map<string, string|true>, left: string[]} {
  const named = new Map<string, string|true>();
  const left: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    const match = /^--([a-z][\w-]*)(?:=(.*))?$/s.exec(word);
    const argument = match && command.args.find((argument) => argument.name === (match[1] ?? '').replaceAll('-', '_'));
    if (!match || !argument) left.push(word);
    else if (argument.kind === 'flag') named.set(argument.name, true);
    else if (match[2] !== undefined) named.set(argument.name, match[2]);
    else if (at + 1 < words.length) named.set(argument.name, words[++at] ?? '');
    else left.push(word);
  }
  return {named, left};
}

function readArguments(command: MonCommand, words: readonly string[]): Record<string, unknown> {
  const {named, left} = takeNamed(command, words);
  const fields: Record<string, unknown> = {};
  const help = `${usage(command)} :  ${command.help}`;
  const wrong = (why: string): Mismatch => new Mismatch([`Invalid command: ${why}`, help]);
  let skipped: string|undefined;
  for (const argument of command.args) {
    const given = named.get(argument.name);
    if (given !== undefined) {
      const problem = given === true ? undefined : complaint(argument, given);
      if (problem) throw wrong(problem);
      fields[argument.name] = given === true ? true : valueOf(argument, given);
      continue;
    }
    if (argument.kind === 'flag') continue;
    if (argument.isMany) {
      if (left.length === 0 && !argument.isOptional) throw wrong(`saw 0 of ${argument.name}(<${kindNames[argument.kind]}>)..., expected at least 1`);
      const bad = left.findIndex((word) => complaint(argument, word) !== undefined);
      const taken = left.splice(0, bad < 0 ? left.length : bad);
      if (taken.length > 0) fields[argument.name] = taken.map((word) => valueOf(argument, word));
      if (left[0] !== undefined) skipped = `${left[0]} not valid:  ${complaint(argument, left[0]) ?? ''}`;
      if (taken.length === 0 && !argument.isOptional) throw wrong(complaint(argument, left[0] ?? '') ?? '');
      continue;
    }
    const [word] = left;
    if (word === undefined) {
      if (argument.isOptional) continue;
      throw wrong(`missing required parameter ${argument.name}(<${kindNames[argument.kind]}>)`);
    }
    const problem = complaint(argument, word);
    if (!problem) {
      fields[argument.name] = valueOf(argument, left.shift() ?? '');
      continue;
    }
    if (!argument.isOptional) throw wrong(problem);
    skipped = `${word} not valid:  ${problem}`;
  }
  if (left.length > 0) {
    const mismatch = wrong(`unused arguments: [${left.map((word) => `'${word}'`).join(', ')}]`);
    throw skipped ? new Mismatch([skipped, ...mismatch.lines]) : mismatch;
  }
  return fields;
}
