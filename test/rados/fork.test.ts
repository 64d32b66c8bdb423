// What a parent opened works in its children (constraint of Nova's workers), and the parent goes on.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { backends } from '../lib/backends.js';
import { startTestDaemonOn } from '../lib/daemon.js';
import { runPython } from './python.js';

for (const backend of backends) tap.test(`on ${backend} a connected process forks eight workers, and all of them work`, async (t) => {
  const daemon = await startTestDaemonOn(backend);
  t.teardown(() => daemon.stop());
  const conf = join(daemon.dir, 'client.conf');
  writeFileSync(conf, `[global]\ncbd2rbd_socket = ${daemon.socket}\n`);
  const { code, out, err } = await runPython('fork.py', [], { CEPH_CONF: conf });
  t.equal(code, 0, err);
  t.strictSame(JSON.parse(out || '{}'), {
    codes: Array.from({ length: 8 }, () => 0), failures: [], sameSession: true, objects: ['before'], pools: ['rbd'], threadsLeft: 0,
  }, err);
});
