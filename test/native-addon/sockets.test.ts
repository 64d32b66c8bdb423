// The addon's socket functions, against a Python process at the other end of a real unix socket.
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {closeSync, mkdtempSync, openSync, rmSync, writeFileSync} from 'node:fs';
import {createServer, type Socket} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import t from 'tap';
import {descriptorOf, maxDescriptors, peerCredentials, sendDescriptors} from '../../src/native/addon.js';

// Takes descriptors until the socket ends and prints what each one's file holds.
const receiver = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print(os.getpid(), flush=True)
while True:
    data, fds, flags, address = socket.recv_fds(s, 1, 253)
    if not data: break
    print(repr(data), len(fds), [os.pread(fd, 20, 0).decode() for fd in fds[:2]], flush=True)
    for fd in fds: os.close(fd)
`;

async function withPeer(work: (socket: Socket, folder: string) => Promise<void>): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'cbd-addon-'));
  const server = createServer();
  server.listen(join(folder, 's'));
  await once(server, 'listening');
  const child = spawn('/usr/bin/python3', ['-c', receiver, join(folder, 's')], {stdio: ['ignore', 'pipe', 'inherit']});
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => text += chunk.toString());
  const [socket] = await once(server, 'connection') as [Socket];
  try {
    await work(socket, folder);
  } finally {
    socket.destroy();
    server.close();
    if (child.exitCode === null) await once(child, 'close');
    rmSync(folder, {recursive: true});
  }
  return text.trim().split('\n');
}

t.test('the peer of a socket is named by pid, uid and gid', async (t) => {
  let pid = 0;
  const lines = await withPeer(async (socket) => {
    const peer = peerCredentials(descriptorOf(socket));
    pid = peer.pid;
    t.equal(peer.uid, process.getuid?.());
    t.equal(peer.gid, process.getgid?.());
  });
  t.equal(lines[0], String(pid));
});

t.test('descriptors arrive in order behind one blank byte, and the sender keeps its own', async (t) => {
  const lines = await withPeer(async (socket, folder) => {
    const fds = ['one', 'two'].map((word) => {
      writeFileSync(join(folder, word), word);
      return openSync(join(folder, word), 'r');
    });
    t.equal(sendDescriptors(descriptorOf(socket), fds), true);
    t.equal(sendDescriptors(descriptorOf(socket), Array<number>(maxDescriptors).fill(fds[1] ?? -1)), true);
    for (const fd of fds) closeSync(fd);
  });
  t.strictSame(lines.slice(1), [`b' ' 2 ['one', 'two']`, `b' ' ${maxDescriptors} ['two', 'two']`]);
});

t.test('a full socket is told by false, and nothing is thrown', async (t) => {
  // Nobody reads here: a socket pair would do, but Node makes none, so the server accepts and the client stays silent.
  const folder = mkdtempSync(join(tmpdir(), 'cbd-addon-'));
  const server = createServer({pauseOnConnect: true});
  server.listen(join(folder, 's'));
  await once(server, 'listening');
  const child = spawn('/usr/bin/python3', ['-c', 'import socket,sys\ns=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);sys.stdin.read()', join(folder, 's')], {stdio: ['pipe', 'inherit', 'inherit']});
  const [socket] = await once(server, 'connection') as [Socket];
  const fd = openSync('/dev/null', 'r');
  let sent = 0;
  while (sent < 100_000 && sendDescriptors(descriptorOf(socket), [fd])) sent++;
  t.ok(sent > 0 && sent < 100_000, `${sent} messages fit`);
  closeSync(fd);
  child.stdin.end();
  await once(child, 'close');
  socket.destroy();
  server.close();
  rmSync(folder, {recursive: true});
});

t.test('what is no socket, no descriptor or too many is refused by code', async (t) => {
  const file = openSync('/dev/null', 'r');
  t.throws(() => peerCredentials(file), {code: 'ENOTSOCK'});
  t.throws(() => peerCredentials(-1), {code: 'EBADF'});
  t.throws(() => sendDescriptors(file, [file]), {code: 'ENOTSOCK'});
  closeSync(file);
  await withPeer(async (socket) => {
    const fd = descriptorOf(socket);
    t.throws(() => sendDescriptors(fd, []), {code: 'EINVAL'});
    t.throws(() => sendDescriptors(fd, [999_999]), {code: 'EBADF'});
    t.throws(() => sendDescriptors(fd, Array<number>(maxDescriptors + 1).fill(0)), {code: 'EINVAL'});
  });
});
