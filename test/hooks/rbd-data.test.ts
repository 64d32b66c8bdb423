// hooks/rbd's commands that move data, as processes: files, pipes, holes, diffs, and what is left after a failure.
import {execFile, spawn} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {closeSync, existsSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import t from 'tap';
import {backends} from '../lib/backends.js';
import {serve, type Served} from '../lib/served.js';

t.setTimeout(240_000);
for (const backend of backends) t.test(`on ${backend}`, {timeout: 120_000}, async (t) => {
  const program = fileURLToPath(new URL('../../../build/bin/hooks/rbd', import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), 'cbd-rbd-'));
  const file = (name: string): string => join(folder, name);
  const environment = {PATH: '/usr/bin:/bin', CEPH_CONF: ''};
  /** NEBD does not tell what was written to a plain volume (docs/curvebs.md). */
  const knowsHoles = backend === 'local';
  let served: Served;

  interface Ended {
    readonly code: number;
    readonly stdout: Buffer;
    readonly stderr: string;
  }

  function rbd(args: readonly string[], stdin: Buffer = Buffer.alloc(0)): Promise<Ended> {
    return new Promise((resolve) => {
      const child = execFile(program, args, {env: environment, cwd: folder, encoding: 'buffer', maxBuffer: 1 << 28}, (error, stdout, stderr) =>
        resolve({code: error ? Number(error.code) : 0, stdout, stderr: stderr.toString()}));
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(stdin);
    });
  }

  const bad = {code: 0};

  /** 16 MiB: holes, 3 MB of data at an odd offset, a little more further behind. */
  function makeSparse(): Buffer {
    const fd = openSync(file('sparse'), 'w');
    ftruncateSync(fd, 16 << 20);
    writeSync(fd, randomBytes(3_000_000), 0, 3_000_000, 5000);
    writeSync(fd, randomBytes(70_001), 0, 70_001, 9 << 20);
    closeSync(fd);
    return readFileSync(file('sparse'));
  }

  t.before(async () => {
    served = await serve({}, backend);
    environment.CEPH_CONF = served.conf;
  });
  t.teardown(async () => {
    await served.destroy();
    rmSync(folder, {recursive: true});
  });

  t.test('a sparse file goes in and comes out the same, with its holes', async (t) => {
    const sparse = makeSparse();
    const imported = await rbd(['import', file('sparse'), 'im1']);
    t.equal(imported.code, 0);
    t.match(imported.stderr, /\rImporting image: 100% complete\.\.\.done\.\n$/);
    const extents = JSON.parse((await rbd(['diff', 'im1', '--format', 'json'])).stdout.toString()) as {length: number}[];
    const taken = extents.reduce((sum, extent) => sum + extent.length, 0);
    if (knowsHoles) t.ok(taken < 4 << 20, 'holes take nothing');
    else t.equal(taken, 16 << 20, 'all of a plain image counts as data');
    t.equal((await rbd(['export', 'im1', file('out'), '--no-progress'])).code, 0);
    t.ok(readFileSync(file('out')).equals(sparse));
    t.ok(statSync(file('out')).blocks * 512 < 4 << 20, 'holes stay holes');
    t.ok((await rbd(['export', 'im1', '-', '--no-progress'])).stdout.equals(sparse));
  });

  t.test('a pipe of unknown length becomes an image of just that length', async (t) => {
    for (const length of [0, 1, 1_000_001, 9 << 20]) {
      const bytes = randomBytes(length);
      t.match(await rbd(['import', '-', `p${length}`, '--no-progress'], bytes), {...bad, stderr: ''});
      t.ok((await rbd(['export', `p${length}`, '-', '--no-progress'])).stdout.equals(bytes), `${length} bytes`);
    }
  });

  t.test('the forms that OpenStack uses are taken', async (t) => {
    writeFileSync(file('small'), randomBytes(100_000));
    t.equal((await rbd(['import', '--pool', 'rbd', '--order', '22', file('small'), 'vol', '--new-format', '--cluster', 'ceph', '--conf', environment.CEPH_CONF])).code, 0);
    t.equal((await rbd(['import', '--dest-pool', 'rbd', '--order', '22', file('small'), 'vol2'])).code, 0);
    t.equal((await rbd(['import', '--pool', 'rbd', file('small'), 'vol3', '--image-format=2'])).code, 0);
    t.equal((await rbd(['export', '--pool', 'rbd', 'vol', file('vol.out')])).code, 0);
    t.ok(readFileSync(file('vol.out')).equals(readFileSync(file('small'))));
    t.match(JSON.parse((await rbd(['status', '--pool', 'rbd', '--format=json', 'vol'])).stdout.toString()), {watchers: []});
  });

  t.test('the name of the file is the image\'s where none is given', async (t) => {
    t.equal((await rbd(['import', file('small'), '--no-progress'])).code, 0);
    t.equal((await rbd(['info', 'small'])).code, 0);
  });

  t.test('failures have Ceph\'s words and codes and leave nothing behind', async (t) => {
    t.match(await rbd(['import', file('small'), 'vol']), {code: 17, stderr: /\rImporting image: 0% complete\.\.\.failed\.\nrbd: import failed: \(17\) File exists\n/});
    t.match(await rbd(['import', file('none'), 'x']), {code: 2, stderr: `rbd: error opening ${file('none')}\nrbd: import failed: (2) No such file or directory\n`});
    t.match(await rbd(['export', 'vol', file('vol.out')]), {code: 17, stderr: 'rbd: export error: (17) File exists\n'});
    t.match(await rbd(['export', 'nope', file('z')]), {code: 2, stderr: 'rbd: error opening image nope: (2) No such file or directory\n'});
    t.match(await rbd(['export', 'vol@nosnap', file('z')]), {code: 2, stderr: 'error setting snapshot context: (2) No such file or directory\n'});
    t.match(await rbd(['export', 'vol']), {code: 22, stderr: 'rbd: path was not specified\n'});
    t.match(await rbd(['import', '--export-format', '3', file('small'), 'v']), {code: 1, stderr: 'rbd: the argument for option \'--export-format\' is invalid\n'});
    t.match(await rbd(['import', file('small'), 'nopool/x']), {code: 2, stderr: /error opening pool 'nopool'/});
    t.match(await rbd(['import-diff', file('sparse'), 'vol']), {code: 22, stderr: /invalid or unexpected diff banner/});
    t.match(await rbd(['import-diff', '-', 'vol']), {code: 74, stderr: /failed to decode diff banner/});
    t.match(await rbd(['import-diff', 'nofile', 'vol']), {code: 2, stderr: 'rbd: error opening nofile\nrbd: import-diff failed: (2) No such file or directory\n'});
    t.match(await rbd(['-n', 'nonsense', 'ls']), {code: 1, stderr: 'error parsing \'nonsense\': expected string of the form TYPE.ID, valid types are: auth, mon, osd, mds, mgr, client\n'});
    t.notOk(existsSync(file('z')));
  });

  t.test('Ctrl-C in an import removes the half-made image', async (t) => {
    const child = spawn(program, ['import', '-', 'half', '--no-progress'], {env: environment, stdio: ['pipe', 'ignore', 'ignore']});
    child.stdin.on('error', () => undefined);
    child.stdin.write(randomBytes(6 << 20));
    const list = async (): Promise<string> => (await rbd(['ls'])).stdout.toString();
    for (let tries = 0; tries < 100 && !(await list()).includes('half'); tries++);
    t.match(await list(), /half/);
    child.kill('SIGINT');
    t.strictSame(await once(child, 'exit'), [null, 'SIGINT'], 'it ends by the signal, as the real one, so that a script ends with it');
    t.notMatch(await list(), /half/);
  });

  t.test('an import goes on where the daemon is killed under it and started again', async (t) => {
    const bytes = randomBytes(20 << 20);
    const child = spawn(program, ['import', '-', 'outlives', '--no-progress'], {env: environment, stdio: ['pipe', 'ignore', 'pipe']});
    const ended = once(child, 'exit');
    let stderr = '';
    child.stderr.on('data', (text: Buffer) => { stderr += text.toString(); });
    child.stdin.write(bytes.subarray(0, 9 << 20));
    const list = async (): Promise<string> => (await rbd(['ls'])).stdout.toString();
    for (let tries = 0; tries < 100 && !(await list()).includes('outlives'); tries++);
    await served.kill();
    child.stdin.end(bytes.subarray(9 << 20));
    await served.start();
    t.strictSame(await ended, [0, null], stderr);
    t.ok((await rbd(['export', 'outlives', '-', '--no-progress'])).stdout.equals(bytes));
    t.match(await rbd(['rm', 'outlives', '--no-progress']), bad);
  });

  t.test('a reader that goes away is named, and nothing half-made stays', async (t) => {
    const shell = (line: string): Promise<Ended> => new Promise((resolve) => {
      const child = execFile('/bin/bash', ['--norc', '-c', line], {env: environment, cwd: folder, encoding: 'buffer'}, (error, stdout, stderr) =>
        resolve({code: error ? Number(error.code) : 0, stdout, stderr: stderr.toString()}));
      child.stdin?.end();
    });
    t.match(await shell(`set -o pipefail; ${program} export im1 - --no-progress | head -c 10 > /dev/null`), {code: 32, stderr: 'rbd: export error: (32) Broken pipe\n'});
    t.match(await shell(`set -o pipefail; ${program} export-diff im1 - --no-progress | head -c 10 > /dev/null`), {code: 32, stderr: 'rbd: export-diff error: (32) Broken pipe\n'});
    t.match(await shell(`${program} diff im1 > /dev/full`), {code: 1, stderr: 'rbd: error writing to standard output: (28) No space left on device\n'});
    t.match(await shell(`${program} export im1 ${file('full')}/x --no-progress`), {code: /^(2|20)$/});
    t.match(await shell(`set -o pipefail; ${program} ls | head -c 0`), {code: 0, stderr: ''}, 'who lists may stop reading');
    t.match(await shell(`${program} ls > /dev/full`), {code: 1, stderr: 'rbd: error writing to standard output: (28) No space left on device\n'});
    t.match(await shell(`${program} export im1 - --no-progress > /dev/full`), {code: 28, stderr: 'rbd: export error: (28) No space left on device\n'});
  });

  t.test('rbd watch says that an image changed, and ends with its input', async (t) => {
    const child = spawn(program, ['watch', 'im1'], {env: environment, stdio: ['pipe', 'pipe', 'inherit']});
    let text = '';
    const said = (pattern: RegExp): Promise<void> => new Promise((resolve) => {
      const look = (): void => { if (pattern.test(text)) resolve(); };
      child.stdout.on('data', (part: Buffer) => {
        text += part.toString();
        look();
      });
      look();
    });
    await said(/press enter to exit/);
    t.equal((await rbd(['resize', 'im1', '-s', '17M', '--no-progress'])).code, 0);
    await said(/^im1 received notification: notify_id=[1-9]\d*, cookie=[1-9]\d*, notifier_id=[1-9]\d*, bl\.length=10, notify_op=HeaderUpdate$/m);
    const cookie = /cookie=(\d+)/.exec(text)?.[1];
    t.match(await rbd(['status', 'im1']), {stdout: new RegExp(`client\\.\\d+ cookie=${cookie}\n`)}, 'it is the one watcher that others see');
    t.match(await rbd(['rm', 'im1', '--no-progress']), {code: 16, stderr: /image still has watchers/}, 'and who removes the image must wait for it');
    child.stdin.write('\n');
    const [code] = await once(child, 'exit') as [number | null];
    t.equal(code, 0);
    t.equal((await rbd(['resize', 'im1', '-s', '16M', '--allow-shrink', '--no-progress'])).code, 0);
  });

  t.test('perf image iostat shows who works on which image', async (t) => {
    t.equal((await rbd(['create', 'hot', '-s', '16M'])).code, 0);
    const child = spawn(program, ['bench', '--io-type', 'readwrite', '--io-size', '8K', '--io-total', '100T', '--io-threads', '2', 'hot'], {env: environment, stdio: ['ignore', 'pipe', 'inherit']});
    await once(child.stdout, 'data');
    child.stdout.resume();
    const {stdout, code} = await rbd(['perf', 'image', 'iostat', 'rbd', '--iterations', '1', '--format', 'json']);
    t.equal(code, 0);
    const [hot] = JSON.parse(stdout.toString()) as Record<string, number|string>[];
    t.match(hot, {pool: 'rbd', pool_namespace: '', image: 'hot'});
    for (const name of ['write_ops', 'read_ops', 'write_latency', 'read_latency']) t.ok(Number(hot?.[name]) > 0, name);
    t.equal(Math.round(Number(hot?.['write_bytes']) / Number(hot?.['write_ops']) / 512), 16, 'bytes are the requests\' own');
    t.match((await rbd(['perf', 'image', 'iostat', 'rbd', '--iterations', '1'])).stdout.toString(), /^NAME +WR +RD +WR_BYTES +RD_BYTES +WR_LAT +RD_LAT \nhot +\S+\/s .*\n\n$/);
    child.kill('SIGINT');
    await once(child, 'exit');
    t.match(await rbd(['perf', 'image', 'iostat', 'rbd', '--iterations', '0']), {code: 1, stderr: /'--iterations' is invalid/});
    t.match(await rbd(['perf', 'image', 'iostat', '--sort-by', 'x']), {code: 1});
    t.match(await rbd(['perf', 'image', 'iostat', 'nopool', '--iterations', '1']), {code: 2, stderr: /Pool 'nopool' not found/});
  });

  t.test('without a daemon rbd says so and how to start one, and merges differences all the same', async (t) => {
    const alone = (args: readonly string[]): Promise<Ended> => new Promise((resolve) => {
      const child = execFile(program, args, {env: {PATH: '/usr/bin:/bin', CEPH_CONF: '/dev/null', CBD2RBD_SOCKET: file('nobody')}, cwd: folder, encoding: 'buffer'}, (error, stdout, stderr) =>
        resolve({code: error ? Number(error.code) : 0, stdout, stderr: stderr.toString()}));
      child.stdin?.end();
    });
    for (const args of [['ls'], ['import', file('small'), 'x'], ['export', 'im1', '-']]) {
      t.match(await alone(args), {code: 1, stderr: `rbd: no cbd2rbd daemon answers at ${file('nobody')}; start one with: cbd2rbd serve\nrbd: couldn't connect to the cluster!\n`}, args.join(' '));
    }
    writeFileSync(file('one.diff'), Buffer.concat([Buffer.from('rbd diff v1\nt\x01\0\0\0as\0\0\x10\0\0\0\0\0w'), Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('aaaae')]));
    writeFileSync(file('two.diff'), Buffer.concat([Buffer.from('rbd diff v1\nf\x01\0\0\0at\x01\0\0\0bs\0\0\x10\0\0\0\0\0w'), Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('bbbbe')]));
    const {code, stdout} = await alone(['merge-diff', '--no-progress', file('one.diff'), file('two.diff'), '-']);
    t.equal(code, 0);
    t.ok(stdout.includes('aa') && stdout.includes('bbbb') && !stdout.includes('aaa'), 'the later one covers the earlier one');
    t.equal((await alone(['--version'])).code, 0);
  });

  t.test('a diff carries what changed to another image', async (t) => {
    const {stdout: diff} = await rbd(['export-diff', 'im1', '-', '--no-progress']);
    t.equal(diff.subarray(0, 12).toString(), 'rbd diff v1\n');
    t.equal(diff.at(-1), 'e'.charCodeAt(0));
    t.equal((await rbd(['create', 'other', '-s', '1'])).code, 0);
    t.match(await rbd(['import-diff', '-', 'other', '--no-progress'], diff), {code: 0, stderr: ''});
    t.ok((await rbd(['export', 'other', '-', '--no-progress'])).stdout.equals(readFileSync(file('sparse'))));
    t.match(await rbd(['import-diff', '-', 'other'], diff.subarray(0, 200)), {code: 74, stderr: /import-diff failed: \(74\) Bad message/});
  });

  t.test('a copy and a usage report', async (t) => {
    t.equal((await rbd(['cp', 'im1', 'copy', '--no-progress'])).code, 0);
    t.ok((await rbd(['export', 'copy', '-', '--no-progress'])).stdout.equals(readFileSync(file('sparse'))));
    t.match(await rbd(['cp', 'im1', 'copy']), {code: 17, stderr: /rbd: copy failed: \(17\) File exists/});
    t.match((await rbd(['du', 'im1'])).stdout.toString(), knowsHoles ? /^NAME +PROVISIONED +USED *\nim1 +16 MiB +8 MiB\n$/ : /^NAME +PROVISIONED +USED *\nim1 +16 MiB +16 MiB\n$/);
    t.match(JSON.parse((await rbd(['du', 'im1', '--format', 'json'])).stdout.toString()), {images: [{name: 'im1', provisioned_size: 16777216, used_size: knowsHoles ? 8388608 : 16777216}]});
    t.match(await rbd(['du', 'nope']), {code: 2, stderr: 'specified image nope is not found.\nrbd: du failed: (2) No such file or directory\n'});
  });
});
