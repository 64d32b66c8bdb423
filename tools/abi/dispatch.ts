// Turns the ABI table into the exported functions themselves. Each asks whether a handle among its arguments
// is a real Ceph's; if so it calls the real library, else our implementation, or it refuses. Pure: text in,
// text out.
import {generated, mayBeDeprecated, nativeName, ofLibrary, signature} from './render.js';
import {carriesErrno} from './table.js';
import type {AbiFunction, Library} from './table.js';

// Functions whose way between the two is particular: shim/ceph/ defines them by hand.
const byHand = new Set([
  'rados_create_read_op',
  'rados_create_write_op',
  'rados_getxattrs_end',
  'rados_omap_get_end',
  'rados_release_read_op',
  'rados_release_write_op',
  'rados_aio_cancel',
  'rados_aio_watch_flush',
  'rados_conf_set',
  'rados_ioctx_create',
  'rados_ioctx_create2',
  'rados_ioctx_set_namespace',
  'rados_shutdown',
  'rados_wait_for_latest_osdmap',
  'rados_watch_flush',
  'rbd_aio_close',
  'rbd_aio_open',
  'rbd_aio_open_by_id',
  'rbd_aio_open_by_id_read_only',
  'rbd_aio_open_read_only',
  'rbd_close',
  'rbd_poll_io_events',
  'rbd_pool_stats_get',
  'rbd_set_image_notification',
]);

// What we answer for a pool on a real Ceph too: its name and id here, and what belongs to our own handle.
const alwaysOurs = new Set([
  'rados_ioctx_cct',
  'rados_ioctx_destroy',
  'rados_ioctx_get_cluster',
  'rados_ioctx_get_id',
  'rados_ioctx_get_namespace',
  'rados_ioctx_get_pool_name',
]);

// Copies that can be made by reading here and writing there; shim/ceph/copy.cc does it.
const canCross = /^rbd_(deep_)?copy/;

function refuse(fn: AbiFunction, errno: string): string {
  const {returns} = fn.prototype;
  if (returns === 'void') return 'return;';
  return carriesErrno(returns) ? `return -${errno};` : 'return {};';
}

// What a refused function does. Its outputs stay as they were, but for a handle that is the only output of a
// void function: that becomes null. No completion is taken, so no callback comes.
function refusal(fn: AbiFunction): string {
  const {returns, parameters} = fn.prototype;
  if (returns === 'void') return parameters.length === 1 && /_create$/.test(fn.name) ? '*a0 = nullptr;' : '';
  return refuse(fn, fn.errno);
}

// An operation that is being gathered exists on both sides until it is known where it will run
// (shim/ceph/operations.cc).
const operations = new Set(['rados_read_op_t', 'rados_write_op_t']);

const iterators = new Set(['rados_omap_iter_t', 'rados_xattrs_iter_t']);
const iteratorSlots = new Set(['rados_omap_iter_t *', 'rados_xattrs_iter_t *']);

function argumentNames(fn: AbiFunction): string[] {
  return fn.prototype.parameters.map((_, i) => `a${i}`);
}

// What our own implementation is given.
function nativeArguments(fn: AbiFunction): string[] {
  return fn.prototype.parameters.map((type, i) => operations.has(type) ? `ours_of(a${i})` : `a${i}`);
}

// Declares our implementation of each function under its symbol; a refused one is defined here, by its
// refusal.
export function renderNatives(functions: readonly AbiFunction[], library: Library): string {
  const lines = ofLibrary(functions, library).map(fn => {
    if (fn.how === 'native') return `decltype(${fn.name}) ${nativeName(fn)};`;
    return `inline ${signature(fn, nativeName(fn), i => `a${i}`)} { ${refusal(fn)} }`;
  });
  return `// ${generated}\n// Our own side of what ${
             library} exports.\n#pragma once\n\n#include <cerrno>\n\n` +
      `#undef CBD_ABI_NATIVE\n#include "abi/ceph_api.h"\n\n#pragma GCC diagnostic push\n${
             mayBeDeprecated}\n` +
      `#pragma GCC diagnostic ignored "-Wunused-parameter"\n\nextern "C" {\n${lines.join('\n')}\n}\n\n` +
      `#pragma GCC diagnostic pop\n`;
}

// The real library's functions, as a table of pointers in the order of their names.
export function renderReal(functions: readonly AbiFunction[], library: Library): string {
  const own = ofLibrary(functions, library);
  const word = library === 'librados' ? 'Rados' : 'Rbd';
  return `// ${generated}\n// The functions of a real Ceph's ${
             library}; null where its release lacks one.\n#pragma once\n\n` +
      `#undef CBD_ABI_NATIVE\n#include "abi/ceph_api.h"\n\n#pragma GCC diagnostic push\n${
             mayBeDeprecated}\n\n` +
      `namespace cbd::ceph {\n\nstruct ${word}Functions {\n` +
      own.map(fn => `  decltype(&::${fn.name}) ${fn.name};\n`).join('') + `};\n\n` +
      `inline constexpr const char* k${word}Names[] = {\n${
             own.map(fn => `  "${fn.name}",\n`).join('')}};\n\n` +
      `}  // namespace cbd::ceph\n\n#pragma GCC diagnostic pop\n`;
}

// The handle types by which a function of each library tells a real Ceph's object, and how to test and unwrap
// them.
interface Handle {
  readonly is: string;
  readonly real: string;
  // Whether `real` may answer null, in a child of fork().
  readonly inherits?: boolean;
}
const handles: Readonly<Record<Library, ReadonlyMap<string, Handle>>> = {
  librados: new Map([
    ['rados_ioctx_t', {is: 'is_pool', real: 'real_pool', inherits: true}],
    ['rados_list_ctx_t', {is: 'is_list', real: 'real_list'}],
    ['rados_omap_iter_t', {is: 'is_iterator', real: 'real_iterator'}],
    ['rados_xattrs_iter_t', {is: 'is_iterator', real: 'real_iterator'}],
  ]),
  librbd: new Map([
    ['rados_ioctx_t', {is: 'is_pool', real: 'real_pool', inherits: true}],
    ['rbd_image_t', {is: 'is_image', real: 'real_image', inherits: true}],
  ]),
};
const tables: Readonly<Record<Library, string>> = {
  librados: 'rados',
  librbd: 'rbd'
};
const headers: Readonly<Record<Library, string>> = {
  librados: 'operations',
  librbd: 'rbd'
};

interface Call {
  // Statements before and after the real call, and its arguments.
  readonly before: string[];
  readonly arguments: string[];
  readonly after: string[];
}

// How the arguments of a call on a real handle become the real library's.
function realCall(fn: AbiFunction, nativeCompletions: boolean): Call {
  const call: Call = {before: [], arguments: [], after: []};
  const own = handles[fn.library];
  const {parameters} = fn.prototype;
  const imageAt = parameters.indexOf('rbd_image_t');
  const poolAt = parameters.indexOf('rados_ioctx_t');
  parameters.forEach((type, i) => {
    const handle = own.get(type);
    const at = `a${i}`;
    if (handle !== undefined) {
      call.before.push(`void* const h${i} = ${handle.real}(${at});`);
      if (handle.inherits) call.before.push(`if (h${i} == nullptr) ${refuse(fn, 'ENOTCONN')}`);
      call.arguments.push(`h${i}`);
    } else if (type === 'rbd_completion_t' || (type === 'rados_completion_t' && nativeCompletions)) {
      const image = type === 'rbd_completion_t' && imageAt >= 0 ? `, a${imageAt}` : '';
      call.before.push(
          `Carried c${i}(${at}${image});`, `if (c${i}.handle() == nullptr) ${refuse(fn, 'ENOMEM')}`);
      call.arguments.push(`c${i}.handle()`);
      call.after.push(fn.prototype.returns === 'void' ? `c${i}.submitted(0);` : `c${i}.submitted(result);`);
    } else if (type === 'rbd_image_options_t') {
      call.before.push(`Options o${i}(${at});`, `if (o${i}.error() < 0) return o${i}.error();`);
      call.arguments.push(`o${i}.handle()`);
    } else if (type === 'rbd_image_t *') {
      call.before.push(`rbd_image_t opened${i} = nullptr;`);
      call.arguments.push(`&opened${i}`);
      call.after.push(`if (result >= 0) result = wrap_image(opened${i}, a${poolAt}, ${at});`);
    } else if (operations.has(type)) {
      call.before.push(
          `void* const h${i} = real_of(${at});`, `if (h${i} == nullptr) ${refuse(fn, 'EOPNOTSUPP')}`);
      call.before.push(`operation(${at}).choose_real();`);
      call.arguments.push(`h${i}`);
    } else if (type === 'rados_list_ctx_t *') {
      call.arguments.push(at);
      call.after.push(`if (result >= 0) *${at} = wrap_list(*${at});`);
    } else {
      call.arguments.push(at);
    }
  });
  return call;
}

// One step of an operation: gathered on both sides. Clients take an iterator at once, before the operation
// runs, so they get one that stands for both sides' (shim/ceph/operations.h).
function gather(fn: AbiFunction): string[] {
  const names = argumentNames(fn);
  const at = fn.prototype.parameters.findIndex(type => iteratorSlots.has(type));
  const given = (slot: string, handle: string):
      string => [handle, ...names.slice(1)].map((name, i) => i === at ? slot : name).join(', ');
  return [
    ...(at < 0 ?
            [] :
            [`TwinIterator* const twin = operation_iterator(a0, a${at});`, 'if (twin == nullptr) return;']),
    `if (void* const h0 = real_of(a0); h0 != nullptr && rados()->${fn.name} != nullptr) {`,
    `  rados()->${fn.name}(${given('&twin->real', 'h0')});`,
    '}',
    `if (void* const o0 = ours_of(a0); o0 != nullptr) ${nativeName(fn)}(${given('&twin->ours', 'o0')});`,
  ];
}

// The part of a function that serves real handles: '' where it cannot get one.
function realBranch(fn: AbiFunction, nativeCompletions: boolean): string[] {
  if (alwaysOurs.has(fn.name)) return [];
  const own = handles[fn.library];
  const tests = fn.prototype.parameters.flatMap((type, i) => {
    const handle = own.get(type);
    return handle === undefined ? [] : [`${handle.is}(a${i})`];
  });
  const table = tables[fn.library];
  if (tests.length === 0) {
    // Nothing tells whose the argument is; but what we refuse, we cannot have handed out.
    if (fn.how === 'native' || fn.prototype.parameters.includes('rados_t')) return [];
    return [
      `if (const auto* const real = loaded_${table}(); real != nullptr && real->${fn.name} != nullptr) {`,
      `  return real->${fn.name}(${argumentNames(fn).join(', ')});`, '}'
    ];
  }
  const lines: string[] = [];
  if (tests.length === 2) {
    const across = canCross.test(fn.name) ? `return across::${fn.name}(${argumentNames(fn).join(', ')});` :
                                            refuse(fn, 'EXDEV');
    lines.push(`if (${tests.join(' != ')}) ${across}`);
  }
  const call = realCall(fn, nativeCompletions);
  const invoked = `real->${fn.name}(${call.arguments.join(', ')})`;
  lines.push(
      `if (${tests[0]}) {`, `  const auto* const real = ${table}();`,
      `  if (real == nullptr || real->${fn.name} == nullptr) ${refuse(fn, 'EOPNOTSUPP')}`,
      ...call.before.map(line => `  ${line}`));
  if (call.after.length === 0) {
    lines.push(`  return ${invoked};`);
  } else if (fn.prototype.returns === 'void') {
    lines.push(`  ${invoked};`, ...call.after.map(line => `  ${line}`), '  return;');
  } else {
    const result = call.after.some(line => line.includes('result')) ? 'auto result' : 'const auto result';
    lines.push(`  ${result} = ${invoked};`, ...call.after.map(line => `  ${line}`), '  return result;');
  }
  lines.push('}');
  return lines;
}

function exported(fn: AbiFunction, nativeCompletions: boolean): string {
  const [first = ''] = fn.prototype.parameters;
  const lines: string[] = [];
  if (operations.has(first) && fn.prototype.returns === 'void') {
    lines.push(...gather(fn));
  } else {
    if (operations.has(first)) lines.push(`if (!is_whole(a0)) ${refuse(fn, 'ENOMEM')}`);
    if (iterators.has(first))
      lines.push('a0 = resolve_iterator(a0);', `if (a0 == nullptr) ${refuse(fn, 'EINVAL')}`);
    lines.push(...realBranch(fn, nativeCompletions));
    lines.push(`return ${nativeName(fn)}(${nativeArguments(fn).join(', ')});`);
  }
  const body = lines.map(line => `  ${line}`).join('\n');
  return `${signature(fn, fn.name, i => `a${i}`)} {\n${body}\n}\n`;
}

export function renderDispatch(functions: readonly AbiFunction[], library: Library): string {
  const nativeCompletions =
      functions.some(fn => fn.name === 'rados_aio_create_completion2' && fn.how === 'native');
  const bodies = ofLibrary(functions, library)
                     .filter(fn => !byHand.has(fn.name))
                     .map(fn => exported(fn, nativeCompletions));
  return `// ${generated}\n// What ${library} exports.\n#include "ceph/${headers[library]}.h"\n\n${
             mayBeDeprecated}\n\n` +
      `using namespace cbd::ceph;\n\nextern "C" {\n\n${bodies.join('\n')}\n}\n`;
}
