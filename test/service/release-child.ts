// Hands an image back in a daemon of its own that is killed at its n-th fault point: node release-child.js DIR N SETTINGS (JSON).
// Prints "done" and ends with 0 where there are fewer points than that.
import { before, operations } from './crash-operations.js';
import { startOn, fillOn, type GroundSettings } from './crash-ground.js';

const [dir = '', n = '', settings = '{}'] = process.argv.slice(2);
const d = await startOn(dir, JSON.parse(settings) as GroundSettings);
const client = await d.client();
await operations['create']?.run(client);
const at = { pool: 1, namespace: '' };
const { layers } = await client.call('image.open', { at, name: 'a', handle: 1 }) as { layers: { id: string }[] };
await fillOn(d)(layers[0]?.id ?? '', Buffer.alloc(before, 0x5a));
// Two layers, so that the volume has to be made flat.
await client.change('snap.create', { handle: 1, name: 's' });
await client.call('layer.own', { handle: 1, mode: 'write', have: [] });
await client.call('image.close', { handle: 1 });
await client.call('image.open', { at, name: 'a', handle: 2 });
await client.change('snap.remove', { handle: 2, name: 's' });
await client.call('image.close', { handle: 2 });
process.env['CBD2RBD_FAULT'] = `any:${n}`;
await client.call('admin.image.release', { image: 'rbd/a' });
delete process.env['CBD2RBD_FAULT'];
console.log('done');
process.exit(0);
