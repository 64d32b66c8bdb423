// glance_store's RBD driver from Debian, unmodified, with the libraries, the commands and the daemon where packages put them.

import t from 'tap';

import { Host } from '../lib/host.js';
import { cloudPools, cloudUsers, driverTest } from './driver.js';

t.test('glance_store keeps images in a pool of ours', async (t) => {
  const host = await Host.start({ trees: ['openstack'], pools: cloudPools, users: cloudUsers });
  t.teardown(() => host.stop());
  await driverTest(t, host, 'glance_store_rbd');
});
