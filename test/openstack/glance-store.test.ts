// glance_store's RBD driver from Debian, unmodified, with the libraries, the commands and the daemon where packages put them.

import t from 'tap';

import { backends } from '../lib/backends.js';
import { Host } from '../lib/host.js';
import { cloudPools, cloudUsers, driverTest } from './driver.js';

for (const backend of backends) {
  t.test(`on ${backend}: glance_store keeps images in a pool of ours`, async (t) => {
    const host = await Host.start({ trees: ['openstack'], pools: cloudPools, users: cloudUsers, backend });
    t.teardown(() => host.stop());
    await driverTest(t, host, 'glance_store_rbd');
  });
}
