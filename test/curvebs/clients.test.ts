// Stock clients from Debian, through our libraries, on a pool that is a CurveBS directory.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { GIB } from './namespace.js';
import { run, startAll } from './stack.js';

const MIB = 1024 ** 2;
const { cluster, stack, stop } = await startAll();
t.teardown(stop);
const { environment } = stack;

const PRELUDE = `
import rados, rbd
cluster = rados.Rados(conffile='')
cluster.connect()
pool = cluster.open_ioctx('rbd')
`;

t.test('qemu-img creates, fills, compares, resizes and shows an image', async (test) => {
  const source = join(stack.folder, 'source.raw');
  writeFileSync(source, Buffer.alloc(3 * MIB + 512, 'cbd2rbd!'));
  const steps: string[][] = [
    ['qemu-img', 'create', '-q', '-f', 'raw', 'rbd:rbd/disk', '12M'],
    ['qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', source, 'rbd:rbd/disk'],
    ['qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, 'rbd:rbd/disk'],
    ['qemu-img', 'resize', '-q', '-f', 'raw', 'rbd:rbd/disk', '10241M'],
    ['qemu-io', '-f', 'raw', '-c', 'write -P 7 10737418112 1024', '-c', 'read -P 7 10737418112 1024', '-c', 'read -P 0 10737419136 512', 'rbd:rbd/disk'],
  ];
  for (const [program, ...args] of steps) {
    const { code, stdout, stderr } = await run(environment, program!, ...args);
    test.equal(code, 0, `${program} ${args.join(' ')} ${code === 0 ? '' : stdout + stderr}`);
  }
  const { stdout } = await run(environment, 'qemu-img', 'info', '--output=json', 'rbd:rbd/disk');
  test.equal((JSON.parse(stdout) as { 'virtual-size': number })['virtual-size'], 10241 * MIB);
});

t.test('the image is a volume that CurveBS itself reads: plain, of whole GiB, and the owner\'s', async (test) => {
  const volumes = cluster.files.list(cluster.files.child(0, 'rbd')!.id);
  test.equal(volumes.length, 1);
  test.equal(volumes[0]!.owner, 'cinder');
  test.equal(volumes[0]!.length, 11 * GIB);
  const bytes = await cluster.data.read(volumes[0]!.id, 0, 4096);
  test.equal(bytes.toString('latin1', 0, 8), 'cbd2rbd!');
});

t.test('python3-rbd: sizes to the byte, unaligned I/O, zeroes past a shrunk end, removal', async (test) => {
  const script = `${PRELUDE}
rbd.RBD().create(pool, 'odd', 1000003)
with rbd.Image(pool, 'odd') as image:
    assert image.size() == 1000003
    image.write(b'x' * 5000, 995003)
    image.write(b'yy', 4095)
    assert image.read(4094, 4) == b'\\0yy\\0'
    try:
        image.write(b'z', 1000003)
        assert False
    except rbd.InvalidArgument:
        pass
    image.resize(998000)
    image.resize(1000003)
    assert image.read(995003, 5000) == b'x' * 2997 + b'\\0' * 2003, 'zeroes behind the old end'
    image.discard(0, 8192)
    image.flush()
assert rbd.RBD().list(pool) == ['disk', 'odd']
rbd.RBD().remove(pool, 'odd')
rbd.RBD().remove(pool, 'disk')
assert rbd.RBD().list(pool) == []
print('good')
`;
  const { stdout, stderr } = await run(environment, '/usr/bin/python3', '-c', script);
  test.equal(stdout, 'good\n', stderr);
  test.same(cluster.files.list(cluster.files.child(0, 'rbd')!.id), [], 'no volume is left');
});

t.test('a volume that CurveBS\'s own tools made in the directory is an image', async (test) => {
  const fields = { owner: 'cinder', date: Date.now() * 1000 };
  test.equal(cluster.mds.call('CreateFile', { ...fields, fileName: '/rbd/theirs', fileType: 'INODE_PAGEFILE', fileLength: 10 * GIB }).statusCode, 'kOK');
  test.equal(cluster.mds.call('CreateFile', { ...fields, fileName: '/rbd/folder', fileType: 'INODE_DIRECTORY' }).statusCode, 'kOK');
  await cluster.data.write(cluster.mds.find('/rbd/theirs', 'cinder')!.id, 4096, Buffer.alloc(4096, 'them'));
  const script = `${PRELUDE}
with rbd.Image(pool, 'theirs') as image:
    assert image.size() == 10 << 30
    assert image.read(4094, 6) == b'\\0\\0them'
    image.write(b'us', 5000)
assert rbd.RBD().list(pool) == ['theirs'], rbd.RBD().list(pool)
rbd.RBD().rename(pool, 'theirs', 'ours')
assert rbd.RBD().list(pool) == ['ours']
rbd.RBD().remove(pool, 'ours')
assert rbd.RBD().list(pool) == []
print('good')
`;
  const { stdout, stderr } = await run(environment, '/usr/bin/python3', '-c', script);
  test.equal(stdout, 'good\n', stderr);
  test.equal(cluster.mds.find('/rbd/theirs', 'cinder'), undefined);
});

t.test('diff, du and copies pass over the GiB that nobody wrote to', async (test) => {
  const script = `${PRELUDE}
GIB = 1 << 30
def parts(image, since=None):
    found = []
    def show(offset, length, exists):
        if found and found[-1][1] == offset and found[-1][2] == exists:
            found[-1][1] = offset + length
        else:
            found.append([offset, offset + length, exists])
    image.diff_iterate(0, image.size(), since, show)
    return [tuple(part) for part in found]
rbd.RBD().create(pool, 'wide', 20 * GIB)
with rbd.Image(pool, 'wide') as image:
    assert parts(image) == [], 'an untouched image gives no callback'
    image.write(b'x', 3 * GIB + 5)
    assert parts(image) == [(3 * GIB, 4 * GIB, True)], parts(image)
    image.copy(pool, 'copy')
    image.create_snap('one')
    image.write(b'c', 7 * GIB)
    assert parts(image, 'one') == [(7 * GIB, 7 * GIB + 4096, True)], parts(image, 'one')
    assert parts(image) == [(3 * GIB, 4 * GIB, True), (7 * GIB, 7 * GIB + 4096, True)], parts(image)
with rbd.Image(pool, 'copy') as image:
    assert parts(image) == [(3 * GIB, 4 * GIB, True)], parts(image)
    assert image.read(3 * GIB + 4, 3) == b'\\0x\\0'
with rbd.Image(pool, 'wide') as image:
    image.remove_snap('one')
for name in ('wide', 'copy'):
    rbd.RBD().remove(pool, name)
print('good')
`;
  const before = cluster.nebdServer.counts.get('Read') ?? 0;
  const { stdout, stderr } = await run(environment, '/usr/bin/python3', '-c', script);
  test.equal(stdout, 'good\n', stderr);
  const reads = (cluster.nebdServer.counts.get('Read') ?? 0) - before;
  test.ok(reads < 1200, 'what was read is the GiB with data, once', { reads });
});

t.test('eight forked children of a process that has an image open each use it', async (test) => {
  const script = `${PRELUDE}
import os
rbd.RBD().create(pool, 'shared', 64 << 20)
image = rbd.Image(pool, 'shared')
image.write(b'parent', 0)
children = []
for i in range(8):
    pid = os.fork()
    if pid == 0:
        good = image.read(0, 6) == b'parent'
        for round in range(20):
            image.write(bytes([i, round]) * 3000, (i + 1) << 20)
            good = good and image.read((i + 1) << 20, 6000) == bytes([i, round]) * 3000
        os._exit(0 if good else 1)
    children.append(pid)
for round in range(20):
    image.write(b'parent', 0)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
for i in range(8):
    assert image.read((i + 1) << 20, 6000) == bytes([i, 19]) * 3000
image.close()
print('good')
`;
  const { stdout, stderr } = await run(environment, '/usr/bin/python3', '-c', script);
  test.equal(stdout, 'good\n', stderr);
});

t.test('fio writes and verifies, in blocks smaller than CurveBS\'s too', async (test) => {
  await run(environment, 'qemu-img', 'create', '-q', '-f', 'raw', 'rbd:rbd/fio', '64M');
  for (const blocks of ['4k', '512-8k']) {
    const { code, stdout, stderr } = await run(environment, 'fio', '--name=verify', '--ioengine=rbd', '--pool=rbd', '--rbdname=fio', '--clientname=admin', '--rw=randwrite',
      `--bsrange=${blocks.includes('-') ? blocks : `${blocks}-${blocks}`}`, '--bs_unaligned=0', '--iodepth=16', '--size=8M', '--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--do_verify=1');
    test.equal(code, 0, `${blocks} ${code === 0 ? '' : stdout + stderr}`);
  }
});

t.test('nothing unaligned, empty or past the end ever arrived at nebd-server', (test) => {
  test.equal(cluster.nebdServer.crash, undefined);
  test.end();
});
