// mon.command: a monitor command in JSON, as rados_mon_command sends it; and, by the private prefix "cbd2rbd cli", a whole
// command line of hooks/ceph or hooks/rbd: its standard output comes back as outbuf, standard error as outs, the exit code as -rc.
import type {Identity} from '../../access/identity.js';
import type {Cluster} from '../../ceph/command.js';
import {runMonCommand, type MonAnswer} from '../../ceph/mon.js';
import {runCeph, type Outcome} from '../../ceph/shell/ceph.js';
import {ServiceError} from '../../service/errors.js';
import type {Methods} from '../method.js';
import {Params} from '../params.js';

const linePrefix = 'cbd2rbd cli';

export function monMethods(cluster: Cluster): Methods {
  return {
    'mon.command': async ({identity, params}) => {
      const input = Buffer.from(params.text('inbuf', ''), 'base64');
      const cmd = params.texts('cmd');
      const {rc, outbuf, outs} = await answer(cluster, identity, cmd, input);
      return {result: {rc, outbuf: outbuf.toString('base64'), outs}};
    },
  };
}

async function answer(cluster: Cluster, identity: Identity, cmd: readonly string[], input: Buffer): Promise<MonAnswer> {
  const [line] = cmd;
  if (cmd.length !== 1 || !line?.includes(linePrefix)) return runMonCommand(cluster, identity, cmd, input);
  const fields = lineFields(line);
  if (!fields) return runMonCommand(cluster, identity, cmd, input);
  const {stdout, stderr, code} = await runLine(cluster, identity, fields, input);
  return {rc: -code, outbuf: stdout, outs: stderr};
}

function lineFields(text: string): Params|undefined {
  try {
    const given: unknown = JSON.parse(text);
    if (typeof given !== 'object' || given === null || (given as {prefix?: unknown}).prefix !== linePrefix) return undefined;
    return new Params(given as Record<string, unknown>);
  } catch {
    return undefined;
  }
}

async function runLine(cluster: Cluster, identity: Identity, fields: Params, input: Buffer): Promise<Outcome> {
  const program = fields.text('program');
  const argv = fields.texts('argv');
  if (program === 'ceph') return runCeph({cluster, identity, argv, input});
  throw new ServiceError('EOPNOTSUPP', `program ${JSON.stringify(program)} is not answered here`);
}
