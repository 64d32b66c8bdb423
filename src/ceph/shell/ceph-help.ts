// What `ceph --help` says, for the launcher (hooks/src/help.cc) that prints it: our own words, and the commands that are here.
import type {MonCommand} from '../command.js';
import {monCommands} from '../commands.js';
import {usage} from './match.js';

export const cephUsage = [
  'usage: ceph [-h] [-c CEPHCONF] [-i INPUT_FILE] [-o OUTPUT_FILE] [--id CLIENT_ID]',
  '            [--name CLIENT_NAME] [--cluster CLUSTER] [-s] [--version]',
  '            [-f {json,json-pretty,xml,xml-pretty,plain,yaml}]',
  '            [--connect-timeout CLUSTER_TIMEOUT]', '',
].join('\n');

const width = 40;

function entry(command: MonCommand): string[] {
  const left = usage(command);
  return left.length < width ? [`${left.padEnd(width)}${command.help}`] : [left, `${' '.repeat(width)}${command.help}`];
}

const shown = (): readonly MonCommand[] => monCommands.filter((command) => !command.isDeprecated).sort((a, b) => a.name < b.name ? -1 : 1);

const general = [
  '', ' General usage: ', ' ==============', cephUsage,
  'The ceph command of cbd2rbd: it asks the cbd2rbd daemon instead of a Ceph cluster.', '',
  'options:',
  '  -h, --help            show help; behind the words of a command, for that one',
  '  -c, --conf FILE       the ceph.conf that says where the daemon is',
  '  -i, --in-file FILE    input for the command, or "-" for standard input',
  '  -o, --out-file FILE   write the output to FILE, or "-" for standard output',
  '  --id, --user ID       be client.ID',
  '  -n, --name NAME       be NAME',
  '  -k, --keyring FILE    where the key is',
  '  --cluster NAME        read /etc/ceph/NAME.conf',
  '  -s, --status          show the cluster in short',
  '  -f, --format FORMAT   json, json-pretty, xml, xml-pretty, plain or yaml',
  '  --connect-timeout S   give up after S seconds',
  '  -v, --version         show the version', '',
].join('\n');

/** What the launcher puts together for `ceph --help` and `ceph WORDS --help`. */
export function cephHelpTexts(): {general: string, heading: string, commands: readonly {readonly name: string, readonly entry: string}[]} {
  return {
    general, heading: ['', ' Monitor commands: ', ' =================', ''].join('\n'),
    commands: shown().map((command) => ({name: command.name, entry: `${entry(command).join('\n')}\n`})),
  };
}
