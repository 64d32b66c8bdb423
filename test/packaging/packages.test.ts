// The Debian packages in another root: install, use, upgrade, remove, purge, and nothing left behind.

import t from 'tap';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { promisify } from 'node:util';

import { OverlayRoot } from '../lib/overlay-root.js';
import { root } from '../lib/root.js';
import { Qemu } from '../openstack/qmp.js';

const run = promisify(execFile);

/** A package that has libvirt's profile for guests, as its real one does. */
const LIBVIRT = `mkdir -p libvirt/DEBIAN libvirt/etc/apparmor.d/abstractions
printf 'Package: stand-in-for-libvirt\\nVersion: 1\\nArchitecture: all\\nMaintainer: nobody <nobody@invalid>\\nDescription: none\\n' >libvirt/DEBIAN/control
echo '  #include <local/abstractions/libvirt-qemu>' >libvirt/etc/apparmor.d/abstractions/libvirt-qemu
dpkg-deb --build libvirt libvirt.deb`;

t.test('the packages take Ceph\'s place and give it back', async (t) => {
  await run('bash', [root('packaging/build.sh'), '--built'], { maxBuffer: 64 << 20 });
  const folder = root('build/packages');
  const packages = readdirSync(folder).filter((name) => name.endsWith('.deb'));
  t.same(packages.map((name) => name.split('_')[0]).sort(), ['cbd2rbd', 'cbd2rbd-hooks', 'cbd2rbd-librbd', 'cbd2rbd-node', 'cbd2rbd-preload'], 'all packages are built');

  const machine = await OverlayRoot.start({ files: packages.map((name) => `${folder}/${name}`) });
  t.teardown(() => machine.stop());
  const libraries = `/usr/lib/${await machine.sh('gcc -print-multiarch')}`;
  const places = `find ${libraries} -name 'librbd.so*' -o -name 'librados.so*' | sort; ls -d /usr/bin/ceph* /usr/bin/rbd* /usr/bin/cbd2rbd* 2>/dev/null || :; dpkg-divert --list`;
  const before = await machine.sh(places);
  const sums = `sha256sum ${libraries}/librbd.so.1.* ${libraries}/librados.so.2.* /usr/bin/ceph /usr/bin/rbd`;
  const realSums = await machine.sh(sums);

  await machine.sh('dpkg -i cbd2rbd-librbd_*.deb cbd2rbd-hooks_*.deb');
  const resolved = async (program: string): Promise<string> => machine.sh(`ldd ${program} | sed -n 's/.*\\(librbd\\|librados\\).* => \\(.*\\) (.*/\\2/p' | xargs readlink -f | sort`);
  const ours = [`${libraries}/librados.so.2`, `${libraries}/librbd.so.1`];
  t.same((await resolved('/usr/bin/fio')).split('\n'), ours, 'a client of the C ABI finds our libraries');
  t.match(await resolved('/usr/bin/rbd.distrib'), /\/ceph\/librados.so.2.*\n.*\/ceph\/librbd.so.1/, "Ceph's own rbd finds the real ones");
  t.match(await machine.sh('rbd.distrib --version'), /^ceph version/, 'and runs');
  await machine.sh('ldconfig');
  t.same((await resolved('/usr/bin/fio')).split('\n'), ours, 'ldconfig does not undo it');

  await machine.sh('dpkg -i cbd2rbd-node_*.deb cbd2rbd_*.deb');
  t.match(await machine.sh('cbd2rbd config check /etc/cbd2rbd/cbd2rbd.conf && echo good'), /good/, 'the configuration file that is installed is right');
  const serve = async (): Promise<unknown> => machine.sh('rm -f ready; mkfifo ready; (setsid cbd2rbd serve </dev/null >ready 2>>daemon.log &); head -n 1 ready');
  await serve();
  t.match(await machine.sh('env -i PATH="$PATH" qemu-img create -f raw rbd:rbd/disk 1G && env -i PATH="$PATH" qemu-img info rbd:rbd/disk'), /virtual size: 1 GiB/,
    'a stock program with a clean environment and no configuration uses the installed daemon');
  t.match(await machine.sh('rbd ls; ceph df --format=json; rbd snap create --no-progress disk@point; rbd snap ls disk'), /^disk\n[^]*"pools"[^]*point/, 'the commands ceph and rbd are ours');
  t.equal(await machine.sh('systemd-analyze verify --man=no cbd2rbd.service 2>&1 || :'), '', 'systemd finds nothing wrong with its unit');
  t.match(await machine.sh('man -P cat cbd2rbd'), /cbd2rbd/i, 'its manual page is found');
  t.match(await machine.sh('bash -c ". /usr/share/bash-completion/completions/cbd2rbd && complete -p cbd2rbd"'), /cbd2rbd/, 'the shell completes its words');

  const guest = machine.spawn('/usr/bin/qemu-system-x86_64', ['-machine', 'none', '-nodefaults', '-display', 'none', '-qmp', 'stdio']);
  t.teardown(() => { guest.kill('SIGKILL'); });
  const qemu = await Qemu.attach(guest);
  await qemu.command('blockdev-add', { driver: 'rbd', 'node-name': 'disk', pool: 'rbd', image: 'disk', cache: { direct: true, 'no-flush': false } });
  await qemu.io('disk', 'write -P 1 512 8M');
  await machine.sh('for name in cbd2rbd-librbd cbd2rbd-hooks cbd2rbd; do dpkg-deb -R ${name}_*.deb newer; sed -i "s/^Version: .*/Version: 99/; s/cbd2rbd-librbd (= [^)]*)/cbd2rbd-librbd (= 99)/" newer/DEBIAN/control; dpkg-deb -b newer ${name}-99.deb; rm -r newer; done; dpkg -i ./*-99.deb');
  t.match(await machine.sh("dpkg-query -W -f '${Package} ${Version}\\n' 'cbd2rbd*'"), /cbd2rbd 99\n[^]*cbd2rbd-hooks 99\ncbd2rbd-librbd 99/, 'an upgrade replaces all');
  await qemu.io('disk', 'write -P 2 4M 1M');
  t.match(await machine.sh(`grep -c 'librbd.so.1.*(deleted)' /proc/${guest.pid}/maps || grep librbd /proc/${guest.pid}/maps`), /^[1-9]/, 'while a guest goes on with the libraries that it has loaded');
  // As postinst does where systemd runs.
  await machine.sh('cbd2rbd stop');
  await qemu.io('disk', 'read -P 2 4M 1M');
  await serve();
  await qemu.command('block_resize', { 'node-name': 'disk', size: 2 * 1024 ** 3 });
  await qemu.io('disk', 'read -P 1 512 3M');
  t.equal(await qemu.quit(), 0, 'through the restart of the daemon too');
  t.same(qemu.printed.filter((line) => !line.includes('ops/sec')).map((line) => line.split(' ')[0]), ['wrote', 'wrote', 'read', 'read'], 'with every byte');
  t.same((await resolved('/usr/bin/fio')).split('\n'), ours, 'an upgrade keeps the diversions');
  t.match(await machine.sh('rbd ls && ls /usr/bin/rbd.distrib'), /^disk\n/, 'of the commands too');

  await machine.sh(LIBVIRT);
  await machine.sh('dpkg -i libvirt.deb');
  const local = '/etc/apparmor.d/local/abstractions/libvirt-qemu';
  t.equal(await machine.sh(`cat ${local}`), 'include <abstractions/cbd2rbd>', "libvirt's guests may use us, also where it is installed later");
  await machine.sh('dpkg -i ./cbd2rbd-99.deb');
  t.equal(await machine.sh(`cat ${local}`), 'include <abstractions/cbd2rbd>', 'which is said once');
  const profile = 'include <tunables/global>\\nprofile guest flags=(attach_disconnected) {\\n  include <abstractions/base>\\n  include <abstractions/cbd2rbd>\\n}\\n';
  t.match(await machine.sh(`printf '${profile}' >guest; apparmor_parser -Q -K guest && echo taken`), /taken$/, 'AppArmor takes the rules');
  await t.rejects(machine.sh("sed 's/mr,/nonsense,/' /etc/apparmor.d/abstractions/cbd2rbd >/etc/apparmor.d/abstractions/bad; sed 's/cbd2rbd/bad/' guest >bad; apparmor_parser -Q -K bad"), 'and would not take others');

  await machine.sh('dpkg -r cbd2rbd-hooks cbd2rbd-librbd');
  t.equal(await machine.sh(sums), realSums, "removed, Ceph's libraries and commands are byte for byte what they were");
  await machine.sh('dpkg -i cbd2rbd-preload_*.deb');
  const preload = 'LD_PRELOAD=/usr/lib/cbd2rbd/preload/librados.so.2:/usr/lib/cbd2rbd/preload/librbd.so.1';
  t.match(await machine.sh(`${preload} qemu-img info rbd:rbd/disk`), /virtual size: 2 GiB/, "preloaded where Ceph's are in place, our libraries answer");
  t.match(await machine.sh(`${preload} /usr/bin/python3 -c 'import rados, rbd
with rados.Rados(conffile="/dev/null") as c, c.open_ioctx("rbd") as p, rbd.Image(p, "disk") as i: print(i.size(), [m.split()[-1] for m in open("/proc/self/maps") if "librbd" in m][0])'`),
  /^2147483648 \/usr\/lib\/cbd2rbd\/preload\/librbd.so.1$/, 'in python too');
  const questions = ['{"execute":"qmp_capabilities"}', '{"execute":"blockdev-add","arguments":{"driver":"rbd","node-name":"one","pool":"rbd","image":"disk"}}', '{"execute":"quit"}'];
  const answers = await machine.sh(`printf '%s\\n' '${questions.join("' '")}' | env -i /usr/bin/cbd2rbd-qemu-system-x86_64 -machine none -nodefaults -display none -qmp stdio`);
  t.notMatch(answers, /"error"/, 'the emulator for libvirt opens our image with a clean environment');

  await machine.sh(`${preload} /usr/bin/python3 -c 'import rados, rbd
with rados.Rados(conffile="/dev/null") as c, c.open_ioctx("rbd") as p:
    with rbd.Image(p, "disk") as i: i.remove_snap("point")
    rbd.RBD().remove(p, "disk")'`);
  await machine.sh('cbd2rbd stop');
  await machine.sh('dpkg --purge cbd2rbd-librbd cbd2rbd-hooks cbd2rbd-preload cbd2rbd cbd2rbd-node');
  t.equal(await machine.sh(places), before, 'purging puts back every file and diversion');
  t.equal(await machine.sh(`cat ${local} 2>/dev/null || :`), '', "and takes back what libvirt's profile was given");
  t.equal(await machine.sh('ls -d /etc/cbd2rbd /var/lib/cbd2rbd /usr/lib/cbd2rbd /run/cbd2rbd /etc/apparmor.d/abstractions/cbd2rbd 2>/dev/null || :'), '', 'and leaves nothing behind');
});
