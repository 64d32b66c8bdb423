// Manual pages of `cbd2rbd`, made from the same tables as --help and the commented configuration file.
import {layoutFor} from '../config/config.js';
import {environmentName, options as configOptions} from '../config/options.js';
import {commonOptions, exitCodeMeanings, type Command, type OptionHelp} from './command.js';

const escaped = (text: string): string => text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll(/^([.'])/gm, '\\&$1');
const bold = (text: string): string => `\\fB${escaped(text)}\\fR`;

function optionParts(options: Readonly<Record<string, OptionHelp>>): string[] {
  return Object.entries(options).flatMap(([name, option]) => ['.TP', `${bold(`--${name}`)}${option.value ? ` \\fI${escaped(option.value)}\\fR` : ''}`, escaped(option.help)]);
}

const exitCodeParts = (): string[] => ['.SH EXIT STATUS', ...[...exitCodeMeanings].flatMap(([code, meaning]) => ['.TP', bold(String(code)), escaped(meaning)])];

const head = (title: string, summary: string, version: string, section = 1): string[] =>
    [`.TH ${title.toUpperCase()} ${section} "" "cbd2rbd ${version}" "cbd2rbd"`, '.SH NAME', `${escaped(title)} \\- ${escaped(summary)}`];

/** Each page's file name and text: one for the program, one for each command. */
export function manualPages(commands: readonly Command[], version: string): ReadonlyMap<string, string> {
  const pages = new Map<string, string>();
  pages.set('cbd2rbd.1', [
    ...head('cbd2rbd', 'Ceph RBD clients on CurveBS, on local files, or on a real Ceph', version),
    '.SH SYNOPSIS', `${bold('cbd2rbd')} [\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]`,
    '.SH COMMANDS', ...commands.flatMap(({name, usage, summary}) => ['.TP', `${bold(name)} ${escaped(usage)}`.trimEnd(), `${escaped(summary)}. See cbd2rbd\\-${escaped(name.replaceAll(' ', '-'))}(1).`]),
    '.SH OPTIONS', ...optionParts(commonOptions), ...exitCodeParts(), '',
  ].join('\n'));
  for (const command of commands) {
    const title = `cbd2rbd-${command.name.replaceAll(' ', '-')}`;
    pages.set(`${title}.1`, [
      ...head(title, command.summary, version), '.SH SYNOPSIS', `${bold(`cbd2rbd ${command.name}`)} [\\fIOPTIONS\\fR] ${escaped(command.usage)}`.trimEnd(),
      '.SH DESCRIPTION', `${escaped(command.summary)}.`, ...(command.details ?? []).flatMap((line) => ['.PP', escaped(line)]),
      '.SH OPTIONS', ...optionParts({...command.options, ...commonOptions}), '.SH EXAMPLES', ...command.examples.flatMap((example) => ['.PP', '.nf', escaped(example), '.fi']),
      ...exitCodeParts(), '.SH SEE ALSO', `${bold('cbd2rbd')}(1)`, '',
    ].join('\n'));
  }
  return pages;
}

/** The page of the configuration file. */
export function configurationPage(version: string): string {
  const layout = layoutFor('/var/lib/cbd2rbd');
  return [
    ...head('cbd2rbd.conf', 'the daemon\'s configuration', version, 5), '.SH DESCRIPTION',
    escaped('/etc/cbd2rbd/cbd2rbd.conf has one option a line: name = value. A variable of the environment stands over it. A bad line stops the start and is named.'),
    '.SH OPTIONS', ...configOptions.flatMap(({name, help, byDefault}) => [
      '.TP', bold(name), escaped(help.join(' ')), '.br', escaped(`Default: ${byDefault(layout) || '(empty)'}. Environment: ${environmentName(name)}.`),
    ]), '.SH SEE ALSO', `${bold('cbd2rbd')}(1)`, '',
  ].join('\n');
}
