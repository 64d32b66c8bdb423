// The `cbd2rbd` command as a person uses it: a daemon process below a folder, and every subcommand against it.
import {execFile, spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import t from 'tap';
import {DaemonClient} from '../../src/cli/client.js';
import {commands} from '../../src/cli/commands.js';
import {run} from '../../src/cli/run.js';
import {isKey} from '../../src/access/key.js';
import {parseKeyring} from '../../src/access/keyring.js';

const program = fileURLToPath(new URL('../../src/cli/cbd2rbd.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'cbd-cli-'));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

// In this process, for speed; process_() is the real thing.
async function cli(...args: string[]): Promise<Ended> {
  let [stdout, stderr] = ['', ''];
  const code = await run(commands, ['--dir', dir, ...args], {stdout: (text) => stdout += text, stderr: (text) => stderr += text});
  return {code, stdout, stderr};
}

function process_(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => execFile(process.execPath, [program, '--dir', dir, ...args], {}, (error, stdout, stderr) =>
    resolve({code: error ? Number(error.code) : 0, stdout, stderr})));
}

async function json(...args: string[]): Promise<Record<string, unknown>> {
  const {code, stdout, stderr} = await cli(...args, '--json');
  if (code !== 0) throw new Error(`${args.join(' ')}: ${code} ${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function serve(): Promise<{child: ChildProcess, ready: string}> {
  const child = spawn(process.execPath, [program, '--dir', dir, 'serve'], {stdio: ['ignore', 'pipe', 'inherit']});
  const [line] = await once(child.stdout, 'data') as [Buffer];
  return {child, ready: line.toString()};
}

t.setTimeout(120_000);
for (const name of Object.keys(process.env)) if (name.startsWith('CBD2RBD_')) delete process.env[name];
let daemon: ChildProcess;
t.before(async () => {
  t.equal((await cli('status')).code, 3, 'before there is a daemon');
  const started = await serve();
  daemon = started.child;
  t.match(started.ready, /^ready: pid \d+, socket .*cbd2rbd\.sock, CEPH_CONF=.*ceph\.conf\n$/);
});
t.teardown(() => {
  daemon.kill('SIGKILL');
  rmSync(dir, {recursive: true, force: true});
});

t.test('without a daemon every command says so and how to start one', async (t) => {
  const other = mkdtempSync(join(tmpdir(), 'cbd-cli-'));
  t.teardown(() => rmSync(other, {recursive: true}));
  const {code, stderr, stdout} = await cli('--socket', join(other, 'none'), 'pool', 'ls');
  t.equal(code, 3);
  t.equal(stdout, '');
  t.match(stderr, /^cbd2rbd: no daemon answers at .*none \(ENOENT\)\. Start one with: cbd2rbd serve\n$/);
});

t.test('a fresh daemon has the pool rbd, an administrator, and files for clients', async (t) => {
  t.match(await json('pool', 'ls'), [{name: 'rbd', backend: 'local'}]);
  const [admin] = parseKeyring(readFileSync(join(dir, 'ceph.client.admin.keyring'), 'utf8'));
  t.equal(admin?.entity, 'client.admin');
  t.ok(isKey(admin?.key ?? ''));
  t.equal(statSync(join(dir, 'ceph.client.admin.keyring')).mode & 0o777, 0o600);
  t.match(readFileSync(join(dir, 'ceph.conf'), 'utf8'), /fsid = [0-9a-f-]{36}\ncbd2rbd_socket = /);
  t.equal(statSync(join(dir, 'cbd2rbd.sock')).mode & 0o777, 0o666);
});

t.test('a second daemon on the same store is refused and disturbs nothing', async (t) => {
  const {code, stderr} = await process_('serve');
  t.equal(code, 1);
  t.match(stderr, new RegExp(`another daemon \\(pid ${daemon.pid}\\) is running on the store`));
  t.equal((await process_('status')).code, 0);
});

t.test('pools are mapped, shown and unmapped', async (t) => {
  const pool = await json('pool', 'map', 'volumes');
  t.match(pool, {name: 'volumes', backend: 'local'});
  t.match(await json('pool', 'show', 'volumes'), {name: 'volumes'});
  t.match(await json('pool', 'map', 'elsewhere', '--dir', 'shelf'), {name: 'elsewhere', dir: 'shelf'}, 'behind the command, --dir is the pool\'s directory');
  t.equal((await cli('pool', 'unmap', 'elsewhere')).code, 0);
  t.match((await cli('pool', 'map', 'volumes')).stderr, /volumes.*\(errno 17\)/);
  t.match((await cli('pool', 'map', 'x', 'nowhere')).stderr, /nowhere.*\(errno 22\)/);
  t.match((await cli('pool', 'show', 'none')).stderr, /none.*\(errno 2\)/);
  t.equal((await cli('pool', 'unmap', 'volumes')).code, 0);
  t.notOk(JSON.stringify(await json('pool', 'ls')).includes('volumes'));
});

t.test('users are added, shown without keys, changed and removed', async (t) => {
  const added = await cli('user', 'add', 'cinder', 'mon', 'profile rbd', 'osd', 'profile rbd pool=rbd', '--owner', 'cinder');
  t.match(added.stdout, /^\[client\.cinder\]\n\tkey = \S+\n\tcaps mon = "profile rbd"\n\tcaps osd = "profile rbd pool=rbd"\n$/);
  t.equal((await cli('user', 'keyring', 'client.cinder')).stdout, added.stdout);
  const key = parseKeyring(added.stdout)[0]?.key ?? 'none';
  const listed = await cli('user', 'ls', '--json');
  t.match(JSON.parse(listed.stdout), [{entity: 'client.admin'}, {entity: 'client.cinder', owner: 'cinder'}]);
  t.notOk(listed.stdout.includes(key));
  t.match((await cli('user', 'add', 'cinder')).stderr, /already \(errno 17\)/);
  t.match((await cli('user', 'caps', 'cinder', 'osd', 'allow everything')).stderr, /osd capability parse failed, stopped at 'allow everything'/);
  t.match(await json('user', 'caps', 'cinder', 'mon', 'allow r'), {caps: {mon: 'allow r'}});
  const file = join(dir, 'out.keyring');
  t.equal((await cli('user', 'keyring', 'cinder', '--output', file)).stdout, `client.cinder: keyring written to ${file}\n`);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.equal((await cli('user', 'rm', 'cinder')).code, 0);
  t.match((await cli('user', 'rm', 'cinder')).stderr, /there is no user client\.cinder \(errno 2\)/);
  for (const bad of ['osd.0', 'client.', 'a b', 'client.a/b']) t.match((await cli('user', 'add', bad)).stderr, /\(errno 22\)/, bad);
});

t.test('who has no mon "allow *" is refused, with his key or without', async (t) => {
  const file = join(dir, 'small.keyring');
  t.equal((await cli('user', 'add', 'small', '--output', file)).code, 0);
  const refused = await cli('--user', 'small', '--keyring', file, 'user', 'ls');
  t.equal(refused.code, 1);
  t.match(refused.stderr, /client\.small may not use "admin\.user\.list" \(errno 13\)/);
  t.match((await cli('--user', 'ghost', 'status')).stderr, /\(errno 13\)/);
});

t.test('sessions are listed, and one is cut off', async (t) => {
  const other = await DaemonClient.open({socket: join(dir, 'cbd2rbd.sock'), entity: 'client.admin', keyrings: []});
  t.teardown(() => other.close());
  const listed = JSON.parse((await cli('session', 'ls', '--json')).stdout) as {id: number, pid: number, entity: string}[];
  t.ok(listed.length >= 2, 'this one and the asking one');
  t.match(listed[0], {entity: 'client.admin', pid: process.pid});
  t.equal((await cli('session', 'kill', String(listed[0]?.id))).code, 0);
  t.match((await cli('session', 'kill', String(listed[0]?.id))).stderr, /there is no session \d+ \(errno 2\)/);
  t.equal((await cli('session', 'kill', 'x')).code, 2);
});

t.test('mistakes in the command line name themselves and leave code 2', async (t) => {
  for (const [args, says] of [
    [['pool', 'frob'], /"pool frob" is no command; there are: pool map/],
    [['frob'], /"frob" is no command/],
    [['user', 'add'], /user add takes USER/],
    [['user', 'add', 'x', 'mon'], /pairs/],
    [['status', '--frob'], /--frob/],
    [['status', 'extra'], /status takes no arguments/],
  ] as const) {
    const {code, stderr} = await cli(...args);
    t.equal(code, 2, args.join(' '));
    t.match(stderr, says, args.join(' '));
  }
});

t.test('help shows every command, and each one with examples', async (t) => {
  const overview = await cli('help');
  for (const name of ['serve', 'status', 'stop', 'pool map', 'user add', 'config check']) t.match(overview.stdout, `  ${name}`);
  t.match((await cli('help', 'user', 'add')).stdout, /examples:\n  cbd2rbd user add cinder/);
  t.match((await cli('user', 'add', '--help')).stdout, /usage: cbd2rbd user add/);
});

t.test('a bad configuration stops the start with code 4 and names its lines', async (t) => {
  const file = join(dir, 'bad.conf');
  writeFileSync(file, 'listen = /x\ngrace = soon\n');
  const {code, stderr} = await cli('serve', '--config', file);
  t.equal(code, 4);
  t.equal(stderr, `cbd2rbd: ${file}:2: grace = "soon" is no duration such as 250ms, 10s, 5m or 2h\n`);
  t.equal((await cli('config', 'check', file)).code, 4);
});

t.test('SIGTERM ends the daemon in order, and the next one finds everything', async (t) => {
  const gone = once(daemon, 'exit');
  daemon.kill('SIGTERM');
  t.strictSame(await gone, [0, null]);
  t.notOk(existsSync(join(dir, 'cbd2rbd.sock')));
  daemon = (await serve()).child;
  t.match(JSON.stringify(await json('user', 'ls')), /client\.small/);
});

t.test('a killed daemon\'s socket and lock keep nobody from starting; stop waits for the end', async (t) => {
  const gone = once(daemon, 'exit');
  daemon.kill('SIGKILL');
  await gone;
  t.match((await cli('status')).stderr, /ECONNREFUSED/);
  daemon = (await serve()).child;
  const ended = once(daemon, 'exit');
  t.equal((await cli('stop')).code, 0);
  t.strictSame(await ended, [0, null]);
});
