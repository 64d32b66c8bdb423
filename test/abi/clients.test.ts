// Debian 12's own client binaries, resolved against our libraries as LD_BIND_NOW does. Packages that are not
// installed are fetched with apt and unpacked below build/clients, never installed.
import {execFileSync, spawnSync} from 'node:child_process';
import {existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync} from 'node:fs';
import {basename, join} from 'node:path';
import t from 'tap';

import {dynamicSymbols, libraryFolder, root} from './elf.js';

const cache = join(root, 'build/clients');

// Where a package's files are: in a folder of ours, made whole or not at all.
function unpacked(name: string): string {
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, {recursive: true});
  const work = mkdtempSync(join(cache, '.fetch-'));
  try {
    const download = ['-q', '-o', 'APT::Sandbox::User=root', 'download', name];
    if (spawnSync('apt-get', download, {cwd: work}).status !== 0) {
      // The package lists may be missing or older than the archive.
      execFileSync('apt-get', ['-q', 'update'], {stdio: 'pipe'});
      execFileSync('apt-get', download, {cwd: work, stdio: 'pipe'});
    }
    const [file] = readdirSync(work).filter(f => f.endsWith('.deb'));
    if (file === undefined) throw new Error(`apt-get download ${name} left no package`);
    execFileSync('dpkg', ['-x', join(work, file), join(work, 'root')]);
    renameSync(join(work, 'root'), folder);
  } finally {
    rmSync(work, {recursive: true, force: true});
  }
  return folder;
}

const multiarch = 'usr/lib/x86_64-linux-gnu';
const python = 'usr/lib/python3/dist-packages';
// package -> the binary in it that uses librbd or librados.
const clients: Array<[string, string]> = [
  ['qemu-block-extra', `${multiarch}/qemu/block-rbd.so`],
  [
    'libvirt-daemon-driver-storage-rbd', `${multiarch}/libvirt/storage-backend/libvirt_storage_backend_rbd.so`
  ],
  ['fio', 'usr/bin/fio'],
  ['tgt-rbd', 'usr/lib/tgt/backing-store/bs_rbd.so'],
  ['tcmu-runner', `${multiarch}/tcmu-runner/handler_rbd.so`],
  ['python3-rbd', `${python}/rbd.cpython-311-x86_64-linux-gnu.so`],
  ['python3-rados', `${python}/rados.cpython-311-x86_64-linux-gnu.so`],
  ['nfs-ganesha-ceph', 'usr/lib/ganesha/libganesha_rados_recov.so'],
  ['nfs-ganesha-ceph', 'usr/lib/ganesha/libganesha_rados_urls.so'],
  ['nfs-ganesha-rados-grace', 'usr/bin/ganesha-rados-grace'],
  ['ctdb', 'usr/libexec/ctdb/ctdb_mutex_ceph_rados_helper'],
  ['uwsgi-plugin-rados', 'usr/lib/uwsgi/plugins/rados_plugin.so'],
  ['rbd-fuse', 'usr/bin/rbd-fuse'],
];

const environment = {
  ...process.env,
  LD_LIBRARY_PATH: libraryFolder,
  LC_ALL: 'C'
};

for (const [name, path] of clients) {
  t.test(
      `${name}: ${basename(path)} resolves every rbd_ and rados_ symbol against our libraries`, async t => {
        const file = join(unpacked(name), path);
        const needs = dynamicSymbols(file).filter(s => !s.defined && /^(rbd|rados)_/.test(s.name));
        t.ok(needs.length > 0, `${needs.length} symbols`);
        // -r relocates everything; what else the binary lacks here (its host program's symbols) is not ours.
        const run = spawnSync('ldd', ['-r', file], {encoding: 'utf8', env: environment});
        const output = run.stdout + run.stderr;
        t.match(
            output, new RegExp(`lib(rbd\\.so\\.1|rados\\.so\\.2) => ${libraryFolder}/`),
            'our library is the one that it meets');
        t.strictSame(output.split('\n').filter(l => /undefined symbol: (rbd|rados)_/.test(l)), []);
        t.notMatch(output, /version `LIBRADOS_/, 'and every version is there');
      });
}

t.test('qemu-img loads its rbd driver at once', async t => {
  const run = spawnSync(
      'qemu-img', ['info', 'json:{"driver":"rbd"}'],
      {encoding: 'utf8', env: {...environment, LD_BIND_NOW: '1'}});
  t.match(run.stderr, /pool/, 'and the driver itself complains that no pool is named');
  t.notMatch(run.stderr, /symbol|Unknown driver|failed to open/i);
});

t.test('fio loads its rbd engine at once', async t => {
  const run =
      spawnSync('fio', ['--enghelp=rbd'], {encoding: 'utf8', env: {...environment, LD_BIND_NOW: '1'}});
  t.match(run.stdout, /rbdname/);
  t.equal(run.status, 0, run.stderr);
});

t.test('Python imports rbd and rados', async t => {
  const script =
      'import rbd, rados; print([l.split()[-1] for l in open("/proc/self/maps") if "/librbd.so" in l or "/librados.so" in l])';
  const run = spawnSync(
      '/usr/bin/python3', ['-c', script], {encoding: 'utf8', env: {...environment, LD_BIND_NOW: '1'}});
  t.equal(run.status, 0, run.stderr);
  t.match(run.stdout, `${libraryFolder}/librbd.so.1`);
  t.notMatch(run.stdout, /'\/usr\/lib/, 'and no other librbd or librados came with them');
});
