// An image that is open goes on without the daemon: stopped, killed, started again.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import t from 'tap';
import { backends } from '../lib/backends.js';
import { serve } from '../lib/served.js';
import { PYTHON, python, pythonText } from '../lib/stock-client.js';

for (const backend of backends) t.test(`while the daemon does not answer on ${backend}`, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());
  await python(served, `
R.create(io, 'plain', 16 << 20)
R.create(io, 'base', 16 << 20)
with rbd.Image(io, 'base') as i:
    i.write(b'b' * 8192, 0); i.create_snap('s'); i.protect_snap('s')
R.clone(io, 'base', 's', io, 'clone')
`);
  const client = spawn(PYTHON, ['-c', pythonText(`
images = [rbd.Image(io, 'plain'), rbd.Image(io, 'clone')]
for i in images: i.write(b'first', 0)
print('ready', flush=True)
for line in sys.stdin:
    what = line.strip()
    if what == 'io':
        for i in images:
            for k in range(100): i.write(bytes([k]) * 5000, k * 5000)
            i.flush()
            assert all(i.read(k * 5000, 5000) == bytes([k]) * 5000 for k in range(100))
    else:
        for i in images:
            i.resize(32 << 20); i.create_snap(what); assert i.size() == 32 << 20
            i.write(b'after', 31 << 20); assert i.read(31 << 20, 5) == b'after'
    print('done', flush=True)
for i in images: i.close()
`)], { env: served.clientEnv, stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => client.kill('SIGKILL'));
  const lines = createInterface({ input: client.stdout })[Symbol.asyncIterator]();
  const ask = async (what: string): Promise<string | undefined> => {
    client.stdin.write(`${what}\n`);
    return (await lines.next()).value as string | undefined;
  };
  t.equal((await lines.next()).value, 'ready');

  await t.test('a stopped daemon stalls no read, write or flush', async (t) => {
    process.kill(served.pid, 'SIGSTOP');
    // A stall would end this test by tap's own limit.
    t.equal(await ask('io'), 'done');
    process.kill(served.pid, 'SIGCONT');
  });

  await t.test('nor does one that was killed; after its restart the images can be changed again', async (t) => {
    await served.kill();
    t.equal(await ask('io'), 'done');
    await served.start();
    t.equal(await ask('s1'), 'done');
    t.equal(await ask('io'), 'done');
  });

  client.stdin.end();
  const [code] = await once(client, 'close') as [number | null];
  t.equal(code, 0);
  t.same(await python(served, `
for name in ('plain', 'clone'):
    with rbd.Image(io, name) as i: show([i.size() >> 20, i.read(5000, 5000) == bytes([1]) * 5000, [s['name'] for s in i.list_snaps()]])
`), [[32, true, ['s1']], [32, true, ['s1']]]);
});
