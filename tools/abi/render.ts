// Turns the ABI table into C++ sources, linker version scripts and the coverage page. Pure: text in, text
// out.
import {libraries} from './table.js';
import type {AbiFunction, Library} from './table.js';

// Some of what we must export is deprecated.
export const mayBeDeprecated = '#pragma GCC diagnostic ignored "-Wdeprecated-declarations"';

export const generated = 'Generated from shim/abi/functions.tsv by tools/abi-generate.ts; do not edit.';

// "int (*)(int)" named "a1" is "int (*a1)(int)"; anything else takes the name behind it.
function declare(type: string, name: string): string {
  if (type.includes('(*)')) return type.replace('(*)', `(*${name})`);
  return type.endsWith('*') ? `${type}${name}` : `${type} ${name}`;
}

export function signature(fn: AbiFunction, name: string, parameterName: (index: number) => string): string {
  const parameters = fn.prototype.parameters.map((type, i) => {
    const given = parameterName(i);
    return given === '' ? type : declare(type, given);
  });
  const {returns} = fn.prototype;
  return `${returns}${returns.endsWith('*') ? '' : ' '}${name}(${parameters.join(', ')})`;
}

export function ofLibrary(functions: readonly AbiFunction[], library: Library): AbiFunction[] {
  return functions.filter(fn => fn.library === library);
}

// The symbol that our own implementation of a function has: its exported name belongs to the dispatcher.
export function nativeName(fn: AbiFunction): string {
  return `cbd_native_${fn.name}`;
}

// Declarations of everything, so that what the installed headers lack is declared too. Where the header has a
// declaration, the compiler holds the two against each other.
export function renderDeclarations(functions: readonly AbiFunction[]): string {
  const lines = functions.map(
      fn => `__attribute__((visibility("default"))) ${signature(fn, fn.name, () => '')} CBD_NATIVE_NAME("${
          nativeName(fn)}");`);
  return `// ${generated}\n// Included by abi/ceph_api.h, behind the types.\n#pragma once\n\n` +
      `#pragma GCC diagnostic push\n${mayBeDeprecated}\n\nextern "C" {\n${
             lines.join('\n')}\n}\n\n#pragma GCC diagnostic pop\n`;
}

// The functions that exist twice: the base version of each calls the versioned one.
export function renderBase(functions: readonly AbiFunction[], library: Library): string {
  const twice = ofLibrary(functions, library).filter(fn => fn.nodes.includes('BASE') && fn.nodes.length > 1);
  const lines = twice.map(fn => {
    const call = `${fn.name}(${fn.prototype.parameters.map((_, i) => `a${i}`).join(', ')})`;
    return [
      `__attribute__((visibility("default"))) ${
          signature(fn, `cbd_base_${fn.name}`, i => `a${i}`)} { return ${call}; }`,
      `__asm__(".symver cbd_base_${fn.name}, ${fn.name}@");`,
    ].join('\n');
  });
  return `// ${generated}\n// The unversioned forms of what ${
             library} exports twice.\n#undef CBD_ABI_NATIVE\n#include "abi/ceph_api.h"\n\n` +
      `${mayBeDeprecated}\n\nextern "C" {\n${lines.join('\n')}\n}\n`;
}

// A version script. librbd has no version nodes, so an anonymous one; in librados what matches no node keeps
// the base version.
export function renderVersionScript(functions: readonly AbiFunction[], library: Library): string {
  const own = ofLibrary(functions, library);
  if (library === 'librbd') {
    return `/* ${generated} */\n{\n  global:\n${
        own.map(fn => `    ${fn.name};\n`).join('')}  local: *;\n};\n`;
  }
  const versioned = own.filter(fn => fn.nodes.includes('LIBRADOS_14.2.0'));
  return `/* ${
             generated} */\nLIBRADOS_PRIVATE {\n  local: [!r]*; r[!a]*;\n};\nLIBRADOS_14.2.0 {\n  global:\n` +
      `${versioned.map(fn => `    ${fn.name};\n`).join('')}} LIBRADOS_PRIVATE;\n`;
}

// docs/abi-coverage.md. It holds no totals, so that two changes to the table merge.
export function renderCoverage(functions: readonly AbiFunction[]): string {
  const out = [
    '# What the C ABI does',
    '',
    `${generated} (\`node dist/tools/abi-generate.js\` writes it anew; a test holds it against the table.)`,
    '',
    'Every C function that Ceph\'s librados and librbd export in 16.2.15, 18.2.7 and 20.2.4, and nothing else, is exported here, under',
    'the same version. **native**: we do it. **refused**: the call answers with the error that is named and changes nothing; an',
    'asynchronous form then takes no completion and calls no callback. "nothing" stands for a function without a result.',
  ];
  for (const library of libraries) {
    out.push('', `## ${library}`, '', '| function | since | how | note |', '| --- | --- | --- | --- |');
    for (const fn of ofLibrary(functions, library)) {
      const answer = fn.errno !== '' ? `-${fn.errno}` : fn.prototype.returns === 'void' ? 'nothing' : '0';
      const how = fn.how === 'native' ? 'native' : `refused: ${answer}`;
      const versions = fn.nodes.length > 1 ? ` (also \`@@${fn.nodes.slice(1).join('`, `@@')}\`)` : '';
      out.push(`| \`${fn.name}\`${versions} | ${fn.since} | ${how} | ${fn.note} |`);
    }
  }
  return `${out.join('\n')}\n`;
}
