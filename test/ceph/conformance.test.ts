// Every conformance case through us on pools of a real Ceph: what the real library answered is what a client of ours gets, to the
// letter. What is asked of the cluster as a whole, and not of a pool, we answer ourselves.
import t from 'tap';
import {copyCephLibraries} from '../../src/install/ceph-libraries.js';
import {areas} from '../conformance/cases/index.js';
import {compare, differencesOf} from '../conformance/compare.js';
import {OTHER_POOL, POOL} from '../conformance/context.js';
import {readExpected} from '../conformance/expected.js';
import {runCases, type Target} from '../conformance/runner.js';
import {root} from '../lib/root.js';
import {libraryDir, serve} from '../lib/served.js';
import {cephInstalled, startCeph} from './cluster.js';

if (!cephInstalled()) t.bailout('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');
t.setTimeout(600_000);

/** Cases whose calls name no pool: there we answer as we do elsewhere. */
const ours = new Set([
  'rados_conf_parse_env: words of a variable, then of others',
  'mon_command to a named mon, and to the manager',
  'a client on the blocklist is shut out, and nobody else',
]);

const copies = root('build/ceph-libraries');
copyCephLibraries({from: '/usr/lib/x86_64-linux-gnu', to: copies});
const [ceph, daemon] = await Promise.all([startCeph({pools: [POOL, OTHER_POOL]}), serve({CBD2RBD_DEFAULT_POOLS: '', CBD2RBD_CEPH_LIBS: copies})]);
t.teardown(() => Promise.all([ceph.destroy(), daemon.destroy()]));
for (const pool of [POOL, OTHER_POOL]) await daemon.command('pool', 'map', pool, `ceph:${pool}`, '--conf', ceph.conf);
const target: Target = {name: 'through us', conf: daemon.conf, libraryDir, env: {CBD2RBD_CEPH_LIBS: copies}};

for (const [area, cases] of Object.entries(areas)) {
  const expected = readExpected(area);
  await t.test(area, {timeout: 300_000}, async (t) => {
    const reports = await runCases(target, cases.map(({name}) => name));
    for (const {name} of cases) {
      const verdict = compare(name, expected[name] ?? ['never recorded'], reports.get(name)?.lines ?? [], ours.has(name) ? differencesOf(name) : []);
      if (verdict.kind === 'equal' || (ours.has(name) && verdict.kind === 'differs on purpose')) t.pass(name);
      else t.fail(`${name}\n${verdict.text}`);
    }
  });
}
