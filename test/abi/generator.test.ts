// The generator behind the C ABI: what it makes of a table, and which tables it refuses.
import {execFileSync, spawnSync} from 'node:child_process';
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import t from 'tap';

import {renderDispatch, renderNatives} from '../../tools/abi/dispatch.js';
import {renderCoverage} from '../../tools/abi/render.js';
import {parsePrototype, parseTable} from '../../tools/abi/table.js';

import {root} from './elf.js';

const table = readFileSync(join(root, 'shim/abi/functions.tsv'), 'utf8');

function line(
    fields: Partial<Record<'library'|'name'|'nodes'|'since'|'how'|'errno'|'prototype'|'note', string>>):
    string {
  const name = fields.name ?? 'rbd_close';
  return [
    fields.library ?? 'librbd',
    name,
    fields.nodes ?? 'BASE',
    fields.since ?? '16.2.15',
    fields.how ?? 'refused',
    fields.errno ?? 'EOPNOTSUPP',
    fields.prototype ?? `int ${name}(rbd_image_t)`,
    fields.note ?? '-',
  ].join('\t');
}

t.test('a bad line of the table is refused with its number and the name at fault', async t => {
  const bad: Array<[string, string, RegExp]> = [
    ['a missing column', 'librbd\trbd_close', /^x\.tsv:2: 2 columns, not 8/],
    ['an unknown library', line({library: 'libcephfs'}), /^x\.tsv:2: rbd_close: library 'libcephfs'/],
    [
      'a name of the other library', line({name: 'rados_connect'}),
      /^x\.tsv:2: rados_connect: not a name of librbd's/
    ],
    [
      'an unknown version node', line({nodes: 'BASE,LIBRBD_9'}),
      /^x\.tsv:2: rbd_close: version node 'LIBRBD_9'/
    ],
    ['an unknown release', line({since: '17'}), /^x\.tsv:2: rbd_close: since '17'/],
    ['an unknown way', line({how: 'soon'}), /^x\.tsv:2: rbd_close: how 'soon'/],
    [
      'an errno of a native function', line({how: 'native'}),
      /^x\.tsv:2: rbd_close: errno 'EOPNOTSUPP' must be '-': it is native/
    ],
    [
      'an errno where none fits', line({prototype: 'void rbd_close(rbd_image_t)'}),
      /must be '-': it returns void/
    ],
    [
      'no errno where one is needed', line({errno: '-'}),
      /^x\.tsv:2: rbd_close: errno '-' is not an errno's name/
    ],
    [
      'a prototype of another function', line({prototype: 'int rbd_open(rbd_image_t)'}),
      /rbd_close: 'int rbd_open/
    ],
    ['an empty note', line({note: ''}), /an empty note/],
    [
      'a function that is there twice', `${line({})}\n${line({})}`,
      /^x\.tsv:3: rbd_close: is in the table twice/
    ],
    [
      'lines out of order', `${line({name: 'rbd_open'})}\n${line({})}`,
      /^x\.tsv:3: rbd_close: out of order, it comes after rbd_open/
    ],
  ];
  for (const [what, text, message] of bad) {
    t.throws(() => parseTable(`#head\n${text}\n`, 'x.tsv'), {message}, what);
  }
});

t.test('a void function that works on a native handle cannot be refused in silence', async t => {
  const maker =
      'librados\trados_create_write_op\tBASE\t16.2.15\tnative\t-\trados_write_op_t rados_create_write_op(void)\t-';
  const step =
      'librados\trados_write_op_remove\tBASE\t16.2.15\trefused\t-\tvoid rados_write_op_remove(rados_write_op_t)\t';
  t.throws(
      () => parseTable(`${maker}\n${step}-\n`, 'x.tsv'),
      {message: /^x\.tsv:2: rados_write_op_remove: returns void/});
  t.equal(
      parseTable(`${maker}\n${step}harmless since ...\n`, 'x.tsv').length, 2,
      'unless the note gives the reason');
});

t.test('the program ends with the line at fault and writes nothing', async t => {
  const folder = t.testdir({shim: {abi: {}}});
  writeFileSync(join(folder, 'shim/abi/functions.tsv'), `${line({how: 'soon'})}\n`);
  const run =
      spawnSync(process.execPath, [join(root, 'dist/tools/abi-generate.js'), folder], {encoding: 'utf8'});
  t.equal(run.status, 1);
  t.equal(
      run.stderr,
      'abi-generate: shim/abi/functions.tsv:1: rbd_close: how \'soon\' is neither native nor refused\n');
  t.throws(() => readFileSync(join(folder, 'docs/abi-coverage.md')), {code: 'ENOENT'});
});

t.test('a refusal fits the type of the function', async t => {
  const functions = parseTable(
      [
        line({name: 'rbd_a_create', errno: '-', prototype: 'void rbd_a_create(rbd_pool_stats_t *)'}),
        line({name: 'rbd_b', errno: '-', prototype: 'void *rbd_b(rbd_completion_t)'}),
        line({name: 'rbd_c', errno: '-', prototype: 'uint64_t rbd_c(rbd_image_t)'}),
        line({
          name: 'rbd_d',
          errno: 'ENOENT',
          prototype: 'ssize_t rbd_d(rbd_image_t, int (*)(uint64_t), void *)'
        }),
        line({name: 'rbd_e', errno: '-', prototype: 'void rbd_e(rbd_image_t)'}),
        line({name: 'rbd_f', how: 'native', errno: '-'}),
      ].join('\n'),
      'x.tsv');
  const text = renderNatives(functions, 'librbd');
  const has = (definition: string): void => {
    t.ok(text.includes(`\n${definition}\n`), definition);
  };
  has('inline void cbd_native_rbd_a_create(rbd_pool_stats_t *a0) { *a0 = nullptr; }');
  has('inline void *cbd_native_rbd_b(rbd_completion_t a0) { return {}; }');
  has('inline uint64_t cbd_native_rbd_c(rbd_image_t a0) { return {}; }');
  has('inline ssize_t cbd_native_rbd_d(rbd_image_t a0, int (*a1)(uint64_t), void *a2) { return -ENOENT; }');
  has('inline void cbd_native_rbd_e(rbd_image_t a0) {  }');
  has('decltype(rbd_f) cbd_native_rbd_f;');
});

t.test('an exported function asks first whether a handle is a real Ceph\'s', async t => {
  const make = (name: string, prototype: string): string =>
      renderDispatch(parseTable(line({name, prototype}), 'x.tsv'), 'librbd');
  const size = make('rbd_get_size', 'int rbd_get_size(rbd_image_t, uint64_t *)');
  t.match(size, /if \(is_image\(a0\)\) \{/);
  t.match(size, /void\* const h0 = real_image\(a0\);\n +if \(h0 == nullptr\) return -ENOTCONN;\n +return real->rbd_get_size\(h0, a1\);/);
  t.match(size, /\n  return cbd_native_rbd_get_size\(a0, a1\);\n\}/, 'and ours does it where none is');
  const open = make('rbd_open', 'int rbd_open(rados_ioctx_t, const char *, rbd_image_t *, const char *)');
  t.match(
      open,
      /real->rbd_open\(h0, a1, &opened2, a3\);\n +if \(result >= 0\) result = wrap_image\(opened2, a0, a2\);/);
  const read = make('rbd_aio_flush', 'int rbd_aio_flush(rbd_image_t, rbd_completion_t)');
  t.match(read, /Carried c1\(a1, a0\);/);
  t.match(read, /real->rbd_aio_flush\(h0, c1\.handle\(\)\);\n +c1\.submitted\(result\);/);
  t.match(
      make('rbd_clone', 'int rbd_clone(rados_ioctx_t, const char *, rados_ioctx_t)'),
      /if \(is_pool\(a0\) != is_pool\(a2\)\) return -EXDEV;/, 'a clone stays on its side');
  t.match(
      make('rbd_copy', 'int rbd_copy(rbd_image_t, rados_ioctx_t, const char *)'),
      /if \(is_image\(a0\) != is_pool\(a1\)\) return across::rbd_copy\(a0, a1, a2\);/, 'a copy does not');
});

t.test('a prototype is taken apart at its top-level commas', async t => {
  t.strictSame(
      parsePrototype('int rbd_f(rbd_image_t, int (*)(uint64_t, void *), void *)', 'rbd_f')?.parameters,
      ['rbd_image_t', 'int (*)(uint64_t, void *)', 'void *']);
  t.strictSame(parsePrototype('rados_write_op_t rados_f(void)', 'rados_f')?.parameters, []);
});

t.test('docs/abi-coverage.md is what the table makes of it', async t => {
  t.equal(
      readFileSync(join(root, 'docs/abi-coverage.md'), 'utf8'),
      renderCoverage(parseTable(table, 'functions.tsv')), 'run: node dist/tools/abi-generate.js');
});

t.test('objects that do not fit the table are named before they are linked', async t => {
  const folder = t.testdir({
    'one.c':
        'int cbd_native_rbd_close(void* i) { return i != 0; }\nint cbd_native_rbd_other(void) { return 0; }\n',
    'two.c': 'int cbd_native_rbd_close(void* i) { return i == 0; }\n',
    'bare.c': 'int rbd_close(void* i) { return i == 0; }\n',
  });
  const tablePath = join(folder, 'x.tsv');
  const check = (text: string, sources: string[]): string => {
    writeFileSync(tablePath, text);
    const objects = sources.map(source => {
      execFileSync('cc', ['-c', '-o', join(folder, `${source}.o`), join(folder, source)]);
      return join(folder, `${source}.o`);
    });
    return spawnSync(
               process.execPath,
               [join(root, 'dist/tools/abi-check-objects.js'), tablePath, 'librbd', ...objects],
               {encoding: 'utf8'})
        .stderr;
  };
  mkdirSync(folder, {recursive: true});
  const native = line({how: 'native', errno: '-'});
  t.match(check(native, []), /x\.tsv:1: rbd_close is native, but nothing in librbd defines it/);
  t.match(check(native, ['two.c', 'one.c']), /x\.tsv:1: rbd_close is defined 2 times: two\.c\.o, one\.c\.o/);
  t.match(check(native, ['one.c']), /cbd_native_rbd_other, defined in one\.c\.o, is not in /);
  t.match(
      check(line({}), ['two.c']), /x\.tsv:1: rbd_close is refused in the table, but two\.c\.o defines it/);
  t.match(
      check(native, ['bare.c']),
      /^abi: .*x\.tsv:1: rbd_close: bare\.c\.o defines it without abi\/ceph_api\.h.*\n$/);
  t.equal(check(native, ['two.c']), '', 'and one that fits says nothing');
});
