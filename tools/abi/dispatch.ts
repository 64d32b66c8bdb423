// Turns the ABI table into the exported functions themselves: each calls our implementation or refuses. Pure:
// text in, text out.
import {generated, mayBeDeprecated, nativeName, ofLibrary, signature} from './render.js';
import {carriesErrno} from './table.js';
import type {AbiFunction, Library} from './table.js';

// What a refused function does. Its outputs stay as they were, but for a handle that is the only output of a
// void function: that becomes null. No completion is taken, so no callback comes.
function refusal(fn: AbiFunction): string {
  const {returns, parameters} = fn.prototype;
  if (returns === 'void') return parameters.length === 1 && /_create$/.test(fn.name) ? '*a0 = nullptr;' : '';
  return carriesErrno(returns) ? `return -${fn.errno};` : 'return {};';
}

function exported(fn: AbiFunction): string {
  const names = fn.prototype.parameters.map((_, i) => `a${i}`);
  const head = signature(fn, fn.name, i => `a${i}`);
  if (fn.how === 'refused') return `${head} { ${refusal(fn)} }`;
  return `decltype(${fn.name}) ${nativeName(fn)};\n${head} { return ${nativeName(fn)}(${
      names.join(', ')}); }`;
}

export function renderDispatch(functions: readonly AbiFunction[], library: Library): string {
  const lines = ofLibrary(functions, library).map(exported);
  return `// ${generated}\n// What ${
             library} exports.\n#include <cerrno>\n\n#undef CBD_ABI_NATIVE\n#include "abi/ceph_api.h"\n\n` +
      `${mayBeDeprecated}\n#pragma GCC diagnostic ignored "-Wunused-parameter"\n\nextern "C" {\n${
             lines.join('\n')}\n}\n`;
}
