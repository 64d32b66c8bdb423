// What Nova's and Glance's workers do: a process connects, forks, and its children use what it had open.
import t from 'tap';
import { backends } from '../lib/backends.js';
import { serve } from '../lib/served.js';
import { python } from '../lib/stock-client.js';

for (const backend of backends) t.test(`fork on ${backend}`, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());

  await t.test('eight forked workers each create, write, read and remove, over the handles of their parent', async (t) => {
    // Processes that write parts of one block at once need blocks that are no larger than that: CurveBS's are (docs/curvebs.md).
    const part = backend === 'curvebs' ? 4096 : 512;
    const shown = await python(served, `
part = ${part}
R.create(io, 'shared', 8 << 20)
shared = rbd.Image(io, 'shared')
shared.write(b'parent', 0)
def worker(k):
    name = 'w%d' % k
    R.create(io, name, 4 << 20)
    with rbd.Image(io, name) as i:
        i.write(bytes([k + 1]) * 100000, 12345)
        assert i.read(12345, 100000) == bytes([k + 1]) * 100000
        i.flush()
    assert name in R.list(io)
    R.remove(io, name)
    assert shared.read(0, 6) == b'parent'
    c = shared.aio_write(bytes([k + 65]) * part, 4096 + k * part, lambda c: None)
    c.wait_for_complete_and_cb()
    assert c.get_return_value() == 0
    shared.flush()
children = []
for k in range(8):
    pid = os.fork()
    if pid == 0:
        try:
            worker(k)
            os._exit(0)
        except BaseException as e:
            print('"worker %d: %r"' % (k, e), file=sys.stderr, flush=True)
            os._exit(1)
    children.append(pid)
show([os.waitpid(pid, 0)[1] for pid in children])
show([shared.read(4096, 8 * part).decode() == ''.join(chr(k + 65) * part for k in range(8)), R.list(io)])
shared.write(b'still', 0)
shared.resize(16 << 20)
show([shared.read(0, 5).decode(), shared.size()])
shared.close()
R.remove(io, 'shared')
`);
    t.same(shown, [[0, 0, 0, 0, 0, 0, 0, 0], [true, ['shared']], ['still', 16777216]]);
  });

  await t.test('a child sees a resize that comes after the fork', async (t) => {
    const shown = await python(served, `
R.create(io, 'late', 4 << 20)
i = rbd.Image(io, 'late')
i.write(b'x', 0)
ready_r, ready_w = os.pipe(); go_r, go_w = os.pipe()
pid = os.fork()
if pid == 0:
    first = i.read(0, 1)
    os.write(ready_w, b'1'); os.read(go_r, 1)
    os._exit(0 if first == b'x' and i.size() == 8 << 20 and i.write(b'y', (8 << 20) - 1) == 1 else 1)
os.read(ready_r, 1)
i.resize(8 << 20)
os.write(go_w, b'1')
show([os.waitpid(pid, 0)[1], i.read((8 << 20) - 1, 1).decode()])
i.close()
`);
    t.same(shown, [[0, 'y']]);
  });
});
