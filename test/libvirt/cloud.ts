// What the guest tests begin with: a host with libvirt, nova's user and his secret, and an image that guests boot from.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Test } from 'tap';

import { Host, type HostOptions } from '../lib/host.js';
import { root } from '../lib/root.js';
import { domainXml, SECRET, secretXml, type Disk } from './domain.js';
import { Guest } from './guest.js';
import { guestMedia } from './guest-media.js';
import { appears, Libvirtd } from './libvirtd.js';

export const GIB = 1 << 30;
const USERS = [
  { name: 'nova', caps: { mon: 'profile rbd', osd: 'profile rbd pool=vms, profile rbd-read-only pool=images' } },
];

export interface Cloud {
  readonly host: Host;
  readonly libvirt: Libvirtd;
}

/** All of it; `images/guest@snap` is the image. */
export async function startCloud(t: Test, options: Partial<HostOptions> = {}): Promise<Cloud> {
  const media = guestMedia();
  const host = await Host.start({ pools: ['images', 'vms'], users: USERS, ...options });
  t.teardown(() => host.stop());
  const libvirt = await libvirtWithSecret(t, host);
  await host.sh(`rbd import --no-progress --image-format 2 ${media} images/guest; rbd snap create images/guest@snap; rbd snap protect images/guest@snap`);
  return { host, libvirt };
}

export async function libvirtWithSecret(t: Test, host: Host): Promise<Libvirtd> {
  const libvirt = await Libvirtd.start(host);
  t.teardown(() => libvirt.stop());
  await libvirt.virsh(`secret-define ${libvirt.file('secret.xml', secretXml('nova'))}`);
  await libvirt.virsh(`secret-set-value ${SECRET} "$(sed -n 's/.*key = //p' /etc/ceph/ceph.client.nova.keyring)"`);
  return libvirt;
}

/** Makes a clone of the image, of `size` bytes, as Nova does for a guest: vms/NAME. */
export async function makeDisk(host: Host, name: string, size = GIB): Promise<Disk> {
  await host.sh(`rbd clone images/guest@snap vms/${name}; rbd resize --no-progress --size ${size}B vms/${name}`);
  return { name: `vms/${name}`, target: 'vda', user: 'nova' };
}

/** Starts a guest with these disks and returns when it has come up. It ends with the test. */
export async function startGuest(t: Test, cloud: Cloud, name: string, disks: readonly Disk[], emulator?: string): Promise<Guest> {
  const { host, libvirt } = cloud;
  const guest = new Guest();
  t.teardown(async () => {
    guest.detach();
    await libvirt.virsh(`destroy ${name}`).catch(() => undefined);
  });
  await libvirt.virsh(`create ${libvirt.file(`${name}.xml`, domainXml({ name, disks, ...(emulator === undefined ? {} : { emulator }) }))}`);
  await appears(host.own(`${name}.serial`));
  await guest.attach(host.own(`${name}.serial`));
  await guest.up();
  return guest;
}

/** Moves the guest, called `guest`, while it runs, and attaches to its serial port on the other side. Rejects where it does not run there. */
export async function moveGuest(guest: Guest, way: { from: Libvirtd; to: Libvirtd; port: string }): Promise<void> {
  await way.from.virsh(`migrate --live guest '${way.to.uri}' tcp://127.0.0.1`);
  await appears(way.port);
  await guest.attach(way.port);
  const state = await way.to.virsh('domstate guest');
  if (!/running/.test(state)) throw new Error(`after its move the guest is ${state}`);
}

/** Lets the guest write the MiB at `offset` of a disk round by round, each flushed, until endHammer(). */
export async function startHammer(guest: Guest, device: string, offset: number): Promise<void> {
  await guest.run(`rm -f /tmp/enough /tmp/hammered; (pattern hammer ${device} ${offset} 256 4096 /tmp/enough >/tmp/hammering 2>&1; mv /tmp/hammering /tmp/hammered) & true`);
}

/** Ends it; what the guest found when it read everything again: the number of rounds, or what differs. */
export async function endHammer(guest: Guest): Promise<string> {
  return guest.run('touch /tmp/enough; until [ -f /tmp/hammered ]; do usleep 50000; done; cat /tmp/hammered');
}

/** What a snapshot holds of the MiB that a guest hammers at `offset`: "round N, M blocks of it" where it is one moment, not before round `least`. */
export async function momentOf(host: Host, snapshot: string, offset: number, least = 0): Promise<string> {
  const pattern = host.own('pattern');
  if (!existsSync(pattern)) execFileSync('gcc', ['-O2', '-static', '-o', pattern, root('test/libvirt/pattern.c')]);
  return host.sh(`rm -f /node/point; rbd export --no-progress ${snapshot} /node/point; /node/pattern point /node/point ${offset} 256 4096 ${least}`);
}
