// libvirt's own RBD storage driver, unmodified, on our libraries: a pool's and its volumes' whole life.

import t from 'tap';
import { resolve } from 'node:path';

import { startTestDaemon } from '../lib/daemon.js';
import { Libvirtd } from './libvirtd.js';

const POOL = '<pool type="rbd"><name>cbd</name><source><name>rbd</name><host name="127.0.0.1" port="6789"/></source></pool>';

t.test('libvirt manages volumes in an RBD pool of ours', async (t) => {
  const daemon = await startTestDaemon();
  t.teardown(() => daemon.stop());
  const libvirt = await Libvirtd.start({ LD_LIBRARY_PATH: resolve('build/lib'), CBD2RBD_SOCKET: daemon.socket });
  t.teardown(() => libvirt.stop());
  const client = await daemon.client();
  t.teardown(() => client.close());
  const images = async (): Promise<string[]> => {
    const { images } = await client.call('image.list', { at: { pool: 1, namespace: '' } }) as { images: { name: string }[] };
    return images.map(({ name }) => name);
  };
  const volumes = async (): Promise<string[]> => {
    const listed = await libvirt.virsh('vol-list', 'cbd');
    return listed === '' ? [] : listed.split('\n').map((line) => line.trim().split(/\s+/)[0] ?? '');
  };

  await libvirt.virsh('pool-define', libvirt.file('pool.xml', POOL));
  await libvirt.virsh('pool-start', 'cbd');
  t.match(await libvirt.virsh('pool-info', 'cbd'), /State: +running/, 'the pool starts and reports its capacity');

  await libvirt.virsh('vol-create-as', 'cbd', 'disk', '100M');
  t.same(await volumes(), ['disk'], 'a created volume is listed');
  t.same(await images(), ['disk'], 'and is an image of ours');

  await libvirt.virsh('vol-resize', 'disk', '200M', '--pool', 'cbd');
  t.match(await libvirt.virsh('vol-dumpxml', 'disk', '--pool', 'cbd'), /<capacity unit='bytes'>209715200</, 'it grows to the byte');
  await t.rejects(libvirt.virsh('vol-resize', 'disk', '100M', '--shrink', '--pool', 'cbd'), 'libvirt refuses to shrink, as on Ceph');

  await libvirt.virsh('vol-wipe', 'disk', '--pool', 'cbd');
  await t.rejects(libvirt.virsh('vol-create-as', 'cbd', 'disk', '1M'), /exists already/, 'a name that is taken is refused');

  await libvirt.virsh('vol-delete', 'disk', '--pool', 'cbd');
  t.same(await images(), [], 'a deleted volume is gone');

  await client.call('image.create', { at: { pool: 1, namespace: '' }, name: 'elsewhere', size: 4096, options: {} });
  await libvirt.virsh('pool-refresh', 'cbd');
  t.same(await volumes(), ['elsewhere'], 'a refresh finds what others made');

  await libvirt.virsh('pool-destroy', 'cbd');
  await libvirt.virsh('pool-undefine', 'cbd');
});

t.test('a pool that does not exist is refused by name when it is started', async (t) => {
  const daemon = await startTestDaemon();
  t.teardown(() => daemon.stop());
  const libvirt = await Libvirtd.start({ LD_LIBRARY_PATH: resolve('build/lib'), CBD2RBD_SOCKET: daemon.socket });
  t.teardown(() => libvirt.stop());
  await libvirt.virsh('pool-define', libvirt.file('pool.xml', POOL.replace('<name>rbd<', '<name>missing<')));
  await t.rejects(libvirt.virsh('pool-start', 'cbd'), /missing/, "libvirt's message names the pool");
  await libvirt.virsh('pool-undefine', 'cbd');
});
