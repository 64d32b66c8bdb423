// Several processes on one image with layers: whoever writes last is seen by all, and one that dies holds nobody up.
import t from 'tap';
import { backends } from '../lib/backends.js';
import { Interactive } from '../lib/interactive.js';
import { serve } from '../lib/served.js';
import { python } from '../lib/stock-client.js';

/** Reads and writes blocks of the image `cow`: "write K V", "read K"; "run" writes and flushes on and on and says how far it is. */
const WRITER = `
i = rbd.Image(io, 'cow')
print('ready', flush=True)
for line in sys.stdin:
    what, *args = line.split()
    if what == 'write':
        i.write(bytes([int(args[1])]) * 3000, int(args[0]) * 3000)
        print('ok', flush=True)
    elif what == 'read':
        data = i.read(int(args[0]) * 3000, 3000)
        print(data[0] if data == data[:1] * 3000 else 'torn', flush=True)
    elif what == 'flush':
        i.flush()
        print('ok', flush=True)
    elif what == 'run':
        for k in range(1 << 30):
            i.write(bytes([k % 250 + 1]) * 3000, k % 100 * 3000)
            if k % 10 == 9:
                i.flush()
                print(k, flush=True)
i.close()
`;

/** By the C functions: a client that is told when the image is quiesced, and may take its time. */
const QUIESCED = (image: string, mayGoOn: string): string => `
import ctypes, threading
L, D = ctypes.CDLL('librbd.so.1'), ctypes.CDLL('librados.so.2')
c_cluster, c_io, c_image, watch = (ctypes.c_void_p() for _ in range(4))
def must(rc):
    if rc < 0: raise Exception('%d' % rc)
must(D.rados_create(ctypes.byref(c_cluster), None)); must(D.rados_conf_read_file(c_cluster, os.environ['CEPH_CONF'].encode())); must(D.rados_connect(c_cluster))
must(D.rados_ioctx_create(c_cluster, b'rbd', ctypes.byref(c_io)))
must(L.rbd_open(c_io, b'${image}', ctypes.byref(c_image), None))
callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
go = threading.Event()
def quiesced(arg):
    print('quiesced', flush=True)
    ${mayGoOn}
    L.rbd_quiesce_complete(c_image, handle, 0)
def resumed(arg): pass
on_quiesce, on_resume = callback(quiesced), callback(resumed)
handle = ctypes.c_uint64()
must(L.rbd_quiesce_watch(c_image, on_quiesce, on_resume, None, ctypes.byref(handle)))
must(L.rbd_write(c_image, ctypes.c_uint64(0), ctypes.c_size_t(3), b'abc') and 0)
print('ready', flush=True)
for line in sys.stdin:
    if line == 'go\\n': go.set()
    else:
        must(L.rbd_write(c_image, ctypes.c_uint64(4096), ctypes.c_size_t(3), b'def') and 0)
        print('ok', flush=True)
L.rbd_quiesce_unwatch(c_image, handle)
L.rbd_close(c_image)
`;

for (const backend of backends) t.test(`processes that share an image with layers on ${backend}`, { timeout: 240_000 }, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());
  await python(served, `
R.create(io, 'base', 8 << 20)
with rbd.Image(io, 'base') as i: i.write(b'b' * 65536, 0); i.create_snap('s'); i.protect_snap('s')
R.clone(io, 'base', 's', io, 'cow')
R.create(io, 'plain', 8 << 20)
`);

  await t.test('two that write in turns, one of which caches and one not, always see each other', async (t) => {
    const [one, two] = [await Interactive.start(served.clientEnv, WRITER), await Interactive.start(served.clientEnv, `cluster.conf_set('rbd_cache', 'false')\n${WRITER}`)];
    const wrong: number[] = [];
    for (let k = 0; k < 120; k++) {
      const [writer, reader] = k % 3 === 0 ? [one, two] : [two, one];
      await writer.ask(`write ${k % 40} ${k % 250 + 1}`);
      if (k % 7 === 0) await writer.ask('flush');
      if (await reader.ask(`read ${k % 40}`) !== String(k % 250 + 1)) wrong.push(k);
    }
    t.strictSame(wrong, []);
    t.strictSame([await one.end(), await two.end()], [0, 0]);
  });

  await t.test('an owner that is killed while it writes holds nobody up, and what it flushed is there', async (t) => {
    const other = await Interactive.start(served.clientEnv, WRITER);
    for (let round = 0; round < 4; round++) {
      const owner = await Interactive.start(served.clientEnv, WRITER);
      owner.tell('run');
      let flushed = '';
      for (let n = 0; n <= round * 7; n++) flushed = await owner.answer();
      await owner.kill();
      flushed = (await owner.rest()).at(-1) ?? flushed;
      const started = Date.now();
      t.equal(await other.ask('write 200 9'), 'ok');
      t.comment(`the next write took ${Date.now() - started} ms`);
      // (Since then it may have written up to ten more, to other blocks.)
      const k = Number(flushed);
      t.equal(await other.ask(`read ${k % 100}`), String(k % 250 + 1), `write ${k} was flushed`);
    }
    t.equal(await other.end(), 0);
  });

  await t.test('one that is killed while it is quiesced holds up neither the snapshot nor those who write', async (t) => {
    const dying = await Interactive.start(served.clientEnv, QUIESCED('plain', ''));
    const slow = await Interactive.start(served.clientEnv, QUIESCED('plain', 'go.wait()'));
    const snapshot = python(served, "with rbd.Image(io, 'plain') as i:\n    i.create_snap('while'); show([s['name'] for s in i.list_snaps()])");
    t.equal(await slow.answer(), 'quiesced');
    await dying.kill();
    const started = Date.now();
    slow.tell('go');
    t.strictSame(await snapshot, [['while']]);
    t.equal(await slow.ask('write'), 'ok');
    t.comment(`the snapshot and the next write took ${Date.now() - started} ms`);
    t.equal(await slow.end(), 0);
  });

  await t.test('one that is stopped while it only has the image open holds up neither a snapshot nor a writer, and reads what was written meanwhile', async (t) => {
    const stopped = await Interactive.start(served.clientEnv, WRITER);
    await stopped.ask('read 300');
    stopped.signal('SIGSTOP');
    const started = Date.now();
    const other = await Interactive.start(served.clientEnv, WRITER);
    t.equal(await other.ask('write 300 77'), 'ok');
    t.comment(`the write took ${Date.now() - started} ms with all of Python`);
    await python(served, "with rbd.Image(io, 'cow') as i: i.create_snap('beside')");
    t.comment(`with the snapshot ${Date.now() - started} ms`);
    t.equal(await other.ask('write 301 78'), 'ok');
    stopped.signal('SIGCONT');
    t.equal(await stopped.ask('read 301'), '78');
    t.equal(await stopped.ask('read 300'), '77');
    t.equal(await stopped.ask('write 300 79'), 'ok');
    t.equal(await other.ask('read 300'), '79');
    t.strictSame([await stopped.end(), await other.end()], [0, 0]);
    t.notMatch(served.lastLog, /is taken from it/);
  });

  await t.test('one that dies in the middle of being quiesced does not either', async (t) => {
    const dying = await Interactive.start(served.clientEnv, QUIESCED('cow', 'os.kill(os.getpid(), 9)'));
    const started = Date.now();
    t.strictSame(await python(served, "with rbd.Image(io, 'cow') as i:\n    i.create_snap('again'); i.write(b'x', 0); show(i.read(0, 1).decode())"), ['x']);
    t.comment(`the snapshot and the next write took ${Date.now() - started} ms with all of Python`);
    await dying.kill();
  });

  await t.test('a limit that is set and lifted while a clone is open holds for what it writes then', async (t) => {
    const shown = await python(served, `
i = rbd.Image(io, 'cow')
def aio(k): return i.aio_write(b'q' * 4096, k * 4096, lambda c: None)
aio(0).wait_for_complete_and_cb()
other = rbd.Image(io, 'cow')
other.metadata_set('conf_rbd_qos_write_iops_limit', '1')
i.read(0, 1)
slow = [aio(k) for k in range(5)]
slow[0].wait_for_complete_and_cb()
held = not slow[4].is_complete()
other.metadata_remove('conf_rbd_qos_write_iops_limit')
for c in slow[1:]: c.wait_for_complete_and_cb()
show([held, [c.get_return_value() for c in slow]])
i.close(); other.close()
`);
    t.same(shown, [[true, [0, 0, 0, 0, 0]]]);
  });

  await t.test('a forked child and its parent write to one clone in turns and see each other', async (t) => {
    const shown = await python(served, `
i = rbd.Image(io, 'cow')
i.write(b'parent' * 100, 4000)
to_child, to_parent = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    ok = True
    for k in range(20):
        os.read(to_child[0], 1)
        ok = ok and i.read(4000 + k, 1) == bytes([k + 1])
        i.write(bytes([k + 101]), 5000 + k)
        os.write(to_parent[1], b'1')
    ok = ok and i.read(4100, 6) == b'ntpare'
    i.flush()
    os._exit(0 if ok else 1)
ok = True
for k in range(20):
    i.write(bytes([k + 1]), 4000 + k)
    os.write(to_child[1], b'1'); os.read(to_parent[0], 1)
    ok = ok and i.read(5000 + k, 1) == bytes([k + 101])
show([os.waitpid(pid, 0)[1], ok])
i.close()
`);
    t.same(shown, [[0, true]]);
  });
});
