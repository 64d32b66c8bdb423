// The pieces for Kolla: the script that makes pools, users and keyrings, and whether everything names the same things.

import t from 'tap';
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

import { Host } from '../lib/host.js';
import { OverlayRoot } from '../lib/overlay-root.js';
import { root } from '../lib/root.js';
import { serve } from '../lib/served.js';

t.setTimeout(600_000);

const USERS = { glance: 'images', cinder: 'volumes', 'cinder-backup': 'backups', nova: 'vms' } as const;

t.test('users.sh lays out what kolla-ansible takes from an external Ceph', async (t) => {
  const host = await Host.start({ pools: [], users: [] });
  t.teardown(() => host.stop());
  const script = `${root('packaging/kolla/users.sh')} local /tmp/config`;
  await host.sh(script);
  const files = await host.sh('cd /tmp/config; find . -type f | sort');
  t.same(files.split('\n'), [
    './cinder/ceph.conf', './cinder/cinder-backup/ceph.client.cinder-backup.keyring', './cinder/cinder-backup/ceph.client.cinder.keyring',
    './cinder/cinder-volume/ceph.client.cinder.keyring', './glance/ceph.client.glance.keyring', './glance/ceph.conf',
    './nova/ceph.client.cinder.keyring', './nova/ceph.client.nova.keyring', './nova/ceph.conf',
  ], 'each service finds its files');
  const sums = await host.sh('cd /tmp/config; find . -type f | sort | xargs sha256sum');
  await host.sh(script);
  t.equal(await host.sh('cd /tmp/config; find . -type f | sort | xargs sha256sum'), sums, 'run again, it changes nothing');
  for (const [user, pool] of Object.entries(USERS)) {
    await host.sh(`cp $(find /tmp/config -name ceph.client.${user}.keyring | head -n 1) /etc/ceph/; rbd --id ${user} -p ${pool} create --size 1G disk; rbd --id ${user} -p ${pool} rm --no-progress disk`);
    t.pass(`${user} may use ${pool}`);
  }
  await t.rejects(host.sh('rbd --id glance -p volumes ls'), 'and no other');
});

t.test('the snippet for globals.yml names the same users and pools', async (t) => {
  const globals = readFileSync(root('packaging/kolla/globals.yml'), 'utf8');
  for (const [user, pool] of Object.entries(USERS)) {
    const name = user.replace('-', '_');
    t.match(globals, new RegExp(`^ceph_${name}_user: "${user}"$`, 'm'), `${user}'s name`);
    t.match(globals, new RegExp(`^ceph_${name}_pool_name: "${pool}"$`, 'm'), `${user}'s pool`);
  }
  for (const container of ['glance_api', 'cinder_volume', 'cinder_backup', 'nova_compute', 'nova_libvirt']) {
    t.match(globals, new RegExp(`^${container}_extra_volumes: .*"/run/cbd2rbd:/run/cbd2rbd"`, 'm'), `${container} has the daemon's socket`);
    t.match(globals, new RegExp(`^${container}_image: `, 'm'), 'and an image of ours');
  }
});

t.test('build-images.sh builds a layer over each image that uses RBD', async (t) => {
  const commands = execFileSync('bash', [root('packaging/kolla/build-images.sh'), 'FROM', 'TAG', 'TO'], { env: { ...process.env, DRY_RUN: '1', GID: '4711' }, encoding: 'utf8' });
  t.same([...commands.matchAll(/base=FROM\/(\S+):TAG --build-arg gid=4711 --build-arg user=(\w+) -t TO\/\1:TAG/g)].map((found) => `${found[1]}:${found[2]}`),
    ['glance-api:glance', 'cinder-volume:cinder', 'cinder-backup:cinder', 'nova-compute:nova', 'nova-libvirt:root']);
});

t.test('every command of the operators\' pages is one that there is', async (t) => {
  const help = (words: readonly string[]): string => {
    try {
      return execFileSync(process.execPath, [root('dist/src/cli/cbd2rbd.js'), 'help', ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    } catch {
      return '';
    }
  };
  const common = help([]);
  const scripts = (JSON.parse(readFileSync(root('package.json'), 'utf8')) as { scripts: Record<string, string> }).scripts;
  const listed = [...common.matchAll(/^ {2}([a-z]+(?: [a-z]+)?)(?= |$)/gm)].map(([, verb]) => verb ?? '');
  let checked = 0;
  for (const page of ['openstack.md', 'install.md', 'curvebs.md', 'access.md']) {
    const text = readFileSync(root('docs', page), 'utf8');
    const lines = [...text.matchAll(/^ {4}(\S.*)$/gm), ...text.matchAll(/(?<!`)`([^`\n]+)`(?!`)/g)].map(([, line]) => line ?? '');
    for (const line of lines) {
      for (const [, words = ''] of line.matchAll(/(?:^|sudo -u \S+ |\| |; )cbd2rbd ((?!serve\b)[a-z].*)/g)) {
        const verb = listed.filter((each) => `${words} `.startsWith(`${each} `)).sort((a, b) => b.length - a.length)[0];
        t.ok(verb !== undefined || (words.endsWith(' ...') && listed.some((each) => each.startsWith(words.slice(0, -3)))), `${page}: cbd2rbd ${words}`);
        const known = common + (verb === undefined ? '' : help(verb.split(' ')));
        for (const [option] of words.matchAll(/--[a-z-]+/g)) t.match(known, new RegExp(`${option}\\b`), `${page}: ${option} of cbd2rbd ${words}`);
        checked++;
      }
      for (const [, script = ''] of line.matchAll(/npm run ([\w:]+)/g)) t.ok(script in scripts, `${page}: npm run ${script}`);
      for (const [path] of line.matchAll(/(?<![\w/])packaging\/[\w./-]+/g)) t.ok(existsSync(root(path)), `${page}: ${path}`);
    }
    for (const [, file = ''] of text.matchAll(/\]\(([\w-]+\.md)\)/g)) t.ok(existsSync(root('docs', file)), `${page}: ${file}`);
  }
  t.ok(checked > 10, 'there are some', { checked });
});

/** Carries out the Containerfile over a root, as a container engine would, with build/ for its context; the user that it ends with. */
async function build(machine: OverlayRoot, given: Readonly<Record<string, string>>): Promise<string> {
  const known = new Map<string, string>(Object.entries(given));
  const replaced = (text: string): string => text.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => known.get(name) ?? '');
  const variables = (): string => [...known].map(([name, value]) => `export ${name}='${value}'; `).join('');
  let user = 'root';
  const lines = readFileSync(root('packaging/kolla/Containerfile'), 'utf8').replaceAll(/^#.*\n/gm, '').replaceAll('\\\n', '').split('\n');
  for (const line of lines.filter((line) => line.trim() !== '')) {
    const [, instruction = '', rest = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    if (instruction === 'ARG') {
      const [, name = '', value] = /^(\w+)(?:="?(.*?)"?)?$/.exec(rest) ?? [];
      if (!known.has(name)) known.set(name, value ?? '');
    } else if (instruction === 'USER') {
      user = replaced(rest);
    } else if (instruction === 'COPY') {
      const words = rest.split(/\s+/);
      const target = words.pop() ?? '';
      const wanted = words.map((word) => new RegExp(`^${word.replace('packages/', '').replaceAll('.', '\\.').replaceAll('*', '.*')}$`));
      const files = readdirSync(root('build/packages')).filter((name) => wanted.some((pattern) => pattern.test(name)));
      if (files.length !== words.length) throw new Error(`${rest}: found ${files.join(' ')}`);
      await machine.sh(`mkdir -p ${target}; cp ${files.map((name) => `/packages/${name}`).join(' ')} ${target}`);
    } else if (instruction === 'RUN') {
      await machine.sh(`${variables()}cd /; setpriv --reuid ${user} --regid ${user} --init-groups sh -ec '${rest.replaceAll("'", `'\\''`)}'`);
    } else if (instruction !== 'FROM') {
      throw new Error(`what is ${line}?`);
    }
  }
  return user;
}

t.test("the layer over a Kolla image: built over a plain Debian, a service's user in it uses the host's daemon", async (t) => {
  await promisify(execFile)('bash', [root('packaging/build.sh'), '--built'], { maxBuffer: 64 << 20 });
  execFileSync('bash', [root('tools/debian-root.sh')], { stdio: ['ignore', 'ignore', 'inherit'] });
  const daemon = await serve({ CBD2RBD_LISTEN_GROUP: '4711', CBD2RBD_DEFAULT_POOLS: 'volumes' });
  t.teardown(() => daemon.destroy());
  chmodSync(daemon.dir, 0o755);
  const machine = await OverlayRoot.start({ base: root('build/trees/debian'), folders: [daemon.dir] });
  t.teardown(() => machine.stop());
  // What Kolla's images have: the service's user. What its tools mount or lay there: the socket's folder, configuration and keyring.
  await machine.sh(`useradd --system cinder; mkdir -p /packages /run/cbd2rbd /etc/ceph; mount --bind ${daemon.dir} /run/cbd2rbd`);
  await daemon.command('user', 'add', 'cinder', 'mon', 'profile rbd', 'osd', 'profile rbd pool=volumes', '--output', `${daemon.dir}/ceph.client.cinder.keyring`);
  await machine.sh(`cp ${daemon.dir}/ceph.client.cinder.keyring /etc/ceph/; chown cinder /etc/ceph/*; printf '[global]\\nmon_host = 127.0.0.1\\n' >/etc/ceph/ceph.conf`);
  await machine.copy(readdirSync(root('build/packages')).filter((name) => name.endsWith('.deb')).map((name) => root('build/packages', name)), '/packages');

  const user = await build(machine, { base: 'kolla/cinder-volume', gid: '4711', user: 'cinder' });
  t.equal(user, 'cinder', "it ends with the image's own user");
  const service = (command: string): Promise<string> => machine.sh(`setpriv --reuid ${user} --regid ${user} --init-groups env -i PATH="$PATH" ${command}`);
  t.match(await service('id -nG'), /cbd2rbd/, "who is in the socket's group");
  await service('rbd --id cinder -p volumes create --size 1G volume');
  t.match(await service('rbd --id cinder -p volumes ls'), /^volume$/, "and uses the host's daemon with its key");
  t.match(await service('ceph --id cinder df --format=json'), /"volumes"/, 'the command ceph, too');
  t.equal(await machine.sh('command -v node || echo none; ls /tmp/cbd2rbd 2>/dev/null || echo none'), 'none\nnone', 'there is no Node.js in it, and nothing that was needed to build it');
});
