// A disk that a guest boots from: Debian's cloud kernel, a userland of busybox and pattern.c in an initramfs, and isolinux, as an
// image that BIOSes take for a hard disk. It is made once and kept in build/trees.

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { unpackTree } from '../lib/host.js';
import { root } from '../lib/root.js';

/** Parts of the kernel's modules that a guest with virtio disks and ext4 needs. */
const MODULES = ['drivers/virtio', 'drivers/block/virtio_blk.ko', 'fs/ext4', 'fs/jbd2', 'fs/mbcache.ko', 'lib', 'crypto', 'arch/x86/crypto'];

/** The image's path. It is a few MiB; what a disk has beyond it is free. */
export function guestMedia(): string {
  const tree = unpackTree('guest');
  const image = root('build/trees/guest.img');
  const sources = ['pattern.c', 'guest-init.sh'].map((name) => root('test/libvirt', name));
  if (existsSync(image) && [...sources, `${tree}.stamp`].every((file) => statSync(file).mtimeMs < statSync(image).mtimeMs)) return image;

  const scratch = mkdtempSync(root('build/trees/.media-'));
  try {
    const initramfs = makeUserland(tree, join(scratch, 'root'));
    const boot = join(scratch, 'boot');
    mkdirSync(boot);
    copyFileSync(only(join(tree, 'boot'), /^vmlinuz-/), join(boot, 'vmlinuz'));
    const busybox = join(tree, 'bin/busybox');
    execFileSync('sh', ['-ec', 'cd "$0"; find . | "$1" cpio -o -H newc 2>/dev/null | gzip -1 >"$2"', initramfs, merged(busybox), join(boot, 'initrd')]);
    copyFileSync(join(tree, 'usr/lib/ISOLINUX/isolinux.bin'), join(boot, 'isolinux.bin'));
    copyFileSync(join(tree, 'usr/lib/syslinux/modules/bios/ldlinux.c32'), join(boot, 'ldlinux.c32'));
    writeFileSync(join(boot, 'isolinux.cfg'), 'DEFAULT guest\nLABEL guest\n  KERNEL /vmlinuz\n  INITRD /initrd\n  APPEND console=ttyS0 quiet panic=1\n');
    execFileSync(join(tree, 'usr/bin/xorriso'), ['-as', 'mkisofs', '-quiet', '-o', `${image}.new`, '-isohybrid-mbr', join(tree, 'usr/lib/ISOLINUX/isohdpfx.bin'),
      '-b', 'isolinux.bin', '-c', 'boot.cat', '-no-emul-boot', '-boot-load-size', '4', '-boot-info-table', boot],
    { env: { ...process.env, LD_LIBRARY_PATH: join(tree, 'usr/lib/x86_64-linux-gnu') }, stdio: ['ignore', 'ignore', 'inherit'] });
    renameSync(`${image}.new`, image);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return image;
}

/** Programs of /bin are below /usr in a tree. */
function merged(path: string): string {
  return existsSync(path) ? path : path.replace('/bin/', '/usr/bin/');
}

function only(folder: string, name: RegExp): string {
  const found = readdirSync(folder).filter((file) => name.test(file));
  if (found.length !== 1) throw new Error(`${folder} has ${found.length} files like ${String(name)}`);
  return join(folder, found[0]!);
}

function makeUserland(tree: string, userland: string): string {
  for (const folder of ['bin', 'dev', 'proc', 'sys', 'lib']) mkdirSync(join(userland, folder), { recursive: true });
  copyFileSync(merged(join(tree, 'bin/busybox')), join(userland, 'bin/busybox'));
  copyFileSync(root('test/libvirt/guest-init.sh'), join(userland, 'init'));
  execFileSync('gcc', ['-O2', '-static', '-o', join(userland, 'bin/pattern'), root('test/libvirt/pattern.c')]);
  for (const program of ['init', 'bin/busybox', 'bin/pattern']) chmodSync(join(userland, program), 0o755);
  const modules = only(join(tree, 'usr/lib/modules'), /./);
  const version = modules.slice(modules.lastIndexOf('/') + 1);
  for (const part of MODULES) {
    const from = join(modules, 'kernel', part);
    if (!existsSync(from)) continue;
    const to = join(userland, 'lib/modules', version, 'kernel', part);
    mkdirSync(dirname(to), { recursive: true });
    execFileSync('cp', ['-a', from, to]);
  }
  for (const list of readdirSync(modules).filter((file) => /^modules\.(order|builtin)/.test(file))) {
    copyFileSync(join(modules, list), join(userland, 'lib/modules', version, list));
  }
  execFileSync(merged(join(tree, 'bin/busybox')), ['depmod', '-b', userland, version]);
  return userland;
}
