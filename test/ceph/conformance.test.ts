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
]);

const later = 'calls what the copied library, 16.2.15, does not have: refused with EOPNOTSUPP, and the case waits for a completion of it';
/** Cases that are not run here, and why. */
const leftOut = new Map([
  ['write operations: not waited for, with a time', later],
  ['sizes and times in the form of later releases say what the earlier say', later],
  ['a removed snapshot that a clone still shows: its namespace, its first name, in both forms', later],
  ['rbd_clone4, rbd_diff_iterate3 and rbd_aio_compare_and_writev do what the earlier forms do', later],
  ['a client on the blocklist is shut out, and nobody else', 'the address that rados_getaddrs gives is the client\'s here; on the real cluster it has another (blocklist.test.ts)'],
]);

const copies = root('build/ceph-libraries');
copyCephLibraries({from: '/usr/lib/x86_64-linux-gnu', to: copies});
const [ceph, daemon] = await Promise.all([startCeph({pools: [POOL, OTHER_POOL]}), serve({CBD2RBD_DEFAULT_POOLS: '', CBD2RBD_CEPH_LIBS: copies})]);
t.teardown(() => Promise.all([ceph.destroy(), daemon.destroy()]));
for (const pool of [POOL, OTHER_POOL]) await daemon.command('pool', 'map', pool, `ceph:${pool}`, '--conf', ceph.conf);
const target: Target = {name: 'through us', conf: daemon.conf, libraryDir, env: {CBD2RBD_CEPH_LIBS: copies}};

const known = new Set(Object.values(areas).flat().map(({name}) => name));
t.same([...leftOut.keys()].filter((name) => !known.has(name)), [], 'what is left out is there');

for (const [area, all] of Object.entries(areas)) {
  // Refused by us, whatever the pool; the answers beside them are the real one's.
  if (area === 'refused') continue;
  const cases = all.filter(({name}) => !leftOut.has(name));
  for (const {name} of all) if (leftOut.has(name)) t.comment(`left out: ${name}: ${leftOut.get(name)}`);
  const expected = readExpected(area);
  await t.test(area, {timeout: 300_000}, async (t) => {
    const reports = await runCases(target, cases.map(({name}) => name));
    for (const {name} of cases) {
      const verdict = compare(expected[name] ?? ['never recorded'], reports.get(name)?.lines ?? [], ours.has(name) ? differencesOf(name, 'local') : []);
      if (verdict.kind === 'equal' || (ours.has(name) && verdict.kind === 'differs on purpose')) t.pass(name);
      else t.fail(`${name}\n${verdict.text}`);
    }
  });
}
