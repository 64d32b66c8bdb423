// A client is shut out of the real Cephs behind mapped pools as well: by the command, by librados, and it is said where that failed.
import t from 'tap';
import {execFile} from 'node:child_process';
import {promisify} from 'node:util';

import {copyCephLibraries} from '../../src/install/ceph-libraries.js';
import {Interactive} from '../lib/interactive.js';
import {root} from '../lib/root.js';
import {serve} from '../lib/served.js';
import {python, runClient} from '../lib/stock-client.js';
import {cephInstalled, startCeph} from './cluster.js';

if (!cephInstalled()) t.bailout('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');
t.setTimeout(120_000);

const copies = root('build/ceph-libraries');
copyCephLibraries({from: '/usr/lib/x86_64-linux-gnu', to: copies});
const env = {CBD2RBD_CEPH_LIBS: copies};
const [ceph, daemon] = await Promise.all([startCeph({pools: ['behind', 'other']}), serve(env)]);
t.teardown(() => Promise.all([ceph.destroy(), daemon.destroy()]));

const command = (...words: string[]) => runClient(daemon, root('build/bin/hooks/ceph'), words, {env});
interface Entry { readonly addr: string; readonly until: string }

/** What the real cluster says; two documents behind one another, of which the second is about ranges. */
function entries(): Entry[] {
  return JSON.parse(/\[[^\]]*\]/.exec(ceph.run('ceph', 'osd', 'blocklist', 'ls', '--format', 'json'))![0]) as Entry[];
}
const there = (): string[] => entries().map(({addr}) => addr).sort();

/** A client with an image open on both sides; answers what a write to each came to. */
const CLIENT = `
far = cluster.open_ioctx('far')
i = rbd.Image(far, 'image')
near = rbd.Image(io, 'image')
say('ready')
def write(image):
    try: image.write(b'x' * 4096, 0); image.flush(); return 0
    except rbd.Error as e: return -e.errno
for line in sys.stdin:
    if line.startswith('who'): say(next(w['addr'] for w in i.watchers_list()))
    else: say(str([write(i), write(near)]))
`;

async function started(): Promise<{client: Interactive; address: string}> {
  const client = await Interactive.start({...daemon.clientEnv, ...env}, CLIENT);
  t.equal(await client.ask('write'), '[0, 0]');
  return {client, address: await client.ask('who')};
}

t.before(async () => {
  for (const [name, pool] of [['far', 'behind'], ['far-too', 'other']]) {
    await promisify(execFile)(process.execPath, [root('dist/src/cli/cbd2rbd.js'), '--dir', daemon.dir, 'pool', 'map', name!, `ceph:${pool}`, '--conf', ceph.conf]);
  }
  ceph.run('rbd', 'create', 'behind/image', '--size', '4M');
  await python(daemon, 'R.create(io, \'image\', 1 << 22)');
});

t.test('osd blocklist add shuts a client out of the real Ceph, rm takes that back there, clear what came from here', async (t) => {
  const {client, address} = await started();
  const added = await command('osd', 'blocklist', 'add', address, '300');
  t.equal(added.code, 0, added.stderr);
  t.strictSame(there(), [address]);
  t.equal(await client.ask('write'), '[-108, 0]', 'a write there fails; here he has another address');
  t.match(await command('osd', 'blocklist', 'rm', address), {code: 0});
  t.strictSame(there(), []);
  ceph.run('ceph', 'osd', 'blocklist', 'add', '10.1.2.3:0/4', '300');
  t.match(await command('osd', 'blocklist', 'add', '10.1.2.3:0/5', '300'), {code: 0});
  t.strictSame(there(), ['10.1.2.3:0/4', '10.1.2.3:0/5']);
  t.match(await command('osd', 'blocklist', 'clear'), {code: 0});
  t.strictSame(there(), ['10.1.2.3:0/4'], 'what others put on the list stays');
  await client.kill();
});

t.test('rados_blocklist_add reaches it too, with its time', async (t) => {
  const {client, address} = await started();
  await python(daemon, `cluster.blocklist_add('${address}', 200)`);
  t.equal(await client.ask('write'), '[-108, 0]');
  const {until} = entries().find(({addr}) => addr === address)!;
  const left = (Date.parse(until.replace(/(\+|-)(\d\d)(\d\d)$/, '$1$2:$3')) - Date.now()) / 1000;
  t.ok(left > 100 && left <= 200, `it ends ${left} s from now`);
  await client.kill();
});

t.test('a real Ceph that does not answer is named, with an error; here the client is shut out', async (t) => {
  await ceph.kill('mon.a');
  const failed = await command('osd', 'blocklist', 'add', '10.1.2.3:0/9');
  t.equal(failed.code, 110, failed.stderr);
  t.match(failed.stderr, /blocklisting 10\.1\.2\.3:0\/9 until .*, but the real Ceph of pool 'far' did not do it \(.+\)/);
  t.match((await command('osd', 'blocklist', 'ls')).stdout, '10.1.2.3:0/9');
});
