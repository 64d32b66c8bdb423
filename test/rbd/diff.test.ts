// Differences between versions of images at random: what a comparison of bytes finds is shown, and nothing that nobody touched between the
// two, block by block; over clones of clones, shrunk and grown, rolled back and flattened. native_rbd_model asks more forms of the call.
import t from 'tap';
import { backends } from '../lib/backends.js';
import { serve } from '../lib/served.js';
import { python } from '../lib/stock-client.js';

/**
 * Versions are a tree: each knows what it was made from, and which blocks were touched since. Some of those were written, and some may
 * hold data though they were not: they were zeroed in part.
 */
const MODEL = `
import random
BLOCK = 4096
class Version:
    def __init__(self, before): self.before, self.touched, self.written, self.data = before, set(), set(), set()
    def line(self):
        at, line = self, []
        while at: line.append(at); at = at.before
        return line
def blocks(begin, end): return range(begin // BLOCK, (end + BLOCK - 1) // BLOCK)
def since(old, new):
    """The blocks that were touched on the way from one version to the other."""
    a, b = old.line(), new.line()
    return set().union(*(v.touched for v in a if v not in b), *(v.touched for v in b if v not in a))
class Model:
    def __init__(self, name, size, order=16, parent=None, snap=None):
        self.name, self.parent, self.snaps = name, parent, {}
        if parent:
            if not parent.image.is_protected_snap(snap): parent.image.protect_snap(snap)
            R.clone(io, parent.name, snap, io, name, order=order); self.root = parent.snaps[snap][0]; self.size = len(parent.snaps[snap][1])
        else: R.create(io, name, size, order); self.root, self.size = None, size
        self.head = Version(self.root)
        self.image = rbd.Image(io, name)
    def data(self, snap=None):
        if snap: return self.snaps[snap][1]
        return self.image.read(0, self.size)
    def write(self, at, data):
        self.image.write(data, at)
        for kind in (self.head.touched, self.head.written, self.head.data): kind.update(blocks(at, at + len(data)))
    def zero(self, at, length):
        self.image.write_zeroes(at, length); self.gone(at, at + length)
    def discard(self, at, length):
        self.image.discard(at, length); self.gone(at, at + length)
    def gone(self, begin, end):
        self.head.touched.update(blocks(begin, end)); self.head.data.update((begin // BLOCK, (end - 1) // BLOCK))
    def resize(self, size):
        self.image.resize(size); self.head.touched.update(blocks(min(size, self.size), self.size)); self.size = size
    def snap(self, name):
        self.image.create_snap(name); self.snaps[name] = (self.head, self.data()); self.head = Version(self.head)
    def drop(self, name):
        if self.image.is_protected_snap(name): self.image.unprotect_snap(name)
        self.image.remove_snap(name); del self.snaps[name]
    def roll_back(self, name):
        self.image.rollback_to_snap(name)
        self.head, self.size = Version(self.snaps[name][0]), len(self.snaps[name][1])
    def flatten(self): self.image.flatten(); self.root = None
    def own(self, version):
        """Those of its versions that are not its parent's."""
        return [v for v in version.line() if not self.root or v not in self.root.line()]

def whole(exact, begin, end, size):
    cut = {}
    for o, s, e in exact:
        key = (max(begin, o // size * size), min(end, (o // size + 1) * size))
        cut[key] = cut.get(key, False) or e
    return sorted((b, e, x) for (b, e), x in cut.items())
def fits(objects, least):
    """An object of which only what is gone has changed exists all the same where it holds something else."""
    return [o[:2] for o in objects] == [o[:2] for o in least] and all(o[2] or not l[2] for o, l in zip(objects, least))

def compare(m, old, new, exact_base, wrong):
    with rbd.Image(io, m.name, new, read_only=True) as at:
        after, version = m.data(new), m.snaps[new][0] if new else m.head
        before = m.data(old) if old else b''
        begin = r.randrange(len(after)) if r.random() < 0.5 else 0
        end = r.randrange(begin, len(after)) + 1 if begin else len(after)
        for include_parent in (True, False):
            def ask(whole):
                spans = []
                at.diff_iterate(begin, end - begin, old, lambda o, l, e: spans.append((o, o + l, e)), include_parent, whole)
                return spans
            part = lambda data, b: data[max(begin, b * BLOCK):min(end, (b + 1) * BLOCK)]
            nonzero = {b for b in blocks(begin, end) if any(part(after, b))}
            whole_chain = old or include_parent or not m.root
            if whole_chain:
                needed = {b for b in blocks(begin, end) if part(before, b).ljust(BLOCK, b'\\0')[:len(part(after, b))] != part(after, b)}
                allowed = since(m.snaps[old][0], version) if old else set().union(*(v.data for v in version.line()))
            else:
                # In the clone's own layers a block that it wrote and never cut off is data.
                own = m.own(version)
                needed = nonzero & set().union(*(v.written for v in own))
                allowed = set().union(*(v.data for v in own))
            exact, objects, again = None, None, ask(False)
            # Without an older one it is what takes space that counts, and a merge may change that between two calls.
            while exact != again: exact, objects, again = again, ask(True), ask(False)
            shown = {b for o, e, _ in exact for b in blocks(o, e)}
            too_much = shown - allowed if old or not whole_chain or exact_base else set()
            say = lambda what, found: wrong.append([what, m.name, old, new, include_parent, begin, end, sorted(found)[:5]])
            if needed - shown: say('missing', needed - shown)
            if too_much: say('too much', too_much)
            if any(not e and any(after[o:s]) for o, s, e in exact + objects): say('gone and not zero', [])
            if any(o < begin or s > end or (not old and not e) for o, s, e in exact): say('outside, or gone since nothing', [])
            if not fits(objects, whole(exact, begin, end, m.object_size)): say('whole objects', [])
            asked[0] += 1
asked = [0]
`;

for (const backend of backends) t.test(`on ${backend} a diff shows what differs and nothing that was not touched`, { timeout: 200_000 }, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());
  const [wrong, asked, kinds] = await python(served, `${MODEL}
r = random.Random(${backend === 'local' ? 41 : 42})
wrong, names, kinds = [], 0, {}
def fresh():
    global names
    names += 1
    return 'n%d' % names
def add(m):
    m.object_size = m.image.stat()['obj_size']
    images.append(m)
images = []
add(Model('base', (3 << 20) + 700))
for step in range(160):
    m = r.choice(images)
    kind = r.choice(['write'] * 6 + ['zero', 'discard', 'resize', 'snap', 'snap', 'drop', 'roll', 'clone', 'flatten'] + ['compare'] * 5)
    kinds[kind] = kinds.get(kind, 0) + 1
    at = r.randrange(m.size)
    if kind == 'write': m.write(at, r.randbytes(min(m.size - at, r.choice([1, 700, 4096, 50000, 200000]))))
    elif kind == 'zero': m.zero(at, min(m.size - at, r.choice([100, 4096, 90000])))
    elif kind == 'discard': m.discard(at, min(m.size - at, 300000))
    elif kind == 'resize': m.resize(r.randrange(1 << 20, 5 << 20))
    elif kind == 'snap' and len(m.snaps) < 4: m.snap(fresh())
    elif kind == 'drop' and m.snaps:
        name = r.choice(list(m.snaps))
        if not any(c.root is m.snaps[name][0] for c in images): m.drop(name)
    elif kind == 'roll' and m.snaps: m.roll_back(r.choice(list(m.snaps)))
    elif kind == 'clone' and m.snaps and len(images) < 5: add(Model(fresh(), 0, max(m.image.stat()['order'], r.choice([16, 18, 20])), m, r.choice(list(m.snaps))))
    elif kind == 'flatten' and m.root: m.flatten()
    elif kind == 'compare':
        # Ids grow with each snapshot: an older one comes first.
        line = list(m.snaps) + [None]
        new = r.randrange(len(line))
        old = r.randrange(new + 1)
        compare(m, line[old] if old < new else None, line[new], ${backend === 'local' ? 'True' : 'False'}, wrong)
for m in images: m.image.close()
show(wrong)
show(asked[0])
show(kinds)
`, { timeoutMs: 190_000 });
  t.strictSame(wrong, []);
  t.ok(Number(asked) > 40, `${String(asked)} diffs were compared`);
  for (const kind of ['roll', 'clone', 'flatten', 'resize', 'drop']) t.ok(Number((kinds as Record<string, number>)[kind]) > 2, `${kind} came up`);
});
