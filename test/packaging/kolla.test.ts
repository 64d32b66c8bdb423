// The pieces for Kolla: the script that makes pools, users and keyrings, and whether everything names the same things.

import t from 'tap';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

import { Host } from '../lib/host.js';
import { root } from '../lib/root.js';

const USERS = { glance: 'images', cinder: 'volumes', 'cinder-backup': 'backups', nova: 'vms' } as const;

t.test('users.sh lays out what kolla-ansible takes from an external Ceph', async (t) => {
  const host = await Host.start({ pools: [], users: [] });
  t.teardown(() => host.stop());
  const script = `${root('packaging/kolla/users.sh')} local /tmp/config`;
  await host.sh(script);
  const files = await host.sh('cd /tmp/config; find . -type f | sort');
  t.same(files.split('\n'), [
    './cinder/ceph.conf', './cinder/cinder-backup/ceph.client.cinder-backup.keyring', './cinder/cinder-backup/ceph.client.cinder.keyring',
    './cinder/cinder-volume/ceph.client.cinder.keyring', './glance/ceph.client.glance.keyring', './glance/ceph.conf',
    './nova/ceph.client.cinder.keyring', './nova/ceph.client.nova.keyring', './nova/ceph.conf',
  ], 'each service finds its files');
  const sums = await host.sh('cd /tmp/config; find . -type f | sort | xargs sha256sum');
  await host.sh(script);
  t.equal(await host.sh('cd /tmp/config; find . -type f | sort | xargs sha256sum'), sums, 'run again, it changes nothing');
  for (const [user, pool] of Object.entries(USERS)) {
    await host.sh(`cp $(find /tmp/config -name ceph.client.${user}.keyring | head -n 1) /etc/ceph/; rbd --id ${user} -p ${pool} create --size 1G disk; rbd --id ${user} -p ${pool} rm --no-progress disk`);
    t.pass(`${user} may use ${pool}`);
  }
  await t.rejects(host.sh('rbd --id glance -p volumes ls'), 'and no other');
});

t.test('the snippet for globals.yml names the same users and pools', async (t) => {
  const globals = readFileSync(root('packaging/kolla/globals.yml'), 'utf8');
  for (const [user, pool] of Object.entries(USERS)) {
    const name = user.replace('-', '_');
    t.match(globals, new RegExp(`^ceph_${name}_user: "${user}"$`, 'm'), `${user}'s name`);
    t.match(globals, new RegExp(`^ceph_${name}_pool_name: "${pool}"$`, 'm'), `${user}'s pool`);
  }
  for (const container of ['glance_api', 'cinder_volume', 'cinder_backup', 'nova_compute', 'nova_libvirt']) {
    t.match(globals, new RegExp(`^${container}_extra_volumes: .*"/run/cbd2rbd:/run/cbd2rbd"`, 'm'), `${container} has the daemon's socket`);
    t.match(globals, new RegExp(`^${container}_image: `, 'm'), 'and an image of ours');
  }
});

t.test('build-images.sh builds a layer over each image that uses RBD', async (t) => {
  const commands = execFileSync('bash', [root('packaging/kolla/build-images.sh'), 'FROM', 'TAG', 'TO'], { env: { ...process.env, DRY_RUN: '1' }, encoding: 'utf8' });
  t.same([...commands.matchAll(/base=FROM\/(\S+):TAG --build-arg user=(\w+) -t TO\/\1:TAG/g)].map((found) => `${found[1]}:${found[2]}`),
    ['glance-api:glance', 'cinder-volume:cinder', 'cinder-backup:cinder', 'nova-compute:nova', 'nova-libvirt:root']);
});
