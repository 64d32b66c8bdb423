// Help texts of `cbd2rbd`, made from the commands' own descriptions.
import {commonOptions, exitCodeMeanings, table, type Command, type OptionHelp} from './command.js';

function optionLines(options: Readonly<Record<string, OptionHelp>>): string[] {
  const rows = Object.entries(options).map(([name, option]) => [`  --${name}${option.value ? ` ${option.value}` : ''}`, option.help]);
  return table(rows[0] ?? [], rows.slice(1));
}

/** All commands in one line each. */
export function overview(commands: readonly Command[]): string[] {
  const rows = commands.map((command) => [`  ${command.name} ${command.usage}`.trimEnd(), command.summary]);
  return [
    'cbd2rbd: runs Ceph RBD clients on CurveBS, on local files, or on a real Ceph', '',
    'usage: cbd2rbd [OPTIONS] COMMAND [ARGUMENTS]', '',
    ...table(rows[0] ?? [], rows.slice(1)), '',
    'options:', ...optionLines(commonOptions), '',
    'exit codes:', ...[...exitCodeMeanings].map(([code, meaning]) => `  ${code}  ${meaning}`), '',
    '`cbd2rbd help COMMAND` shows more, with examples.',
  ];
}

export function commandHelp(command: Command): string[] {
  return [
    `usage: cbd2rbd ${command.name} ${command.usage}`.trimEnd(), '', `${command.summary}.`,
    ...(command.details ?? []), '',
    ...(command.options ? ['options:', ...optionLines(command.options), ''] : []),
    'examples:', ...command.examples.map((example) => `  ${example}`), '',
    'Common options and exit codes: cbd2rbd help',
  ];
}
