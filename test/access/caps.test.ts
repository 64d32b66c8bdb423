// What caps texts allow. The expectations were taken from a real Ceph 16.2.15 with cephx (docs/access.md).
import t from 'tap';
import {parseMonCaps, parseOsdCaps} from '../../src/access/caps.js';

t.test('profile rbd on one pool gives everything there and nothing elsewhere', async (t) => {
  const caps = parseOsdCaps('profile rbd pool=volumes');
  t.ok(caps.allows('rwx', {pool: 'volumes'}));
  t.ok(caps.allows('rwx', {pool: 'volumes', namespace: 'n1'}));
  t.notOk(caps.allows('r', {pool: 'vms'}));
  t.strictSame(caps.summary(), {volumes: 'rwx'});
});

t.test('profile rbd-read-only looks and changes nothing', async (t) => {
  const caps = parseOsdCaps('profile rbd-read-only pool=images');
  t.ok(caps.allows('rx', {pool: 'images'}));
  t.notOk(caps.allows('w', {pool: 'images'}));
});

t.test('a namespace shuts out the other namespaces, and leaves the pool\'s settings readable', async (t) => {
  const caps = parseOsdCaps('profile rbd pool=p namespace=n1');
  t.ok(caps.allows('rwx', {pool: 'p', namespace: 'n1'}));
  t.notOk(caps.allows('r', {pool: 'p'}));
  t.notOk(caps.allows('r', {pool: 'p', namespace: 'n12'}));
  t.ok(caps.readsPool('p'));
  t.notOk(caps.readsPool('q'));
  t.ok(parseOsdCaps('allow rwx namespace=n*').allows('rwx', {pool: 'any', namespace: 'n12'}));
});

t.test('what OpenStack\'s manuals give to Cinder is understood, new and old', async (t) => {
  const now = parseOsdCaps('profile rbd pool=volumes, profile rbd pool=vms, profile rbd-read-only pool=images');
  t.ok(now.allows('rwx', {pool: 'vms'}));
  t.notOk(now.allows('w', {pool: 'images'}));
  const then = parseOsdCaps('allow class-read object_prefix rbd_children, allow rwx pool=volumes, allow rx pool=images');
  t.ok(then.allows('rwx', {pool: 'volumes'}));
  t.ok(then.allows('rx', {pool: 'images'}));
  t.notOk(then.allows('x', {pool: 'other'}), 'an object prefix reaches no image');
});

t.test('grants add up, and rights may stand before or behind the pool', async (t) => {
  const caps = parseOsdCaps('allow r; allow pool "my pool" w; allow x pool = "my pool"');
  t.ok(caps.allows('rwx', {pool: 'my pool'}));
  t.notOk(caps.allows('w', {pool: 'other'}));
});

t.test('allow * is every pool', async (t) => {
  t.ok(parseOsdCaps('allow *').allows('rwx', {pool: 'x', namespace: 'y'}));
  t.strictSame(parseOsdCaps('allow *').summary(), {'*': 'rwx'});
});

t.test('no caps allow nothing', async (t) => {
  t.notOk(parseOsdCaps('').allows('r', {pool: 'x'}));
  t.notOk(parseMonCaps('').allows('r'));
});

t.test('mon caps tell looking, changing and blocklisting apart', async (t) => {
  t.ok(parseMonCaps('allow r').allows('r', {command: 'df'}));
  t.notOk(parseMonCaps('allow r').allows('rw', {command: 'osd pool create'}));
  t.ok(parseMonCaps('allow *').allows('*'));
  t.notOk(parseMonCaps('allow rwx').allows('*'));
  t.ok(parseMonCaps('profile rbd').allows('rw', {command: 'osd blocklist', service: 'osd'}));
  t.notOk(parseMonCaps('profile rbd').allows('rw', {command: 'osd pool create', service: 'osd'}));
  t.notOk(parseMonCaps('profile rbd-read-only').allows('rw', {command: 'osd blocklist'}));
  t.ok(parseMonCaps('allow service osd rw').allows('rw', {service: 'osd'}));
  t.notOk(parseMonCaps('allow service osd rw').allows('r', {service: 'mon'}));
  t.ok(parseMonCaps('allow r, allow command "osd blocklist"').allows('rw', {command: 'osd blocklist'}));
});

t.test('a text that cannot be read is refused with EINVAL and named', async (t) => {
  for (const text of ['bogus', 'allow', 'allow rq', 'profile', 'profile nobody', 'allow rwx pool=', 'allow rwx,,allow r', 'allow "rw', ',', 'allow rwx foo=bar', 'profile rbd rw']) {
    t.throws(() => parseOsdCaps(text), {errno: 'EINVAL', message: text.includes('"') ? /quote/ : /osd capability parse failed/}, text);
  }
  for (const text of ['bogus', 'allow', 'allow q', 'profile x', 'allow r w', 'allow command']) {
    t.throws(() => parseMonCaps(text), {errno: 'EINVAL', message: /mon capability parse failed/}, text);
  }
});
