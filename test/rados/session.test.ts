// A client whose daemon is stopped, killed and started again; time-outs; keys.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import tap, { type Test } from 'tap';
import { root } from '../lib/root.js';

/** A daemon in a process of its own, which can be stopped and killed. */
class DaemonProcess {
  private child: ChildProcess | undefined;

  constructor(readonly dir: string, private readonly environment: Record<string, string> = {}) {}

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  async start(): Promise<void> {
    const env = { ...process.env, ...this.environment };
    const child = spawn(process.execPath, [root('dist/src/cli/cbd2rbd.js'), '--dir', this.dir, 'serve'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    this.child = child;
    for await (const line of createInterface({ input: child.stdout })) if (line.includes('ready')) return;
    throw new Error('the daemon did not start');
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGCONT');
    this.child.kill(signal);
    await gone;
  }
}

class Client {
  readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;
  private readonly reader: Interface;

  constructor(conf: string) {
    const env = { PATH: process.env['PATH'] ?? '', LD_LIBRARY_PATH: root('build/lib'), CEPH_CONF: conf };
    this.child = spawn('/usr/bin/python3', [root('test/rados/session.py')], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.reader = createInterface({ input: this.child.stdout! });
    this.lines = this.reader[Symbol.asyncIterator]();
  }

  send(command: string): void {
    this.child.stdin!.write(`${command}\n`);
  }

  async answer(): Promise<unknown> {
    const { value, done } = await this.lines.next();
    if (done) throw new Error('the client ended');
    return JSON.parse(value as string) as unknown;
  }

  ask(command: string): Promise<unknown> {
    this.send(command);
    return this.answer();
  }

  async end(): Promise<void> {
    const gone = once(this.child, 'exit');
    this.child.stdin!.end();
    await gone;
  }
}

async function set(t: Test, environment: Record<string, string> = {}): Promise<{ dir: string; daemon: DaemonProcess; client: Client }> {
  const dir = mkdtempSync(join(tmpdir(), 'cbd-s-'));
  const daemon = new DaemonProcess(dir, environment);
  await daemon.start();
  const client = new Client(join(dir, 'ceph.conf'));
  t.teardown(async () => {
    await client.end();
    await daemon.end('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  });
  return { dir, daemon, client };
}

tap.test('a session outlives its daemon', async (t) => {
  const { daemon, client } = await set(t);
  t.strictSame(await client.ask('threads'), { ok: ['python3'] }, 'no thread before the first need');
  t.strictSame(await client.ask('connect admin'), { ok: 'connected' });
  t.strictSame(await client.ask('threads'), { ok: ['cbd2rbd-session', 'python3'] }, 'one thread, with a name');
  t.strictSame(await client.ask('signals'), { ok: ['fffffffe7ffbfeff'] }, 'which takes no signals');
  t.strictSame(await client.ask('append log 1'), { ok: 0 });
  const before = await client.ask('id');
  await daemon.end('SIGKILL');
  client.send('append log 2');
  await daemon.start();
  t.strictSame(await client.answer(), { ok: 0 }, 'a call that was made while it was away is carried out when it is back');
  t.strictSame(await client.ask('read log'), { ok: '12' }, 'once');
  t.strictSame(await client.ask('id'), before, 'the session is the same');
  t.strictSame(await client.ask('shutdown'), { ok: null });
  t.strictSame(await client.ask('quiet'), { ok: ['python3'] }, 'and nothing is left of it at the end');
});

tap.test('time-outs bound every wait', async (t) => {
  const { daemon, client } = await set(t);
  t.strictSame(await client.ask('connect admin rados_mon_op_timeout=1 rados_osd_op_timeout=1'), { ok: 'connected' });
  process.kill(daemon.pid, 'SIGSTOP');
  t.match(await client.ask('stat'), { error: 'TimedOut', errno: 110 }, 'for what the monitors would answer');
  t.match(await client.ask('append log 1'), { error: 'TimedOut', errno: 110 }, 'for what the OSDs would answer');
  process.kill(daemon.pid, 'SIGCONT');
  t.match(await client.ask('stat'), { ok: ['kb', 'kb_avail', 'kb_used', 'num_objects'] }, 'and the session works on');
  process.kill(daemon.pid, 'SIGSTOP');
  const other = new Client(join(daemon.dir, 'ceph.conf'));
  t.teardown(() => other.end());
  t.match(await other.ask('connect admin client_mount_timeout=1'), { error: 'TimedOut', errno: 110 }, 'for connecting');
  t.strictSame(await other.ask('quiet'), { ok: ['python3'] }, 'of which nothing is left');
  await daemon.end('SIGKILL');
  t.match(await other.ask('connect admin client_mount_timeout=1'), { error: 'TimedOut', errno: 110 }, 'where a socket is there and nobody listens');
  rmSync(join(daemon.dir, 'cbd2rbd.sock'));
  t.match(await other.ask('connect admin'), { error: 'ObjectNotFound', errno: 2 }, 'where no socket is, it fails at once');
});

tap.test('a key is proven, and a wrong one is refused', async (t) => {
  const { dir, client } = await set(t, { CBD2RBD_TRUST_OWN_UID: 'false' });
  t.strictSame(await client.ask('connect admin'), { ok: 'connected' }, 'the keyring that the ceph.conf names');
  t.match(await client.ask('connect admin keyring=/nonexistent'), { error: 'ObjectNotFound', errno: 2 }, 'no key where one is needed');
  t.match(await client.ask('connect admin key=AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA=='), { error: 'PermissionDeniedError', errno: 13 }, 'a wrong key');
  t.match(await client.ask('connect nobody key=AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA=='), { error: 'PermissionDeniedError', errno: 13 }, 'an unknown user');
  t.match(await client.ask('connect admin key=!'), { error: 'InvalidArgumentError', errno: 22 }, 'what is no key');
  const key = /key = (\S+)/.exec(readFileSync(join(dir, 'ceph.client.admin.keyring'), 'utf8'))?.[1] ?? '';
  t.strictSame(await client.ask(`connect admin key=${key}`), { ok: 'connected' }, 'the key itself');
  writeFileSync(join(dir, 'keyfile'), `${key}\n`);
  t.strictSame(await client.ask(`connect admin keyring=/nonexistent keyfile=${join(dir, 'keyfile')}`), { ok: 'connected' }, 'a file that holds it');
  writeFileSync(join(dir, 'east.client.admin.keyring'), `[client.other]\n\tkey = AAAA\n[client.admin]\n\tkey = ${key}\n\tcaps mon = "allow *"\n`);
  t.strictSame(await client.ask(`connect admin keyring=/nonexistent,${dir}/east.$name.keyring`), { ok: 'connected' }, 'a list of keyrings');
});
