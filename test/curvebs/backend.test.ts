// The CurveBS backend over the stand-in: what it makes, refuses and repeats.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { CurvebsBackend, type CurvebsOptions } from '../../src/backend/curvebs/curvebs.js';
import { MdsClient } from '../../src/backend/curvebs/mds.js';
import { decodeComponent, decodeOwner, directoryPath, encodeComponent, encodeOwner, nebdName, nextName, openedName } from '../../src/backend/curvebs/names.js';
import { NebdSession } from '../../src/backend/curvebs/nebd.js';
import { ServiceError } from '../../src/service/errors.js';
import { Cluster, DEFAULT_ROOT_PASSWORD, type ClusterOptions } from './cluster.js';
import { GIB } from './namespace.js';
import { freePort } from './ports.js';

const place = { dir: '/openstack/volumes', owner: 'cinder' };

interface Setting {
  readonly cluster: Cluster;
  readonly backend: CurvebsBackend;
  readonly mds: MdsClient;
  readonly lines: string[];
}

/** Where a test is not about time-outs nothing may time out, however busy the machine is. */
const PATIENT_MS = 60_000;
const HOUR_MS = 3_600_000;

async function setUp(test: Test, options: Partial<ClusterOptions> = {}): Promise<Setting> {
  const folder = mkdtempSync(join(tmpdir(), 'curvebs-'));
  const cluster = new Cluster({ folder, ...options });
  await cluster.start();
  const lines: string[] = [];
  const backend = backendOn(cluster, { log: (line) => lines.push(line) });
  const mds = new MdsClient({ addresses: cluster.mdsAddresses, rootPassword: DEFAULT_ROOT_PASSWORD, timeoutMs: PATIENT_MS });
  test.teardown(async () => {
    mds.close();
    await backend.close();
    await cluster.stop();
    rmSync(folder, { recursive: true });
  });
  return { cluster, backend, mds, lines };
}

function backendOn(cluster: Cluster, options: Partial<CurvebsOptions> = {}): CurvebsBackend {
  return new CurvebsBackend({
    mds: cluster.mdsAddresses, nebdSocket: cluster.nebdSocket, owner: 'cbd2rbd', rootPassword: DEFAULT_ROOT_PASSWORD, snapshotClone: [cluster.snapshotClone.address], timeoutMs: PATIENT_MS,
    log: () => undefined, ...options,
  });
}

/** The errno that it is refused with; its message must name `named`. */
async function refusal(test: Test, doing: Promise<unknown>, named: string): Promise<string | undefined> {
  const error: unknown = await doing.then(() => undefined, (reason: unknown) => reason);
  test.ok(error instanceof ServiceError && error.message.includes(named), `'${named}' is named in: ${String(error)}`);
  return error instanceof ServiceError ? error.errno : undefined;
}

t.test('directories: made with all above them, listed, removed when empty, each as often as one likes', async (test) => {
  const { backend } = await setUp(test);
  await backend.createDirectory(place);
  await backend.createDirectory(place);
  test.same(await backend.statDirectory(place), { volumes: 0, allocated: 0 });
  await backend.createVolume(place, 'layer-1', 10 * GIB);
  test.equal(await refusal(test, backend.removeDirectory(place), '/openstack/volumes'), 'ENOTEMPTY');
  test.equal(await refusal(test, backend.createDirectory({ ...place, owner: 'glance' }), '/openstack'), 'EPERM');
  await backend.removeVolume(place, 'layer-1');
  await backend.removeVolume(place, 'layer-1');
  await backend.removeDirectory(place);
  await backend.removeDirectory(place);
  test.equal(await refusal(test, backend.statDirectory(place), '/openstack/volumes'), 'ENOENT');
});

t.test('a pool without an owner has the configured one', async (test) => {
  const { backend, cluster } = await setUp(test);
  await backend.createDirectory({ dir: 'pool-1', owner: '' });
  test.equal(cluster.files.child(0, 'pool-1')?.owner, 'cbd2rbd');
});

t.test('volumes: made, made again after a crash, grown, listed, removed to the recycle bin', async (test) => {
  const { backend, cluster } = await setUp(test);
  await backend.createDirectory(place);
  await backend.createVolume(place, 'layer-1', 10 * GIB);
  await backend.createVolume(place, 'layer-1', 10 * GIB);
  test.equal(await refusal(test, backend.createVolume(place, 'layer-1', 11 * GIB), 'layer-1'), 'EEXIST');
  test.equal(await refusal(test, backend.createVolume(place, 'layer-2', 4000 * GIB), 'layer-2'), 'ENOSPC');
  test.ok((cluster.mds.find('/openstack/volumes/layer-1', 'cinder')?.epoch ?? 0) > 0, 'its epoch was raised, so that writers can be fenced');
  await backend.extendVolume(place, 'layer-1', 12 * GIB);
  await backend.extendVolume(place, 'layer-1', 11 * GIB);
  test.same(await backend.statVolume(place, 'layer-1'), { name: 'layer-1', size: 12 * GIB, allocated: 0 });
  test.same(await backend.listVolumes(place), [{ name: 'layer-1', size: 12 * GIB }]);
  test.equal(await backend.statVolume(place, 'layer-9'), undefined);
  await cluster.data.write(cluster.mds.find('/openstack/volumes/layer-1', 'cinder')!.id, 0, Buffer.alloc(4096, 1));
  test.equal((await backend.statVolume(place, 'layer-1'))?.allocated, GIB);
  test.equal(await refusal(test, backend.createVolume(place, 'layer-1', 12 * GIB), 'layer-1'), 'EEXIST', 'one with data in it was not left by an interrupted creation');
  await backend.removeVolume(place, 'layer-1');
  test.match(cluster.files.list(1).map((inode) => inode.fileName), [/^layer-1-/], 'it can be recovered by CurveBS');
});

t.test('names that lead elsewhere are refused before anything is sent', async (test) => {
  const { backend, cluster } = await setUp(test);
  for (const dir of ['', '/', '/RecycleBin', '/RecycleBin/x', '/a/../b', '/a//b', '.', 'x'.repeat(300)]) {
    test.match(await backend.createDirectory({ dir, owner: 'cinder' }).then(() => 'made', (error: ServiceError) => error.errno), /EINVAL|ENAMETOOLONG/, `directory '${dir.slice(0, 20)}'`);
  }
  for (const owner of ['root']) test.equal(await refusal(test, backend.createDirectory({ dir: '/a', owner }), 'root'), 'EINVAL');
  test.equal(await refusal(test, backend.createVolume(place, '..', 10 * GIB), '..'), 'EINVAL');
  test.equal(await refusal(test, new MdsClient({ addresses: cluster.mdsAddresses, timeoutMs: PATIENT_MS }).deleteFile('/RecycleBin', 'root'), '/RecycleBin'), 'EPERM');
});

t.test('what CurveBS cannot hold in a name is encoded, and back', async (test) => {
  for (const name of ['cinder', 'nova_compute', 'ü/%_', '%41', 'a b', '__']) test.equal(decodeOwner(encodeOwner(name)), name, `owner ${name}`);
  test.notMatch(encodeOwner('nova_compute'), /_/);
  test.not(encodeOwner('%5F'), encodeOwner('_'));
  for (const name of ['disk', 'a_b', 'a:b', '50%', 'tab\there', 'a/b', 'ü']) test.equal(decodeComponent(encodeComponent(name)), name, `name ${name}`);
  test.notMatch(encodeComponent('a/b'), /\//);
  test.equal(decodeComponent('100%_sure'), '100%_sure', "another tool's name stands for itself");
  test.equal(directoryPath('a/b'), '/a/b');
  test.equal(nebdName('token', '/a/b:c_d', 'cinder'), 'cbd:token//a/b:c_d_cinder_:');
  test.equal(openedName('cbd:token//a/b_cinder_:', 42), 'cbd:token-42.0//a/b_cinder_:');
});

t.test('a volume with a colon and an underscore in its name can be opened', async (test) => {
  const { backend, cluster } = await setUp(test);
  await backend.createDirectory(place);
  await backend.createVolume(place, 'a:b_c', 10 * GIB);
  const access = await backend.openVolume(place, 'a:b_c', { writable: true, session: 1, handle: 1, pid: 7 });
  const nebd = await NebdSession.connect(cluster.nebdSocket, PATIENT_MS);
  const file = await nebd.open(access.driver === 'nebd' ? access.file : '');
  test.equal(file.size, 10 * GIB);
  for (const [offset, length] of [[0, 0], [512, 4096], [0, 512], [10 * GIB, 4096], [10 * GIB - 4096, 8192], [-4096, 4096]] as const) {
    test.equal(await refusal(test, nebd.read(file, offset, length), `${length} bytes at ${offset}`), 'EINVAL');
    test.equal(await refusal(test, nebd.discard(file, offset, length), `${length} bytes at ${offset}`), 'EINVAL');
  }
  test.equal(cluster.nebdServer.crash, undefined);
  nebd.close();
});

t.test('rename never replaces anything', async (test) => {
  const { backend, mds, cluster } = await setUp(test);
  await backend.createDirectory(place);
  await backend.createVolume(place, 'one', 10 * GIB);
  await backend.createVolume(place, 'two', 11 * GIB);
  const [one, two] = [cluster.mds.find('/openstack/volumes/one', 'cinder')!.id, cluster.mds.find('/openstack/volumes/two', 'cinder')!.id];
  test.equal(await refusal(test, mds.renameFile('/openstack/volumes/one', '/openstack/volumes/two', 'cinder'), 'two'), 'EEXIST');
  test.equal(await refusal(test, mds.renameFile('/openstack/volumes/none', '/openstack/volumes/three', 'cinder'), 'none'), 'ENOENT');
  // Many at once to one name: one gets it, and every volume is still there.
  const outcomes = await Promise.all(['one', 'two'].map((name) => mds.renameFile(`/openstack/volumes/${name}`, '/openstack/volumes/new', 'cinder').then(() => 'done', (error: ServiceError) => error.errno)));
  test.same([...outcomes].sort(), ['EEXIST', 'done'].sort());
  const left = (await backend.listVolumes(place)).map(({ name }) => name);
  test.equal(left.length, 2);
  for (const id of [one, two]) test.equal(cluster.files.get(id)?.parentId, cluster.mds.find('/openstack/volumes/new', 'cinder')?.parentId, `volume ${id} is not in the recycle bin`);
});

t.test('the leader may change, and every call finds the new one', async (test) => {
  const ports = [await freePort(), await freePort(), await freePort()];
  const { backend, cluster } = await setUp(test, { mdsPorts: ports });
  await backend.createDirectory(place);
  for (const leader of [2, 1, 0, 2]) {
    await cluster.setLeader(leader);
    await backend.createVolume(place, `layer-${leader}`, 10 * GIB);
  }
  const looking = backend.listVolumes(place);
  await cluster.setLeader(-1);
  const patient = backend.listVolumes(place);
  await pause(300);
  await cluster.setLeader(1);
  test.equal((await patient).length, 3);
  await looking;
});

t.test('without an MDS, and with one that says nothing, a call ends in ETIMEDOUT in time', async (test) => {
  const { backend: patient, cluster } = await setUp(test);
  await patient.createDirectory(place);
  const backend = backendOn(cluster, { timeoutMs: 400 });
  cluster.mdsServers[0]!.silent = true;
  test.equal(await refusal(test, backend.listVolumes(place), 'no MDS of CurveBS answers'), 'ETIMEDOUT');
  await cluster.setLeader(-1);
  test.equal(await refusal(test, backend.listVolumes(place), cluster.mdsAddresses[0]!), 'ETIMEDOUT');
  await backend.close();
});

t.test('a daemon that ends keeps waiting for nobody: neither for a silent MDS, nor for none, a chunkserver, or nebd-server', async (test) => {
  const { backend, cluster } = await setUp(test);
  await backend.createDirectory(place);
  await backend.createVolume(place, 'layer-1', 10 * GIB);
  const ending = async (begin: (backend: CurvebsBackend) => Promise<unknown>, isWaiting: () => boolean, errno: string): Promise<void> => {
    const leaving = backendOn(cluster, { timeoutMs: HOUR_MS });
    const call = begin(leaving).then(() => 'done', (error: unknown) => (error instanceof ServiceError ? error.errno : String(error)));
    while (!isWaiting()) await pause(1);
    leaving.hurry();
    test.equal(await call, errno);
    test.equal(await refusal(test, leaving.listVolumes(place), 'the daemon ends'), 'ESHUTDOWN', 'nor is anybody asked again');
  };
  // The write of the tail of a shrunk volume is not answered.
  await cluster.data.write(cluster.mds.find('/openstack/volumes/layer-1', 'cinder')!.id, 0, Buffer.alloc(4096, 1));
  cluster.faults.withhold = ({ method }) => method === 'Write';
  await ending((leaving) => leaving.shrinkVolume(place, 'layer-1', 100, 4096), () => (cluster.nebdServer.counts.get('Write') ?? 0) > 0, 'ENOTCONN');
  await cluster.chunkservers.stop();
  const epoch = (): number => cluster.mds.find('/openstack/volumes/layer-1', 'cinder')!.epoch ?? 0;
  const before = epoch();
  await ending((leaving) => leaving.fenceVolume(place, 'layer-1'), () => epoch() > before, 'ESHUTDOWN');
  const [mds] = cluster.mdsServers;
  mds!.silent = true;
  await ending((leaving) => leaving.listVolumes(place), () => mds!.unanswered > 0, 'ESHUTDOWN');
  mds!.silent = false;
  await cluster.setLeader(-1);
  await ending((leaving) => leaving.listVolumes(place), () => true, 'ESHUTDOWN');
});

t.test('what a dead client left open is closed, and its volume can be removed at once', async (test) => {
  const { backend, cluster } = await setUp(test);
  await backend.createDirectory(place);
  await backend.createVolume(place, 'layer-1', 10 * GIB);
  const access = await backend.openVolume(place, 'layer-1', { writable: true, session: 5, handle: 1, pid: 4711 });
  const [opened] = backend.openVolumes();
  test.match(opened, { session: 5, path: '/openstack/volumes/layer-1' });
  const client = await NebdSession.connect(cluster.nebdSocket, PATIENT_MS);
  await client.open(opened!.name);
  client.close();
  test.same(cluster.nebd.names(), [opened!.name]);
  await pause(1400);
  test.equal(await refusal(test, cluster.mds.call('DeleteFile', { fileName: '/openstack/volumes/layer-1', owner: 'cinder', date: Date.now() * 1000 }).statusCode === 'kFileOccupied' ? Promise.reject(new ServiceError('EBUSY', 'in use')) : Promise.resolve(), 'in use'), 'EBUSY');
  await backend.closeVolumes(5);
  test.same(cluster.nebd.names(), []);
  test.same(backend.openVolumes(), []);
  await backend.removeVolume(place, 'layer-1');
  test.equal(access.driver, 'nebd');
});

t.test('what a dead client has open under its next names is closed with the first', async (test) => {
  const { cluster } = await setUp(test);
  let now = 0;
  const backend = backendOn(cluster, { closingMs: 200, now: () => now });
  await backend.createDirectory(place);
  // From then on no session can be of an earlier daemon's time.
  now = 60_000;
  const names = async (volume: string): Promise<string[]> => {
    await backend.createVolume(place, volume, 10 * GIB);
    await backend.openVolume(place, volume, { writable: true, session: 5, handle: 1, pid: 4711 });
    const { name } = backend.openVolumes()[0]!;
    const all = [name, nextName(name), nextName(nextName(name))];
    test.strictSame(all.map((each) => /-4711\.(\d)\//.exec(each)?.[1]), ['0', '1', '2']);
    return all;
  };
  const openAs = async (opened: readonly string[]): Promise<number[]> => {
    const client = await NebdSession.connect(cluster.nebdSocket, PATIENT_MS);
    const fds: number[] = [];
    for (const name of opened) fds.push((await client.open(name)).fd);
    client.close();
    return fds;
  };

  const old = await names('old');
  await openAs(old.slice(0, 2));
  now += 60_000;
  await backend.closeVolumes(5);
  test.same(cluster.nebd.names(), [], 'where the volume was given so long ago that there may be a second one');

  await openAs((await names('young')).slice(0, 1));
  const opens = (): number => cluster.nebdServer.counts.get('OpenFile') ?? 0;
  const before = opens();
  await backend.closeVolumes(5);
  test.same([cluster.nebd.names(), opens() - before], [[], 1], 'a second name is not tried where there can be none');

  const wedged = await names('wedged');
  const fds = (await openAs(wedged)).slice(0, 2);
  cluster.faults.holdUntil = ({ method, fd }) => (method === 'CloseFile' && fds.includes(fd) ? new Promise(() => undefined) : undefined);
  await backend.closeVolumes(5);
  test.same(cluster.nebd.names().sort(), wedged.slice(0, 2), 'and the third where neither the first nor the second is closed');
  delete cluster.faults.holdUntil;
  await backend.close();
});

t.test('a session is given the same names by a restarted daemon, which so can close what it finds', async (test) => {
  const { backend, cluster } = await setUp(test);
  await backend.createDirectory(place);
  await backend.createVolume(place, 'layer-1', 10 * GIB);
  const later = backendOn(cluster);
  const as = { writable: true, session: 5, handle: 2, pid: 4711, generation: 1 };
  const [first, again] = [await backend.openVolume(place, 'layer-1', as), await later.openVolume(place, 'layer-1', as)];
  test.same(again, first);
  for (const other of [{ ...as, handle: 3 }, { ...as, session: 6 }, { ...as, generation: 2 }, { ...as, beside: true as const }]) {
    test.notSame(await later.openVolume(place, 'layer-1', other), first);
  }
  test.equal(later.openVolumes().filter(({ session }) => session === 5).length, 4);
  later.forgetVolumes(5, 2);
  test.equal(later.openVolumes().filter(({ session }) => session === 5).length, 1, 'what a handle closed itself is not closed for it');
  await later.close();
});

t.test('what a daemon had open itself when it was killed is closed by the next one', async (test) => {
  const { backend, cluster } = await setUp(test);
  await backend.createDirectory(place);
  await backend.createVolume(place, 'layer-1', 10 * GIB);
  const names = new Set<string>();
  const ownNames = { add: async (name: string) => void names.add(name), remove: async (name: string) => void names.delete(name), list: async () => [...names] };
  const make = (): CurvebsBackend => backendOn(cluster, { ownNames });
  const killed = make();
  await killed.openVolume(place, 'layer-1', { writable: true, session: 0, handle: 1 });
  await killed.openVolume(place, 'layer-1', { writable: false, session: 0, handle: 2 });
  killed.forgetVolumes(0, 2);
  test.equal(names.size, 1, 'what was closed is not remembered');
  const [name] = names;
  const itself = await NebdSession.connect(cluster.nebdSocket, PATIENT_MS);
  const file = await itself.open(name!);
  // A write is under way when the daemon is killed.
  let carryOut = (): void => undefined;
  cluster.faults.holdUntil = ({ method }) => (method === 'Write' ? new Promise<void>((resolve) => (carryOut = resolve)) : undefined);
  void itself.write(file, 0, Buffer.alloc(4096, 1)).catch(() => undefined);
  while ((cluster.nebdServer.counts.get('Write') ?? 0) === 0) await pause(1);
  itself.close();
  names.add('cbd:cbd2rbd-elsewhere-0-1-9.0//openstack/volumes/layer-1_cinder_:');
  const next = make();
  let isClosed = false;
  const closing = next.closeEarlier().then(() => (isClosed = true));
  while ((cluster.nebdServer.counts.get('CloseFile') ?? 0) === 0) await pause(1);
  test.notOk(isClosed, 'closing waits for what was under way');
  carryOut();
  await closing;
  test.same(cluster.nebd.names(), []);
  test.same([...names].map((each) => each.includes('elsewhere')), [true], 'and what another host\'s daemon had open is left to that');
  await backend.removeVolume(place, 'layer-1');
  for (const each of [killed, next]) await each.close();
});

/** Holds up the next Write to a volume until `carryOut` is called, which resolves when the write has reached the volume, or was refused. */
function holdNextWrite(cluster: Cluster): { arrived: () => boolean; carryOut: () => Promise<void> } {
  let carryOut: (() => void) | undefined;
  cluster.faults.holdUntil = ({ method }) => {
    if (method !== 'Write') return undefined;
    delete cluster.faults.holdUntil;
    return new Promise<void>((resolve) => (carryOut = resolve));
  };
  return {
    arrived: () => carryOut !== undefined,
    async carryOut() {
      carryOut?.();
      // From then on it is under way in the volume's files, or over.
      await new Promise(setImmediate);
      await cluster.data.idle();
    },
  };
}

t.test('a write of a killed daemon that nebd-server does not finish is fenced before anybody writes to its volume again', async (test) => {
  const { backend, cluster } = await setUp(test);
  await backend.createDirectory(place);
  await backend.createVolume(place, 'layer-1', 10 * GIB);
  const { id } = cluster.mds.find('/openstack/volumes/layer-1', 'cinder')!;
  const names = new Set<string>();
  const ownNames = { add: async (name: string) => void names.add(name), remove: async (name: string) => void names.delete(name), list: async () => [...names] };
  await backendOn(cluster, { ownNames }).openVolume(place, 'layer-1', { writable: true, session: 0, handle: 1 });
  const itself = await NebdSession.connect(cluster.nebdSocket, PATIENT_MS);
  const held = holdNextWrite(cluster);
  void itself.write(await itself.open([...names][0]!), 0, Buffer.alloc(4096, 1)).catch(() => undefined);
  while (!held.arrived()) await pause(1);
  itself.close();
  const next = backendOn(cluster, { ownNames, closingMs: 200 });
  await next.closeEarlier();
  test.equal(names.size, 1, 'what was not closed stays on record');
  const reader = await next.openVolume(place, 'layer-1', { writable: false, session: 5, handle: 1, pid: 7 });
  test.equal(reader.driver, 'nebd', 'who only reads need not wait');
  // Where the volume cannot be fenced, nobody gets it to write.
  const address = cluster.chunkservers.addresses();
  await cluster.chunkservers.stop();
  const impatient = backendOn(cluster, { ownNames, closingMs: 200, timeoutMs: 1000 });
  await impatient.closeEarlier();
  for (const call of [() => impatient.openVolume(place, 'layer-1', { writable: true, session: 6, handle: 1, pid: 8 }), () => impatient.shrinkVolume(place, 'layer-1', 4096, GIB)]) {
    test.equal(await refusal(test, call(), '/openstack/volumes/layer-1'), 'ETIMEDOUT');
  }
  await cluster.chunkservers.start();
  test.same(cluster.chunkservers.addresses(), address);
  await next.openVolume(place, 'layer-1', { writable: true, session: 6, handle: 1, pid: 8 });
  test.equal(names.size, 0);
  await held.carryOut();
  test.equal((await cluster.data.read(id, 0, 1))[0], 0, 'the late write does not arrive');
  for (const each of [next, impatient]) await each.close();
});

t.test('so is one of a dead client, unless others who live use its volume as well', async (test) => {
  const { cluster } = await setUp(test);
  const backend = backendOn(cluster, { closingMs: 200 });
  await backend.createDirectory(place);
  const lateByte = async (name: string, others: readonly number[]): Promise<number> => {
    await backend.createVolume(place, name, 10 * GIB);
    await backend.openVolume(place, name, { writable: true, session: 5, handle: 1, pid: 4711 });
    for (const session of others) await backend.openVolume(place, name, { writable: true, session, handle: 1, pid: 4711 + session });
    const client = await NebdSession.connect(cluster.nebdSocket, PATIENT_MS);
    const held = holdNextWrite(cluster);
    const opened = backend.openVolumes().find(({ session }) => session === 5)!;
    void client.write(await client.open(opened.name), 0, Buffer.alloc(4096, 1)).catch(() => undefined);
    while (!held.arrived()) await pause(1);
    client.close();
    const closing = backend.closeVolumes(5);
    // Who comes now waits until it is clear what becomes of it.
    await backend.openVolume(place, name, { writable: true, session: 9, handle: 1, pid: 9000 });
    await closing;
    await held.carryOut();
    const { id } = cluster.mds.find(`/openstack/volumes/${name}`, 'cinder')!;
    for (const session of [...others, 9]) await backend.closeVolumes(session);
    return (await cluster.data.read(id, 0, 1))[0]!;
  };
  test.equal(await lateByte('alone', []), 0);
  test.equal(await lateByte('shared', [6]), 1, 'they are not fenced with it');
  await backend.close();
});

t.test('a removal waits a while for a volume that is in use, and then says so', async (test) => {
  const { backend, cluster } = await setUp(test);
  await backend.createDirectory(place);
  await backend.createVolume(place, 'layer-1', 10 * GIB);
  const client = await NebdSession.connect(cluster.nebdSocket, PATIENT_MS);
  const file = await client.open('cbd:x//openstack/volumes/layer-1_cinder_:');
  await pause(1400);
  const removing = backend.removeVolume(place, 'layer-1');
  await pause(300);
  await client.closeFile(file.fd);
  await removing;
  client.close();
  test.equal(await backend.statVolume(place, 'layer-1'), undefined);
});

t.test('a fenced writer writes no more, and one who opens afterwards does', async (test) => {
  const { backend, cluster } = await setUp(test, { returnRpcWhenIoError: true });
  await backend.createDirectory(place);
  await backend.createVolume(place, 'layer-1', 10 * GIB);
  const client = await NebdSession.connect(cluster.nebdSocket, PATIENT_MS);
  const before = await client.open('cbd:before//openstack/volumes/layer-1_cinder_:');
  for (const offset of [0, GIB, 2 * GIB]) await client.write(before, offset, Buffer.alloc(4096, 1));
  await backend.fenceVolume(place, 'layer-1');
  for (const offset of [0, GIB, 2 * GIB]) test.equal(await refusal(test, client.write(before, offset, Buffer.alloc(4096, 2)), `Write at ${offset}`), 'EIO');
  const after = await client.open('cbd:after//openstack/volumes/layer-1_cinder_:');
  for (const offset of [0, GIB, 2 * GIB]) {
    test.equal((await client.read(after, offset, 4096))[0], 1);
    await client.write(after, offset, Buffer.alloc(4096, 3));
  }
  client.close();
});

t.test('what lies past the end of a shrunk image is zero to the byte, and whole segments are given back', async (test) => {
  const { backend, cluster } = await setUp(test);
  await backend.createDirectory(place);
  await backend.createVolume(place, 'layer-1', 10 * GIB);
  const { id } = cluster.mds.find('/openstack/volumes/layer-1', 'cinder')!;
  const end = GIB - 8192 + 1000;
  for (const offset of [GIB - 8192, 3 * GIB + 12345 * 4096]) await cluster.data.write(id, offset, Buffer.alloc(8192, 7));
  await backend.shrinkVolume(place, 'layer-1', end, 3 * GIB + 20000 * 4096);
  const kept = await cluster.data.read(id, GIB - 8192, 8192);
  test.ok(kept.subarray(0, 1000).every((byte) => byte === 7), 'what is before the end stays');
  test.ok(kept.subarray(1000).every((byte) => byte === 0), 'the rest is zero');
  test.ok((await cluster.data.read(id, 3 * GIB + 12345 * 4096, 8192)).every((byte) => byte === 0), 'and so is all behind');
  test.equal(cluster.nebdServer.counts.get('Discard'), 1, 'a segment with nothing left in it is given back');
  test.same(cluster.nebd.names(), [], 'and nothing stays open');
  test.ok((cluster.nebdServer.counts.get('Read') ?? 0) < 100, 'neither segments that take no space are read, nor what was never in use');
});

t.test('what of a volume takes space is told by GiB; what a clone of CurveBS\'s own holds, nobody can tell', async (test) => {
  const { backend, cluster } = await setUp(test);
  await backend.createDirectory(place);
  await backend.createVolume(place, 'layer-1', 12 * GIB);
  const ask = (offset: number, length: number): Promise<unknown> => backend.allocatedRanges(place, 'layer-1', { offset, length });
  test.same(await ask(0, 12 * GIB), [], 'nothing, where nothing was written');
  const inode = cluster.mds.find('/openstack/volumes/layer-1', 'cinder')!;
  for (const offset of [GIB + 4096, 2 * GIB, 11 * GIB]) await cluster.data.write(inode.id, offset, Buffer.alloc(4096, 1));
  test.same(await ask(0, 12 * GIB), [{ offset: GIB, length: 2 * GIB }, { offset: 11 * GIB, length: GIB }], 'whole GiB that were touched');
  test.same(await ask(GIB + 8192, 10 * GIB - 4096), [{ offset: GIB + 8192, length: 2 * GIB - 8192 }, { offset: 11 * GIB, length: 4096 }], 'as far as they were asked for');
  cluster.files.put({ ...inode, fileStatus: 'kFileCloneMetaInstalled', cloneSource: '/openstack/source', cloneLength: 12 * GIB });
  test.equal(await ask(0, GIB), undefined, 'a clone reads from its source what takes no space of its own');
  cluster.files.put(inode);
  const mds = new MdsClient({ addresses: cluster.mdsAddresses, timeoutMs: 400 });
  await cluster.setLeader(-1);
  test.equal(await refusal(test, mds.isAllocated('/openstack/volumes/layer-1', 'cinder', 0), 'MDS'), 'ETIMEDOUT', 'an MDS that is away has not said that anything is empty');
  mds.close();
});

t.test('capacity comes from the variables, when the leader has them', async (test) => {
  const { backend } = await setUp(test, { capacity: 3000 * GIB, variablesAfterMs: HOUR_MS });
  test.equal(await refusal(test, backend.capacity(), 'capacity'), 'ETIMEDOUT');
  const { backend: later, cluster } = await setUp(test, { capacity: 3000 * GIB, variablesAfterMs: 0 });
  await later.createDirectory(place);
  await later.createVolume(place, 'layer-1', 10 * GIB);
  await cluster.data.write(cluster.mds.find('/openstack/volumes/layer-1', 'cinder')!.id, 0, Buffer.alloc(4096, 1));
  test.same(await later.capacity(), { totalBytes: 3000 * GIB, usedBytes: GIB, availBytes: 2999 * GIB });
});
