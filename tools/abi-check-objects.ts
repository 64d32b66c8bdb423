// Holds the object files of one library against the ABI table before they are linked: each native function
// defined once, and nothing defined that the table does not call native. Run by shim/abi/CMakeLists.txt:
// `table library object...`
import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {basename} from 'node:path';

import {nativeName} from './abi/render.js';
import {libraries, parseTable, TableError} from './abi/table.js';

// Maps each rados_/rbd_ function, and each native one (cbd_native_...), that `objects` define to the files
// that define it.
function definitions(objects: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  if (objects.length === 0) return found;
  const output = execFileSync(
      'nm', ['-A', '--defined-only', '--extern-only', ...objects], {encoding: 'utf8', maxBuffer: 1 << 28});
  for (const line of output.split('\n')) {
    const match = /^(.*?):[0-9a-f]* [A-Za-z] ((?:cbd_native_)?(?:rados|rbd)_[a-z0-9_]+)$/.exec(line);
    if (match === null) continue;
    const [, file = '', name = ''] = match;
    found.set(name, [...found.get(name) ?? [], basename(file)]);
  }
  return found;
}

function check(tablePath: string, library: string, objects: readonly string[]): string[] {
  const functions = parseTable(readFileSync(tablePath, 'utf8'), tablePath);
  if (!libraries.some(l => l === library)) return [`'${library}' is not one of ${libraries.join(', ')}`];
  const defined = definitions(objects);
  const errors: string[] = [];
  for (const fn of functions) {
    const files = defined.get(nativeName(fn)) ?? [];
    const where = `${tablePath}:${fn.line}: ${fn.name}`;
    const exported = defined.get(fn.name);
    if (exported !== undefined) {
      errors.push(`${where}: ${exported.join(', ')} defines it without abi/ceph_api.h or CBD_ABI_NATIVE`);
    }
    if (files.length > 0 && fn.library !== library) {
      errors.push(`${where} belongs to ${fn.library}, but ${files.join(' and ')} of ${library} defines it`);
    } else if (
        fn.library === library && fn.how === 'native' && files.length === 0 && exported === undefined) {
      errors.push(`${where} is native, but nothing in ${library} defines it`);
    } else if (files.length > 1) {
      errors.push(`${where} is defined ${files.length} times: ${files.join(', ')}`);
    } else if (fn.how === 'refused' && files.length > 0) {
      errors.push(
          `${where} is refused in the table, but ${files.join(', ')} defines it: make the line native`);
    }
    defined.delete(nativeName(fn));
    defined.delete(fn.name);
  }
  for (const [name, files] of defined)
    errors.push(`${name}, defined in ${files.join(', ')}, is not in ${tablePath}`);
  return errors;
}

const [tablePath, library, ...objects] = process.argv.slice(2);
if (tablePath === undefined || library === undefined) {
  process.stderr.write('usage: abi-check-objects TABLE LIBRARY OBJECT...\n');
  process.exitCode = 2;
} else {
  try {
    const errors = check(tablePath, library, objects);
    for (const error of errors) process.stderr.write(`abi: ${error}\n`);
    if (errors.length > 0) process.exitCode = 1;
  } catch (error) {
    if (!(error instanceof TableError)) throw error;
    process.stderr.write(`abi: ${error.message}\n`);
    process.exitCode = 1;
  }
}
