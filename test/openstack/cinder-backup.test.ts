// Cinder's Ceph backup driver and os-brick's RBD connector from Debian, unmodified, with the libraries, the commands and the daemon where packages put them.

import t from 'tap';

import { backends } from '../lib/backends.js';
import { Host } from '../lib/host.js';
import { cloudPools, cloudUsers, driverTest } from './driver.js';

for (const backend of backends) {
  t.test(`on ${backend}: Cinder backs volumes up and restores them`, async (t) => {
    const host = await Host.start({ trees: ['openstack'], pools: cloudPools, users: cloudUsers, backend });
    t.teardown(() => host.stop());
    await driverTest(t, host, 'cinder_backup_ceph');
  });
}
