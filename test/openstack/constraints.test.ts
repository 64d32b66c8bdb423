// What OpenStack's users of the library leave it: little address space, no right to start programs, no configuration but monitors,
// user and key, and no environment.

import t from 'tap';

import { Host } from '../lib/host.js';
import { cloudPools, cloudUsers } from './driver.js';
import { Qemu } from './qmp.js';

const DISK = 'rbd:vms/disk:id=nova:conf=/etc/ceph/ceph.conf';
const MIB = 1 << 20;

let host: Host;
t.before(async () => {
  host = await Host.start({ pools: cloudPools, users: cloudUsers });
  await host.sh('rbd create --size 1G vms/disk; rbd snap create --no-progress vms/disk@point');
});
t.teardown(() => host.stop());

t.test('qemu-img asks, writes and converts in 1 GiB of address space, as nova runs it', async (t) => {
  const limited = 'prlimit --as=1073741824 --cpu=30';
  t.match(await host.sh(`${limited} qemu-img info ${DISK} --force-share --output=json`), /"virtual-size": 1073741824/);
  await host.sh(`${limited} qemu-io -f raw -c 'write -P 7 512 4M' -c 'read -P 7 512 4M' -c 'discard 1M 1M' -c flush ${DISK}`);
  await host.sh(`${limited} qemu-img convert -O qcow2 ${DISK} /tmp/copy; qemu-img compare ${DISK} /tmp/copy`);
});

t.test('a client that uses an image takes little address space', async (t) => {
  const grown = Number(await host.sh(`cat >/tmp/space.py <<'PYTHON'
import rados, rbd, threading
def space():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmPeak"))
before = space()
with rados.Rados(conffile="/etc/ceph/ceph.conf", rados_id="nova") as cluster, cluster.open_ioctx("vms") as io, rbd.Image(io, "disk") as image:
    done = threading.Semaphore(0)
    for at in range(64):
        image.aio_write(b"x" * 65536, at * 65536, lambda _: done.release())
    for at in range(64):
        done.acquire()
    image.flush()
    print((space() - before) // 1024)
PYTHON
/usr/bin/python3 /tmp/space.py`));
  t.ok(grown < 384, 'its peak grows by less than 384 MiB', { grown });
});

t.test('QEMU with libvirt\'s sandbox does I/O, grows a disk and outlives the daemon', async (t) => {
  const key = await host.sh("sed -n 's/.*key = //p' /etc/ceph/ceph.client.nova.keyring");
  const child = host.spawn('/usr/bin/qemu-system-x86_64', [
    '-machine', 'none', '-nodefaults', '-display', 'none', '-qmp', 'stdio', '-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
    '-object', `secret,id=key,format=base64,data=${key}`,
  ]);
  t.teardown(() => { child.kill('SIGKILL'); });
  const qemu = await Qemu.attach(child);
  const disk = (node: string, image: string): object => ({
    driver: 'rbd', 'node-name': node, pool: 'vms', image, user: 'nova', 'key-secret': 'key', 'auth-client-required': ['cephx', 'none'],
    server: [{ host: '127.0.0.1', port: '6789' }], cache: { direct: true, 'no-flush': false }, discard: 'unmap',
  });
  await qemu.command('blockdev-add', disk('one', 'disk'));
  await qemu.io('one', 'write -P 1 0 8M');
  await host.sh('rbd snap create --no-progress vms/disk@more; rbd create --size 64M vms/second');
  await qemu.io('one', 'write -P 2 4M 4M');
  await qemu.io('one', 'read -P 1 0 4M');
  await qemu.io('one', 'read -P 2 4M 4M');
  t.pass('it writes, also after a snapshot that others take');
  await qemu.command('blockdev-add', disk('two', 'second'));
  await qemu.command('block_resize', { 'node-name': 'two', size: 128 * MIB });
  await qemu.io('two', 'write -P 3 127M 1M');
  t.pass('a disk is added and grown');
  await host.killDaemon();
  await qemu.io('one', 'write -P 4 512 4k');
  t.pass('it writes while there is no daemon');
  await host.startDaemon();
  await qemu.command('block_resize', { 'node-name': 'two', size: 256 * MIB });
  await qemu.command('blockdev-del', { 'node-name': 'two' });
  t.equal(await qemu.quit(), 0, 'and ends in order: nothing that it did was forbidden');
  const results = qemu.printed.filter((line) => !line.includes('ops/sec'));
  t.same(results.map((line) => line.split(' ')[0]), ['wrote', 'wrote', 'read', 'read', 'wrote', 'wrote'], 'each read and write succeeded');
  await host.sh(`qemu-io -r -f raw -c 'read -P 4 512 4k' -c 'read -P 1 8k 1M' ${DISK}`);
});

t.test('a client that knows monitors, user and key only finds its pool', async (t) => {
  const key = await host.sh("sed -n 's/.*key = //p' /etc/ceph/ceph.client.nova.keyring");
  const bare = await host.peer();
  await bare.sh('umount /etc/ceph; rm -rf /etc/ceph');
  t.match(await bare.sh(`env -i /usr/bin/qemu-img info 'rbd:vms/disk:id=nova:key=${key}:mon_host=127.0.0.1\\:6789'`), /virtual size: 1 GiB/, 'QEMU, by a URL');
  await bare.sh(`printf '[global]\\nmon_host = 127.0.0.1:6789,127.0.0.2:6789\\n[client.nova]\\n\\tkey = ${key}\\n' >/tmp/brick.conf`);
  const listed = 'with rados.Rados(conffile="/tmp/brick.conf", rados_id="nova", clustername="ceph") as c, c.open_ioctx("vms") as io: print(rbd.RBD().list(io))';
  t.match(await bare.sh(`env -i /usr/bin/python3 -c 'import rados, rbd\n${listed}'`), /'disk'/, "os-brick, by its file");
  const set = 'c = rados.Rados(rados_id="nova", conf={"mon_host": "[::1]:3300", "key": KEY}); c.connect(timeout=5)\nwith c.open_ioctx("vms") as io: print(rbd.RBD().list(io))';
  t.match(await bare.sh(`env -i /usr/bin/python3 -c 'import rados, rbd\n${set.replace('KEY', `"${key}"`)}'`), /'disk'/, 'a program, by options, whatever the monitors\' address');
  await t.rejects(bare.sh(`env -i /usr/bin/qemu-img info 'rbd:vms/disk:id=nova:mon_host=127.0.0.1:key=AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA=='`), 'and with another key not');
});
