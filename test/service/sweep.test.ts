// What a restarted daemon finds to be removed, while a client that has not come back yet still reads it: on a backend where whoever has a
// volume open loses it with its removal.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openLocalBackend } from '../../src/backend/local.js';
import { Context } from '../../src/service/context.js';
import { releaseWithSessions } from '../../src/service/endings.js';
import { createImage } from '../../src/service/images.js';
import { releaseAll } from '../../src/service/layers.js';
import { attachImage, finishAttach, openImage } from '../../src/service/open.js';
import { takeOwnership } from '../../src/service/ownership.js';
import { createPool } from '../../src/service/pools.js';
import { keys, type ImageRef, type IntentRecord, type LayerRecord } from '../../src/service/records.js';
import { rollBack } from '../../src/service/rollback.js';
import type { Channel, SessionIdentity } from '../../src/service/sessions.js';
import { createSnapshot } from '../../src/service/snapshots.js';
import { startRemoving, sweepVolumes } from '../../src/service/volumes.js';
import { openSqliteStore } from '../../src/store/sqlite.js';

const at = { pool: 1, namespace: '' };
const dir = mkdtempSync(join(tmpdir(), 'cbd-w-'));
const store = openSqliteStore(join(dir, 'store.db'));
t.teardown(async () => {
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

const identity: SessionIdentity = { entity: 'client.admin', pid: process.pid, uid: 0, program: 'test' };
const channel: Channel = {
  ask: async (_method, _params, passed) => {
    passed?.sent();
    return {};
  },
  notify: () => undefined,
  cut: () => undefined,
};

/** A daemon on that store, which forgets what the one before it knew. */
async function start(graceMs: number): Promise<Context> {
  const backend = await openLocalBackend(join(dir, 'volumes'));
  Object.assign(backend.rules, { losesRemoved: true });
  const ctx = new Context({ store, backends: new Map([['local', backend]]), clientConfig: () => ({}), graceMs, log: () => undefined });
  releaseWithSessions(ctx);
  return ctx;
}

async function restart(graceMs: number): Promise<Context> {
  const ctx = await start(graceMs);
  await ctx.sessions.expectEarlier();
  await sweepVolumes(ctx);
  await ctx.sessions.giveUpMissing();
  return ctx;
}

/** An image that a session has open, and the volume of its head, which a rollback has condemned. */
async function condemned(ctx: Context, name: string): Promise<{ image: ImageRef; session: number; path: string }> {
  const session = await ctx.sessions.begin(identity, channel);
  const image = { ...at, ...await createImage(ctx, session, { at, name, size: 4096, options: {} }) };
  releaseAll((await openImage(ctx, session, { at, name, readOnly: false, handle: 1 })).accesses);
  await createSnapshot(ctx, image, { name: 's' });
  await takeOwnership(ctx, session.open(1), 'write');
  const layers = (await store.list({ prefix: keys.layers })).map(({ value }) => JSON.parse(value) as LayerRecord);
  const head = layers.find(({ kind, image: owner }) => kind === 'cow' && owner === image.id)?.volume ?? '';
  const unpin = ctx.pin([head]);
  await rollBack(ctx, image, { name: 's' });
  unpin();
  return { image, session: session.id, path: join(dir, 'volumes', 'pool-1', head) };
}

t.test('it stays until the client has come back and shows something else', async (t) => {
  const first = await start(60_000);
  await createPool(first, { name: 'rbd' });
  const { image, session: id, path } = await condemned(first, 'back');
  t.ok(existsSync(path));
  const second = await restart(60_000);
  const stop = startRemoving(second);
  t.ok(existsSync(path), 'it is not swept');
  const session = second.sessions.resume(id, identity, channel)!;
  releaseAll((await attachImage(second, session, { at, id: image.id, readOnly: false, handle: 1 })).accesses);
  finishAttach(second, session, 1);
  await stop();
  t.notOk(existsSync(path), 'and now it is');
  await second.sessions.end(session, { orderly: true });
});

t.test('or until the client is given up', async (t) => {
  const { path } = await condemned(await start(60_000), 'gone');
  const second = await restart(50);
  t.ok(existsSync(path));
  const stop = startRemoving(second);
  while (existsSync(path)) await new Promise((resolve) => { setImmediate(resolve); });
  t.strictSame(second.sessions.list(), [], 'not before');
  await stop();
});

t.test('what was only to be made goes at once', async (t) => {
  const { path } = await condemned(await start(60_000), 'made');
  const volume = path.split('/').at(-1) ?? '';
  await store.commit({ changes: [{ put: keys.intent(volume), value: JSON.stringify({ pool: 1, volume, why: 'create' } satisfies IntentRecord) }] });
  const second = await restart(60_000);
  t.notOk(existsSync(path));
  second.sessions.stop();
});
