// libvirt's own RBD storage driver, unmodified, on our libraries: a pool's and its volumes' whole life.

import t from 'tap';

import { backends } from '../lib/backends.js';
import { Host } from '../lib/host.js';
import { SECRET, secretXml } from './domain.js';
import { Libvirtd } from './libvirtd.js';

const USERS = [
  { name: 'libvirt', caps: { mon: 'profile rbd', osd: 'profile rbd pool=rbd' } },
];
const AUTH = `<auth username='libvirt' type='ceph'><secret uuid='${SECRET}'/></auth>`;

function poolXml(name: string, options: { auth?: string; refresh?: string; rbd?: string } = {}): string {
  return `<pool type="rbd"><name>${name}</name><source><name>${options.rbd ?? 'rbd'}</name><host name="127.0.0.1" port="6789"/>${options.auth ?? ''}</source>
    ${options.refresh ?? ''}</pool>`;
}

for (const backend of backends) t.test(`on ${backend} libvirt manages volumes in RBD pools of ours`, async (t) => {
  const host = await Host.start({ pools: ['rbd'], users: USERS, backend });
  t.teardown(() => host.stop());
  const libvirt = await Libvirtd.start(host);
  t.teardown(() => libvirt.stop());
  const listed = async (): Promise<string[]> => (await libvirt.virsh('vol-list cbd')).split('\n').map((line) => line.trim().split(/\s+/)[0] ?? '');
  const images = async (): Promise<string[]> => (await host.sh('rbd ls')).split('\n');

  await libvirt.virsh(`secret-define ${libvirt.file('secret.xml', secretXml('libvirt'))}`);
  await t.rejects(libvirt.virsh(`pool-create ${libvirt.file('early.xml', poolXml('early', { auth: AUTH }))}`), /secret/, 'a pool whose secret has no value is refused');
  await libvirt.virsh(`secret-set-value ${SECRET} "$(sed -n 's/.*key = //p' /etc/ceph/ceph.client.libvirt.keyring)"`);
  await libvirt.virsh(`pool-define ${libvirt.file('pool.xml', poolXml('cbd', { auth: AUTH }))}`);
  await libvirt.virsh('pool-start cbd');
  t.match(await libvirt.virsh('pool-info cbd'), /State: +running/, 'a pool with a user and a secret starts and reports its capacity');

  await libvirt.virsh('vol-create-as cbd disk 100M');
  t.same([await listed(), await images()], [['disk'], ['disk']], 'a created volume is an image of ours');
  await libvirt.virsh('vol-resize disk 200M --pool cbd');
  t.match(await libvirt.virsh('vol-dumpxml disk --pool cbd'), /<capacity unit='bytes'>209715200</, 'it grows to the byte');
  await t.rejects(libvirt.virsh('vol-resize disk 100M --shrink --pool cbd'), 'libvirt refuses to shrink, as on Ceph');
  await t.rejects(libvirt.virsh('vol-create-as cbd disk 1M'), 'a name that is taken is refused');

  await host.sh('head -c 2999808 /dev/urandom >/node/data; qemu-io -f raw -c "write -s /node/data 0 2999808" rbd:rbd/disk');
  await libvirt.virsh('vol-clone disk copy --pool cbd');
  await host.sh('qemu-img compare -f raw -F raw rbd:rbd/disk rbd:rbd/copy');
  t.pass('a clone has the same bytes');
  await t.rejects(libvirt.virsh('vol-download copy /node/downloaded --pool cbd'), /not supported/, "libvirt's RBD driver has no download, on Ceph too");
  await t.rejects(libvirt.virsh('vol-upload copy /node/data --pool cbd'), /not supported/, 'and no upload');
  await libvirt.virsh('vol-wipe copy --pool cbd');
  await host.sh('qemu-io -r -f raw -c "read -P 0 0 200M" rbd:rbd/copy');
  t.pass('a wiped volume is zero throughout');

  await host.sh('rbd create --size 4 elsewhere');
  await libvirt.virsh('pool-refresh cbd');
  t.same(await listed(), ['copy', 'disk', 'elsewhere'], 'a refresh finds what others made');
  for (const name of ['copy', 'elsewhere']) await libvirt.virsh(`vol-delete ${name} --pool cbd`);
  t.same(await images(), ['disk'], 'a deleted volume is gone');

  const measured = poolXml('measured', { auth: AUTH, refresh: "<refresh><volume allocation='default'/></refresh>" });
  await libvirt.virsh(`pool-create ${libvirt.file('measured.xml', measured)}`);
  const allocation = Number(/<allocation unit='bytes'>(\d+)</.exec(await libvirt.virsh('vol-dumpxml disk --pool measured'))?.[1]);
  // Of a plain image CurveBS knows by whole GiB what was written.
  t.ok(allocation >= 2999808 && allocation <= (backend === 'local' ? 16 : 200) << 20, "where that is asked for, a volume's allocation is measured", { allocation });

  await t.rejects(libvirt.virsh(`pool-create ${libvirt.file('missing.xml', poolXml('missing', { auth: AUTH, rbd: 'gone' }))}`), /gone/, 'a pool that does not exist is refused by name');
  await libvirt.virsh(`pool-create ${libvirt.file('plain.xml', poolXml('plain'))}`);
  t.match(await libvirt.virsh('vol-list plain'), /disk/, 'without a user, libvirtd is client.admin on its own host');
  for (const pool of ['plain', 'measured', 'cbd']) await libvirt.virsh(`pool-destroy ${pool}`);
  await libvirt.virsh('pool-undefine cbd');
});
