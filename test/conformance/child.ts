// The process that runs cases on one pair of libraries (the loader's choice) against one ceph.conf.
// argv: CONF [steps]. stdin: one case name (or step) a line. stdout: one line of JSON for each. It dies with a case that crashes the library.
import { createInterface } from 'node:readline';
import { loadCAbi, type CAbi } from '../lib/c-abi.js';
import { cases } from './cases/index.js';
import { Context, OTHER_POOL, POOL } from './context.js';
import { run } from './operations.js';
import { sweep } from './sweep.js';
import { Handle } from './transcript.js';
import { World, type Step } from './world.js';

export interface Report {
  name: string;
  lines: string[];
  calls: Record<string, number>;
  left: number;
}

async function must(abi: CAbi, name: string, ...args: Parameters<CAbi['call']> extends [string, ...infer A] ? A : never): Promise<number> {
  const rc = Number(await abi.call(name, ...args));
  if (rc < 0) throw new Error(`${name} = ${rc}`);
  return rc;
}

async function connect(abi: CAbi, conf: string): Promise<Handle> {
  const cluster = new Handle('cluster');
  await must(abi, 'rados_create', cluster.buffer, null);
  await must(abi, 'rados_conf_read_file', cluster.address, conf);
  await must(abi, 'rados_connect', cluster.address);
  return cluster;
}

async function openPool(abi: CAbi, cluster: Handle, pool: string): Promise<Handle> {
  const io = new Handle('io');
  if (Number(await abi.call('rados_pool_lookup', cluster.address, pool)) < 0) {
    await must(abi, 'rados_pool_create', cluster.address, pool);
    await must(abi, 'rados_ioctx_create', cluster.address, pool, io.buffer);
    await must(abi, 'rados_application_enable', io.address, 'rbd', 1);
  } else {
    await must(abi, 'rados_ioctx_create', cluster.address, pool, io.buffer);
  }
  return io;
}

async function runNamedCases(abi: CAbi, conf: string, cluster: Handle, ios: [Handle, Handle]) {
  const byName = new Map(cases.map((c) => [c.name, c]));
  for await (const name of createInterface({ input: process.stdin })) {
    const context = new Context(abi, conf, cluster, ios[0]);
    try {
      const found = byName.get(name);
      if (found === undefined) throw new Error(`no case is called ${name}`);
      await found.run(context);
    } catch (error) {
      context.lines.push(`thrown: ${error instanceof Error ? error.message : String(error)}`);
    }
    let left = 0;
    for (const io of ios) left += await sweep(context, io);
    context.end();
    const report: Report = { name, lines: context.lines, calls: context.calls, left };
    process.stdout.write(`${JSON.stringify(report)}\n`);
  }
}

async function takeSteps(abi: CAbi, conf: string, cluster: Handle, io: Handle) {
  const world = new World(new Context(abi, conf, cluster, io));
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await run(world, JSON.parse(line) as Step))}\n`);
  }
  await world.end();
}

async function main(conf: string, mode: string | undefined) {
  const abi = loadCAbi();
  const cluster = await connect(abi, conf);
  const ios: [Handle, Handle] = [await openPool(abi, cluster, POOL), await openPool(abi, cluster, OTHER_POOL)];
  // What a crashed predecessor left.
  const before = new Context(abi, conf, cluster, ios[0]);
  for (const io of ios) await sweep(before, io);
  if (mode === 'steps') await takeSteps(abi, conf, cluster, ios[0]);
  else await runNamedCases(abi, conf, cluster, ios);
  for (const io of ios) await abi.call('rados_ioctx_destroy', io.address);
  await abi.call('rados_shutdown', cluster.address);
}

await main(process.argv[2]!, process.argv[3]);
