// Nova's rbd_utils from Debian, unmodified, with the libraries, the commands and the daemon where packages put them.

import t from 'tap';

import { backends } from '../lib/backends.js';
import { Host } from '../lib/host.js';
import { cloudPools, cloudUsers, driverTest } from './driver.js';

for (const backend of backends) {
  t.test(`on ${backend}: Nova keeps guests' disks in a pool of ours`, async (t) => {
    const host = await Host.start({ trees: ['openstack'], pools: cloudPools, users: cloudUsers, backend });
    t.teardown(() => host.stop());
    await driverTest(t, host, 'nova_rbd_utils');
  });
}
