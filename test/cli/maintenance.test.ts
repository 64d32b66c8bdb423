// `cbd2rbd image|layer|check|backup|restore|doctor|completion|manual` as an administrator uses them, against a daemon below a folder, with its
// pool on either backend.
import {execFile, execFileSync, spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import t from 'tap';
import {commands} from '../../src/cli/commands.js';
import {run} from '../../src/cli/run.js';
import {Cluster} from '../curvebs/cluster.js';
import {backends} from '../lib/backends.js';
import {curvebsVolumes, localVolumes, type Volumes} from '../lib/volumes.js';

const program = fileURLToPath(new URL('../../src/cli/cbd2rbd.js', import.meta.url));
const rbdProgram = fileURLToPath(new URL('../../../build/bin/hooks/rbd', import.meta.url));
interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

t.setTimeout(300_000);
for (const name of Object.keys(process.env)) if (name.startsWith('CBD2RBD_')) delete process.env[name];

/** A daemon's, and a place for files. */
let dir = '';

async function cli(...args: string[]): Promise<Ended> {
  let [stdout, stderr] = ['', ''];
  const code = await run(commands, ['--dir', dir, ...args], {stdout: (text) => stdout += text, stderr: (text) => stderr += text});
  return {code, stdout, stderr};
}

for (const backend of backends) t.test(`on ${backend}`, async (t) => {
  dir = mkdtempSync(join(tmpdir(), 'cbd-keep-'));
  const cluster = new Cluster({folder: join(dir, 'curvebs'), variablesAfterMs: 0});
  let environment: Record<string, string> = {};
  if (backend === 'curvebs') {
    await cluster.start();
    environment = {CBD2RBD_DEFAULT_BACKEND: backend, CBD2RBD_CURVEBS_MDS: cluster.mdsAddresses.join(','), CBD2RBD_CURVEBS_NEBD_SOCKET: cluster.nebdSocket};
  }

  async function json<T = Record<string, unknown>>(...args: string[]): Promise<T> {
    const {code, stdout, stderr} = await cli(...args, '--json');
    if (code !== 0) throw new Error(`${args.join(' ')}: ${code} ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  function rbd(...args: string[]): Promise<Ended> {
    return new Promise((resolve) => {
      const child = execFile(rbdProgram, args, {env: {PATH: '/usr/bin:/bin', CEPH_CONF: join(dir, 'ceph.conf')}}, (error, stdout, stderr) =>
        resolve({code: error ? Number(error.code) : 0, stdout, stderr}));
      child.stdin?.end();
    });
  }

  async function mustRbd(...args: string[]): Promise<void> {
    const {code, stderr} = await rbd(...args);
    if (code !== 0) throw new Error(`rbd ${args.join(' ')}: ${code} ${stderr}`);
  }

  let daemon: ChildProcess;
  async function serve(): Promise<void> {
    daemon = spawn(process.execPath, [program, '--dir', dir, 'serve'], {env: {...process.env, ...environment}, stdio: ['ignore', 'pipe', 'inherit']});
    if (daemon.stdout) await once(daemon.stdout, 'data');
  }

  async function stop(): Promise<void> {
    const ended = once(daemon, 'exit');
    daemon.kill('SIGTERM');
    await ended;
  }

  await serve();
  t.teardown(async () => {
    daemon.kill('SIGKILL');
    if (backend === 'curvebs') await cluster.stop();
    rmSync(dir, {recursive: true, force: true});
    if (cluster.nebdServer.crash !== undefined) throw new Error(`the CurveBS stand-in died of ${cluster.nebdServer.crash}`);
  });
  const localFolder = (): string => join(dir, 'volumes', readdirSync(join(dir, 'volumes'))[0] ?? '');
  const volumes = (): Volumes => backend === 'local' ? localVolumes(localFolder()) : curvebsVolumes(cluster, 'rbd');

  t.test('image ls and show tell what stands behind an image', async (t) => {
    await mustRbd('create', 'one', '-s', '8M');
    await mustRbd('snap', 'create', 'one@s', '--no-progress');
    await mustRbd('bench', '--io-type', 'write', '--io-size', '4K', '--io-total', '64K', 'one');
    t.match(await json('image', 'ls'), [{path: 'rbd/one', size: 8 << 20, snapshots: 1, layers: 2, kind: 'cow', inTrash: false, open: 0}]);
    t.match(await json('image', 'show', 'rbd/one'), {
      path: 'rbd/one', snaps: [{name: 's', isProtected: false}], sessions: [], chain: [{kind: 'cow', frozen: false}, {kind: 'plain', frozen: true, allocated: Number}],
    });
    t.match(await cli('image', 'show', 'nope'), {code: 1, stderr: /there is no image nope \(errno 2\)/});
    t.match(await cli('image', 'show', 'a//b'), {code: 1, stderr: /"a\/\/b" is no image/});
    t.match(await cli('image', 'ls', 'nopool'), {code: 1, stderr: /there is no pool nopool/});
    t.match(await json('layer', 'ls'), [{image: 'rbd/one', kind: 'cow'}, {image: 'rbd/one', kind: 'plain'}].reverse().map(() => ({image: 'rbd/one'})));
    t.match(await json('pool', 'show', 'rbd'), {name: 'rbd', images: 1, bytes: Number});
  });

  t.test('with --json every command prints one JSON text, and a refusal prints nothing but its reason on standard error', async (t) => {
    const lines = [
      'status', 'pool ls', 'pool show rbd', 'pool map other local:other', 'pool unmap other', 'user ls', 'user add client.j', 'user keyring client.j', 'user caps client.j mon profile~rbd',
      'user rm client.j', 'image ls rbd', 'image show rbd/one', 'session ls', 'layer ls', 'layer gc --dry-run', 'layer merge', 'check', `backup ${join(dir, 'as-json')}`, 'config show', 'config check',
    ];
    for (const line of lines) t.type(await json<unknown>(...line.split(' ').map((word) => word.replace('~', ' '))), 'object', line);
    for (const line of ['pool show nope', 'pool unmap nope', 'user rm client.j', 'image show rbd/nope', 'image adopt rbd nope', 'image release rbd/nope', 'session kill 99999', `restore ${join(dir, 'as-json')}`]) {
      t.match(await cli(...line.split(' '), '--json'), {code: 1, stdout: /^$/, stderr: /^cbd2rbd: .*\n$/}, line);
    }
  });

  t.test('an image is handed back as a flat file of its name, and an existing file becomes an image', async (t) => {
    const bytes = Buffer.alloc(3 << 20, 'flat');
    writeFileSync(join(dir, 'in'), bytes);
    await mustRbd('import', join(dir, 'in'), 'base', '--no-progress');
    await mustRbd('snap', 'create', 'base@s', '--no-progress');
    await mustRbd('clone', 'base@s', 'copy', '--rbd-default-clone-format', '2');
    await mustRbd('bench', '--io-type', 'write', '--io-size', '4K', '--io-total', '4K', 'copy');
    t.match(await cli('image', 'release', 'base'), {code: 1, stderr: /has snapshots.*\(errno 39\)/});
    const expected = join(dir, 'expected');
    await mustRbd('export', 'copy', expected, '--no-progress');
    t.match(await json('image', 'release', 'rbd/copy'), {volume: 'copy', size: 3 << 20});
    t.ok((await volumes().read('copy', 0, 3 << 20)).equals(readFileSync(expected)), 'the file has the image\'s bytes');
    t.match(await json('check'), [], 'no record is left of it');
    if (backend === 'local') {
      t.notMatch((await rbd('ls')).stdout, /copy/);
      t.match(await json('image', 'adopt', 'rbd', 'copy', 'again'), {path: 'rbd/again', size: 3 << 20, kind: 'plain', volume: 'copy'});
    } else {
      // What CurveBS has in the pool's directory is an image by itself, under its name and with its size.
      t.match(await json('image', 'show', 'rbd/copy'), {size: 10 * 2 ** 30, chain: [{kind: 'plain', volume: 'copy'}]});
      await mustRbd('rename', 'copy', 'again');
      await mustRbd('resize', 'again', '-s', '3M', '--allow-shrink', '--no-progress');
    }
    await mustRbd('export', 'again', join(dir, 'out'), '--no-progress');
    t.ok(readFileSync(join(dir, 'out')).equals(readFileSync(expected)));
    t.match(await cli('image', 'adopt', 'rbd', 'copy', 'twice'), {code: 1, stderr: /belongs to image again \(errno 16\)/});
    t.match(await cli('image', 'adopt', 'rbd', 'nofile'), {code: 1, stderr: /no volume nofile/});
    // CurveBS can hold the name: a slash is written as %2F there.
    t.match(await cli('image', 'adopt', 'rbd', '../cbd2rbd.db'), {code: 1, stderr: backend === 'local' ? /errno 22/ : /no volume .*errno 2\)/});
    await mustRbd('rm', 'again', '--no-progress');
    t.notOk(volumes().names().includes('copy'), 'an adopted image is removed like any other');
  });

  t.test('an image that is open is not handed back', async (t) => {
    await mustRbd('create', 'busy', '-s', '1M');
    const watcher = spawn(rbdProgram, ['bench', '--io-type', 'write', '--io-size', '4K', '--io-total', '100T', 'busy'], {
      env: {PATH: '/usr/bin:/bin', CEPH_CONF: join(dir, 'ceph.conf')}, stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (watcher.stdout) await once(watcher.stdout, 'data');
    const {stderr, code} = await cli('image', 'release', 'busy');
    watcher.kill('SIGINT');
    await once(watcher, 'exit');
    t.equal(code, 1);
    t.match(stderr, /open.*\(errno 16\)/);
    t.match(await json('image', 'release', 'busy'), {volume: 'busy'}, 'once it is closed it is');
    volumes().remove('busy');
  });

  t.test('check names what is wrong and repairs what is safe', async (t) => {
    t.match(await cli('check'), {code: 0, stdout: 'nothing is wrong\n'});
    const orphan = `layer-${'ab'.repeat(8)}`;
    volumes().add(orphan);
    await mustRbd('create', 'short', '-s', '4M');
    const {chain: [layer]} = await json<{chain: {volume: string}[]}>('image', 'show', 'short');
    const volume = layer?.volume ?? '';
    // (A volume of CurveBS never shrinks.)
    if (backend === 'local') truncateSync(join(localFolder(), volume), 1 << 20);
    const found = await cli('check');
    t.equal(found.code, 1);
    t.match(found.stdout, /^volume layer-abab.*: of pool rbd belongs to no record \(--repair: it is removed\)$/m);
    if (backend === 'local') t.match(found.stdout, /^layer .*: volume .* has 1048576 bytes, its record says 4194304 \(--repair: /m);
    t.ok(volumes().names().includes(orphan), 'looking changes nothing');
    t.match(await cli('layer', 'gc', '--dry-run'), {code: 0, stdout: /^would remove rbd: layer-abab/});
    t.ok(volumes().names().includes(orphan));
    t.match(await cli('check', '--repair'), {code: 0, stdout: /repaired/});
    t.notOk(volumes().names().includes(orphan));
    t.ok(volumes().size(volume) >= 4 << 20);
    volumes().remove(volume);
    t.match(await cli('check', '--repair'), {code: 1, stdout: /volume .* of pool rbd is missing$/m}, 'lost data is not papered over');
    await mustRbd('rm', 'short', '--no-progress');
    t.match(await cli('check'), {code: 0});
  });

  t.test('merge waits until chains are short', async (t) => {
    await mustRbd('snap', 'rm', 'one@s', '--no-progress');
    const {before, after} = await json<{before: number, after: number}>('layer', 'merge');
    t.ok(after <= before);
    t.match(await json('check'), []);
  });

  t.test('a backup brings all records back', async (t) => {
    const file = join(dir, 'backup.jsonl');
    t.match(await json('backup', file), {file, records: Number});
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.match(await cli('backup', file), {code: 1, stderr: /EEXIST/}, 'a file is not overwritten');
    const before = await json('image', 'ls');
    const users = await json('user', 'ls');
    t.match(await cli('restore', file), {code: 1, stderr: /another daemon .*running/}, 'not under a daemon');
    await mustRbd('rename', 'one', 'other');
    await stop();
    t.match(await cli('restore', file), {code: 1, stderr: /--replace/});
    const cut = join(dir, 'cut.jsonl');
    writeFileSync(cut, readFileSync(file, 'utf8').split('\n').slice(0, -3).join('\n'));
    t.match(await cli('restore', '--replace', cut), {code: 1, stderr: /the backup is cut/});
    writeFileSync(cut, 'hello\n');
    t.match(await cli('restore', '--replace', cut), {code: 1, stderr: /line 1: this is not JSON/});
    t.match(await cli('restore', '--replace', file), {code: 0, stdout: /records of 20/});
    await serve();
    t.strictSame(await json('image', 'ls'), before);
    t.strictSame(await json('user', 'ls'), users);
    t.match(await cli('check'), {code: 0});
    t.match((await rbd('info', 'one')).stdout, /rbd image 'one'/);
  });

  t.test('doctor finds what keeps a client from working', async (t) => {
    const doctor = async (env: Record<string, string>, ...args: string[]): Promise<Ended> => new Promise((resolve) => execFile(
        process.execPath, [program, 'doctor', ...args], {env: {PATH: process.env['PATH'] ?? '', ...env}}, (error, stdout, stderr) => resolve({code: error ? Number(error.code) : 0, stdout, stderr})));
    const libraries = fileURLToPath(new URL('../../../build/lib', import.meta.url));
    const good = {CEPH_CONF: join(dir, 'ceph.conf'), LD_LIBRARY_PATH: libraries};
    const fine = await doctor(good);
    t.equal(fine.code, 0, fine.stdout + fine.stderr);
    t.match(fine.stdout, /^ok {3}library {2}librbd\.so\.1 is ours/m);
    t.match(fine.stdout, /^ok {3}pools {4}rbd answers \((local|curvebs)\)$/m);
    t.match(await doctor({...good, LD_LIBRARY_PATH: '/nonexistent'}, '--json'), {code: /^[01]$/});
    t.match(await doctor({...good, CEPH_CONF: '/nonexistent'}), {code: 1, stdout: /bad {2}socket/});
    writeFileSync(join(dir, 'other.conf'), `[global]\ncbd2rbd_socket = ${dir}/nobody\n`);
    t.match(await doctor({...good, CEPH_CONF: join(dir, 'other.conf')}), {code: 1, stdout: /bad {2}socket {3}.*nobody does not exist\n +-> start the daemon/});
    t.match(await doctor(good, '--user', 'ghost'), {code: 1, stdout: /bad {2}daemon {3}the daemon turns client\.ghost away/});
    t.match(await doctor({...good, LD_PRELOAD: ''}, '--json'), {stdout: /"about": "preload"/});

    // Each cause made on purpose: its line names what is at fault, and the next one what to do.
    const wrong = join(dir, 'wrong');
    mkdirSync(wrong);
    for (const name of ['librbd.so.1', 'librados.so.2', 'no-socket']) writeFileSync(join(wrong, name), 'nothing of ours');
    t.match(await doctor({...good, LD_LIBRARY_PATH: wrong}), {code: 1, stdout: /^bad {2}library {2}librbd\.so\.1 is not ours: .*\/wrong\/librbd\.so\.1 \(by LD_LIBRARY_PATH\)\n +-> install the package cbd2rbd-librbd/m});
    t.match(await doctor(good, '--socket', join(wrong, 'no-socket')), {code: 1, stdout: /^bad {2}socket {3}.*no-socket is no socket\n +-> name the daemon's/m});
  });
});

t.test('completion and manual pages come from the same table as help', async (t) => {
  dir = t.testdir();
  const {stdout: script} = await cli('completion', 'bash');
  writeFileSync(join(dir, 'completion'), script);
  const complete = (words: string): string[] => execFileSync('bash', ['-c', `source ${join(dir, 'completion')}; COMP_WORDS=(cbd2rbd ${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _cbd2rbd; printf '%s\\n' "\${COMPREPLY[@]}"`],
      {encoding: 'utf8', cwd: dir}).trim().split('\n').sort();
  t.strictSame(complete('ima'), ['image']);
  t.strictSame(complete('image \'\''), ['adopt', 'ls', 'move', 'release', 'show']);
  t.ok(complete('pool map x --own').includes('--owner'));
  t.strictSame(complete('--dir x pool \'\''), ['ls', 'map', 'qos', 'show', 'unmap']);
  t.match(await cli('completion', 'fish'), {code: 2});
  const share = join(dir, 'share');
  execFileSync(process.execPath, [fileURLToPath(new URL('../../tools/man-pages.js', import.meta.url)), share]);
  for (const command of commands) t.ok(existsSync(join(share, `cbd2rbd-${command.name.replaceAll(' ', '-')}.1`)), command.name);
  const page = readFileSync(join(share, 'cbd2rbd-pool-map.1'), 'utf8');
  t.match(page, /^\.TH CBD2RBD-POOL-MAP 1/);
  t.match(readFileSync(join(share, 'cbd2rbd.conf.5'), 'utf8'), /curvebs_mds/);
  t.match(page, /\\-\\-owner/);
  t.match(readFileSync(join(share, 'cbd2rbd-rbd.1'), 'utf8'), /rbd merge\\-diff/);
});

t.test('help of every command has an example that is one of its own', async (t) => {
  for (const command of commands) {
    const {code, stdout} = await cli('help', ...command.name.split(' '));
    t.equal(code, 0, command.name);
    t.ok(command.examples.length > 0 && command.examples.some((example) => example.includes(command.name)), command.name);
    t.match(stdout, /usage: cbd2rbd /);
  }
});
