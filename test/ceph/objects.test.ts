// The object calls that are hardest to pass on (operations and their iterators, classes, watches, cursors, cancelling), on a pool of a
// real Ceph: through us they answer as its own librados does.
import t from 'tap';
import {copyCephLibraries} from '../../src/install/ceph-libraries.js';
import {root} from '../lib/root.js';
import {serve} from '../lib/served.js';
import {mustRun, PYTHON} from '../lib/stock-client.js';
import {cephInstalled, startCeph} from './cluster.js';

if (!cephInstalled()) t.bailout('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');
t.setTimeout(120_000);

const copies = root('build/ceph-libraries');
copyCephLibraries({from: '/usr/lib/x86_64-linux-gnu', to: copies});
const [ceph, daemon] = await Promise.all([startCeph({pools: ['objects']}), serve({CBD2RBD_DEFAULT_POOLS: ''})]);
t.teardown(() => Promise.all([ceph.destroy(), daemon.destroy()]));
await daemon.command('pool', 'map', 'far', 'ceph:objects', '--conf', ceph.conf);
const script = root('test/ceph/objects.py');

t.test('operations, classes, cancelling, watches and cursors answer as the real library does', async (t) => {
  const real = JSON.parse(ceph.run(PYTHON, script, 'objects')) as Record<string, unknown>;
  const through = JSON.parse(await mustRun(daemon, PYTHON, [script, 'far'], {env: {CBD2RBD_CEPH_LIBS: copies}})) as Record<string, unknown>;
  for (const [name, answer] of Object.entries(real)) {
    // Whether any of them was still to be cancelled is chance.
    if (name === 'cancelled') t.strictSame((through[name] as boolean[]).slice(0, 3), [true, true, true], name);
    else t.strictSame(through[name], answer, name);
  }
  const {write, guarded, read, entries, exec, notify, flush, count} = real;
  t.strictSame({write, guarded, read, entries, exec, notify, flush, count}, {
    write: 0, guarded: -125, read: [0, 13, '23456', 1, [0, 0, 0, 0, 0]], entries: [2, [['a', '1'], ['b', '22'], 0]], exec: [true, -95],
    notify: [0, true, [[55, true, 'hello']]], flush: [0, 0, 0, 0], count: 7,
  }, 'and that says something');
});
