// `cbd2rbd doctor` against faults made on purpose: each gets a line that names what is at fault, and one that says what to do.
import { copyFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { newKey } from '../../src/access/key.js';
import { root } from '../lib/root.js';
import { libraryDir, serve, type Served } from '../lib/served.js';
import { runClient, type Ended } from '../lib/stock-client.js';

t.setTimeout(120_000);

/** In the environment of a client. */
const doctor = async (served: Served, env: NodeJS.ProcessEnv = {}, ...args: string[]): Promise<Ended> =>
  runClient(served, process.execPath, [root('dist/src/cli/cbd2rbd.js'), 'doctor', ...args], { env: { LD_PRELOAD: '', ...env } });

/** A copy of the served ceph.conf with more lines for clients. */
function confWith(served: Served, ...lines: string[]): NodeJS.ProcessEnv {
  const file = join(served.dir, `${lines.length}-more.conf`);
  writeFileSync(file, `${readFileSync(served.conf, 'utf8')}\n[client]\n${lines.join('\n')}\n`);
  return { CEPH_CONF: file };
}

t.test('on local files', async (t) => {
  const served = await serve();
  t.teardown(() => served.destroy());
  const wrong = join(served.dir, 'wrong');
  mkdirSync(wrong);

  await t.test('nothing is bad where nothing is wrong, and the key is shown to the daemon', async (t) => {
    const fine = await doctor(served);
    t.equal(fine.code, 0, fine.stdout + fine.stderr);
    t.match(fine.stdout, /^ok {3}key {6}the key of client\.admin is in .*keyring$/m);
    t.match(fine.stdout, /^ok {3}daemon {3}client\.admin gets in/m);
  });

  await t.test('a wrong key is found, also where the daemon\'s own user needs none', async (t) => {
    const keyring = join(wrong, 'keyring');
    writeFileSync(keyring, `[client.admin]\n\tkey = ${newKey()}\n`);
    const turnedAway = /^bad {2}daemon {3}the daemon turns client\.admin away with the key in .*: client\.admin may not connect\n +-> it says why in its log/m;
    t.match(await doctor(served, confWith(served, `keyring = ${keyring}`)), { code: 1, stdout: turnedAway });
    t.match(await doctor(served, { CEPH_KEYRING: keyring }), { code: 1, stdout: turnedAway });
    t.match(await doctor(served, {}, '--keyring', keyring), { code: 1, stdout: turnedAway });
    t.match(await doctor(served, confWith(served, `key = ${newKey()}`)), { code: 1, stdout: /away with the key in the option key in ceph\.conf/ });
    // What librados answers to the same.
    const { code, stderr } = await runClient(served, root('build/bin/hooks/rbd'), ['ls'], { env: confWith(served, `keyring = ${keyring}`) });
    t.match({ code, stderr }, { code: 1, stderr: /rbd: couldn't connect to the cluster!/ });
  });

  await t.test('a key that is none, and a keyring that is not to be read, are found', async (t) => {
    const keyring = join(wrong, 'none');
    writeFileSync(keyring, '[client.admin]\n\tkey = not*a*key\n');
    t.match(await doctor(served, { CEPH_KEYRING: keyring }), { code: 1, stdout: /^bad {2}key {6}what .*none has for client\.admin is no key\n +-> write it anew/m });
    t.match(await doctor(served, { CEPH_KEYRING: wrong }), { code: 1, stdout: /^bad {2}key {6}.*wrong cannot be read: EISDIR.*\n +-> mend/m });
  });

  await t.test('a preload that is missing, another machine\'s, no library or not ours is found', async (t) => {
    const library = join(libraryDir, 'librbd.so.1');
    const made = (name: string, change: (file: string) => void): string => {
      const file = join(wrong, name, 'librbd.so.1');
      mkdirSync(join(wrong, name));
      copyFileSync(library, file);
      change(file);
      return file;
    };
    const otherMachine = made('aarch64', (file) => {
      const bytes = readFileSync(file);
      bytes.writeUInt16LE(bytes.readUInt16LE(18) === 183 ? 62 : 183, 18);
      writeFileSync(file, bytes);
    });
    const cut = made('cut', (file) => truncateSync(file, 10));
    const other = made('other', (file) => copyFileSync('/usr/bin/true', file));
    for (const [file, says] of [
      [join(wrong, 'librbd.so.1'), 'does not exist: the loader goes on without it'], [otherMachine, 'is for another machine \\(.*\\): the loader goes on without it'],
      [cut, 'is no library: the loader goes on without it'], [other, 'is not ours'], ['librbd.so.99', 'is found nowhere: the loader goes on without it'],
    ] as const) {
      // It would be in the way of node itself.
      const { code, stdout } = await doctor(served, { LD_PRELOAD: file });
      t.match({ code, stdout }, { code: 1, stdout: new RegExp(`^bad {2}preload {2}${file} ${says}\n +-> mend LD_PRELOAD`, 'm') });
    }
    t.match(await doctor(served, { LD_PRELOAD: library }), { code: 0, stdout: new RegExp(`^ok {3}preload {2}${library} is ours$`, 'm') });
    t.match(await doctor(served, { LD_LIBRARY_PATH: join(wrong, 'aarch64') }), { stdout: /library {2}(no librbd\.so\.1 is found|librbd\.so\.1 is not ours: \S+ \(by the loader's cache\)); .*aarch64\/librbd\.so\.1 is for another machine/ });
  });

  await t.test('a pool whose directory is gone is found, and the others answer', async (t) => {
    const { id } = JSON.parse(await served.command('pool', 'map', 'second', 'local', '--json')) as { id: number };
    rmSync(join(served.dir, 'volumes', `pool-${id}`), { recursive: true });
    const { code, stdout } = await doctor(served);
    t.equal(code, 1);
    t.match(stdout, /^ok {3}pools {4}rbd answers \(local\)$/m);
    t.match(stdout, /^bad {2}pools {4}second: .*\n +-> look at its mapping: cbd2rbd pool show/m);
  });
});

t.test('a CurveBS pool whose MDS does not answer is found', async (t) => {
  const served = await serve({ CBD2RBD_REQUEST_TIMEOUT: '2s' }, 'curvebs');
  t.teardown(() => served.destroy());
  t.match(await doctor(served), { code: 0, stdout: /^ok {3}pools {4}rbd answers \(curvebs\)$/m });
  await served.curvebs!.kill();
  t.match(await doctor(served), { code: 1, stdout: /^bad {2}pools {4}rbd: .*\n +-> look at its mapping: cbd2rbd pool show/m });
  await served.curvebs!.begin();
});
