// mon.command: a monitor command in JSON, as rados_mon_command sends it; and, by the private prefix "cbd2rbd cli", a whole
// command line of hooks/ceph or hooks/rbd: its standard output comes back as outbuf, standard error as outs, the exit code as -rc.
import type {Cluster} from '../../ceph/command.js';
import {runMonCommand, type MonAnswer} from '../../ceph/mon.js';
import {runRbd} from '../../ceph/rbd/rbd.js';
import {runCeph, type Outcome} from '../../ceph/shell/ceph.js';
import {ServiceError} from '../../service/errors.js';
import type {Call, Methods} from '../method.js';
import {Params} from '../params.js';

const linePrefix = 'cbd2rbd cli';

/** `methods`: those that the rbd command asks, under its caller's session. */
export function monMethods(cluster: Cluster, methods: Methods): Methods {
  return {
    'mon.command': async (call) => {
      const {params} = call;
      const input = Buffer.from(params.text('inbuf', ''), 'base64');
      const cmd = params.texts('cmd');
      const {rc, outbuf, outs} = await answer({cluster, methods, call}, cmd, input);
      return {result: {rc, outbuf: outbuf.toString('base64'), outs}};
    },
  };
}

interface Asked {
  readonly cluster: Cluster;
  readonly methods: Methods;
  readonly call: Call;
}

async function answer(asked: Asked, cmd: readonly string[], input: Buffer): Promise<MonAnswer> {
  const [line] = cmd;
  const fields = cmd.length === 1 && line?.includes(linePrefix) ? lineFields(line) : undefined;
  if (!fields) return runMonCommand(asked.cluster, asked.call.identity, cmd, input);
  const {stdout, stderr, code} = await runLine(asked, fields, input);
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

async function runLine({cluster, methods, call}: Asked, fields: Params, input: Buffer): Promise<Outcome> {
  const program = fields.text('program');
  const argv = fields.texts('argv');
  if (program === 'ceph') return runCeph({cluster, identity: call.identity, argv, input});
  if (program !== 'rbd') throw new ServiceError('EOPNOTSUPP', `program ${JSON.stringify(program)} is not answered here`);
  const given = Object.entries(fields.object('env').fields);
  const environment = Object.fromEntries(given.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  return runRbd({cluster, methods, call, argv, environment});
}
