// Debian's python3-rbd, unmodified: what scripts and OpenStack's drivers do with images that have no snapshots.
import t from 'tap';
import { backends } from '../lib/backends.js';
import { serve } from '../lib/served.js';
import { python } from '../lib/stock-client.js';

const ENOENT = -2, EBUSY = -16, EEXIST = -17, EINVAL = -22, EROFS = -30;

for (const backend of backends) t.test(`python3-rbd on ${backend}`, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());

  await t.test('an image is made, filled, listed, renamed, resized and removed', async (t) => {
    const shown = await python(served, `
R.create(io, 'one', (10 << 20) + 512)
show(code(R.create, io, 'one', 1))
show(R.list(io))
with rbd.Image(io, 'one') as i:
    try: i.write(b'x' * 4096, 10 << 20)
    except rbd.IncompleteWriteError as e: show(str(e))
    show(i.write(b'hello', 4095))
    show(i.read(4090, 20).decode('latin1'))
    show(code(i.read, (10 << 20) + 512, 1))
    i.resize(20 << 20)
    show([i.size(), i.stat()['num_objs'], i.features(), i.old_format(), i.stripe_unit(), i.stripe_count(), i.overlap()])
    show(code(R.remove, io, 'one'))
R.rename(io, 'one', 'two')
show(R.list(io))
with rbd.Image(io, 'two', read_only=True) as i:
    show([code(i.write, b'x', 0), code(i.resize, 1), code(i.metadata_set, 'a', 'b'), i.get_name()])
R.remove(io, 'two')
show([R.list(io), code(R.remove, io, 'two')])
`);
    t.same(shown, [EEXIST, ['one'], 'RBD incomplete write (Wrote only 512 out of 4096 bytes)', 5, '\0\0\0\0\0hello' + '\0'.repeat(10), EINVAL, [20971520, 5, 61, false, 4194304, 1, 0], EBUSY, ['two'],
      [EROFS, EROFS, EROFS, 'two'], [[], ENOENT]]);
  });

  await t.test('asynchronous calls end in callbacks of python', async (t) => {
    const shown = await python(served, `
import threading
R.create(io, 'aio', 8 << 20)
i = rbd.Image(io, 'aio')
lock, ended, seen = threading.Lock(), threading.Event(), []
def done(completion, data=None):
    with lock:
        seen.append(len(data) if data else 0)
        if len(seen) == 100: ended.set()
completions = [i.aio_write(bytes([k]) * 5000, k * 5000, done) for k in range(50)]
for c in completions: c.wait_for_complete_and_cb()
completions += [i.aio_read(k * 5000, 5000, done) for k in range(50)]
ended.wait(20)
for c in completions: c.wait_for_complete_and_cb()
show([len(seen), sum(seen), sum(c.get_return_value() for c in completions)])
c = i.aio_flush(lambda c: None); c.wait_for_complete_and_cb()
show(all(i.read(k * 5000, 5000) == bytes([k]) * 5000 for k in range(50)))
c = i.aio_discard(0, 8 << 20, lambda c: None); c.wait_for_complete_and_cb()
show(i.read(0, 8 << 20) == bytes(8 << 20))
i.close()
`);
    // On CurveBS a discard of a plain image promises nothing about what is read.
    t.same(shown, [[100, 250000, 250000], true, backend !== 'curvebs']);
  });

  await t.test('metadata, its options, and options of the pool hold and show where they come from', async (t) => {
    const shown = await python(served, `
R.create(io, 'meta', 1 << 20)
with rbd.Image(io, 'meta') as i:
    i.metadata_set('a', '1'); i.metadata_set('b', '22')
    show([dict(i.metadata_list()), i.metadata_get('a')])
    for call in (i.metadata_get, i.metadata_remove):
        try: call('zz')
        except KeyError: show('no such key')
    show([code(i.metadata_set, 'conf_rbd_qos_iops_limit', 'x'), code(i.metadata_set, 'conf_nosuch', '1')])
    i.metadata_set('conf_rbd_qos_iops_limit', '100')
    R.pool_metadata_set(io, 'conf_rbd_qos_bps_limit', '1000000')
    R.config_set(io, 'rbd_qos_write_iops_limit', '7')
    show({o['name']: [o['value'], o['source']] for o in i.config_list() if o['source'] != 0})
show({o['name']: [o['value'], o['source']] for o in R.config_list(io) if o['source'] != 0})
R.pool_metadata_remove(io, 'conf_rbd_qos_bps_limit')
R.config_remove(io, 'rbd_qos_write_iops_limit')
`);
    t.same(shown, [[{ a: '1', b: '22' }, '1'], 'no such key', 'no such key', [EINVAL, EINVAL],
      { rbd_qos_bps_limit: ['1000000', 1], rbd_qos_iops_limit: ['100', 2], rbd_qos_write_iops_limit: ['7', 1] },
      { rbd_qos_bps_limit: ['1000000', 1], rbd_qos_write_iops_limit: ['7', 1] }]);
  });

  await t.test('namespaces keep images apart', async (t) => {
    const shown = await python(served, `
R.namespace_create(io, 'left'); R.namespace_create(io, 'right')
show([R.namespace_list(io), R.namespace_exists(io, 'left'), code(R.namespace_create, io, 'left')])
io.set_namespace('left'); R.create(io, 'same', 1 << 20)
io.set_namespace('right'); R.create(io, 'same', 2 << 20)
show([R.list(io), rbd.Image(io, 'same').size()])
io.set_namespace('')
show(['same' in R.list(io), code(R.namespace_remove, io, 'left')])
io.set_namespace('left'); R.remove(io, 'same'); io.set_namespace('')
R.namespace_remove(io, 'left')
show(R.namespace_list(io))
`);
    t.same(shown, [[['left', 'right'], true, EEXIST], [['same'], 2097152], [false, EBUSY], ['right']]);
  });

  await t.test('the trash keeps an image until its time, gives it back and is purged', async (t) => {
    const shown = await python(served, `
R.create(io, 'bin', 1 << 20)
R.trash_move(io, 'bin', 3600)
(entry,) = R.trash_list(io)
show([entry['name'], entry['source'], 'bin' in R.list(io), code(R.trash_remove, io, entry['id'])])
R.trash_restore(io, entry['id'], 'back')
show(['back' in R.list(io), R.trash_get(io, entry['id']) if False else len(list(R.trash_list(io)))])
R.trash_move(io, 'back', 0)
R.trash_purge(io)
show(len(list(R.trash_list(io))))
`);
    t.same(shown, [['bin', 'USER', false, -1], [true, 0], 0]);
  });

  await t.test('a copy is equal to its source and keeps its metadata', async (t) => {
    const shown = await python(served, `
R.create(io, 'src', 24 << 20)
src = rbd.Image(io, 'src')
for k in range(6): src.write(os.urandom(70000), k * 4000000 + k)
src.metadata_set('kept', 'yes')
calls = []
src.copy(io, 'dst')
dst = rbd.Image(io, 'dst')
show([src.read(0, 24 << 20) == dst.read(0, 24 << 20), dst.metadata_get('kept'), dst.features() == src.features(), code(src.copy, io, 'dst')])
spans = []
dst.diff_iterate(0, 24 << 20, None, lambda o, l, e: spans.append(l), whole_object=False)
show(sum(spans) < 1 << 20)
src.close(); dst.close()
`);
    // Nor is it known what a plain image there holds.
    t.same(shown, [[true, 'yes', true, EEXIST], backend !== 'curvebs']);
  });

  await t.test('calls that this library does not know are refused by their errno', async (t) => {
    const shown = await python(served, `
R.create(io, 'plain', 1 << 20)
with rbd.Image(io, 'plain') as i:
    show([code(i.encryption_load, rbd.RBD_ENCRYPTION_FORMAT_LUKS1, 'secret'), code(i.mirror_image_enable)])
show([code(R.group_create, io, 'g'), code(R.mirror_mode_set, io, 1)])
`);
    t.same(shown, [[-95, -95], [-95, -95]]);
  });
});
