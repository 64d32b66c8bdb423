// Snapshots and clones through unmodified clients: the order of work of every RBD tutorial, and images that are in use meanwhile.
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import t from 'tap';
import { backends } from '../lib/backends.js';
import { serve } from '../lib/served.js';
import { PYTHON, python, pythonText } from '../lib/stock-client.js';

for (const backend of backends) t.test(`snapshots and clones on ${backend}`, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());

  await t.test('an image is snapshotted, protected, cloned, flattened and all of it removed', async (t) => {
    const shown = await python(served, `
R.create(io, 'base', 64 << 20)
base = rbd.Image(io, 'base')
base.write(b'old' * 1000, 12295); base.write(b'z' * 4096, 1 << 22)
base.create_snap('s1')
show([s['name'] for s in base.list_snaps()])
show([code(base.create_snap, 's1'), code(base.remove_snap, 'none'), code(R.remove, io, 'base')])
base.write(b'new' * 1000, 12295); base.write(b'q' * 10, 5 << 20); base.discard(1 << 22, 1 << 20)
snap = rbd.Image(io, 'base', 's1')
show([base.read(12295, 6).decode(), snap.read(12295, 6).decode(), snap.read(1 << 22, 2).decode(), base.read(1 << 22, 2).decode(), code(snap.write, b'x', 0)])
spans = []
base.diff_iterate(0, 64 << 20, 's1', lambda o, l, e: spans.append([o, l, e]), whole_object=False)
show(spans)
show([code(base.unprotect_snap, 's1'), base.protect_snap('s1'), code(base.protect_snap, 's1'), base.is_protected_snap('s1'), code(base.remove_snap, 's1')])
R.clone(io, 'base', 's1', io, 'child')
show(code(base.unprotect_snap, 's1'))
child = rbd.Image(io, 'child')
show([list(child.parent_info()), child.overlap(), child.read(12295, 6).decode()])
child.write(b'child', 12295)
show([child.read(12295, 8).decode(), snap.read(12295, 6).decode()])
base.set_snap('s1'); show([[p, n] for p, n in base.list_children()]); base.set_snap(None)
base.create_snap('s2'); base.rollback_to_snap('s1')
show(base.read(12295, 6).decode())
child.flatten()
show([child.read(12295, 8).decode(), child.read(1 << 22, 2).decode(), code(child.flatten)])
child.close(); snap.close()
base.unprotect_snap('s1'); base.remove_snap('s1'); base.rename_snap('s2', 's3')
show([[s['name'] for s in base.list_snaps()], base.read(12295, 6).decode()])
base.remove_snap('s3'); base.close()
R.remove(io, 'child'); R.remove(io, 'base')
show(R.list(io))
`);
    t.same(shown, [['s1'], [-17, -2, -39], ['newnew', 'oldold', 'zz', '\0\0', -30],
      // What was never written there is no difference, where that is known to the block (CurveBS knows it by the GiB).
      [[12288, 4096, true], [1 << 22, backend === 'local' ? 4096 : 1 << 20, false], [5 << 20, 4096, true]],
      [-22, null, -16, true, -16], -16, [['rbd', 'base', 's1'], 64 << 20, 'oldold'], ['childdol', 'oldold'], [['rbd', 'child']], 'oldold',
      ['childdol', 'zz', -22], [['s3'], 'oldold'], []]);
  });

  await t.test('a diff is what a comparison of the bytes finds, block by block, over rollbacks, sizes and parents', async (t) => {
    const shown = await python(served, `
import random
r = random.Random(5)
BLOCK = 4096
def write(i, n):
    for _ in range(n):
        at = r.randrange(i.size() - 1)
        i.write(r.randbytes(min(r.choice([1, 700, 4096, 50000]), i.size() - at)), at)
def whole(name, snap):
    with rbd.Image(io, name, snap, read_only=True) as i: return i.read(0, i.size())
def blocks(data, at): return data[at * BLOCK:(at + 1) * BLOCK]
def by_bytes(old, new, begin, end):
    return {b for b in range(begin // BLOCK, (end + BLOCK - 1) // BLOCK)
            if blocks(old, b).ljust(BLOCK, b'\\0') != blocks(new, b).ljust(BLOCK, b'\\0')}
def by_diff(i, since, begin, length):
    spans = []
    i.diff_iterate(begin, length, since, lambda o, l, e: spans.append((o, l, e)), whole_object=False)
    return {b for o, l, e in spans for b in range(o // BLOCK, (o + l + BLOCK - 1) // BLOCK)}, spans
R.create(io, 'd', (6 << 20) + 1234)
names = []
i = rbd.Image(io, 'd')
for k, size in enumerate([0, 0, 3 << 20, (9 << 20) + 77, 0, 0]):
    if size: i.resize(size)
    if k == 4: i.rollback_to_snap('s3')
    write(i, 12)
    i.write_zeroes(r.randrange(4) * 100000, 70000)
    names.append('s%d' % k); i.create_snap(names[-1])
i.close()
data = {name: whole('d', name) for name in names}
wrong = []
for new in range(len(names)):
    with rbd.Image(io, 'd', names[new], read_only=True) as at:
        for old in range(new + 1):
            since = names[old - 1] if old else None
            before, after = data[since] if since else b'', data[names[new]]
            for begin, end in [(0, len(after)), (5000, len(after) - 3), (1 << 20, (1 << 20) + 4096)]:
                found, spans = by_diff(at, since, begin, end - begin)
                differing = by_bytes(before, after, begin, end)
                inside = all(begin <= o and o + l <= end for o, l, e in spans)
                zero = all(not any(after[o:o + l]) for o, l, e in spans if not e)
                # Bytes that were written but are what they were count as changed; random ones are not.
                extra = {b for b in found - differing if any(blocks(after, b)) and not any(z // BLOCK <= b <= (z + 70000) // BLOCK for z in range(0, 400000, 100000))}
                if differing - found or not inside or not zero or (since and len(extra) > 2):
                    wrong.append([since, names[new], begin, end, sorted(differing - found)[:5], sorted(extra)[:5], inside, zero])
show(wrong)
`);
    t.same(shown, [[]]);
  });

  await t.test('two processes that write to one clone in turns always see each other', async (t) => {
    await python(served, `
R.create(io, 'parent', 8 << 20)
with rbd.Image(io, 'parent') as i:
    i.write(b'p' * 65536, 0); i.create_snap('s'); i.protect_snap('s')
R.clone(io, 'parent', 's', io, 'shared')
`);
    const start = () => {
      const child = spawn(PYTHON, ['-c', pythonText(`
i = rbd.Image(io, 'shared')
print('ready', flush=True)
for line in sys.stdin:
    k = int(line)
    ok = k == 0 or i.read((k - 1) * 3000, 3000) == bytes([k - 1 & 255]) * 3000
    i.write(bytes([k & 255]) * 3000, k * 3000)
    print('ok' if ok else 'bad %d' % k, flush=True)
i.close()
`)], { env: served.clientEnv, stdio: ['pipe', 'pipe', 'inherit'] });
      return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
    };
    const sides = [start(), start()] as const;
    for (const side of sides) t.match((await side.lines.next()).value, /ready/);
    const answers: string[] = [];
    for (let k = 0; k < 40; k++) {
      const side = sides[k % 2]!;
      side.child.stdin.write(`${k}\n`);
      answers.push(String((await side.lines.next()).value));
    }
    t.same(new Set(answers), new Set(['ok']));
    for (const side of sides) {
      side.child.stdin.end();
      await once(side.child, 'close');
    }
    const shown = await python(served, `
with rbd.Image(io, 'shared') as i:
    show([all(i.read(k * 3000, 3000) == bytes([k]) * 3000 for k in range(40)), i.read(120000, 1) == bytes(1)])
`);
    t.same(shown, [[true, true]]);
  });

  await t.test('differences end where the image and the asked range end, also within a block', async (t) => {
    const shown = await python(served, `
R.create(io, 'odd', 10000)
with rbd.Image(io, 'odd') as i:
    i.create_snap('empty')
    i.write(b'x' * 3000, 7000)
    def changes(offset, length):
        found = []
        i.diff_iterate(offset, length, 'empty', lambda o, n, e: found.append([o, n, e]))
        return found
    show([changes(0, 10000), changes(5000, 100), changes(9999, 1)])
`);
    t.strictSame(shown, [[[[4096, 5904, true]], [[5000, 100, true]], [[9999, 1, true]]]]);
  });
});
