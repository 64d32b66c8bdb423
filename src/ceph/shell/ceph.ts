// The `ceph` command: its options and words in, what it prints and its exit code out. The launcher (hooks/) runs in the caller's
// process and does what needs the caller's rights: it reads `-i`, writes `-o`, finds the daemon and proves the key.
import type {Identity} from '../../access/identity.js';
import {Errno} from '../../service/errors.js';
import type {Cluster} from '../command.js';
import {monCommands} from '../commands.js';
import {isFormat} from '../document.js';
import {versionText} from '../commands/status.js';
import {runMonCommand} from '../mon.js';
import {OptionError, readCephOptions, type CephOptions} from './ceph-options.js';
import {cephUsage} from './ceph-help.js';
import {matchCommand, Mismatch} from './match.js';

/** What a command-line program leaves behind. */
export interface Outcome {
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly code: number;
}

export interface CephCall {
  readonly cluster: Cluster;
  readonly identity: Identity;
  readonly argv: readonly string[];
  /** The contents of `-i`'s file. */
  readonly input: Buffer;
}

const nothing = Buffer.alloc(0);
const printed = (text: string): Outcome => ({stdout: Buffer.from(text), stderr: '', code: 0});
const refused = (code: number, stderr: string): Outcome => ({stdout: nothing, stderr, code});

export async function runCeph(call: CephCall): Promise<Outcome> {
  let options: CephOptions;
  try {
    options = readCephOptions(call.argv);
  } catch (error) {
    if (error instanceof OptionError) return refused(2, `${cephUsage}ceph: error: ${error.message}\n`);
    throw error;
  }
  if (options.wantsVersion) return printed(`${versionText}\n`);
  if (options.watch !== undefined) return refused(Errno.EOPNOTSUPP, `ceph: ${options.watch} is not supported: there is no cluster log to watch\n`);
  if (options.adminDaemon !== undefined) return refused(Errno.EOPNOTSUPP, 'ceph: --admin-daemon is not supported: there are no Ceph daemons\n');
  return answer(call, options);
}

async function answer(call: CephCall, options: CephOptions): Promise<Outcome> {
  const words = options.wantsStatus ? ['status'] : options.words;
  const blank = options.format.startsWith('json') && options.output === undefined ? '\n' : '';
  if (words[0] === 'tell' || words[0] === 'daemon' || words[0] === 'daemonperf' || words[0] === 'ping') {
    return refused(Errno.EOPNOTSUPP, `Error EOPNOTSUPP: ceph ${words[0]}: there are no Ceph daemons to speak to; see: cbd2rbd status\n`);
  }
  let fields: Record<string, unknown>;
  try {
    fields = matchCommand(monCommands, words).fields;
  } catch (error) {
    if (error instanceof Mismatch) return {stdout: Buffer.from(blank), stderr: [...error.lines, 'Error EINVAL: invalid command', ''].join('\n'), code: Errno.EINVAL};
    throw error;
  }
  if (options.format !== '') fields['format'] = options.format;
  const {rc, outbuf, outs} = await runMonCommand(call.cluster, call.identity, [JSON.stringify(fields)], call.input);
  if (rc < 0) return {stdout: Buffer.from(blank), stderr: `Error ${errnoName(-rc)}: ${outs}\n`, code: -rc};
  const status = showsStatus(fields) && outs !== '' ? `${outs}\n` : '';
  return {stdout: Buffer.concat([Buffer.from(blank), outbuf]), stderr: status, code: 0};
}

// `auth ls` says its status line only in front of plain output, as measured.
function showsStatus(fields: Readonly<Record<string, unknown>>): boolean {
  const isList = fields['prefix'] === 'auth ls' || fields['prefix'] === 'auth list';
  return !isList || !isFormat(fields['format']);
}

function errnoName(errno: number): string {
  return Object.entries(Errno).find(([, value]) => value === errno)?.[0] ?? 'Unknown';
}
