// The operations of the crash tests, and what may be seen after one was cut short: all of it or nothing.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Json, RpcClient } from '../lib/rpc-client.js';

const at = { pool: 1, namespace: '' };
/** What fills the images that are resized. */
export const written = 0xab;
export const before = 8 * 1048576 + 512;
export const smaller = 1048576 + 77;
export const larger = 64 * 1048576 + 1;

export interface Operation {
  /** Runs without faults. `volumes` is the folder of the pool's volumes. */
  prepare?(client: RpcClient, volumes: string): Promise<void>;
  run(client: RpcClient): Promise<unknown>;
  /** The images, name and size, before and after. */
  readonly outcomes: readonly (readonly [string, number][])[];
}

const create = (client: RpcClient, name: string): Promise<Json> => client.change('image.create', { at, name, size: before, options: {} });

const resize = (size: number): Operation => ({
  async prepare(client, volumes) {
    await create(client, 'a');
    const { layers } = await client.call('image.open', { at, name: 'a', handle: 1 }) as { layers: { id: string }[] };
    writeFileSync(join(volumes, layers[0]?.id ?? ''), Buffer.alloc(before, written), { flag: 'r+' });
  },
  run: (client) => client.change('image.resize', { handle: 1, size, allowShrink: true }),
  outcomes: [[['a', before]], [['a', size]]],
});

export const operations: Readonly<Record<string, Operation>> = {
  create: { run: (client) => create(client, 'a'), outcomes: [[], [['a', before]]] },
  remove: {
    async prepare(client) { await create(client, 'a'); },
    run: (client) => client.change('image.remove', { at, name: 'a' }),
    outcomes: [[['a', before]], []],
  },
  rename: {
    async prepare(client) { await create(client, 'a'); },
    run: (client) => client.change('image.rename', { at, name: 'a', to: 'b' }),
    outcomes: [[['a', before]], [['b', before]]],
  },
  grow: resize(larger),
  shrink: resize(smaller),
};
