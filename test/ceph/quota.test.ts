// Quotas of pools, set as `ceph osd pool set-quota` does, hold for images.
import {fsyncSync, writeSync} from 'node:fs';
import t from 'tap';
import {startTestDaemon} from '../lib/daemon.js';
import {runMonCommand} from '../../src/ceph/mon.js';
import {Identity} from '../../src/access/identity.js';

const admin = new Identity({entity: 'client.admin', key: '', owner: '', caps: {mon: 'allow *', osd: 'allow *'}}, {trusted: true});

t.test('a pool at its quota takes no new image and lets none grow; lifting it helps', async (t) => {
  const daemon = await startTestDaemon();
  t.teardown(() => daemon.stop());
  const client = await daemon.client();
  const quota = (field: string, val: string) => runMonCommand(
    daemon.daemon.cluster, admin, [JSON.stringify({prefix: 'osd pool set-quota', pool: 'rbd', field, val})], Buffer.alloc(0));
  const at = {pool: Number((await client.call('pool.lookup', {name: 'rbd'}))['id']), namespace: ''};
  const create = (name: string) => client.call('image.create', {at, name, size: 1 << 20, options: {}});
  await create('first');
  t.equal((await quota('max_bytes', '1')).rc, 0);
  t.ok(await create('second'), 'what was never written takes nothing');
  // An image of the pool is filled: the record of what is used is the backend's own.
  const state = await client.call('image.open', {at, name: 'first', readOnly: false, handle: 1});
  const layers = state['layers'] as {id: string}[];
  const volume = await daemon.daemon.ctx.backends.get('local')?.openVolume({dir: `pool-${at.pool}`, owner: ''}, layers[0]?.id ?? '', {writable: true, session: 0, handle: 0});
  t.equal(volume?.driver, 'file');
  if (volume?.driver === 'file') {
    writeSync(volume.fd, Buffer.alloc(65536, 1), 0, 65536, 0);
    fsyncSync(volume.fd);
    volume.release();
  }
  await t.rejects(create('third'), {name: 'Error', code: -122});
  await t.rejects(client.call('image.resize', {handle: 1, size: 2 << 20, allowShrink: true}), {name: 'Error', code: -122});
  t.equal((await quota('max_bytes', '0')).rc, 0);
  t.ok(await create('third'));
  await client.call('image.resize', {handle: 1, size: 2 << 20, allowShrink: true});
});
