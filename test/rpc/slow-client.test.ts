// Clients that read late, or never: what was meant for one reaches him whole or not at all, and costs the daemon a bounded amount of memory.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { Connection } from '../../src/rpc/connection.js';
import { createImage } from '../../src/service/images.js';
import { releaseAll } from '../../src/service/layers.js';
import { openImage } from '../../src/service/open.js';
import { ConnectionLost } from '../../src/service/sessions.js';
import { tellState } from '../../src/service/state.js';
import { startTestDaemon } from '../lib/daemon.js';
import { startTestService } from '../lib/service.js';
import { PYTHON } from '../lib/stock-client.js';

const at = { pool: 1, namespace: '' };
const dir = mkdtempSync(join(tmpdir(), 'cbd-slow-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));

/** Connects, waits for a line of its input, then reads until a frame has "fds", and prints where the descriptors that came lead. */
const lateReader = `
import array, json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
sys.stdin.readline()
text, fds = b"", []
while True:
    data, some, _, _ = socket.recv_fds(s, 65536, 64)
    fds += some
    text += data
    lines = text.split(b"\\n")
    text = lines.pop()
    if not data or any(b'"fds":1' in line for line in lines):
        break
print(json.dumps([os.readlink(f"/proc/self/fd/{fd}") for fd in fds]), flush=True)
`;

/** The daemon's end of a connection, and its client's socket. */
async function pair(name: string): Promise<{ connection: Connection; path: string; client: () => Promise<Socket> }> {
  const path = join(dir, name);
  const server = createServer();
  const accepted = new Promise<Socket>((resolve) => { server.once('connection', (socket) => { server.close(); resolve(socket); }); });
  await new Promise<void>((resolve) => { server.listen(path, resolve); });
  let made: Connection | undefined;
  void accepted.then((socket) => { made = new Connection(socket, async () => ({ result: {} })); });
  return {
    path, get connection() { return made!; },
    client: async () => {
      const socket = connect(path);
      await Promise.all([once(socket, 'connect'), accepted]);
      return socket;
    },
  };
}

t.test('descriptors that wait for a slow client are still those of its image when it reads them', async (t) => {
  const s = await startTestService();
  t.teardown(() => s.close());
  const end = await pair('late');
  const reader = spawn(PYTHON, ['-c', lateReader, end.path], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => reader.kill());
  while (end.connection === undefined) await new Promise((resolve) => { setImmediate(resolve); });
  const session = await s.ctx.sessions.begin({ entity: 'client.admin', pid: reader.pid!, uid: 0, program: 'late' }, end.connection);
  await createImage(s.ctx, session, { at, name: 'a', size: 4096, options: {} });
  const opened = await openImage(s.ctx, session, { at, name: 'a', readOnly: false, handle: 1 });
  releaseAll(opened.accesses);
  const [layer] = opened.state['layers'] as { id: string }[];
  // More than the kernel keeps for a reader.
  for (let i = 0; i < 16; i += 1) end.connection.notify('noise', { text: 'x'.repeat(65536) });
  const open = session.open(1);
  // It does not answer in time, and the daemon goes on.
  await tellState(s.ctx, open, 'image.changed');
  writeFileSync(join(dir, 'other'), 'of another user');
  const others: number[] = [];
  for (let i = 0; i < 20; i += 1) others.push(openSync(join(dir, 'other'), 'r'));
  reader.stdin.end('read\n');
  const [line] = await once(createInterface({ input: reader.stdout }), 'line') as [string];
  t.strictSame(JSON.parse(line), [join(s.volumes, layer?.id ?? '')]);
  for (const fd of others) closeSync(fd);
  end.connection.cut();
  await end.connection.closed;
  const left = readdirSync('/proc/self/fd').filter((fd) => {
    try { return readlinkSync(`/proc/self/fd/${fd}`).startsWith(s.volumes); } catch { return false; }
  });
  t.strictSame(left, [], 'and the daemon has closed its own');
});

t.test('a client that never reads what the daemon asks of it is cut off, and its descriptors are closed', async (t) => {
  const end = await pair('never');
  const client = await end.client();
  client.pause();
  client.on('error', () => undefined);
  let sent = 0;
  const asked: Promise<unknown>[] = [];
  for (let i = 0; i < 3000; i += 1) {
    asked.push(end.connection.ask('image.changed', { text: 'x'.repeat(65536) }, { fds: [0], sent: () => { sent += 1; } }));
  }
  const outcomes = await Promise.allSettled(asked);
  t.ok(outcomes.every((outcome) => outcome.status === 'rejected' && outcome.reason instanceof ConnectionLost));
  t.equal(sent, asked.length, 'each is told once that its descriptors are not needed any more');
  client.destroy();
});

t.test('what follows a frame over the limit is not kept', async (t) => {
  const d = await startTestDaemon();
  t.teardown(() => d.stop());
  const socket = connect({ path: d.socket, allowHalfOpen: true });
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => { socket.once('close', resolve); });
  socket.resume();
  const piece = Buffer.alloc(1 << 20, 'x');
  let taken = 0;
  for (; taken < 256 && !socket.destroyed; taken += 1) {
    await Promise.race([new Promise<void>((resolve) => { socket.write(piece, () => resolve()); }), closed]);
  }
  await closed;
  t.ok(taken < 256, `the connection ended after ${taken} MiB`);
});
