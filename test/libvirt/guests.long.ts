// `npm run test:guests`: what takes guests longer. Many snapshots while they write, live migration, the emulator with
// preloaded libraries.

import t from 'tap';

import { backends } from '../lib/backends.js';
import { root } from '../lib/root.js';
import { endHammer, libvirtWithSecret, makeDisk, moveGuest, momentOf, startCloud, startGuest, startHammer } from './cloud.js';

t.setTimeout(3_600_000);
const MIB = 1 << 20;

for (const backend of backends) {
  t.test(`on ${backend}: a snapshot that is taken while the guest writes is one moment of it`, async (t) => {
    const cloud = await startCloud(t, { backend });
    const { host } = cloud;
    const guest = await startGuest(t, cloud, 'guest', [await makeDisk(host, 'root')]);
    await guest.run(`pattern write /dev/vda ${64 * MIB} 256 4096 0`);
    await startHammer(guest, '/dev/vda', 64 * MIB);
    const names = ['one', 'two', 'three', 'four', 'five'];
    for (const name of names) await host.sh(`rbd snap create --no-progress vms/root@${name}`);
    t.match(await endHammer(guest), /^rounds [1-9]/, 'the guest went on writing');
    let last = 0;
    for (const name of names) {
      const found = await momentOf(host, `vms/root@${name}`, 64 * MIB, last);
      t.match(found, /^round \d+, \d+ blocks of it$/, `snapshot ${name} has the writes up to a moment, and none after it`);
      last = Number(/\d+/.exec(found)?.[0]);
    }
  });

  t.test(`on ${backend}: a guest moves to another host while it writes`, async (t) => {
    const cloud = await startCloud(t, { backend });
    const there = await cloud.host.peer();
    const target = await libvirtWithSecret(t, there);
    const guest = await startGuest(t, cloud, 'guest', [await makeDisk(cloud.host, 'root')]);
    await guest.run(`pattern write /dev/vda ${128 * MIB} 512 512 7`);
    const move = async (from: typeof target, to: typeof target, port: string): Promise<void> => {
      await startHammer(guest, '/dev/vda', 64 * MIB);
      await moveGuest(guest, { from, to, port });
      t.match(await endHammer(guest), /^rounds [1-9]/, 'no write was lost or failed on the way');
      await guest.run(`pattern verify /dev/vda ${128 * MIB} 512 512 7`);
    };
    await move(cloud.libvirt, target, there.own('guest.serial'));
    await move(target, cloud.libvirt, cloud.host.own('guest.serial'));
    t.pass('there and back again');
  });
}

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
