// Each invocation of `ceph` and `rbd` that Cinder, cinder-backup, Glance, Nova and os-brick make (their exact words), from a shell, against
// hooks/ in PATH: what they take from the output and the exit status is what is checked. The users are OpenStack's, with their usual caps.
import {execFile} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import t from 'tap';
import {formatKeyring} from '../../src/access/keyring.js';
import {newKey} from '../../src/access/key.js';
import {createPool} from '../../src/service/pools.js';
import type {TestBackend} from '../lib/backends.js';
import {startTestDaemonOn, type TestDaemon} from '../lib/daemon.js';

t.setTimeout(120_000);
const hooks = fileURLToPath(new URL('../../../build/bin/hooks', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'cbd-os-'));
const conf = join(folder, 'ceph.conf');
const file = (name: string): string => join(folder, name);
let daemon: TestDaemon;

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function shell(line: string, environment: Record<string, string> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile('/bin/bash', ['--norc', '-c', line], {env: {PATH: `${hooks}:/usr/bin:/bin`, ...environment}, cwd: folder, maxBuffer: 1 << 26}, (error, stdout, stderr) =>
      resolve({code: error ? Number(error.code) : 0, stdout, stderr}));
    child.stdin?.end();
  });
}

async function must(line: string, environment?: Record<string, string>): Promise<string> {
  const {code, stdout, stderr} = await shell(line, environment);
  if (code !== 0) throw new Error(`${line}: ${code} ${stderr}`);
  return stdout;
}

const caps = 'profile rbd pool=volumes, profile rbd pool=vms, profile rbd pool=images, profile rbd pool=backups';

/** All of it, with pools on that backend. */
export function openstackTests(backend: TestBackend): void {
  t.before(async () => {
    daemon = await startTestDaemonOn(backend, {CBD2RBD_TRUST_OWN_UID: 'false'});
    for (const name of ['volumes', 'vms', 'images', 'backups']) await createPool(daemon.daemon.ctx, {name, backend, ...(backend === 'curvebs' ? {dir: `/openstack/${name}`} : {}), apps: ['rbd']});
    const cinder = {entity: 'client.cinder', key: newKey(), caps: {mon: 'profile rbd', osd: caps}, owner: 'cinder'};
    await daemon.daemon.users.write(cinder);
    writeFileSync(file('ceph.client.cinder.keyring'), formatKeyring(cinder));
    writeFileSync(conf, `[global]\ncbd2rbd_socket = ${daemon.socket}\nkeyring = ${folder}/$cluster.$name.keyring\n`);
    // What os-brick writes: monitors and the keyring's text, and nothing else.
    writeFileSync(file('brick.conf'), `[global]\nmon_host = 127.0.0.1:6789\n[client.cinder]\n\tkey = ${cinder.key}\nkeyring = ${folder}/ceph.client.cinder.keyring\n`);
    writeFileSync(file('image.raw'), Buffer.concat([randomBytes(700_000), Buffer.alloc(2_300_000), randomBytes(1_194_304)]));
  });
  t.teardown(async () => {
    await daemon.stop();
    rmSync(folder, {recursive: true});
  });

  const who = `--id cinder --cluster ceph --conf ${conf}`;

  t.test('os-brick and cinder find rbd and the monitors', async (t) => {
    t.equal((await must('which rbd')).trim(), join(hooks, 'rbd'));
    const text = await must(`ceph mon dump --format=json ${who}`);
    const lines = text.trimStart().split('\n');
    const dump = JSON.parse((lines[0] ?? '').startsWith('dumped') ? lines[1] ?? '' : text) as {mons: {addr: string}[]};
    t.match(dump.mons[0]?.addr, /^[\d.]+:\d+\/\d+$/);
  });

  t.test('nova reads the space of its pool', async (t) => {
    const df = JSON.parse(await must(`ceph df --format=json --id cinder --conf ${conf}`)) as {stats: {total_bytes: number}, pools: {name: string, stats: {max_avail: number, bytes_used: number}}[]};
    t.ok(df.stats.total_bytes > 0);
    const pool = df.pools.find(({name}) => name === 'vms');
    t.ok((pool?.stats.max_avail ?? 0) > 0);
    t.equal(typeof pool?.stats.bytes_used, 'number');
  });

  t.test('cinder makes a volume of an image, and an image of a volume', async (t) => {
    await must(`rbd import --pool volumes --order 22 ${file('image.raw')} volume-1 --new-format ${who}`);
    await must(`rbd import --dest-pool volumes --order 22 ${file('image.raw')} volume-2 ${who}`);
    t.match(JSON.parse(await must(`rbd info --format json --pool volumes volume-1 ${who}`)), {size: 4_194_304, order: 22});
    await must(`rbd export --pool volumes volume-1 ${file('back.raw')} ${who}`);
    t.ok(readFileSync(file('back.raw')).equals(readFileSync(file('image.raw'))));
    const missing = await shell(`rbd export --pool volumes volume-0 ${file('none.raw')} ${who}`);
    t.equal(missing.code, 2);
    t.match(missing.stderr, /error opening image volume-0: \(2\) No such file or directory/);
  });

  t.test('cinder asks whether a volume is in use', async (t) => {
    t.match(JSON.parse(await must(`rbd status --pool volumes --format=json volume-1 ${who}`)), {watchers: []});
    const used = `rbd bench --io-type write --io-size 4K --io-total 100T --pool volumes volume-2 ${who} & bench=$!; ` +
        `until rbd status --pool volumes --format=json volume-2 ${who} | grep -q cookie; do kill -0 $bench || exit 9; done; kill -TERM $bench; wait $bench; true`;
    t.equal((await shell(used)).code, 0);
  });

  t.test('nova imports a disk and exports a snapshot', async (t) => {
    await must(`rbd import --pool vms ${file('image.raw')} instance_disk --image-format=2 --id cinder --conf ${conf}`);
    await must(`rbd snap create vms/instance_disk@snap1 ${who}`);
    await must(`rbd export --pool vms --image instance_disk --path ${file('snap.raw')} --snap snap1 --id cinder --conf ${conf}`);
    t.ok(readFileSync(file('snap.raw')).equals(readFileSync(file('image.raw'))));
  });

  t.test('cinder-backup carries whole and incremental backups between pools', async (t) => {
    const source = 'volumes/volume-1';
    const base = 'volume-1.backup.base';
    // The volume's side knows only what os-brick wrote, so that the library goes by its default socket.
    const environment = {CBD2RBD_SOCKET: daemon.socket};
    const brick = `--id cinder --conf ${file('brick.conf')} --keyring ${file('ceph.client.cinder.keyring')}`;
    await must(`rbd snap create ${source}@backup.1.snap.100 ${who} && rbd create --size 4 backups/${base} ${who}`);
    const carry = (from: string, snap: string): string => `set -o pipefail; rbd export-diff ${brick} --pool volumes ${from}${source}@${snap} - | rbd import-diff --id cinder --conf ${conf} --pool backups - backups/${base}`;
    await must(carry('', 'backup.1.snap.100'), environment);
    await must(`rbd bench --io-type write --io-size 64K --io-total 512K --io-pattern rand ${source} ${who} && rbd snap create ${source}@backup.2.snap.200 ${who}`);
    await must(carry('--from-snap backup.1.snap.100 ', 'backup.2.snap.200'), environment);
    t.match(await must(`rbd snap ls backups/${base} ${who}`), /backup\.1\.snap\.100[^]*backup\.2\.snap\.200/);
    const sum = async (image: string): Promise<string> => must(`rbd export ${image} - --no-progress ${who} | sha256sum`);
    t.equal(await sum(`backups/${base}@backup.2.snap.200`), await sum(`${source}@backup.2.snap.200`));
    t.equal(await sum(`backups/${base}@backup.1.snap.100`), await sum(`${source}@backup.1.snap.100`));
    const twice = await shell(carry('--from-snap backup.1.snap.100 ', 'backup.2.snap.200'), environment);
    t.equal(twice.code, 17);
    t.match(twice.stderr, /end snapshot 'backup\.2\.snap\.200' already exists/);
    const without = await shell(`set -o pipefail; rbd export-diff ${brick} --pool volumes --from-snap nosnap ${source}@backup.2.snap.200 - | rbd import-diff --id cinder --conf ${conf} --pool backups - backups/${base}`, environment);
    t.not(without.code, 0, 'either end fails');
  });

  t.test('os-brick\'s mapping to the kernel is refused with words that help', async (t) => {
    const mapped = await shell(`rbd map volume-1 --pool volumes --id cinder --mon_host 127.0.0.1:6789 --conf ${conf}`);
    t.equal(mapped.code, 95);
    t.match(mapped.stderr, /rbd: map: .*librbd/);
    t.strictSame(JSON.parse(await must(`rbd showmapped --format=json ${who}`)), []);
    t.equal((await shell(`rbd unmap /dev/rbd0 ${who}`)).code, 95);
  });

  t.test('what a wrong user or a wrong pool gets', async (t) => {
    t.match(await shell(`rbd ls nopool ${who}`), {code: 2, stderr: /error opening pool 'nopool'/});
    t.match(await shell(`ceph df --format=json --id ghost --conf ${conf}`), {stdout: '', code: /^(?!0$)/});
    t.match(await shell(`rbd ls rbd ${who}`), {code: 1, stderr: /\(1\) Operation not permitted/}, 'a pool that his caps do not name');
  });
}
