// The process that runs cases on one pair of libraries (the loader's choice) against one ceph.conf.
// argv: CONF. stdin: one case name a line. stdout: one JSON object a case. It dies with a case that crashes the library.
import { createInterface } from 'node:readline';
import { loadCAbi, type CAbi } from '../lib/c-abi.js';
import { cases } from './cases/index.js';
import { Context, OTHER_POOL, POOL } from './context.js';
import { sweep } from './sweep.js';
import { Handle } from './transcript.js';

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

async function main(conf: string) {
  const abi = loadCAbi();
  const cluster = await connect(abi, conf);
  const io = await openPool(abi, cluster, POOL);
  const io2 = await openPool(abi, cluster, OTHER_POOL);
  // What a crashed predecessor left.
  const before = new Context(abi, conf, cluster, io);
  await sweep(before, io);
  await sweep(before, io2);
  const byName = new Map(cases.map((c) => [c.name, c]));
  for await (const name of createInterface({ input: process.stdin })) {
    const context = new Context(abi, conf, cluster, io);
    try {
      const found = byName.get(name);
      if (found === undefined) throw new Error(`no case is called ${name}`);
      await found.run(context);
    } catch (error) {
      context.lines.push(`thrown: ${error instanceof Error ? error.message : String(error)}`);
    }
    const left = await sweep(context, io) + await sweep(context, io2);
    context.end();
    const report: Report = { name, lines: context.lines, calls: context.calls, left };
    process.stdout.write(`${JSON.stringify(report)}\n`);
  }
  for (const handle of [io, io2]) await abi.call('rados_ioctx_destroy', handle.address);
  await abi.call('rados_shutdown', cluster.address);
}

await main(process.argv[2]!);
