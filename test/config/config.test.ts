// The configuration file: what it takes, what the environment overrides, and how a bad line is named.
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import t from 'tap';
import {centralOptions, ConfigError, defaultFile, layoutFor, loadConfig} from '../../src/config/config.js';

const folder = mkdtempSync(join(tmpdir(), 'cbd-config-'));
t.teardown(() => rmSync(folder, {recursive: true}));

function withFile(text: string, environment: Record<string, string> = {}) {
  const file = join(folder, 'x.conf');
  writeFileSync(file, text);
  return loadConfig({dir: folder, file, environment});
}

function problems(text: string, environment: Record<string, string> = {}): readonly string[] {
  try {
    withFile(text, environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((line) => line.replaceAll(folder, 'DIR'));
    throw error;
  }
  return [];
}

t.test('without a file everything has a working default below the folder', async (t) => {
  const config = loadConfig({dir: folder, environment: {}});
  t.equal(config.listen, join(folder, 'cbd2rbd.sock'));
  t.strictSame(config.store, {kind: 'sqlite', path: join(folder, 'metadata.sqlite')});
  t.equal(config.localRoot, join(folder, 'volumes'));
  t.strictSame(config.defaultPools, ['rbd']);
  t.equal(config.trustOwnUid, true);
  t.equal(config.graceMs, 10_000);
});

t.test('the file is read, and the environment has the last word', async (t) => {
  const text = '# a comment\n\nlisten = /x/y\nstore=etcd:http://a:2379,b:2379/pre\ngrace = 250ms\r\n';
  const config = withFile(text, {CBD2RBD_LISTEN: '/from/env', CBD2RBD_TRUST_OWN_UID: 'no'});
  t.equal(config.listen, '/from/env');
  t.strictSame(config.store, {kind: 'etcd', endpoints: ['http://a:2379', 'http://b:2379'], prefix: '/pre'});
  t.equal(config.graceMs, 250);
  t.equal(config.trustOwnUid, false);
  t.equal(config.sources.get('listen')?.from, 'environment CBD2RBD_LISTEN');
  t.match(config.sources.get('grace')?.from, /x\.conf:5$/);
});

t.test('each bad line is named with file, line and value, all of them at once', async (t) => {
  t.strictSame(problems('listne = /a\nnonsense\ngrace = soon\ngrace = 1s\n[mon]\nx = 1\n'), [
    'DIR/x.conf:1: "listne" is no option; listen is one (value "/a")',
    'DIR/x.conf:2: "nonsense" is neither "name = value", a comment nor a section',
    'DIR/x.conf:4: grace = "1s" stands here a second time (first on line 3)',
    'DIR/x.conf:5: "[mon]" is no section: [ceph global], [ceph client] or [ceph client.NAME]',
    'DIR/x.conf:3: grace = "soon" is no duration such as 250ms, 10s, 5m or 2h',
  ]);
  for (const [text, found] of [
    ['listen = here', /:1: listen = "here" is no absolute path/],
    ['listen =', /:1: listen = "" is no absolute path/],
    [`listen = /${'x'.repeat(107)}`, /:1: listen = .* longer than 107 bytes/],
    ['listen_group = a b', /:1: listen_group = "a b" is no name of a group/],
    ['store = mysql:x', /:1: store = "mysql:x" is neither sqlite/],
    ['store = etcd:http:///x', /:1: store = /],
    ['trust_own_uid = maybe', /:1: trust_own_uid = "maybe" is neither true nor false/],
    ['log_level = loud', /:1: log_level = "loud" is none of error, warn/],
    ['fsid = ABC', /:1: fsid = "ABC" is no UUID/],
    ['local_capacity = -1', /:1: local_capacity = "-1" is neither/],
    ['curvebs_mds = a,b:1', /:1: curvebs_mds = "a,b:1" is no list of host:port/],
    ['default_pools = a\u0001b', /:1: default_pools = .* control/],
  ] as const) t.match(problems(text)[0], found, text);
  t.match(problems('', {CBD2RBD_GRACE: 'x'}), [/^environment CBD2RBD_GRACE: grace = "x" is no duration/]);
});

t.test('a file that was asked for and is missing stops the start; a missing default file does not', async (t) => {
  t.throws(() => loadConfig({dir: folder, file: join(folder, 'none'), environment: {}}), {message: /none: cannot be read/});
  t.ok(loadConfig({dir: folder, environment: {}}));
});

t.test('central options come from the general to the particular section', async (t) => {
  const config = withFile('[ceph global]\nrbd default features = 3\nrbd_cache = true\n[ceph client]\nrbd_cache = false\n[ceph client.a]\nrbd-default-features = 1\n');
  t.strictSame(centralOptions(config, 'client.b'), {rbd_default_features: '3', rbd_cache: 'false'});
  t.strictSame(centralOptions(config, 'client.a'), {rbd_default_features: '1', rbd_cache: 'false'});
});

t.test('the commented default file says exactly what holds without it', async (t) => {
  const layout = layoutFor(folder);
  const text = defaultFile(layout);
  const plain = loadConfig({dir: folder, environment: {}});
  const asFile = withFile(text.replaceAll(/^#(\w+ = ?.*)$/gm, (line, rest: string) => rest.startsWith('rbd_') ? line : rest));
  for (const [name, source] of plain.sources) t.equal(asFile.sources.get(name)?.value, source.value, name);
});

t.test('a folder whose path is too long for a socket gets one elsewhere, always the same', async (t) => {
  const long = join(folder, 'x'.repeat(120));
  const config = loadConfig({dir: long, environment: {}});
  t.ok(Buffer.byteLength(config.listen) <= 107);
  t.equal(config.listen, loadConfig({dir: long, environment: {}}).listen);
  t.not(config.listen, loadConfig({dir: `${long}y`, environment: {}}).listen);
});
