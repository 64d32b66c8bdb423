// What the tests of this folder know of ELF files and of the recorded lists: reads both through binutils and
// plain text.
import {execFileSync} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
export const libraryFolder = join(root, 'build/lib');
export const libraryFiles = {
  librados: join(libraryFolder, 'librados.so.2'),
  librbd: join(libraryFolder, 'librbd.so.1')
};

// One entry of a dynamic symbol table. `version` is 'BASE' where there is none.
export interface Symbol {
  readonly name: string;
  readonly version: string;
  // The version that an unversioned dlsym finds is marked @@.
  readonly isDefault: boolean;
  readonly defined: boolean;
}

export function dynamicSymbols(file: string): Symbol[] {
  const output = execFileSync('readelf', ['--dyn-syms', '-W', file], {encoding: 'utf8', maxBuffer: 1 << 26});
  const symbols: Symbol[] = [];
  for (const line of output.split('\n')) {
    const match =
        /^ *\d+: [0-9a-f]+ +\S+ \S+ +(GLOBAL|WEAK|UNIQUE) +\S+ +(\S+) ([^\s@]+)(?:(@@?)(\S+))?/.exec(line);
    if (match === null) continue;
    const [, , section = '', name = '', at = '', version = 'BASE'] = match;
    symbols.push({name, version, isDefault: at !== '@', defined: section !== 'UND'});
  }
  return symbols;
}

// "name@version" of all that a library exports. The names of version nodes, which some linkers list as well,
// are no functions.
export function exportsOf(file: string): string[] {
  return dynamicSymbols(file)
      .filter(s => s.defined && s.name !== s.version && !s.name.startsWith('LIBRADOS_'))
      .map(s => `${s.name}@${s.version}`)
      .sort();
}

// Values of one tag of the dynamic section, as "librados.so.2".
export function dynamicEntries(file: string, tag: string): string[] {
  const output = execFileSync('readelf', ['-dW', file], {encoding: 'utf8'});
  return [...output.matchAll(new RegExp(`\\(${tag}\\).*\\[(.*)\\]`, 'g'))].map(m => m[1] ?? '');
}

// What the real library of a release exports: "name@node".
export function recordedExports(library: string, release: string): string[] {
  return readFileSync(join(root, `test/data/abi/exports/${library}-${release}.txt`), 'utf8')
      .split('\n')
      .filter(line => line !== '')
      .map(line => line.split('\t').slice(0, 2).join('@'))
      .sort();
}

// What each recorded client binary asks for, by the file's name.
export function recordedClients(): Map<string, Array<{name: string, version: string}>> {
  const folder = join(root, 'test/data/abi/clients');
  const clients = new Map<string, Array<{name: string, version: string}>>();
  for (const file of readdirSync(folder).filter(f => f.endsWith('.syms'))) {
    const lines = readFileSync(join(folder, file), 'utf8').split('\n').filter(line => line !== '');
    clients.set(file, lines.map(line => {
      const [name = '', version = ''] = line.split('\t');
      return {name, version: version === 'unversioned' ? 'BASE' : version};
    }));
  }
  return clients;
}
