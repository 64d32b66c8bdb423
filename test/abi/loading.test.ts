// What loading the libraries does to a process, and the layout of what crosses the ABI.
import {execFileSync, spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import t from 'tap';

import {releases} from '../../tools/abi/table.js';

import {libraryFiles, root} from './elf.js';

t.test('loading both libraries starts no thread and opens no file', async t => {
  const output = execFileSync(
      join(root, 'build/bin/abi_load'), [libraryFiles.librados, libraryFiles.librbd], {encoding: 'utf8'});
  const lines = output.trim().split('\n');
  t.match(lines[0], /^threads 1 fds \d+$/);
  t.strictSame(lines.slice(1, 3), [`loaded ${libraryFiles.librados}`, `loaded ${libraryFiles.librbd}`]);
  t.equal(lines[3], lines[0], 'threads and descriptors are what they were');
});

t.test('the libraries run no initialiser of their own when they are loaded', async t => {
  for (const file of Object.values(libraryFiles)) {
    const sections = execFileSync('readelf', ['-SW', file], {encoding: 'utf8'});
    const size = /\.init_array +INIT_ARRAY +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+)/.exec(sections)?.[1] ?? '0';
    t.equal(
        parseInt(size, 16), 8,
        `${file}: one entry, the compiler's own frame_dummy; a global object adds another`);
  }
});

t.test('every type has the size that the real headers give it', async t => {
  const output = execFileSync(join(root, 'build/bin/abi_sizes'), {encoding: 'utf8'});
  const recorded = readFileSync(join(root, 'test/data/abi/struct-sizes.tsv'), 'utf8')
                       .split('\n')
                       .slice(1)
                       .filter(line => line !== '')
                       .map(line => line.split('\t'));
  t.strictSame(output.trim().split('\n'), recorded.map(fields => `${fields[0]}\t${fields[3]}`));
});

// Ceph's headers of each release declare what we define, as we define it: a difference in a type is a
// conflicting declaration.
for (const release of releases) {
  t.test(`our declarations agree with the headers of ${release}`, async t => {
    const prototypes = ['librados', 'librbd'].map(
        library => readFileSync(join(root, `test/data/abi/prototypes/${library}-${release}.txt`), 'utf8')
                       .replaceAll('_Bool', 'bool'));
    const source =
        `#include "abi/ceph_api.h"\n#pragma GCC diagnostic ignored "-Wdeprecated-declarations"\nextern "C" {\n` +
        `${prototypes.join('\n')}\n}\n`;
    const definitions = readFileSync(join(root, 'build/CMakeCache.txt'), 'utf8');
    const lacks: Array<[string, string]> = [
      ['rbd_encryption_spec_t', 'CBD_LACKS_ENCRYPTION_SPEC'],
      ['rbd_snap_trash_namespace_t', 'CBD_LACKS_SNAP_TRASH_NAMESPACE'],
      ['rbd_group_snap_info2_t', 'CBD_LACKS_GROUP_SNAP_INFO2'],
    ];
    const flags = lacks.filter(([type]) => !new RegExp(`^HAVE_${type}:INTERNAL=1`, 'm').test(definitions))
                      .map(([, flag]) => `-D${flag}`);
    const run = spawnSync(
        'c++',
        [
          '-std=c++20', '-fsyntax-only', '-Werror', `-I${root}/shim`, `-I${root}/build/generated/abi`,
          ...flags, '-x', 'c++', '-'
        ],
        {input: source, encoding: 'utf8'});
    t.equal(run.status, 0, run.stderr.slice(0, 2000));
  });
}
