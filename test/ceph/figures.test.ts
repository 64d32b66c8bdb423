// Pools on a real Ceph among ours in `ceph df` and its kin, with what the cluster itself says of them.
import t from 'tap';
import {execFile} from 'node:child_process';
import {statfsSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {promisify} from 'node:util';

import {copyCephLibraries} from '../../src/install/ceph-libraries.js';
import {root} from '../lib/root.js';
import {serve} from '../lib/served.js';
import {mustRun, runClient} from '../lib/stock-client.js';
import {cephInstalled, startCeph} from './cluster.js';

if (!cephInstalled()) t.bailout('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');
t.setTimeout(120_000);

const copies = root('build/ceph-libraries');
copyCephLibraries({from: '/usr/lib/x86_64-linux-gnu', to: copies});
const [ceph, daemon] = await Promise.all([startCeph({pools: ['behind', 'other']}), serve({CBD2RBD_DEFAULT_POOLS: 'near', CBD2RBD_CEPH_LIBS: copies})]);
t.teardown(() => Promise.all([ceph.destroy(), daemon.destroy()]));

const env = {CBD2RBD_CEPH_LIBS: copies};
const ours = (...words: string[]): Promise<string> => mustRun(daemon, root('build/bin/hooks/ceph'), words, {env});
const admin = (...words: string[]): Promise<unknown> =>
    promisify(execFile)(process.execPath, [root('dist/src/cli/cbd2rbd.js'), '--dir', daemon.dir, ...words]);

interface Df {
  readonly stats: {readonly total_bytes: number, readonly total_avail_bytes: number};
  readonly pools: readonly {readonly name: string, readonly stats: {readonly stored: number, readonly objects: number, readonly max_avail: number}}[];
}
// What is available moves by kilobytes with the cluster's own books.
const shown = (df: Df, name: string): unknown => {
  const {stored, objects, max_avail = -1} = df.pools.find((pool) => pool.name === name)?.stats ?? {};
  return {stored, objects, avail64MiB: Math.round(max_avail / 2 ** 26)};
};

/** The real cluster's df once its manager has counted what was written. */
function settledDf(): Df {
  for (let before = '';;) {
    const text = ceph.run('ceph', 'df', '--format', 'json');
    const df = JSON.parse(text) as Df;
    if (text === before && df.pools.some(({name, stats}) => name === 'behind' && stats.stored >= 9 << 20)) return df;
    before = text;
  }
}

t.before(async () => {
  ceph.run('rbd', 'create', 'behind/image', '--size', '32M');
  ceph.run('rbd', 'bench', '--io-type', 'write', '--io-size', '1M', '--io-total', '9M', 'behind/image');
  await admin('pool', 'map', 'far', 'ceph:behind', '--conf', ceph.conf);
  await admin('pool', 'map', 'far-too', 'ceph:other', '--conf', ceph.conf);
});

t.test('ceph df shows a pool on a real Ceph with that cluster\'s own figures', async (t) => {
  const real = settledDf();
  const df = JSON.parse(await ours('df', '--format', 'json')) as Df;
  t.strictSame(df.pools.map(({name}) => name), ['near', 'far', 'far-too']);
  t.strictSame(shown(df, 'far'), shown(real, 'behind'));
  t.strictSame(shown(df, 'far-too'), shown(real, 'other'));
  const {blocks, bsize} = statfsSync(daemon.dir);
  t.equal(df.stats.total_bytes, blocks * bsize + real.stats.total_bytes, 'the cluster counts once, beside our own disk');
  t.match(await ours('df'), /^far +2 +32 +\d+ MiB +\d+ +\d+ MiB /m);
});

t.test('they are in the lists of pools', async (t) => {
  t.equal(await ours('osd', 'pool', 'ls'), 'near\nfar\nfar-too\n');
  t.match(await ours('osd', 'pool', 'ls', 'detail'), /^pool 2 'far' replicated/m);
  t.match(await ours('osd', 'lspools'), '1 near\n2 far\n3 far-too\n');
});

t.test('rbd carries out commands about a pool on a real Ceph as that cluster\'s own rbd', async (t) => {
  const hook = root('build/bin/hooks/rbd');
  const rbd = async (...words: string[]): Promise<string> => mustRun(daemon, hook, words, {env});
  t.equal(await rbd('ls', 'far'), 'image\n');
  t.equal(await rbd('ls', '-p', 'far'), 'image\n');
  t.equal(await rbd('--pool=far', 'ls'), 'image\n');
  t.equal(await mustRun(daemon, hook, ['ls'], {env: {...env, RBD_POOL: 'far'}}), 'image\n');
  t.match(JSON.parse(await rbd('info', 'far/image', '--format', 'json')), {name: 'image', size: 32 << 20});
  await rbd('snap', 'create', '--no-progress', 'far/image@s');
  await rbd('snap', 'protect', 'far/image@s');
  await rbd('clone', 'far/image@s', 'far-too/clone');
  t.equal(ceph.run('rbd', 'children', 'behind/image@s'), 'other/clone\n', 'as the cluster\'s own tools see it');
  await rbd('create', '-s', '8M', 'far/far');
  t.match(await rbd('info', '-p', 'far', 'far'), /rbd image 'far'/);
  await rbd('rm', '--no-progress', 'far/far');
  await rbd('create', '-s', '8M', '--image-feature', 'layering', 'near/ours');
  await rbd('snap', 'create', '--no-progress', 'near/ours@s');
  await rbd('snap', 'protect', 'near/ours@s');
  for (const words of [['clone', 'far/image@s', 'near/clone'], ['clone', 'near/ours@s', 'far/clone']]) {
    const refused = await runClient(daemon, hook, words, {env});
    t.strictSame([refused.code, refused.stderr], [18, `rbd: ${words[0]} from one cluster to another: (18) Invalid cross-device link\n`], words.join(' '));
  }
  const missing = await runClient(daemon, hook, ['info', 'far/none'], {env});
  t.strictSame([missing.code, /error opening image none: \(2\) No such file/.test(missing.stderr)], [2, true], missing.stderr);
});

t.test('a cluster that does not answer shows nothing, and the log says why', async (t) => {
  const dead = join(daemon.dir, 'dead.conf');
  writeFileSync(dead, '[global]\nmon host = 127.0.0.1:1\n');
  await admin('pool', 'map', 'dead', 'ceph:behind', '--conf', dead);
  const df = JSON.parse(await ours('df', '--format', 'json')) as Df;
  t.strictSame(shown(df, 'dead'), {stored: 0, objects: 0, avail64MiB: 0});
  t.not((shown(df, 'far') as {stored: number}).stored, 0, 'the others are as before');
  t.match(daemon.lastLog, /dead\.conf.* does not say how full it is: connecting: errno 110/);
});
