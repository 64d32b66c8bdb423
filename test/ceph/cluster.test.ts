// The fixture itself: a real Ceph comes up, answers, comes back with its data, and goes without a trace.
import t from 'tap';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { cephInstalled, startCeph } from './cluster.js';

if (!cephInstalled()) t.bailout('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');

t.test('a cluster without authentication serves rbd, keeps its images over a restart, and leaves nothing', async (t) => {
  const dir = mkdtempSync('/tmp/ceph-');
  const ceph = await startCeph({ dir, pools: ['rbd', 'other'] });
  t.teardown(() => ceph.destroy());
  t.same(ceph.run('ceph', 'osd', 'pool', 'ls').trim().split('\n'), ['rbd', 'other']);
  ceph.run('rbd', 'create', '--size', '16M', 'other/kept');
  const pids = Object.values(ceph.status());
  await ceph.down();
  t.same(Object.values(ceph.status()), [undefined, undefined, undefined]);
  await ceph.resume();
  t.equal(ceph.run('rbd', 'ls', 'other').trim(), 'kept');
  t.notSame(Object.values(ceph.status()), pids);
  await ceph.destroy();
  t.notOk(existsSync(dir), 'the folder is gone');
});

t.test('with cephx a client needs its key', async (t) => {
  const ceph = await startCeph({ auth: 'cephx' });
  t.teardown(() => ceph.destroy());
  t.equal(ceph.run('rbd', 'ls').trim(), '');
  const stranger = spawnSync('rbd', ['ls', '--keyring', '/dev/null'], { env: ceph.env, encoding: 'utf8', timeout: 30_000 });
  t.not(stranger.status, 0);
  t.match(stranger.stderr, /Operation not permitted|No such file|Permission denied/);
});

t.test('daemons die with the process that started them', async (t) => {
  const dir = mkdtempSync('/tmp/ceph-');
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const script = `import { startCeph } from ${JSON.stringify(new URL('cluster.js', import.meta.url).href)};
    const ceph = await startCeph({ dir: ${JSON.stringify(dir)} });
    console.log(JSON.stringify(Object.values(ceph.status())));
    process.kill(process.pid, 'SIGKILL');`;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 60_000 });
  const pids = JSON.parse(run.stdout) as number[];
  t.equal(pids.length, 3);
  for (const pid of pids) {
    while (existsSync(`/proc/${pid}/exe`)) await new Promise((resolve) => setTimeout(resolve, 20));
    t.pass(`daemon ${pid} is gone`);
  }
  t.ok(existsSync(join(dir, 'ceph.conf')), 'only files stay, in its folder');
});
