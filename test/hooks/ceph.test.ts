// hooks/ceph as a process: configuration, keys, files, exit codes, and what it says where no daemon runs.
import {execFile} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import t from 'tap';
import {formatKeyring} from '../../src/access/keyring.js';
import {versionText} from '../../src/ceph/commands/status.js';
import {backends} from '../lib/backends.js';
import {startTestDaemonOn} from '../lib/daemon.js';

const program = fileURLToPath(new URL('../../../build/bin/hooks/ceph', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'cbd-hook-'));
const conf = join(folder, 'ceph.conf');

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function ceph(args: readonly string[], how: {env?: Record<string, string>, stdin?: string} = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(program, args, {env: {PATH: '/usr/bin:/bin', CEPH_CONF: conf, ...how.env}}, (error, stdout, stderr) =>
      resolve({code: error ? Number(error.code) : 0, stdout, stderr}));
    // A command that reads no input may have ended before it is written.
    child.stdin?.on('error', () => undefined).end(how.stdin ?? '');
  });
}

// What 16.2.15 answered to the same words.
const refused = {
  quota: {
    'abc': 'strict_iecstrtoll: illegal prefix (length > 2)', '10KiB': 'strict_iecstrtoll: illegal prefix (length > 2)', '10X': 'strict_iecstrtoll: unit prefix not recognized',
    '-5': 'strict_iecstrtoll: value should not be negative', '16E': 'strict_iecstrtoll: value seems to be too large', 'K': 'Expected option value to be integer, got \'\'',
    '99999999999999999999': 'The option value \'99999999999999999999\' seems to be invalid',
  },
  option: {
    '1.5': 'strict_si_cast: unit prefix not recognized', '10KB': 'Expected option value to be integer, got \'10KB\'', '-1': 'strict_sistrtoll: value should not be negative',
    '': 'strict_sistrtoll: value not specified',
  },
  caps: {
    'allow': 'allow', 'allow foo': 'allow foo', 'allow r bar': 'bar', 'allow r, allow': ', allow', 'allow command': 'allow command', 'profile': 'profile', 'allow  r   pool': 'pool', 'allow r,': ',',
  },
};

t.teardown(() => rmSync(folder, {recursive: true}));

for (const backend of backends) t.test(`on ${backend}`, async (t) => {
  const daemon = await startTestDaemonOn(backend);
  t.teardown(() => daemon.stop());
  writeFileSync(conf, `[global]\ncbd2rbd_socket = ${daemon.socket}\nkeyring = ${folder}/$name.keyring\n`);

  t.test('it prints what the daemon answers, plain and as JSON', async (t) => {
    t.equal((await ceph(['fsid'])).stdout, `${daemon.daemon.fsid}\n`);
    t.strictSame(await ceph(['osd', 'pool', 'ls', '-f', 'json']), {code: 0, stdout: '\n["rbd"]', stderr: ''});
    t.strictSame(await ceph(['--format=json', 'osd', 'pool', 'ls']), {code: 0, stdout: '\n["rbd"]', stderr: ''});
    t.match((await ceph(['-s'])).stdout, /health: HEALTH_OK/);
  });

  t.test('without words it reads commands, a line each, until it is told to stop', async (t) => {
    const ended = await ceph([], {stdin: 'osd pool ls\n\n  \nosd pool get nope size\n"osd" \'pool\' ls -f json\nosd "pool ls\nosd pool ls\\ x\nfsid\nquit\nosd pool ls\n'});
    t.equal(ended.code, 0);
    t.equal(ended.stdout, `rbd\n\n\n["rbd"]\n${daemon.daemon.fsid}\n\n`, 'as the real one: with an empty line behind each answer');
    t.match(ended.stderr, /^Error ENOENT: unrecognized pool 'nope'\nceph: osd "pool ls: there is no closing quotation\nno valid command found;[^]*Error EINVAL: invalid command\n$/);
    t.strictSame(await ceph(['-f', 'json'], {stdin: 'osd pool ls\nexit\n'}), {code: 0, stdout: '\n["rbd"]\n', stderr: ''}, 'options of the program count for every line');
    t.strictSame(await ceph(['--format=json'], {stdin: 'osd pool ls'}), {code: 0, stdout: '\n["rbd"]\n', stderr: ''});
    t.strictSame(await ceph([], {stdin: ''}), {code: 0, stdout: '', stderr: ''});
    const written = join(folder, 'written');
    t.strictSame(await ceph([], {stdin: `fsid -o ${written}\nfsid -i ${folder}/nope\nfsid -o\n`}), {
      code: 0, stdout: '', stderr: `Can't open input file ${folder}/nope: [Errno 2] No such file or directory: '${folder}/nope'\nceph: Option -o requires an argument.\n`,
    });
    t.equal(readFileSync(written, 'utf8'), `${daemon.daemon.fsid}\n`);
    t.match(await ceph([''], {stdin: 'fsid\n'}), {code: 22, stdout: ''}, 'an empty word is a command, and none that there is');
  });

  t.test('what OpenStack asks is answered in the exact forms that it uses', async (t) => {
    const dump = await ceph(['mon', 'dump', '--format=json', '--conf', conf, '--cluster', 'ceph']);
    t.equal(dump.code, 0);
    t.match(JSON.parse(dump.stdout), {mons: [{addr: /^[\d.]+:\d+\/\d+$/}]});
    const df = JSON.parse((await ceph(['df', '--format=json', '--conf', conf])).stdout) as {stats: Record<string, number>, pools: unknown[]};
    t.ok((df.stats['total_bytes'] ?? 0) > 0);
    t.match(df.pools, [{name: 'rbd', stats: {bytes_used: Number, max_avail: Number}}]);
  });

  t.test('exit codes are Ceph\'s', async (t) => {
    t.match(await ceph(['osd', 'pool', 'get', 'nope', 'size']), {code: 2, stderr: 'Error ENOENT: unrecognized pool \'nope\'\n'});
    t.match(await ceph(['nonsense']), {code: 22, stderr: /Error EINVAL: invalid command\n$/});
    t.match(await ceph(['df', '-f', 'odd']), {code: 2, stderr: /invalid choice: 'odd'/});
    t.match(await ceph(['tell', 'osd.0', 'version']), {code: 95, stderr: /EOPNOTSUPP.*tell/});
  });

  t.test('numbers and caps that cannot be read are refused in the monitor\'s words', async (t) => {
    for (const [value, why] of Object.entries(refused.quota)) {
      t.match(await ceph(['osd', 'pool', 'set-quota', 'rbd', 'max_bytes', '--', value]), {code: 22, stderr: `Error EINVAL: error parsing value '${value}': ${why}\n`}, value);
    }
    for (const [value, why] of Object.entries(refused.option)) {
      t.match(await ceph(['config', 'set', 'client', 'rbd_concurrent_management_ops', '--', value]), {code: 22, stderr: `Error EINVAL: error parsing value: ${why}\n`}, value);
    }
    for (const [caps, stop] of Object.entries(refused.caps)) {
      t.match(await ceph(['auth', 'get-or-create', 'client.no', 'osd', caps]), {code: 22, stderr: `Error EINVAL: osd capability parse failed, stopped at '${stop}' of '${caps}'\n`}, caps);
    }
    t.match(await ceph(['osd', 'pool', 'set-quota', 'rbd', 'max_bytes', '10KB']), {code: 0, stderr: 'set-quota max_bytes = 10240 for pool rbd\n'});
    t.match(await ceph(['osd', 'pool', 'set-quota', 'rbd', 'max_bytes', '0']), {code: 0});
  });

  t.test('words that a command does not take are refused as by 16.2.15', async (t) => {
    for (const [line, code, said] of [
      ['osd tree nosuch', 22, /^nosuch not valid: {2}nosuch not in up\|down\|in\|out\|destroyed\nInvalid command: unused arguments: \['nosuch'\]/],
      ['osd df nosuch', 22, /^Error EINVAL: 'nosuch' not a pool, crush node or device class name\n$/],
      ['osd blocklist add 1.2.3.4 -5', 22, /^-5 not valid: {2}-5\.0 not in range \[0\.0\]\nInvalid command: unused arguments: \['-5'\]/],
      ['log last -5', 22, /^-5 not valid: {2}-5 not in \*\|cluster\|audit\|cephadm\nInvalid command: unused arguments: \['-5'\]/],
      ['--connect-timeout abc df', 2, /invalid int value: 'abc'/],
      ['df -f', 2, /expected one argument/],
    ] as const) t.match(await ceph(line.split(' ')), {code, stderr: said}, line);
    t.match(await ceph(['osd lspools']), {code: 22, stderr: /^no valid command found/}, 'words in one word are no command');
    for (const line of ['osd tree up in', 'osd df plain name osd.0', 'osd df rbd', 'log last 3', 'osd blocklist add 1.2.3.4 0.5']) t.match(await ceph(line.split(' ')), {code: 0}, line);
  });

  t.test('every format is as the real one ends it', async (t) => {
    t.match(JSON.parse((await ceph(['auth', 'export', '-f', 'json'])).stdout), [{entity: 'client.admin', key: /^AQ/, caps: {mon: 'allow *'}}]);
    t.match((await ceph(['auth', 'export', '-f', 'xml'])).stdout, /^<auth><auth_entities><entity>client\.admin</);
    t.match((await ceph(['fsid', '-f', 'xml-pretty'])).stdout, /<\/fsid>\n<\/fsid>\n\n$/);
    t.match((await ceph(['osd', 'tree', '-f', 'xml-pretty'])).stdout, /[^\n]\n$/);
    t.match((await ceph(['pg', 'stat', '-f', 'json'])).stdout, /\}\n\}$/);
    t.match((await ceph(['osd', 'stat'])).stdout, /^1 osds: 1 up \(since \d+[smhdw]\), 1 in \(since \d+[smhdw]\); epoch: e\d+\n$/);
  });

  t.test('-i is read and -o is written with the caller\'s rights', async (t) => {
    const made = await ceph(['auth', 'get-or-create', 'client.t', 'mon', 'profile rbd', 'osd', 'profile rbd pool=rbd', '-o', join(folder, 'out')]);
    t.strictSame(made, {code: 0, stdout: '', stderr: ''});
    t.match(readFileSync(join(folder, 'out'), 'utf8'), /^\[client\.t\]\n\tkey = /);
    const keyring = readFileSync(join(folder, 'out'), 'utf8').replaceAll('client.t', 'client.u');
    t.match(await ceph(['auth', 'import', '-i', '-'], {stdin: keyring}), {code: 0, stderr: 'imported keyring\n'});
    t.match((await ceph(['auth', 'get-key', 'client.u'])).stdout, /^AQ/);
    t.match(await ceph(['auth', 'import', '-i', join(folder, 'none')]), {code: 1, stderr: /Can't open input file .*none: \[Errno 2\]/});
    t.match(await ceph(['fsid', '-o', folder]), {code: 1, stderr: /Can't open output file/});
    t.ok(statSync(folder).isDirectory());
  });

  t.test('a user proves his key and is held to his caps', async (t) => {
    const user = await daemon.daemon.users.read('client.t');
    writeFileSync(join(folder, 'client.t.keyring'), formatKeyring(user ?? {entity: '', key: '', caps: {}}));
    t.match(await ceph(['--id', 't', 'osd', 'pool', 'ls']), {code: 0, stdout: 'rbd\n'});
    t.match(await ceph(['osd', 'pool', 'ls'], {env: {CEPH_ARGS: '--id t'}}), {code: 0, stdout: 'rbd\n'});
    t.match(await ceph(['-n', 'client.t', 'auth', 'ls']), {code: 13, stderr: 'Error EACCES: access denied\n'});
    t.match(await ceph(['--id', 't', 'osd', 'pool', 'create', 'x']), {code: 13, stderr: 'Error EACCES: access denied\n'});
    t.match(await ceph(['-n', 'nonsense', '-s']), {code: 1, stderr: 'Error initializing cluster client: Error(\'rados_initialize failed with error code: -22\')\n'});
    t.match(await ceph(['--id', 'ghost', '--key', user?.key ?? '', '-s']), {code: 13, stderr: /\[errno 13\] RADOS permission denied \(error connecting to the cluster\)\n$/});
  });

  t.test('without a daemon it says so, and how to start one', async (t) => {
    t.match(await ceph(['--version'], {env: {CEPH_CONF: '/dev/null', CBD2RBD_SOCKET: join(folder, 'nobody')}}), {code: 0, stdout: `${versionText}\n`}, 'the version needs no daemon');
    const {code, stderr} = await ceph(['-s'], {env: {CEPH_CONF: '/dev/null', CBD2RBD_SOCKET: join(folder, 'nobody')}});
    t.not(code, 0);
    t.match(stderr, new RegExp(`no cbd2rbd daemon answers at ${folder}/nobody; start one with: cbd2rbd serve`));
    t.match(await ceph(['--conf', '/nonexistent', '-s']), {code: 1, stderr: /error calling conf_read_file/});
  });
});
