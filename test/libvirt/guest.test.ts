// A guest that libvirt starts on a clone, as Nova asks for it: it boots from it, sees the size asked for, keeps what it writes
// while disks come, grow and go, snapshots are taken, the daemon and the storage server die, and it moves to another host.

import t from 'tap';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { backends } from '../lib/backends.js';
import { endHammer, GIB, libvirtWithSecret, makeDisk, moveGuest, momentOf, startCloud, startGuest, startHammer } from './cloud.js';
import { diskXml } from './domain.js';
import { guestMedia } from './guest-media.js';

t.setTimeout(900_000);
const MIB = 1 << 20;

async function sha256(path: string): Promise<string> {
  return createHash('sha256').update(await readFile(path)).digest('hex');
}

for (const backend of backends) {
  t.test(`on ${backend}: a guest boots from a clone and keeps what it writes`, async (t) => {
    const cloud = await startCloud(t, { backend });
    const { host, libvirt } = cloud;
    const root = await makeDisk(host, 'root');
    await host.sh('rbd create --size 64M vms/plain');
    // A disk without <auth> is client.admin's; QEMU runs as another user here, who must be able to read that key.
    const plain = { name: 'vms/plain', target: 'vdb' };
    await t.rejects(startGuest(t, cloud, 'early', [root, plain]), /vms|rbd|[Pp]ermission|connect/, 'a disk without <auth>, whose key QEMU may not read, is refused');
    await host.sh('chmod 0644 /etc/ceph/ceph.client.admin.keyring');
    const guest = await startGuest(t, cloud, 'guest', [root, plain]);
    t.equal(await guest.run('cat /sys/block/vda/size'), String(GIB / 512), 'its disk has exactly the size asked for');

    await guest.run(`pattern write /dev/vda ${64 * MIB} 512 512 1 && pattern write /dev/vda ${128 * MIB + 512} 64 4096 2`);
    await guest.run(`pattern verify /dev/vda ${64 * MIB} 512 512 1 && pattern verify /dev/vda ${128 * MIB + 512} 64 4096 2`);
    t.pass('blocks of 512 bytes and of 4 KiB are read back');
    await guest.run(`pattern write /dev/vdb 512 64 512 3 && pattern verify /dev/vdb 512 64 512 3`);
    t.pass('from a disk without <auth>, too');

    await host.sh('rbd create --size 100M vms/second');
    await libvirt.virsh(`attach-device guest ${libvirt.file('vdc.xml', diskXml({ name: 'vms/second', target: 'vdc', user: 'nova' }))}`);
    await guest.run('until [ -b /dev/vdc ]; do usleep 50000; done');
    await guest.run('mke2fs -q /dev/vdc 2>/dev/null && mount -t ext4 /dev/vdc /mnt && seq 1 20000 >/mnt/numbers && sync && md5sum /mnt/numbers >/tmp/sum');
    t.pass('a disk is plugged in while it runs, and takes a file system');
    await libvirt.virsh('blockresize guest vdc 300M');
    t.equal(await guest.run('cat /sys/block/vdc/size'), String((300 * MIB) / 512), 'it grows, and the guest sees its new size');
    await guest.run('md5sum -c /tmp/sum >/dev/null && umount /mnt');

    await startHammer(guest, '/dev/vdc', 200 * MIB);
    for (let kills = 0; kills < 3; kills++) {
      await host.restartStorage();
      await host.killDaemon();
      await host.startDaemon();
    }
    t.match(await endHammer(guest), /^rounds [1-9]/, 'kill -9 of the daemon and of the storage server under load loses no flushed write and fails none');
    await guest.run('mount -t ext4 /dev/vdc /mnt && md5sum -c /tmp/sum >/dev/null && umount /mnt');
    t.pass('and the file system beside it is whole');

    await libvirt.virsh(`detach-device guest ${host.own('vdc.xml')}`);
    await guest.run('while [ -b /dev/vdc ]; do usleep 50000; done');
    await host.sh('rbd export --no-progress vms/second /node/second; e2fsck -fn /node/second');
    t.pass('unplugged, its file system checks clean');

    await guest.run(`pattern write /dev/vda ${192 * MIB} 256 4096 0`);
    await startHammer(guest, '/dev/vda', 192 * MIB);
    await host.sh('rbd snap create --no-progress vms/root@point');
    await host.restartStorage();
    await host.killDaemon();
    await host.startDaemon();
    t.match(await endHammer(guest), /^rounds [1-9]/, 'the disk that it booted from, a clone, outlives them as well');
    t.match(await momentOf(host, 'vms/root@point', 192 * MIB), /^round \d+, \d+ blocks of it$/, 'a snapshot that was taken while it wrote is one moment of it');
    await guest.run(`pattern verify /dev/vda ${64 * MIB} 512 512 1 && pattern verify /dev/vda ${128 * MIB + 512} 64 4096 2`);

    const there = await host.peer();
    await startHammer(guest, '/dev/vda', 192 * MIB);
    await moveGuest(guest, { from: libvirt, to: await libvirtWithSecret(t, there), port: there.own('guest.serial') });
    t.match(await endHammer(guest), /^rounds [1-9]/, 'it moves to another host while it writes: no write is lost or fails on the way');
    await guest.run(`pattern verify /dev/vda ${64 * MIB} 512 512 1 && pattern verify /dev/vda ${128 * MIB + 512} 64 4096 2`);
    await host.sh('rbd export --no-progress images/guest@snap /node/image');
    t.equal(await sha256(host.own('image')), await sha256(guestMedia()), 'and the image that it is a clone of is as it was');
  });
}
