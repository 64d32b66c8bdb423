// What the built libraries export, held against the recorded lists of the real ones.
import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import t from 'tap';

import {parseTable, releases} from '../../tools/abi/table.js';

import {dynamicEntries, dynamicSymbols, exportsOf, libraryFiles, recordedClients, recordedExports, root} from './elf.js';

const table = parseTable(readFileSync(join(root, 'shim/abi/functions.tsv'), 'utf8'), 'functions.tsv');

for (const library of ['librados', 'librbd'] as const) {
  t.test(
      `${library} exports what its real releases export together, under the same versions, and nothing else`,
      async t => {
        const union = new Set(releases.flatMap(release => recordedExports(library, release)));
        t.strictSame(exportsOf(libraryFiles[library]), [...union].sort());
      });

  t.test(`the table says for each function of ${library} which release brought it`, async t => {
    for (const release of releases) {
      const until = releases.slice(0, releases.indexOf(release) + 1);
      const listed = table.filter(fn => fn.library === library && until.some(r => r === fn.since))
                         .flatMap(fn => fn.nodes.map(node => `${fn.name}@${node}`))
                         .sort();
      t.strictSame(listed, recordedExports(library, release), release);
    }
  });
}

t.test('the sonames and the tie between the libraries are those of the real ones', async t => {
  t.strictSame(dynamicEntries(libraryFiles.librados, 'SONAME'), ['librados.so.2']);
  t.strictSame(dynamicEntries(libraryFiles.librbd, 'SONAME'), ['librbd.so.1']);
  t.ok(
      dynamicEntries(libraryFiles.librbd, 'NEEDED').includes('librados.so.2'),
      'librbd brings librados with it');
  t.strictSame(dynamicEntries(libraryFiles.librbd, 'RUNPATH'), ['$ORIGIN'], 'and finds it beside itself');
});

t.test('a lookup without a version finds the versioned form of what exists twice', async t => {
  for (const name of ['rados_ioctx_pool_stat', 'rados_tmap_get', 'rados_tmap_put', 'rados_tmap_update']) {
    const forms = dynamicSymbols(libraryFiles.librados).filter(s => s.name === name);
    t.ok(forms.some(s => s.version === 'LIBRADOS_14.2.0' && s.isDefault), `${name}@@LIBRADOS_14.2.0`);
  }
  const nodes = execFileSync('readelf', ['-VW', libraryFiles.librados], {encoding: 'utf8'});
  t.match(
      nodes, /Name: LIBRADOS_PRIVATE\n.*Name: LIBRADOS_14\.2\.0\n.*Parent 1: LIBRADOS_PRIVATE/,
      'the nodes inherit');
});

t.test('every recorded client finds each symbol in the version that it asks for', async t => {
  const ours = new Set([...exportsOf(libraryFiles.librados), ...exportsOf(libraryFiles.librbd)]);
  const clients = recordedClients();
  t.ok(clients.size > 30, `${clients.size} clients`);
  for (const [client, needs] of clients) {
    t.strictSame(
        needs.filter(need => !ours.has(`${need.name}@${need.version}`)), [],
        `${client}: ${needs.length} symbols`);
  }
});

t.test('go-ceph finds what it looks up at run time', async t => {
  const ours = new Set([...exportsOf(libraryFiles.librados), ...exportsOf(libraryFiles.librbd)]);
  const names = readFileSync(join(root, 'test/data/abi/clients/go-ceph-c-functions.tsv'), 'utf8')
                    .split('\n')
                    .map(line => line.split('\t')[0] ?? '')
                    .filter(name => /^(rbd|rados)_/.test(name));
  t.ok(names.length > 200, `${names.length} functions`);
  t.strictSame(names.filter(name => !ours.has(`${name}@BASE`)), []);
});
