// The Debian packages in another root: install, use, upgrade, remove, purge, and nothing left behind.

import t from 'tap';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { promisify } from 'node:util';

import { root } from '../lib/root.js';
import { OverlayRoot } from '../lib/overlay-root.js';

const run = promisify(execFile);

t.test('the packages take Ceph\'s place and give it back', async (t) => {
  await run('bash', [root('packaging/build.sh'), '--built'], { maxBuffer: 64 << 20 });
  const folder = root('build/packages');
  const packages = readdirSync(folder).filter((name) => name.endsWith('.deb')).map((name) => `${folder}/${name}`);
  t.equal(packages.length, 2, 'both packages are built');

  const machine = await OverlayRoot.start({ files: packages });
  t.teardown(() => machine.stop());
  const multiarch = await machine.sh('gcc -print-multiarch');
  const libraries = `/usr/lib/${multiarch}`;
  const before = await machine.sh(`find ${libraries} -name 'librbd.so*' -o -name 'librados.so*' | sort; dpkg-divert --list`);
  const realSum = await machine.sh(`sha256sum ${libraries}/librbd.so.1.* ${libraries}/librados.so.2.*`);

  await machine.sh('dpkg -i cbd2rbd-librbd_*.deb');
  const resolved = async (program: string): Promise<string> => machine.sh(`ldd ${program} | sed -n 's/.*\\(librbd\\|librados\\).* => \\(.*\\) (.*/\\2/p' | xargs readlink -f | sort`);
  t.same((await resolved('/usr/bin/fio')).split('\n'), [`${libraries}/librados.so.2`, `${libraries}/librbd.so.1`], 'a client of the C ABI finds our libraries');
  t.match(await resolved('/usr/bin/rbd'), /\/ceph\/librados.so.2.*\n.*\/ceph\/librbd.so.1/, "Ceph's own rbd finds the real ones");
  t.match(await machine.sh('rbd --version'), /^ceph version/, 'and runs');
  await machine.sh('ldconfig');
  t.same((await resolved('/usr/bin/fio')).split('\n'), [`${libraries}/librados.so.2`, `${libraries}/librbd.so.1`], 'ldconfig does not undo it');

  // Where Node came by other ways than a package, dpkg cannot know of it.
  await machine.sh('dpkg -i --force-depends cbd2rbd_*.deb');
  t.match(await machine.sh('cbd2rbd config check /etc/cbd2rbd/cbd2rbd.conf && echo good'), /good/, 'the configuration file that is installed is right');
  await machine.sh('mkfifo ready; (setsid cbd2rbd serve </dev/null >ready 2>daemon.log &); head -n 1 ready');
  t.match(await machine.sh('env -i PATH="$PATH" qemu-img create -f raw rbd:rbd/disk 1G && env -i PATH="$PATH" qemu-img info rbd:rbd/disk'), /virtual size: 1 GiB/,
    'a stock program with a clean environment and no configuration uses the installed daemon');

  await machine.sh('dpkg -i cbd2rbd-librbd_*.deb');
  t.same((await resolved('/usr/bin/fio')).split('\n'), [`${libraries}/librados.so.2`, `${libraries}/librbd.so.1`], 'an upgrade keeps the diversions');

  await machine.sh(`printf 'import rados, rbd\\nwith rados.Rados(conffile="/dev/null") as c, c.open_ioctx("rbd") as p: rbd.RBD().remove(p, "disk")\\n' | /usr/bin/python3`);
  await machine.sh('cbd2rbd stop');
  await machine.sh('dpkg --purge cbd2rbd-librbd cbd2rbd');
  t.equal(await machine.sh(`find ${libraries} -name 'librbd.so*' -o -name 'librados.so*' | sort; dpkg-divert --list`), before, 'purging puts back every file and diversion');
  t.equal(await machine.sh(`sha256sum ${libraries}/librbd.so.1.* ${libraries}/librados.so.2.*`), realSum, "Ceph's libraries are byte for byte what they were");
  t.equal(await machine.sh('ls -d /etc/cbd2rbd /var/lib/cbd2rbd /usr/lib/cbd2rbd /run/cbd2rbd 2>/dev/null || :'), '', 'and leaves nothing behind');
});
