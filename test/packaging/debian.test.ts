// An operator's own way: a Debian with nothing on it, our packages by apt, users before and after them, the daemon as its unit runs it,
// and everything away again.

import t from 'tap';
import { execFile, execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

import { OverlayRoot } from '../lib/overlay-root.js';
import { root } from '../lib/root.js';

const run = promisify(execFile);
t.setTimeout(900_000);

/** Every file, its kind, rights and owner, and what the lists of users say; but for what dpkg, apt and the linker's cache write down. */
const INVENTORY = `find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/log \\) -prune -o ! -name 'ld.so.cache' ! -name '*-' -printf '%p %y %m %u:%g %l\\n' | sort
cat /etc/passwd /etc/group /etc/gshadow; dpkg-divert --list; dpkg -l | grep cbd2rbd || :`;

/** A package that brings libvirt's program, profile and user, as its real one does. */
const LIBVIRT = `mkdir -p libvirt/DEBIAN libvirt/etc/apparmor.d/abstractions libvirt/usr/sbin
printf 'Package: stand-in-for-libvirt\\nVersion: 1\\nArchitecture: all\\nMaintainer: nobody <nobody@invalid>\\nDescription: none\\n' >libvirt/DEBIAN/control
printf '#!/bin/sh\\nuseradd --system libvirt-qemu\\n' >libvirt/DEBIAN/postinst; chmod 0755 libvirt/DEBIAN/postinst
echo '  #include <local/abstractions/libvirt-qemu>' >libvirt/etc/apparmor.d/abstractions/libvirt-qemu; touch libvirt/usr/sbin/libvirtd
dpkg-deb --build libvirt libvirt.deb; dpkg -i libvirt.deb`;

/** Newer packages of Ceph's libraries, whose files differ from those of before by their last bytes. */
const NEWER = `for name in librbd1 librados2; do
  dpkg-deb -R /var/cache/apt/archives/\${name}_*.deb newer; sed -i 's/^Version: .*/&+newer/; s/\\(librados2 (= [^)]*\\))/\\1+newer)/' newer/DEBIAN/control
  for file in newer/usr/lib/*/librbd.so.1.* newer/usr/lib/*/librados.so.2.*; do [ ! -f $file ] || echo newer >>$file; done
  (cd newer; find usr -type f -exec md5sum {} + >DEBIAN/md5sums)
  dpkg-deb --root-owner-group -Znone -b newer $name-newer.deb >/dev/null; rm -r newer
done`;

/** ExecStart of the unit, run by root without capabilities and with the group that the unit names. */
const serve = (unit: string): string => {
  const command = /^ExecStart=(.*)$/m.exec(unit)?.[1] ?? '';
  const group = /^SupplementaryGroups=(.*)$/m.exec(unit)?.[1] ?? '';
  return `mkdir -p -m 0755 /run/cbd2rbd; rm -f ready; mkfifo ready
(setsid setpriv --inh-caps=-all --bounding-set=-all --no-new-privs --regid 0 --groups "$(getent group ${group} | cut -d: -f3)" ${command} </dev/null >ready 2>>daemon.log &); head -n 1 ready; cat daemon.log`;
};

t.test('on a plain Debian, the packages bring all that they need, and take all of it away again', async (t) => {
  await run('bash', [root('packaging/build.sh'), '--built'], { maxBuffer: 64 << 20 });
  execFileSync('bash', [root('tools/debian-root.sh')], { stdio: ['ignore', 'ignore', 'inherit'] });
  const packages = readdirSync(root('build/packages')).filter((name) => name.endsWith('.deb') && !name.startsWith('cbd2rbd-preload'));
  const machine = await OverlayRoot.start({ base: root('build/trees/debian'), files: packages.map((name) => root('build/packages', name)) });
  t.teardown(() => machine.stop());
  const apt = (words: string): Promise<string> => machine.sh(`apt-get -q -y -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=60 ${words}`);

  await apt('install --no-install-recommends qemu-utils qemu-block-extra libnettle8 libsqlite3-0 liburing2');
  await machine.sh('useradd --system cinder; useradd --system stranger');
  t.equal(await machine.sh('command -v node || echo none'), 'none', 'there is no Node.js');
  const before = await machine.sh(INVENTORY);
  await apt('install --no-install-recommends ./cbd2rbd*.deb');
  t.match(await machine.sh('cbd2rbd config check && /usr/lib/cbd2rbd/bin/node --version'), /v(2\d|[3-9]\d)\./, 'apt installs all of it, and the daemon has a Node.js of its own');
  t.equal(await machine.sh('command -v node || echo none'), 'none', 'which nobody else sees');
  t.match(await machine.sh('ls /usr/share/doc/cbd2rbd/copyright /usr/share/doc/cbd2rbd-*/copyright | wc -l; grep -c "Node.js" /usr/share/doc/cbd2rbd-node/copyright'), /^4\n[1-9]/, 'each package has its license beside it');

  t.equal(await machine.sh('id -nG cinder'), 'cinder cbd2rbd', "a service's user that was there is a member of the socket's group");
  await machine.sh(LIBVIRT);
  t.equal(await machine.sh('id -nG libvirt-qemu'), 'libvirt-qemu cbd2rbd', 'and so is one that comes later');
  await machine.sh('gpasswd -d cinder cbd2rbd; dpkg-reconfigure cbd2rbd');
  t.equal(await machine.sh('id -nG cinder'), 'cinder', 'who was taken out of it by hand stays out');
  await machine.sh('usermod -aG cbd2rbd cinder');

  const unit = readFileSync(root('packaging/daemon/cbd2rbd.service'), 'utf8');
  t.match(await machine.sh(serve(unit)), /^ready/, 'the daemon runs without any capability');
  t.equal(await machine.sh('stat -c "%a %U:%G" /run/cbd2rbd/cbd2rbd.sock'), '660 root:cbd2rbd', 'its socket is for its group');
  await machine.sh(`mkdir -p /etc/ceph; cbd2rbd user add cinder mon 'profile rbd' osd 'profile rbd pool=rbd' --output /etc/ceph/ceph.client.cinder.keyring; chmod 0644 /etc/ceph/*.keyring`);
  const as = (user: string, command: string): Promise<string> => machine.sh(`setpriv --reuid ${user} --regid ${user} --init-groups env -i PATH="$PATH" ${command}`);
  t.match(await as('cinder', 'qemu-img create -f raw rbd:rbd/disk:id=cinder 1G'), /Formatting/, 'a member of it, with a key, gets in, by a stock program with a clean environment');
  await t.rejects(as('stranger', 'qemu-img info rbd:rbd/disk:id=cinder'), /[Pp]ermission denied/, 'who is no member is refused, whatever key he has');
  await t.rejects(as('stranger', 'cbd2rbd doctor --user cinder'), /bad +socket.*mode 660[^]*cbd2rbd/, 'and `cbd2rbd doctor` tells him why');
  t.match(await machine.sh('rbd ls; rbd --id cinder info disk; ceph df'), /^disk\n[^]*size 1 GiB[^]*rbd/, 'the commands rbd and ceph work without Ceph or Node.js');
  const libraries = `/usr/lib/${await machine.sh('dpkg-query -L cbd2rbd-librbd | sed -n "s|^/usr/lib/\\(.*\\)/librbd.so.1$|\\1|p"')}`;
  const ours = await machine.sh(`sha256sum ${libraries}/librbd.so.1 ${libraries}/librados.so.2`);
  const inPlace = async (what: string): Promise<void> => {
    t.equal(await machine.sh(`ldconfig; sha256sum ${libraries}/librbd.so.1 ${libraries}/librados.so.2`), ours, `${what}, ours are where programs look`);
    t.match(await machine.sh('qemu-img info rbd:rbd/disk:id=cinder'), /virtual size: 1 GiB/, 'and are used');
  };
  await machine.sh(NEWER);
  await machine.sh('dpkg -i librados2-newer.deb librbd1-newer.deb');
  await inPlace("Ceph's own libraries upgraded");
  t.equal(await machine.sh(`tail -qc 6 ${libraries}/ceph/librbd.so.1.* ${libraries}/ceph/librados.so.2.*`), 'newer\nnewer', "the newer ones lie where Ceph's programs find them");
  await machine.sh('dpkg --purge --force-depends librbd1 librados2');
  await inPlace("Ceph's own libraries removed");
  t.equal(await machine.sh(`find ${libraries} -name 'librbd.so*' -o -name 'librados.so*' | xargs -n 1 basename | sort`), 'librados.so.2\nlibrbd.so.1', 'and there are no others');
  await machine.sh('dpkg -i librados2-newer.deb librbd1-newer.deb');
  await inPlace("Ceph's own libraries installed after ours");

  await machine.sh('cbd2rbd stop; rm -r /var/lib/cbd2rbd/volumes');
  t.match(await apt('purge cbd2rbd'), /is kept: it holds the metadata of images \(1\)/, 'purged while there are images, whose volumes may be elsewhere, it leaves their metadata');
  await apt('install --no-install-recommends ./cbd2rbd_*.deb ./cbd2rbd-node_*.deb');
  t.match(await machine.sh(serve(unit)), /^ready/, 'installed again,');
  t.equal(await machine.sh('rbd ls'), 'disk', 'they are there again');
  await machine.sh('rbd rm --no-progress disk; cbd2rbd stop');

  t.match(await apt('purge cbd2rbd cbd2rbd-node cbd2rbd-librbd cbd2rbd-hooks'), /Removing cbd2rbd/, 'all is purged');
  await machine.sh('dpkg --purge stand-in-for-libvirt; userdel libvirt-qemu; rm -rf /etc/ceph;');
  t.equal(await machine.sh(INVENTORY), before, 'and nothing is left: files, rights, users, groups and diversions are what they were');
  t.equal(await machine.sh(`ldconfig; tail -qc 6 $(readlink -f ${libraries}/librbd.so.1) $(readlink -f ${libraries}/librados.so.2); dpkg --verify librbd1 librados2`), 'newer\nnewer',
    "Ceph's own libraries are back in their places, as they were upgraded meanwhile");
});
