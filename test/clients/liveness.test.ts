// What holds when processes die: a client's locks go with it, a daemon's death is no error for whoever has an image open,
// and handles go on working in forked children.
import t from 'tap';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { backends } from '../lib/backends.js';
import { serve, type Served } from '../lib/served.js';
import { Talker } from './talker.js';

const MiB = 1024 * 1024;

interface Holders { lockers: number; watchers: number; owners: number }

for (const backend of backends) t.test(`kill -9 of a client frees its advisory lock, its watcher and its managed lock within two seconds, on ${backend}`, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());
  const observer = await Talker.start(served.clientEnv);
  t.teardown(() => observer.kill());
  const victim = await Talker.start(served.clientEnv);
  t.teardown(() => victim.kill());
  // Of two images, since neither lock is given where the other is held.
  for (const name of ['i', 'j']) {
    await observer.ask('create', name, 16 * MiB);
    await observer.ask('open_image', name);
    await victim.ask('open_image', name);
  }
  await victim.ask('lock', 'j', 'cookie');
  await victim.ask('acquire', 'i');
  t.same(await observer.ask('holders', 'i'), { lockers: 1, watchers: 2, owners: 1 });
  t.same(await observer.ask('holders', 'j'), { lockers: 1, watchers: 2, owners: 0 });
  await victim.kill();
  const deadline = Date.now() + 2000;
  const free: Holders = { lockers: 0, watchers: 1, owners: 0 };
  let held: Holders[];
  do {
    held = [await observer.ask<Holders>('holders', 'i'), await observer.ask<Holders>('holders', 'j')];
  } while (held.some(({ lockers, watchers, owners }) => lockers !== 0 || watchers !== 1 || owners !== 0) && Date.now() < deadline);
  t.same(held, [free, free]);
  await observer.ask('lock', 'j', 'mine');
  await observer.ask('acquire', 'i');
  t.equal(await observer.ask('patterns', 'i', 0, 4), 4, 'the image is writable');
  t.equal(await observer.end(), 0);
});

for (const backend of backends) t.test(`kill -9 of a client that has an image open lets the image be removed, on ${backend}`, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());
  const observer = await Talker.start(served.clientEnv);
  t.teardown(() => observer.kill());
  await observer.ask('create', 'i', 16 * MiB);
  const victim = await Talker.start(served.clientEnv);
  await victim.ask('open_image', 'i');
  await t.rejects(observer.ask('remove', 'i'), /ImageBusy/);
  await victim.kill();
  const deadline = Date.now() + 2000;
  for (;;) {
    const error = await observer.ask('remove', 'i').then(() => null, (e: Error) => e);
    if (error === null) break;
    if (Date.now() > deadline) throw error;
  }
  t.same(await observer.ask('names'), []);
  await observer.end();
});

for (const backend of backends) t.test(`python3-rbd does I/O while the daemon is dead, and control calls go on after its restart, on ${backend}`, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());
  const client = await Talker.start(served.clientEnv);
  t.teardown(() => client.kill());
  await client.ask('create', 'i', 64 * MiB);
  await client.ask('open_image', 'i');
  await client.ask('acquire', 'i');
  await client.ask('patterns', 'i', 0, 100);
  for (let round = 1; round <= 3; round++) {
    await served.kill();
    t.equal(await client.ask('patterns', 'i', round * 1000, 500), 500, 'I/O without a daemon');
    t.equal(await client.ask('size', 'i'), (64 + (round - 1) * 16) * MiB, 'the size is known without a daemon');
    const resized = client.ask('resize', 'i', (64 + round * 16) * MiB);
    await served.start();
    t.equal(await resized, (64 + round * 16) * MiB, 'a control call that began without a daemon ends');
    t.equal(await client.ask('metadata', 'i', 'round', String(round)), String(round));
    t.equal(await client.ask('is_owner', 'i'), true, 'the lock is kept');
  }
  t.equal(await client.end(), 0);
  const reader = await Talker.start(served.clientEnv);
  await reader.ask('open_image', 'i');
  for (let round = 1; round <= 3; round++) t.equal(await reader.ask('verify', 'i', round * 1000, 500), 500);
  t.equal(await reader.ask('size', 'i'), 112 * MiB);
  await reader.end();
});

async function qemuIo(served: Served): Promise<{ code: number | null; out: string }> {
  // Into a pipe, qemu-io keeps its lines back otherwise.
  const io = spawn('stdbuf', ['-oL', 'qemu-io', '-f', 'raw', `rbd:rbd/q:conf=${served.conf}`], { env: served.clientEnv });
  let out = '';
  const collect = (text: Buffer) => { out += text.toString(); };
  io.stdout.on('data', collect);
  io.stderr.on('data', collect);
  const exit = once(io, 'exit');
  const until = async (mark: RegExp) => {
    while (!mark.test(out)) await Promise.race([once(io.stdout, 'data'), exit.then(() => { throw new Error(`qemu-io ended: ${out}`); })]);
  };
  // One line at a time: qemu-io looks for the next only when its input becomes readable again.
  const ask = async (line: string, mark: RegExp) => {
    io.stdin.write(`${line}\n`);
    await until(mark);
  };
  await ask('write -P 17 512 8192', /wrote 8192\/8192 bytes at offset 512/);
  await served.kill();
  await ask('write -P 18 1M 65536', /wrote 65536\/65536 bytes at offset 1048576/);
  await ask('read -P 17 512 8192', /read 8192\/8192 bytes at offset 512/);
  await ask('read -P 18 1M 65536', /read 65536\/65536 bytes at offset 1048576/);
  await served.start();
  io.stdin.end('quit\n');
  const [code] = await exit as [number | null];
  return { code, out };
}

for (const backend of backends) t.test(`qemu-io does I/O while the daemon is dead and closes in order, on ${backend}`, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());
  const client = await Talker.start(served.clientEnv);
  t.teardown(() => client.kill());
  await client.ask('create', 'q', 16 * MiB);
  const { code, out } = await qemuIo(served);
  t.equal(code, 0);
  t.notMatch(out, /error|failed|Pattern verification/i);
  await client.end();
});

for (const backend of backends) t.test(`eight workers forked with a cluster, an ioctx and an image open all work, as does their parent, on ${backend}`, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());
  const client = await Talker.start(served.clientEnv);
  t.teardown(() => client.kill());
  await client.ask('create', 'shared', 16 * MiB);
  await client.ask('open_image', 'shared');
  await client.ask('patterns', 'shared', 2048, 8);
  for (let round = 0; round < 2; round++) {
    const { codes, seen, names } = await client.ask<{ codes: number[]; seen: number[]; names: string[] }>('fork_workers', 8);
    t.same(codes, Array(8).fill(0), 'each worker created, wrote, read and removed');
    t.same(seen, [1, 2, 3, 4, 5, 6, 7, 8], 'the parent reads what they wrote');
    t.same(names, ['shared'], 'no worker left an image');
  }
  t.equal(await client.ask('verify', 'shared', 1024, 64), 64, 'the parent wrote meanwhile');
  t.equal(await client.ask('resize', 'shared', 32 * MiB), 32 * MiB);
  await client.ask('close', 'shared');
  t.equal(await client.end(), 0);
});
