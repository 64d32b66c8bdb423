// Owners that do not answer: their volume is taken from them before another writes.
import { openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createImage } from '../../src/service/images.js';
import { releaseAll } from '../../src/service/layers.js';
import { openImage } from '../../src/service/open.js';
import { takeOwnership } from '../../src/service/ownership.js';
import { ConnectionLost, type OpenImage, type Session } from '../../src/service/sessions.js';
import { createSnapshot } from '../../src/service/snapshots.js';
import { stateFor } from '../../src/service/state.js';
import { startTestService } from '../lib/service.js';

const at = { pool: 1, namespace: '' };
const MiB = 1048576;
const s = await startTestService({ drainMs: 50 });
t.teardown(() => s.close());

const refusal = (errno: string) => ({ name: 'ServiceError', errno });

async function openIn(session: Session, name: string): Promise<OpenImage> {
  const { accesses } = await openImage(s.ctx, session, { at, name, readOnly: false, handle: 1 });
  releaseAll(accesses);
  return session.open(1);
}

async function headPath(open: OpenImage): Promise<{ path: string; id: string }> {
  const { state, accesses } = await stateFor(s.ctx, open, new Set());
  releaseAll(accesses);
  const [head] = state['layers'] as { id: string }[];
  return { path: join(s.volumes, (head?.id ?? '').split('.')[0] ?? ''), id: head?.id ?? '' };
}

t.test('an owner that neither answers nor dies is fenced: what it writes later reaches nobody', async (t) => {
  let isMute = false;
  const mute = (await s.session(() => (isMute ? new Promise<object>(() => undefined) : {}))).session;
  const other = (await s.session()).session;
  await createImage(s.ctx, other, { at, name: 'a', size: MiB, options: {} });
  const first = await openIn(mute, 'a');
  const second = await openIn(other, 'a');
  await createSnapshot(s.ctx, first.image, { name: 's' });
  await takeOwnership(s.ctx, first, 'write');
  const before = await headPath(first);
  const stale = openSync(before.path, 'r+');
  writeSync(stale, 'flushed', 0);
  isMute = true;
  await takeOwnership(s.ctx, second, 'write');
  const after = await headPath(second);
  t.equal(after.path, before.path);
  t.not(after.id, before.id, 'sessions know it by another id, so they open it anew');
  writeSync(stale, 'too late', 0);
  t.equal(readFileSync(after.path).subarray(0, 8).toString(), 'flushed\0');
  await t.rejects(takeOwnership(s.ctx, first, 'read'), refusal('ESHUTDOWN'));
});

t.test('a snapshot waits for nobody who is silent: it is refused, and the others go on', async (t) => {
  let isMute = false;
  const mute = (await s.session(() => (isMute ? new Promise<object>(() => undefined) : {}))).session;
  const { session, asked } = await s.session();
  await createImage(s.ctx, session, { at, name: 'b', size: MiB, options: {} });
  await openIn(mute, 'b');
  const open = await openIn(session, 'b');
  isMute = true;
  await t.rejects(createSnapshot(s.ctx, open.image, { name: 's' }), refusal('ETIMEDOUT'));
  t.strictSame(asked, ['image.quiesce', 'image.resume']);
  await s.ctx.sessions.end(mute, { orderly: false });
  t.ok(await createSnapshot(s.ctx, open.image, { name: 's' }));
});

t.test('readers share; one that dies while it is asked is no obstacle', async (t) => {
  const writer = (await s.session()).session;
  await createImage(s.ctx, writer, { at, name: 'c', size: MiB, options: {} });
  const w = await openIn(writer, 'c');
  await createSnapshot(s.ctx, w.image, { name: 's' });
  const dying = (await s.session(async (method) => {
    if (method !== 'image.giveUp') return {};
    setImmediate(() => { void s.ctx.sessions.end(dying, { orderly: false }); });
    dying.channel = undefined;
    throw new ConnectionLost();
  })).session;
  const r = await openIn(dying, 'c');
  const third = await openIn((await s.session()).session, 'c');
  t.equal(r.holds, 'read');
  t.equal(third.holds, 'read');
  await takeOwnership(s.ctx, w, 'write');
  t.equal(w.holds, 'write');
  t.equal(third.holds, 'none');
});
