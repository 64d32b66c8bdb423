// Reads shim/abi/functions.tsv, the one list of what librados and librbd export, and refuses a table that
// cannot be served. Knows nothing of what is generated from it.
export const libraries = ['librados', 'librbd'] as const;
export type Library = (typeof libraries)[number];

// A prototype taken apart. `returns` and the entries of `parameters` are C types as the headers spell them.
export interface Prototype {
  readonly text: string;
  readonly returns: string;
  readonly parameters: readonly string[];
}

export interface AbiFunction {
  readonly library: Library;
  readonly name: string;
  // Version nodes; `BASE` is the unversioned one.
  readonly nodes: readonly string[];
  // The first of the measured releases that exports it.
  readonly since: string;
  readonly how: 'native'|'refused';
  // What a refused function answers, as a positive errno's name; '' where its type has no room for one.
  readonly errno: string;
  readonly prototype: Prototype;
  readonly note: string;
  readonly line: number;
}

// A line that cannot be used: the message names the file, the line and the function or field at fault.
export class TableError extends Error {}

const columns = ['library', 'name', 'version nodes', 'since', 'how', 'errno', 'prototype', 'note'] as const;
const nodesOf: Record<Library, readonly string[]> = {
  librados: ['BASE', 'LIBRADOS_14.2.0'],
  librbd: ['BASE']
};
export const releases = ['16.2.15', '18.2.7', '20.2.4'] as const;
const prefixOf: Record<Library, string> = {
  librados: 'rados_',
  librbd: 'rbd_'
};
// Types whose return value can carry a negative errno.
const signedResults = new Set(['int', 'ssize_t', 'int64_t']);

export function carriesErrno(returns: string): boolean {
  return signedResults.has(returns);
}

// Splits at top-level commas: a parameter may itself be a pointer to a function.
function splitParameters(text: string): string[] {
  if (text === 'void') return [];
  const found: string[] = [];
  let depth = 0;
  let current = '';
  for (const c of text) {
    if (c === '(') depth++;
    if (c === ')') depth--;
    if (c === ',' && depth === 0) {
      found.push(current.trim());
      current = '';
    } else {
      current += c;
    }
  }
  found.push(current.trim());
  return found;
}

// Takes "int rbd_close(rbd_image_t)" apart; undefined where it is no prototype of `name`.
export function parsePrototype(text: string, name: string): Prototype|undefined {
  const at = text.indexOf(`${name}(`);
  if (at <= 0 || !text.endsWith(')')) return undefined;
  const returns = text.slice(0, at).trim();
  const inside = text.slice(at + name.length + 1, -1);
  const parameters = splitParameters(inside);
  if (!/^[\w *]+$/.test(returns) || parameters.some(p => !/^[\w *(),]+$/.test(p))) return undefined;
  return {text, returns, parameters};
}

// Who makes the handles that void functions act on: a void function cannot say that it did nothing.
const makers: ReadonlyArray<readonly[string, readonly string[]]> = [
  ['rados_write_op_t', ['rados_create_write_op']],
  ['rados_read_op_t', ['rados_create_read_op']],
  ['rados_completion_t', ['rados_aio_create_completion', 'rados_aio_create_completion2']],
  ['rados_ioctx_t', ['rados_ioctx_create', 'rados_ioctx_create2']],
  ['rados_t', ['rados_create', 'rados_create2']],
  ['rbd_image_options_t', ['rbd_image_options_create']],
  ['rbd_pool_stats_t', ['rbd_pool_stats_create']],
  ['rbd_completion_t', ['rbd_aio_create_completion']],
];

function checkSilent(
    fn: AbiFunction, natives: ReadonlySet<string>, fail: (fn: AbiFunction, why: string) => never): void {
  if (fn.how !== 'refused' || fn.prototype.returns !== 'void') return;
  for (const [type, names] of makers) {
    const maker = names.find(name => natives.has(name));
    if (maker === undefined || !fn.prototype.parameters.includes(type)) continue;
    if (type === 'rados_completion_t') {
      fail(fn, `must be native, since ${maker} is: nothing would ever complete the caller's completion`);
    }
    if (fn.note === '') {
      fail(
          fn,
          `returns void, so refusing it is silent, and ${
              maker} is native: make it native, or say in the note why ` +
              'doing nothing harms nobody');
    }
  }
}

// Reads the table. Throws a TableError that starts with `file`:line for the first line at fault.
export function parseTable(text: string, file: string): AbiFunction[] {
  const failAt = (line: number, why: string): never => {
    throw new TableError(`${file}:${line}: ${why}`);
  };
  const functions: AbiFunction[] = [];
  let before = '';
  text.split('\n').forEach((raw, index) => {
    const line = index + 1;
    if (raw === '' || raw.startsWith('#')) return;
    const fields = raw.split('\t');
    if (fields.length !== columns.length) {
      failAt(line, `${fields.length} columns, not ${columns.length} (${columns.join(', ')})`);
    }
    const [library = '', name = '', nodes = '', since = '', how = '', errno = '', prototype = '', note = ''] =
        fields;
    const fail = (why: string): never => failAt(line, `${name}: ${why}`);
    const known = libraries.find(l => l === library);
    if (known === undefined) return fail(`library '${library}' is not one of ${libraries.join(', ')}`);
    if (!/^[a-z0-9_]+$/.test(name) || !name.startsWith(prefixOf[known])) {
      fail(`not a name of ${known}'s (they start with ${prefixOf[known]})`);
    }
    const key = `${library} ${name}`;
    if (key === before) fail('is in the table twice');
    if (key < before) fail(`out of order, it comes after ${before.split(' ')[1]}`);
    before = key;
    const nodeList = nodes.split(',');
    for (const node of nodeList) {
      if (!nodesOf[known].includes(node))
        fail(`version node '${node}' is not one of ${nodesOf[known].join(', ')}`);
    }
    if (!releases.some(r => r === since)) fail(`since '${since}' is not one of ${releases.join(', ')}`);
    if (how !== 'native' && how !== 'refused') return fail(`how '${how}' is neither native nor refused`);
    const parsed = parsePrototype(prototype, name);
    if (parsed === undefined) return fail(`'${prototype}' is not its prototype`);
    if (how === 'native' || !carriesErrno(parsed.returns)) {
      if (errno !== '-')
        fail(`errno '${errno}' must be '-': ${
            how === 'native' ? 'it is native' : `it returns ${parsed.returns}`}`);
    } else if (!/^E[A-Z0-9]+$/.test(errno)) {
      fail(`errno '${errno}' is not an errno's name`);
    }
    if (note === '') fail(`an empty note is written '-'`);
    functions.push({
      library: known,
      name,
      nodes: nodeList,
      since,
      how,
      errno: errno === '-' ? '' : errno,
      prototype: parsed,
      note: note === '-' ? '' : note,
      line,
    });
    return;
  });
  const natives = new Set(functions.filter(fn => fn.how === 'native').map(fn => fn.name));
  for (const fn of functions) checkSilent(fn, natives, (at, why) => failAt(at.line, `${at.name}: ${why}`));
  return functions;
}
