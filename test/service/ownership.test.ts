// Owners that do not answer: their volume is taken from them before another writes.
import { openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ServiceError } from '../../src/service/errors.js';
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

t.test('a snapshot of a plain head that one who is silent may write to is refused, and the others go on all the while', async (t) => {
  let isMute = false;
  const mute = (await s.session(() => (isMute ? new Promise<object>(() => undefined) : {}))).session;
  const { session, asked } = await s.session();
  await createImage(s.ctx, session, { at, name: 'b', size: MiB, options: {} });
  await openIn(mute, 'b');
  const open = await openIn(session, 'b');
  isMute = true;
  await t.rejects(createSnapshot(s.ctx, open.image, { name: 's' }), refusal('ETIMEDOUT'));
  t.strictSame(asked, ['image.ping']);
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

t.test('before a snapshot of a head that one owns only who listens is asked, before the owner, and one that is silent is left out', async (t) => {
  // Long: whoever is waited for in vain lets this test time out.
  const patient = await startTestService({ drainMs: 3_600_000 });
  t.teardown(() => patient.close());
  const order: string[] = [];
  const stopped = new Set<string>();
  const make = async (who: string, listens: boolean): Promise<OpenImage> => {
    const { session } = await patient.session((method) => {
      if (stopped.has(who)) return new Promise<object>(() => undefined);
      order.push(`${method} ${who}`);
      return {};
    });
    const { accesses } = await openImage(patient.ctx, session, { at, name: 'd', readOnly: false, handle: 1, listens });
    releaseAll(accesses);
    return session.open(1);
  };
  await createImage(patient.ctx, (await patient.session()).session, { at, name: 'd', size: MiB, options: {} });
  const owner = await make('owner', false);
  await createSnapshot(patient.ctx, owner.image, { name: 'first' });
  await takeOwnership(patient.ctx, owner, 'write');
  await make('idle', false);
  await make('listener', true);
  order.length = 0;
  stopped.add('idle');
  await createSnapshot(patient.ctx, owner.image, { name: 'second' });
  t.strictSame(order.splice(0, 4), ['image.ping owner', 'image.ping listener', 'image.quiesce listener', 'image.quiesce owner']);
  t.strictSame(order.sort(), ['image.resume listener', 'image.resume owner']);
  await takeOwnership(patient.ctx, owner, 'read');
  stopped.add('listener');
  order.length = 0;
  await createSnapshot(patient.ctx, owner.image, { name: 'third' });
  t.strictSame(order, ['image.changed owner']);
});

t.test('a reader whose process is stopped is not waited for, and reads again when it goes on; one that is only slow is', async (t) => {
  const stopped = new Set<number>();
  const patient = await startTestService({ drainMs: 3_600_000, isStopped: (pid) => stopped.has(pid) });
  t.teardown(() => patient.close());
  let goOn = (): void => undefined;
  const isOver = new Promise<void>((resolve) => { goOn = resolve; });
  const { session: silent } = await patient.session(async () => {
    await isOver;
    return {};
  });
  const { session } = await patient.session();
  await createImage(patient.ctx, session, { at, name: 'e', size: MiB, options: {} });
  const open = async (by: Session): Promise<OpenImage> => {
    releaseAll((await openImage(patient.ctx, by, { at, name: 'e', readOnly: false, handle: 1 })).accesses);
    return by.open(1);
  };
  const writer = await open(session);
  await createSnapshot(patient.ctx, writer.image, { name: 's' });
  const reader = await open(silent);
  t.equal(reader.holds, 'read');
  stopped.add(process.pid);
  await takeOwnership(patient.ctx, writer, 'write');
  t.strictSame([writer.holds, reader.holds, reader.fenced], ['write', 'none', false]);
  stopped.clear();
  goOn();
  await takeOwnership(patient.ctx, reader, 'read');
  t.strictSame([writer.holds, reader.holds], ['read', 'read']);
});

t.test('a full disk while a silent owner is fenced: nobody gets its volume, nobody is left waiting, and the next try fences it', async (t) => {
  let isMute = false;
  const mute = (await s.session((method) => (isMute && method !== 'image.ping' ? new Promise<object>(() => undefined) : {}))).session;
  const { session: other, asked } = await s.session();
  await createImage(s.ctx, other, { at, name: 'full', size: MiB, options: {} });
  const first = await openIn(mute, 'full');
  releaseAll((await openImage(s.ctx, other, { at, name: 'full', readOnly: false, handle: 1, listens: true })).accesses);
  const second = other.open(1);
  await createSnapshot(s.ctx, first.image, { name: 's' });
  await takeOwnership(s.ctx, first, 'write');
  const before = await headPath(first);
  const stale = openSync(before.path, 'r+');
  writeSync(stale, 'flushed', 0);
  isMute = true;
  const backend = s.ctx.backends.get('local')!;
  const { fenceVolume } = backend;
  backend.fenceVolume = async () => { throw new ServiceError('ENOSPC', 'the disk is full'); };
  t.teardown(() => { backend.fenceVolume = fenceVolume; });
  asked.length = 0;
  await t.rejects(createSnapshot(s.ctx, first.image, { name: 't' }), refusal('ENOSPC'));
  t.strictSame(asked.filter((method) => method !== 'image.changed'), ['image.ping', 'image.quiesce', 'image.resume'], 'who held still goes on');
  await t.rejects(takeOwnership(s.ctx, second, 'write'), refusal('ENOSPC'));
  backend.fenceVolume = fenceVolume;
  await takeOwnership(s.ctx, second, 'write');
  const after = await headPath(second);
  writeSync(stale, 'too late', 0);
  t.equal(readFileSync(after.path).subarray(0, 8).toString(), 'flushed\0');
});
