// `npm run test:guests`: what takes guests longer. Snapshots while they write, live migration, the emulator with preloaded
// libraries, and a storage server that is killed.

import t from 'tap';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ClusterProcess } from '../curvebs/cluster-process.js';
import { DEFAULT_ROOT_PASSWORD } from '../curvebs/cluster.js';
import { root } from '../lib/root.js';
import { endHammer, GIB, libvirtWithSecret, makeDisk, startCloud, startGuest, startHammer } from './cloud.js';
import { appears } from './libvirtd.js';

t.setTimeout(3_600_000);
const MIB = 1 << 20;

t.test('a snapshot that is taken while the guest writes is one moment of it', async (t) => {
  const cloud = await startCloud(t);
  const { host } = cloud;
  execFileSync('gcc', ['-O2', '-static', '-o', host.own('pattern'), root('test/libvirt/pattern.c')]);
  const guest = await startGuest(t, cloud, 'guest', [await makeDisk(host, 'root')]);
  await guest.run(`pattern write /dev/vda ${64 * MIB} 256 4096 0`);
  await startHammer(guest, '/dev/vda', 64 * MIB);
  const names = ['one', 'two', 'three', 'four', 'five'];
  for (const name of names) await host.sh(`rbd snap create --no-progress vms/root@${name}`);
  t.match(await endHammer(guest), /^rounds [1-9]/, 'the guest went on writing');
  let last = 0;
  for (const name of names) {
    const found = await host.sh(`rm -f /node/point; rbd export --no-progress vms/root@${name} /node/point; /node/pattern point /node/point ${64 * MIB} 256 4096 ${last}`);
    t.match(found, /^round \d+, \d+ blocks of it$/, `snapshot ${name} has the writes up to a moment, and none after it`);
    last = Number(/\d+/.exec(found)?.[0]);
  }
});

t.test('a guest moves to another host while it writes', async (t) => {
  const cloud = await startCloud(t);
  const there = await cloud.host.peer();
  const target = await libvirtWithSecret(t, there);
  const guest = await startGuest(t, cloud, 'guest', [await makeDisk(cloud.host, 'root')]);
  await guest.run(`pattern write /dev/vda ${128 * MIB} 512 512 7`);
  const move = async (from: typeof target, to: typeof target, port: string): Promise<void> => {
    await startHammer(guest, '/dev/vda', 64 * MIB);
    await from.virsh(`migrate --live guest '${to.uri}' tcp://127.0.0.1`);
    await appears(port);
    await guest.attach(port);
    t.match(await to.virsh('domstate guest'), /running/, 'it runs there');
    t.match(await endHammer(guest), /^rounds [1-9]/, 'no write was lost or failed on the way');
    await guest.run(`pattern verify /dev/vda ${128 * MIB} 512 512 7`);
  };
  await move(cloud.libvirt, target, there.own('guest.serial'));
  await move(target, cloud.libvirt, cloud.host.own('guest.serial'));
  t.pass('there and back again');
});

t.test("an emulator with preloaded libraries runs where Ceph's own are in place", async (t) => {
  const cloud = await startCloud(t);
  const { host } = cloud;
  const disk = await makeDisk(host, 'root');
  await host.sh(`mkdir -p /usr/lib/cbd2rbd/preload; cp -L ${root('build/lib/librbd.so.1')} ${root('build/lib/librados.so.2')} /usr/lib/cbd2rbd/preload/
    cp ${root('build/bin/hooks/cbd2rbd-qemu')} /usr/bin/cbd2rbd-qemu-system-x86_64
    libraries=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH); rm $libraries/librbd.so.1 $libraries/librados.so.2; ldconfig`);
  const guest = await startGuest(t, cloud, 'guest', [disk], '/usr/bin/cbd2rbd-qemu-system-x86_64');
  await guest.run(`pattern write /dev/vda ${4 * MIB} 64 512 1 && pattern verify /dev/vda ${4 * MIB} 64 512 1`);
  t.match(await host.sh('grep -c /usr/lib/cbd2rbd/preload/librbd.so.1 /proc/$(cat /run/libvirt/qemu/guest.pid)/maps'), /^[1-9]/, 'its QEMU has our librbd');
});

t.test('a guest on CurveBS outlives its storage server', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'cbd-curve-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  const storage = await ClusterProcess.start(folder);
  // QEMU runs as another user here.
  const openSocket = (): void => chmodSync(storage.nebdSocket, 0o666);
  openSocket();
  t.teardown(() => storage.kill());
  writeFileSync(join(folder, 'password'), DEFAULT_ROOT_PASSWORD);
  const cloud = await startCloud(t, {
    folders: [folder],
    pools: ['images', 'vms', 'disks curvebs:/disks --owner cinder'],
    conf: `curvebs_mds = ${storage.mds}\ncurvebs_nebd_socket = ${storage.nebdSocket}\ncurvebs_root_password_file = ${join(folder, 'password')}`,
    users: [{ name: 'nova', caps: { mon: 'profile rbd', osd: 'profile rbd pool=vms, profile rbd pool=disks, profile rbd-read-only pool=images' } }],
  });
  const { host } = cloud;
  await host.sh('rbd create --size 1G disks/data');
  const guest = await startGuest(t, cloud, 'guest', [await makeDisk(host, 'root'), { name: 'disks/data', target: 'vdb', user: 'nova' }]);
  t.equal(await guest.run('cat /sys/block/vdb/size'), String(GIB / 512), 'a disk of 1 GiB is 1 GiB on CurveBS too');
  await guest.run('mke2fs -q /dev/vdb 262144 2>/dev/null && mount -t ext4 /dev/vdb /mnt && seq 1 20000 >/mnt/numbers && sync && md5sum /mnt/numbers >/tmp/sum && umount /mnt');
  await startHammer(guest, '/dev/vdb', 512 * MIB);
  for (let kills = 0; kills < 3; kills++) {
    await storage.kill();
    await storage.begin();
    openSocket();
    await host.killDaemon();
    await host.startDaemon();
  }
  t.match(await endHammer(guest), /^rounds [1-9]/, 'kill -9 of storage server and daemon under load loses no flushed write and fails none');
  await guest.run('mount -t ext4 /dev/vdb /mnt && md5sum -c /tmp/sum >/dev/null && umount /mnt');
  await cloud.libvirt.virsh('destroy guest');
  await host.sh('rbd export --no-progress disks/data /node/data; e2fsck -fn /node/data');
  t.pass('and its file system checks clean');
});
