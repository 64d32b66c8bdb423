// Generates all that follows from shim/abi/functions.tsv: sources and version scripts below
// build/generated/abi, docs/abi-coverage.md. Run by tools/build.sh before CMake; takes the project's folder
// as its optional argument.
import {readFileSync} from 'node:fs';
import {dirname, join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';

import {renderDispatch, renderNatives, renderReal} from './abi/dispatch.js';
import {renderBase, renderCoverage, renderDeclarations, renderVersionScript} from './abi/render.js';
import {parseTable, TableError} from './abi/table.js';
import {writeChanged} from './write-changed.js';

const tablePath = 'shim/abi/functions.tsv';

function generate(root: string): void {
  const functions = parseTable(readFileSync(join(root, tablePath), 'utf8'), tablePath);
  const files: Record<string, string> = {
    'build/generated/abi/declarations.h': renderDeclarations(functions),
    'build/generated/abi/dispatch_librados.cc': renderDispatch(functions, 'librados'),
    'build/generated/abi/dispatch_librbd.cc': renderDispatch(functions, 'librbd'),
    'build/generated/abi/natives_librados.h': renderNatives(functions, 'librados'),
    'build/generated/abi/natives_librbd.h': renderNatives(functions, 'librbd'),
    'build/generated/abi/real_librados.h': renderReal(functions, 'librados'),
    'build/generated/abi/real_librbd.h': renderReal(functions, 'librbd'),
    'build/generated/abi/base_librados.cc': renderBase(functions, 'librados'),
    'build/generated/abi/librados.map': renderVersionScript(functions, 'librados'),
    'build/generated/abi/librbd.map': renderVersionScript(functions, 'librbd'),
    'docs/abi-coverage.md': renderCoverage(functions),
  };
  for (const [path, text] of Object.entries(files)) writeChanged(join(root, path), text);
}

try {
  generate(resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '../..')));
} catch (error) {
  if (!(error instanceof TableError)) throw error;
  process.stderr.write(`abi-generate: ${error.message}\n`);
  process.exitCode = 1;
}
