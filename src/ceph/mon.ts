// Answers one monitor command: JSON in; return code, output and status line out, as rados_mon_command gives them.
import type {Identity} from '../access/identity.js';
import {Errno, ServiceError, type ErrnoName} from '../service/errors.js';
import {MonRefusal, type Cluster, type MonCommand, type Reply} from './command.js';
import {isFormat, render, type Format} from './document.js';
import {gatherFacts, type Facts} from './facts.js';
import {BadField, Values} from './signature.js';
import {monCommands} from './commands.js';

export interface MonAnswer {
  /** 0 or -errno. */
  readonly rc: number;
  readonly outbuf: Buffer;
  readonly outs: string;
}

const none = Buffer.alloc(0);
const fail = (errno: ErrnoName, outs: string): MonAnswer => ({rc: -Errno[errno], outbuf: none, outs});

/** Never throws for what a caller can send; the words of a refusal are the real monitor's where it has any. */
export async function runMonCommand(cluster: Cluster, identity: Identity, cmd: readonly string[], input: Buffer): Promise<MonAnswer> {
  const whole = cmd.join('');
  let given: unknown;
  try {
    given = JSON.parse(whole);
  } catch {
    return fail('EINVAL', `unparseable JSON ${whole}`);
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return fail('EINVAL', `not JSON object ${whole}`);
  const fields = given as Record<string, unknown>;
  const prefix = fields['prefix'];
  if (prefix === undefined) return fail('EINVAL', 'command prefix not found');
  if (typeof prefix !== 'string') return fail('EINVAL', 'bad or missing field \'prefix\'');
  if (prefix === '') return fail('EINVAL', 'command prefix must not be empty');
  const command = monCommands.find((command) => command.name === prefix);
  if (!command) return fail('EINVAL', 'command not known');
  if (!identity.mayAsk(command.rights, {service: command.module, command: prefix})) return fail('EACCES', 'access denied');
  return runKnown(command, {cluster, identity, fields, input});
}

async function runKnown(command: MonCommand, {cluster, identity, fields, input}: {
  cluster: Cluster, identity: Identity, fields: Record<string, unknown>, input: Buffer,
}): Promise<MonAnswer> {
  let gathered: Promise<Facts>|undefined;
  try {
    const reply = await command.run({
      cluster, identity, input, values: new Values(fields),
      facts: () => gathered ??= gatherFacts(cluster),
    });
    return finish(reply, fields['format']);
  } catch (error) {
    if (error instanceof BadField) return fail('EINVAL', error.message);
    if (error instanceof MonRefusal) return fail(error.errno, error.outs);
    if (error instanceof ServiceError) return fail(error.errno, error.message);
    throw error;
  }
}

function finish(reply: Reply, format: unknown): MonAnswer {
  const rc = reply.errno ? -Errno[reply.errno] : 0;
  return {rc, outbuf: Buffer.from(body(reply, format)), outs: reply.outs ?? ''};
}

function endOf({end = '', prettyEnd = ''}: Reply, format: Format): string {
  if (format === 'json' || format === 'xml') return end;
  // As measured: Ceph's XML formatter ends in a blank line where the command writes no line's end of its own.
  return format === 'xml-pretty' && (end === '' || prettyEnd !== '') ? `${prettyEnd}\n` : prettyEnd;
}

// An unknown format is plain, as the real monitor has it; what has no plain form is shown as pretty JSON.
function body(reply: Reply, format: unknown): string {
  if (reply.doc === undefined) return reply.plain ?? '';
  const written = (format: Format): string => {
    const text = render(reply.root ?? 'result', reply.doc ?? '', format);
    const broken = reply.hasInnerEnd && format !== 'xml-pretty' ? text.replace(/\n?(\}|<\/\w+>)\n?$/, '\n$&') : text;
    return broken + endOf(reply, format);
  };
  return isFormat(format) ? written(format) : reply.plain ?? written('json-pretty');
}
