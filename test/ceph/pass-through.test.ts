// A pool on a real Ceph beside a pool of ours, in one process, through stock clients: whole calls reach the
// real library, and what it calls back reaches the client.
import t, {type Test} from 'tap';
import {spawn} from 'node:child_process';
import {createHash} from 'node:crypto';
import {once} from 'node:events';
import {mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';

import {copyCephLibraries} from '../../src/install/ceph-libraries.js';
import {ClusterProcess} from '../curvebs/cluster-process.js';
import {startTestDaemon} from '../lib/daemon.js';
import {root} from '../lib/root.js';
import {cephInstalled, startCeph} from './cluster.js';

if (!cephInstalled())
  t.bailout('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');

const realFolder = '/usr/lib/x86_64-linux-gnu';
const copies = root('build/ceph-libraries');
copyCephLibraries({from: realFolder, to: copies});

const ceph = await startCeph({pools: ['behind']});
const curvebs = await ClusterProcess.start(mkdtempSync(join(tmpdir(), 'cbd-pass-')));
const daemon = await startTestDaemon({
  CBD2RBD_DEFAULT_POOLS: 'near',
  CBD2RBD_CURVEBS_MDS: curvebs.mds,
  CBD2RBD_CURVEBS_NEBD_SOCKET: curvebs.nebdSocket,
});
t.teardown(async () => {
  await daemon.stop();
  await ceph.destroy();
  await curvebs.destroy();
});
const conf = join(daemon.dir, 'client.conf');
writeFileSync(conf, `[global]\ncbd2rbd_socket = ${daemon.socket}\n`);
const admin = await daemon.client();
await admin.call('admin.pool.map', {name: 'far', backend: 'ceph', dir: 'behind', ceph: {conf: ceph.conf}});
await admin.call('admin.pool.map', {name: 'cbs', backend: 'curvebs', dir: '/cbs', owner: 'cinder'});

interface Run {
  readonly status: number|null;
  readonly stdout: string;
  readonly stderr: string;
}

// A stock program with our libraries. The daemon is in this process, so nothing here may block on it.
async function client(argv: readonly string[], environment: Record<string, string> = {}): Promise<Run> {
  return new Promise((resolve, reject) => {
    const [command = '', ...rest] = argv;
    const child = spawn(command, rest, {
      env: {
        ...process.env,
        CEPH_CONF: conf,
        CEPH_ARGS: '',
        LD_LIBRARY_PATH: root('build/lib'),
        CBD2RBD_CEPH_LIBS: copies,
        ...environment,
      },
      timeout: 120_000,
    });
    const output = {stdout: '', stderr: ''};
    child.stdout.on('data', (data: Buffer) => output.stdout += data.toString());
    child.stderr.on('data', (data: Buffer) => output.stderr += data.toString());
    child.on('error', reject);
    child.on('close', status => resolve({status, ...output}));
  });
}

async function python(
    t: Test, command: readonly string[], environment: Record<string, string> = {}): Promise<unknown> {
  const run = await client(['/usr/bin/python3', root('test/ceph/pass-through.py'), ...command], environment);
  t.equal(run.status, 0, run.stderr);
  return JSON.parse(run.stdout === '' ? 'null' : run.stdout);
}

const MIB = 1 << 20;

t.test('one python process holds an image on Ceph and one of ours, and copies each to the other', async t => {
  t.strictSame(await python(t, ['side-by-side']), {
    'read back': [true, true],
    'from-far': [32 * MIB, true, [['who', 'far']]],
    'from-near': [32 * MIB, true, [['who', 'near']]],
    'clone': 18,
    'copy over what is there': 17,
    'lists': [['a', 'from-near'], ['a', 'from-far']],
    'name and id': [2, 'far'],
    'no such image': [2, 2],
  });
  t.strictSame(
      ceph.run('rbd', 'ls', 'behind').trim().split('\n'), ['a', 'from-near'],
      'as the cluster\'s own tools see it');
});

t.test('one process does I/O on an image on Ceph and one on CurveBS at once, and copies and compares them', async t => {
  t.strictSame(
      await python(t, ['both-open']), {'ended': [512, true], 'same': true, 'right': true, 'copied': true});
});

t.test('a deep copy takes snapshots along, from Ceph to us and back', async t => {
  const whole = [true, [['one', true], ['two', false]], [['who', 'far']]];
  t.strictSame(await python(t, ['deep-copies']), {
    'far to near': whole,
    'near to far': whole,
    'far to cbs': whole,
    'cbs to far': whole,
    'taken': 17,
    'from a snapshot': [['one'], true],
  });
});

t.test('completions and progress of a Ceph image arrive as the real library makes them', async t => {
  const seen = await python(t, ['callbacks']) as {aio: Array<[number, boolean, boolean | null]>};
  t.match(seen, {'extents cover the write': true, 'size': 8 * MIB, 'progress': [true, true]});
  t.strictSame(seen.aio, [
    [0, true, null],
    [MIB, true, true],
    [0, true, null],
    [0, true, null],
    [-22, true, null],
  ]);
});

t.test(
    'polled completions, update watches and asynchronous opening and closing reach the client', async t => {
      t.strictSame(await python(t, ['events']), {
        'open': 0,
        'open what is not there': -2,
        'polled': true,
        'told of the resize': true,
        'close': 0,
        'removed': 0,
      });
    });

t.test(
    'lists come over and are freed, options reach the cluster, and what we refuse ourselves works there',
    async t => {
      t.strictSame(await python(t, ['lists']), {
        trash: ['listed'],
        option: ['false'],
        snapshots: ['one', 'two'],
        lockers: ['cookie'],
        watchers: 1,
        owners: 1,
        groups: ['together'],
        namespaces: ['apart'],
        'in the namespace': ['inside'],
        images: true,
      });
    });

t.test('objects of a Ceph pool are the real library\'s', async t => {
  t.strictSame(await python(t, ['objects']), {
    read: 'bytes',
    aio: ['bytes'],
    attributes: [['key', 'value']],
    omap: [['k1', 'v1'], ['k2', 'v2']],
    listed: true,
    pool: true,
    'a missing object': 2,
  });
});

t.test(
    'a forked child reaches the pool that its parent opened, on a connection of its own, and leaves its image alone',
    async t => {
      t.strictSame(
          await python(t, ['fork']),
          {child: 'before in the child, 107, closed', status: 0, parent: 'after!'});
    });

t.test('contexts, images and the handle that they came from may go in any order; one handle stays connected', async t => {
  t.strictSame(await python(t, ['orders']), [24, 1, 0]);
});

t.test('a pool says with ENOPKG that Ceph\'s libraries are missing, and other pools go on', async t => {
  t.strictSame(
      await python(t, ['unreachable', 'far', 'near'], {CBD2RBD_CEPH_LIBS: daemon.dir}), {far: 65, near: 0});
  const told = await client([root('build/bin/hooks/rbd'), 'export', 'far/a', '-'], {CBD2RBD_CEPH_LIBS: daemon.dir});
  t.strictSame([told.status, told.stderr], [
    65, 'rbd: error opening pool \'far\': (65) Package not installed: it is on a real Ceph, and the copies of Ceph\'s librados and ' +
        'librbd are missing here (`cbd2rbd ceph libraries` makes them)\n',
  ]);
});

t.test('a cluster that does not answer, and a pool that it lacks, are the pool\'s own error', async t => {
  const dead = join(daemon.dir, 'dead.conf');
  writeFileSync(dead, '[global]\nmon host = 127.0.0.1:1\n');
  await admin.call('admin.pool.map', {name: 'dead', backend: 'ceph', ceph: {conf: dead}});
  await admin.call(
      'admin.pool.map', {name: 'lacking', backend: 'ceph', dir: 'nowhere', ceph: {conf: ceph.conf}});
  t.strictSame(await python(t, ['unreachable', 'dead', 'lacking', 'near']), {dead: 110, lacking: 2, near: 0});
});

interface Speaker {
  say(line: string): void;
  line(): Promise<string>;
  readonly status: Promise<number|null>;
}

function talk(command: readonly string[], environment: NodeJS.ProcessEnv): Speaker {
  const child = spawn('/usr/bin/python3', [root('test/ceph/pass-through.py'), ...command],
                      {env: environment, stdio: ['pipe', 'pipe', 'inherit'], timeout: 100_000});
  const lines = createInterface({input: child.stdout})[Symbol.asyncIterator]();
  const status = once(child, 'close').then(([code]) => code as number | null);
  return {say: line => child.stdin.write(`${line}\n`), line: async () => String((await lines.next()).value), status};
}

t.test('while a real cluster is silent its calls time out as they do there, ours go on, and it comes back', async t => {
  const direct = talk(['outage', 'behind'], ceph.env);
  const through = talk(['outage', 'far', 'near'], {...process.env, CEPH_CONF: conf, CEPH_ARGS: '', LD_LIBRARY_PATH: root('build/lib'), CBD2RBD_CEPH_LIBS: copies});
  const both = [direct, through];
  for (const one of both) t.equal(await one.line(), 'ready');
  const daemons = Object.values(ceph.status()).filter(pid => pid !== undefined);
  for (const pid of daemons) process.kill(pid, 'SIGSTOP');
  let answers: Record<string, unknown>[];
  try {
    for (const one of both) one.say('silent');
    answers = await Promise.all(both.map(async one => JSON.parse(await one.line()) as Record<string, unknown>));
  } finally {
    for (const pid of daemons) process.kill(pid, 'SIGCONT');
  }
  const [real = {}, seen = {}] = answers;
  t.strictSame(seen, {...real, ours: ['during', true, 8 * MIB]});
  t.strictSame([real['read'], real['connecting anew']], [110, 110]);
  for (const one of both) one.say('back');
  for (const one of both) {
    t.equal(await one.line(), '"after!"');
    t.equal(await one.status, 0);
  }
});

t.test('one qemu-img convert goes from Ceph to CurveBS and to local files, and one back', async t => {
  const at = (image: string): string => `rbd:${image}:conf=${conf}`;
  const ways = [['far/a', 'near/converted'], ['near/converted', 'far/back'], ['far/a', 'cbs/converted'],
                ['cbs/converted', 'far/back-again']] as const;
  for (const [from, to] of ways.map(way => way.map(at) as [string, string])) {
    const run = await client(['qemu-img', 'convert', '-f', 'raw', '-O', 'raw', from, to]);
    t.equal(run.status, 0, run.stderr);
    const compared = await client(['qemu-img', 'compare', '-f', 'raw', '-F', 'raw', from, to]);
    t.match(compared.stdout, 'Images are identical.', compared.stderr);
  }
});

t.test('rbd copies, with snapshots too, exports and imports across', async t => {
  const hook = root('build/bin/hooks/rbd');
  const rbd = async (...words: string[]): Promise<Run> => {
    const run = await client([hook, ...words]);
    t.equal(run.status, 0, `rbd ${words.join(' ')}: ${run.stderr}`);
    return run;
  };
  t.match((await rbd('cp', 'far/deep@one', 'cbs/copied')).stderr, /Image copy: 100% complete\.\.\.done\./);
  const deep = await rbd('deep', 'cp', 'far/deep', 'near/deep-copied');
  t.match(deep.stderr, /Image deep copy: [1-9]\d?% complete\.\.\.[^]*Image deep copy: 100% complete\.\.\.done\./);
  const file = join(daemon.dir, 'exported');
  await rbd('export', '--no-progress', 'far/deep@two', file);
  await rbd('import', '--no-progress', file, 'near/imported');
  await rbd('export', '--no-progress', '--export-format', '2', 'near/deep-copied', `${file}.2`);
  await rbd('import', '--no-progress', '--export-format', '2', `${file}.2`, 'far/imported');
  const sums = [];
  for (const image of ['far/deep@one', 'cbs/copied', 'near/deep-copied@one', 'far/imported@one',
                       'far/deep@two', 'near/imported', 'near/deep-copied@two', 'far/imported@two']) {
    await rbd('export', '--no-progress', image, `${file}.sum`);
    sums.push(createHash('sha256').update(readFileSync(`${file}.sum`)).digest('hex'));
    rmSync(`${file}.sum`);
  }
  t.equal(new Set(sums.slice(0, 4)).size, 1);
  t.equal(new Set(sums.slice(4)).size, 1);
});

t.test('fio writes and verifies an image on Ceph', async t => {
  const run = await client([
    'fio',
    '--name=verify',
    '--ioengine=rbd',
    '--clientname=admin',
    '--pool=far',
    '--rbdname=back',
    '--rw=randwrite',
    '--bs=4k',
    '--iodepth=16',
    '--size=4M',
    '--verify=crc32c',
    '--verify_fatal=1',
    '--verify_state_save=0',
    '--output-format=terse',
  ]);
  t.equal(run.status, 0, run.stderr + run.stdout);
});

t.test('the daemon takes only a mapping that clients can use', async t => {
  const map = (ceph: Record<string, string>, backend = 'ceph'): Promise<unknown> =>
      admin.call('admin.pool.map', {name: 'bad', backend, ceph});
  await t.rejects(map({conf: 'relative.conf'}), {message: /relative\.conf/});
  await t.rejects(map({colour: 'red'}), {message: /colour/});
  await t.rejects(map({user: ''}), {message: /user/});
  await t.rejects(map({conf: '/x'}, 'local'), {message: /local/});
});

t.test('one command makes the copies', async t => {
  const run = (...words: string[]): Promise<Run> =>
      client([process.execPath, root('dist/src/cli/cbd2rbd.js'), ...words]);
  const folder = join(daemon.dir, 'made');
  const made = await run('ceph', 'libraries', realFolder, folder);
  t.strictSame([made.status, made.stdout], [0, `${folder}/ceprados.so.2\n${folder}/ceprbd.so.1\n`]);
  const refused = await run('ceph', 'libraries', folder);
  t.equal(refused.status, 1);
  t.match(refused.stderr, /^cbd2rbd: no librados\.so\.2 of Ceph in /);
  t.strictSame(
      await python(t, ['unreachable', 'far'], {CBD2RBD_CEPH_LIBS: folder}), {far: 0}, 'and they are good');
});

t.test('copies are made of Ceph\'s own libraries only', async t => {
  const folder = join(daemon.dir, 'copies');
  mkdirSync(folder);
  t.throws(() => copyCephLibraries({from: folder, to: folder}), {message: /no librados\.so\.2 of Ceph in/});
  t.throws(
      () => copyCephLibraries({from: root('build/lib'), to: folder}),
      {message: /librados\.so\.2 is not Ceph's own/});
  writeFileSync(join(folder, 'librados.so.2'), '\x7fELF libceph-common.so');
  t.throws(
      () => copyCephLibraries({from: folder, to: folder}),
      {message: /is not a 64-bit little-endian ELF file/});
  rmSync(join(folder, 'librados.so.2'));
  symlinkSync(join(realFolder, 'librados.so.2'), join(folder, 'librados.so.2'));
  t.throws(() => copyCephLibraries({from: folder, to: folder}), {message: /no librbd\.so\.1 of Ceph in/});
});
