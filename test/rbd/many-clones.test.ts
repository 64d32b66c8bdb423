// A snapshot with 10,000 clones through the C functions, as python's ctypes reaches them: they are made, listed in each form and counted
// down again, and no call asks the daemon more often for it. test/service/many-clones.test.ts counts what the daemon asks its store.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { imageMethods } from '../../src/rpc/methods/images.js';
import { snapshotMethods } from '../../src/rpc/methods/snapshots.js';
import type { Call } from '../../src/rpc/method.js';
import { startTestDaemonIn } from '../lib/daemon.js';
import { libraryDir } from '../lib/served.js';
import { PYTHON } from '../lib/stock-client.js';

const many = 10_000;

/** Tells its standard output each step's outcome as JSON, and waits for a line before the next. */
const CLIENT = `
import concurrent.futures, ctypes, json, sys
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint64, c_void_p
MANY = int(sys.argv[2])
rados, rbd = ctypes.CDLL('librados.so.2'), ctypes.CDLL('librbd.so.1')
rbd.rbd_list_children.restype = ctypes.c_ssize_t
class Child2(ctypes.Structure): _fields_ = [('pool', c_char_p), ('name', c_char_p), ('id', c_char_p), ('trash', ctypes.c_bool)]
class Child3(ctypes.Structure): _fields_ = [('pool_id', ctypes.c_int64), ('pool', c_char_p), ('namespace', c_char_p), ('id', c_char_p), ('name', c_char_p), ('trash', ctypes.c_bool)]
def must(result):
    assert result >= 0, result
    return result
cluster, io, base = c_void_p(), c_void_p(), c_void_p()
must(rados.rados_create(byref(cluster), b'admin')); must(rados.rados_conf_read_file(cluster, sys.argv[1].encode())); must(rados.rados_connect(cluster))
must(rados.rados_ioctx_create(cluster, b'rbd', byref(io)))
LAYERING = c_uint64(1)
must(rbd.rbd_create2(io, b'base', c_uint64(8 << 20), LAYERING, byref(c_int(0))))
must(rbd.rbd_open(io, b'base', byref(base), None))
for snap in (b's', b'empty'): must(rbd.rbd_snap_create(base, snap)); must(rbd.rbd_snap_protect(base, snap))
def clone(parent, snap, name): must(rbd.rbd_clone(io, parent, snap, io, name, LAYERING, byref(c_int(0))))
def remove(name): must(rbd.rbd_remove(io, name))
def opened(name, snap=None):
    image = c_void_p()
    must(rbd.rbd_open_read_only(io, name, byref(image), snap))
    return image
def children1(image):
    pools, images = c_size_t(0), c_size_t(0)
    assert rbd.rbd_list_children(image, None, byref(pools), None, byref(images)) == -34
    p, i = ctypes.create_string_buffer(pools.value), ctypes.create_string_buffer(images.value)
    count = must(rbd.rbd_list_children(image, p, byref(pools), i, byref(images)))
    names = i.raw.split(b'\\0')[:-1]
    assert count == len(names) and p.raw == b'rbd\\0' * count
    return names
def children2(image):
    room = c_int(0)
    assert rbd.rbd_list_children2(image, None, byref(room)) == -34
    list = (Child2 * room.value)()
    count = must(rbd.rbd_list_children2(image, list, byref(room)))
    names = [list[k].name for k in range(count)]
    assert not any(list[k].trash or list[k].pool != b'rbd' for k in range(count))
    rbd.rbd_list_children_cleanup(list, c_size_t(count))
    return names
def linked(image, call):
    room = c_size_t(0)
    assert call(image, None, byref(room)) == -34
    list = (Child3 * room.value)()
    must(call(image, list, byref(room)))
    names = [list[k].name for k in range(room.value)]
    assert len({list[k].id for k in range(room.value)}) == room.value
    rbd.rbd_linked_image_spec_list_cleanup(list, room)
    return names
def step(name, outcome=None):
    print(json.dumps([name, outcome]), flush=True)
    sys.stdin.readline()
def changes(when):
    rbd.rbd_close(opened(b'base')); step(when + 'open')
    rbd.rbd_close(opened(b'base', b's')); step(when + 'open at the snapshot')
    must(rbd.rbd_snap_create(base, b't')); step(when + 'make a snapshot')
    must(rbd.rbd_snap_protect(base, b't')); step(when + 'protect')
    exists = ctypes.c_bool(); must(rbd.rbd_snap_exists(base, b's', byref(exists))); step(when + 'exists', exists.value)
    must(rbd.rbd_snap_unprotect(base, b't')); step(when + 'unprotect')
    must(rbd.rbd_snap_remove(base, b't')); step(when + 'remove a snapshot')
    step(when + 'refused', [rbd.rbd_snap_unprotect(base, b's'), rbd.rbd_snap_remove(base, b's')])
    clone(b'base', b's', b'extra'); step(when + 'clone')
    remove(b'extra'); step(when + 'remove a clone')
names = [b'clone-%05d' % k for k in range(MANY)]
clone(b'base', b's', names[0])
step('ready')
changes('one: ')
with concurrent.futures.ThreadPoolExecutor(4) as pool: list(pool.map(lambda name: clone(b'base', b's', name), names[1:]))
# Clones of a clone, two steps deep.
first = c_void_p()
must(rbd.rbd_open(io, names[0], byref(first), None)); must(rbd.rbd_snap_create(first, b's')); must(rbd.rbd_snap_protect(first, b's'))
clone(names[0], b's', b'below-1')
second = c_void_p()
must(rbd.rbd_open(io, b'below-1', byref(second), None)); must(rbd.rbd_snap_create(second, b's')); must(rbd.rbd_snap_protect(second, b's'))
clone(b'below-1', b's', b'below-2')
step('made')
changes('many: ')
for snap, expected, deep in ((b's', names, sorted([b'below-1', b'below-2'] + names)), (b'empty', [], [])):
    at = opened(b'base', snap)
    for how, call in (('1', children1), ('2', children2), ('3', lambda image: linked(image, rbd.rbd_list_children3)), ('descendants', lambda image: linked(image, rbd.rbd_list_descendants))):
        if not expected: break
        step('list ' + how, call(at) == (deep if how == 'descendants' else expected))
    room = c_size_t(0)
    if not expected: step('list none', [rbd.rbd_list_children3(at, None, byref(room)), room.value])
    rbd.rbd_close(at)
for image in (second, first, base): rbd.rbd_close(image)
rados.rados_ioctx_destroy(io); rados.rados_shutdown(cluster)
`;

t.test('10,000 clones of one snapshot are listed in each form, and no other call asks for more because of them', { timeout: 280_000 }, async (t) => {
  // Every request to the daemon is counted by its method.
  let requests: Record<string, number> = {};
  for (const table of [imageMethods, snapshotMethods] as Record<string, (call: Call) => unknown>[]) {
    for (const [method, answer] of Object.entries(table)) {
      // A client asks for this of its own will where a slow machine keeps it waiting.
      if (method === 'image.refresh') continue;
      table[method] = (call) => {
        requests[method] = (requests[method] ?? 0) + 1;
        return answer(call);
      };
    }
  }
  // Kept in memory where that can be: each of 10,000 clones waits for the disk otherwise.
  const d = await startTestDaemonIn(mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'cbd-n-')));
  t.teardown(() => d.stop());
  const conf = join(d.dir, 'client.conf');
  writeFileSync(conf, `[global]\ncbd2rbd_socket = ${d.socket}\n`);
  const child = spawn(PYTHON, ['-c', CLIENT, conf, String(many)], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, CEPH_ARGS: '', LD_LIBRARY_PATH: libraryDir } });
  const ended = once(child, 'close');
  const counts = new Map<string, Record<string, number>>();
  const outcomes = new Map<string, unknown>();
  let rest = '';
  for await (const text of child.stdout) {
    const lines = (rest + String(text)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [name, outcome] = JSON.parse(line) as [string, unknown];
      counts.set(name, requests);
      if (outcome !== null) outcomes.set(name, outcome);
      requests = {};
      child.stdin.write('\n');
    }
  }
  t.strictSame(await ended, [0, null]);
  const of = (when: string) => [...counts].filter(([name]) => name.startsWith(when)).map(([name, count]) => [name.slice(when.length), count] as const);
  t.ok(of('one: ').length >= 10 && of('one: ').every(([name, count]) => name === 'exists' || Object.keys(count).length > 0), 'requests are counted');
  t.strictSame(of('many: '), of('one: '), 'each call asks the daemon for the same');
  for (const when of ['one: ', 'many: ']) {
    t.strictSame(outcomes.get(`${when}refused`), [-16, -16]);
    t.equal(outcomes.get(`${when}exists`), true);
  }
  for (const how of ['list 1', 'list 2', 'list 3', 'list descendants']) {
    t.equal(outcomes.get(how), true, `${how}: all of them, sorted`);
    t.equal(counts.get(how)?.['snap.children'], 2, `${how}: one request for the room, one for the list`);
  }
  t.strictSame(outcomes.get('list none'), [0, 0]);
});
