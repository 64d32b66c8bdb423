// Manual pages of the `rbd` and `ceph` commands, made from the tables that answer them.
import {monCommands} from './commands.js';
import {rbdTable} from './rbd/rbd.js';
import {connectionOptions} from './rbd/help.js';
import {optionHelp} from './rbd/option-help.js';
import {usage} from './shell/match.js';

const escaped = (text: string): string => text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll(/^([.'])/gm, '\\&$1');

const head = (title: string, version: string, summary: string): string[] =>
    [`.TH ${title.toUpperCase()} 1 "" "cbd2rbd ${version}" "cbd2rbd"`, '.SH NAME', `${escaped(title)} \\- ${escaped(summary)}`];

export function rbdManual(version: string): string {
  const shown = rbdTable.filter((command) => !command.isHidden).sort((a, b) => (a.names[0] ?? '') < (b.names[0] ?? '') ? -1 : 1);
  return [
    ...head('cbd2rbd-rbd', version, 'the rbd command of cbd2rbd'), '.SH SYNOPSIS', '\\fBrbd\\fR [\\fIOPTIONS\\fR] \\fICOMMAND\\fR ...', '.SH DESCRIPTION',
    'Takes the words of Ceph\'s rbd, prints what it prints, and gives its exit codes (the errno of a failure, 1 for misspelt options).', '.SH OPTIONS',
    ...connectionOptions.flatMap(([term, text]) => ['.TP', `\\fB${escaped(term)}\\fR`, escaped(text)]), '.SH COMMANDS',
    ...shown.flatMap(({names, usage, help, options}) => [
      '.SS', escaped(`rbd ${names.join(' | ')} ${usage}`.trimEnd()), escaped(help),
      ...options.filter((option) => !option.isHidden).flatMap((option) => ['.TP', `\\fB${escaped(`--${option.name}`)}\\fR`, escaped(optionHelp(option.name))]),
    ]), '',
  ].join('\n');
}

export function cephManual(version: string): string {
  const shown = monCommands.filter((command) => !command.isDeprecated).sort((a, b) => a.name < b.name ? -1 : 1);
  return [
    ...head('cbd2rbd-ceph', version, 'the ceph command of cbd2rbd'), '.SH SYNOPSIS', '\\fBceph\\fR [\\fIOPTIONS\\fR] \\fICOMMAND\\fR ...', '.SH DESCRIPTION',
    'Asks the cbd2rbd daemon what Ceph\'s own asks the monitors. Formats (\\-f): plain, json, json\\-pretty, xml, xml\\-pretty, yaml.', '.SH COMMANDS',
    ...shown.flatMap((command) => ['.TP', `\\fB${escaped(usage(command))}\\fR`, escaped(command.help)]), '',
  ].join('\n');
}
