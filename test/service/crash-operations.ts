// The operations of the crash tests, and what may be seen after one was cut short: all of it or nothing.
import type { Json, RpcClient } from '../lib/rpc-client.js';
import type { Fill } from './crash-ground.js';

const at = { pool: 1, namespace: '' };
/** What fills the images that are resized. */
export const written = 0xab;
export const before = 8 * 1048576 + 512;
export const smaller = 1048576 + 77;
export const larger = 64 * 1048576 + 1;

export interface Operation {
  /** Runs without faults. */
  prepare?(client: RpcClient, fill: Fill): Promise<void>;
  run(client: RpcClient): Promise<unknown>;
  /** The images and image@snapshots, name and size, before and after. */
  readonly outcomes: readonly (readonly [string, number][])[];
}

const create = (client: RpcClient, name: string): Promise<Json> => client.change('image.create', { at, name, size: before, options: {} });

async function openNew(client: RpcClient): Promise<void> {
  await create(client, 'a');
  await client.call('image.open', { at, name: 'a', handle: 1 });
}

async function withSnapshot(client: RpcClient): Promise<void> {
  await openNew(client);
  await client.change('snap.create', { handle: 1, name: 's' });
}

async function withTrashedSnapshot(client: RpcClient): Promise<void> {
  await withSnapshot(client);
  await client.change('clone', { at, image: 'a', snap: 's', to: at, name: 'k', options: { cloneFormat: 2 } });
  await client.change('snap.remove', { handle: 1, name: 's' });
}

const resize = (size: number): Operation => ({
  async prepare(client, fill) {
    await create(client, 'a');
    const { layers } = await client.call('image.open', { at, name: 'a', handle: 1 }) as { layers: { id: string }[] };
    await fill(layers[0]?.id ?? '', Buffer.alloc(before, written));
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
  snapshot: {
    async prepare(client) { await openNew(client); },
    run: (client) => client.change('snap.create', { handle: 1, name: 's' }),
    outcomes: [[['a', before]], [['a', before], ['a@s', before]]],
  },
  head: {
    prepare: withSnapshot,
    run: (client) => client.call('layer.own', { handle: 1, mode: 'write' }),
    outcomes: [[['a', before], ['a@s', before]]],
  },
  'cow shrink': {
    async prepare(client) {
      await withSnapshot(client);
      await client.call('layer.own', { handle: 1, mode: 'write' });
    },
    run: (client) => client.change('image.resize', { handle: 1, size: smaller, allowShrink: true }),
    outcomes: [[['a', before], ['a@s', before]], [['a', smaller], ['a@s', before]]],
  },
  rollback: {
    async prepare(client) {
      await withSnapshot(client);
      await client.call('layer.own', { handle: 1, mode: 'write' });
      await client.change('image.resize', { handle: 1, size: larger, allowShrink: true });
    },
    run: (client) => client.change('snap.rollback', { handle: 1, name: 's' }),
    outcomes: [[['a', larger], ['a@s', before]], [['a', before], ['a@s', before]]],
  },
  clone: {
    prepare: withSnapshot,
    run: (client) => client.change('clone', { at, image: 'a', snap: 's', to: at, name: 'k', options: { cloneFormat: 2 } }),
    outcomes: [[['a', before], ['a@s', before]], [['a', before], ['a@s', before], ['k', before]]],
  },
  'removal of a last clone': {
    prepare: withTrashedSnapshot,
    run: (client) => client.change('image.remove', { at, name: 'k' }),
    outcomes: [[['a', before], ['a@(trash)', before], ['k', before]], [['a', before]]],
  },
  flatten: {
    async prepare(client) {
      await withSnapshot(client);
      await client.change('clone', { at, image: 'a', snap: 's', to: at, name: 'k', options: { cloneFormat: 2 } });
      await client.call('image.open', { at, name: 'k', handle: 2 });
    },
    run: (client) => client.change('flatten', { handle: 2 }),
    outcomes: [[['a', before], ['a@s', before], ['k', before]]],
  },
  'snapshot and merge': {
    async prepare(client) {
      await withSnapshot(client);
      await client.change('snap.remove', { handle: 1, name: 's' });
      await client.call('layer.own', { handle: 1, mode: 'write' });
    },
    async run(client) {
      await client.change('snap.create', { handle: 1, name: 't' });
      while (((await client.call('image.refresh', { handle: 1 }))['layers'] as unknown[]).length > 1);
    },
    outcomes: [[['a', before]], [['a', before], ['a@t', before]]],
  },
  'snapshot removal': {
    async prepare(client) {
      await withSnapshot(client);
      await client.call('layer.own', { handle: 1, mode: 'write' });
      await client.change('snap.create', { handle: 1, name: 't' });
      await client.change('snap.rollback', { handle: 1, name: 's' });
    },
    run: (client) => client.change('snap.remove', { handle: 1, name: 't' }),
    outcomes: [[['a', before], ['a@s', before], ['a@t', before]], [['a', before], ['a@s', before]]],
  },
  grow: resize(larger),
  shrink: resize(smaller),
};
