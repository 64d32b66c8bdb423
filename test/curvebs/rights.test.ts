// A client whose user may not write to nebd-server's socket: it is told so when it opens an image, and so is the administrator.

import { chmodSync } from 'node:fs';
import t from 'tap';
import { checkNebd } from '../../src/doctor/clients.js';
import { run, startAll } from './stack.js';

const NOBODY = 65534;
const { cluster, stack, stop } = await startAll();
t.teardown(stop);

/** Root may write to every socket: these do as a program of another user's does. */
const isRoot = process.geteuid?.() === 0;

t.test('opening an image fails with EACCES, and the log says whose rights to which socket', async (test) => {
  const script = `
import os, rados, rbd
cluster = rados.Rados(conffile='')
cluster.connect()
pool = cluster.open_ioctx('rbd')
rbd.RBD().create(pool, 'disk', 1 << 20)
os.chmod('${cluster.nebdSocket}', 0)
if os.geteuid() == 0: os.seteuid(${NOBODY})
for _ in range(2):
    try:
        rbd.Image(pool, 'disk')
        print('opened')
    except rbd.OSError as error:
        print(error.errno)
    except PermissionError as error:
        print(error.errno)
if os.getuid() == 0: os.seteuid(0)
os.chmod('${cluster.nebdSocket}', 0o700)
with rbd.Image(pool, 'disk') as image: image.write(b'good', 0)
rbd.RBD().remove(pool, 'disk')
print('good')
`;
  const { stdout, stderr } = await run(stack.environment, '/usr/bin/python3', '-c', script);
  test.equal(stdout, '13\n13\ngood\n', stderr);
  const told = stack.daemon.log.filter((line) => line.includes('could not open image'));
  test.equal(told.length, 2);
  test.match(told[0], /^"client\.admin" \(pid \d+, uid \d+, ".*"\) could not open image "disk": "it may not connect to nebd-server's socket .*nebd\.sock \(effective uid \d+\): that user must be able to write to it"$/);
});

t.test('the doctor says so, and also where nobody listens', async (test) => {
  test.match(await checkNebd(cluster.nebdSocket), { grade: 'ok' });
  chmodSync(cluster.nebdSocket, 0);
  if (isRoot) process.seteuid?.(NOBODY);
  const found = await checkNebd(cluster.nebdSocket);
  if (isRoot) process.seteuid?.(0);
  chmodSync(cluster.nebdSocket, 0o700);
  test.match(found, { about: 'nebd', grade: 'bad', text: /^uid \d+ may not connect to .*nebd\.sock: opening an image fails with EACCES$/ });
  test.match(await checkNebd(`${cluster.nebdSocket}.none`), { about: 'nebd', grade: 'bad', text: /^nobody answers at .* \(ENOENT\)/ });
});
