// Nova's rbd_utils from Debian, unmodified, with the libraries, the commands and the daemon where packages put them.

import t from 'tap';

import { Host } from '../lib/host.js';
import { cloudPools, cloudUsers, driverTest } from './driver.js';

t.test('Nova keeps guests\' disks in a pool of ours', async (t) => {
  const host = await Host.start({ trees: ['openstack'], pools: cloudPools, users: cloudUsers });
  t.teardown(() => host.stop());
  await driverTest(t, host, 'nova_rbd_utils');
});
