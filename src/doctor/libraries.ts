// Which librbd.so.1 and librados.so.2 a program of this environment would load, and which `ceph` and `rbd` it would start.
import {execFileSync} from 'node:child_process';
import {existsSync, readFileSync, realpathSync} from 'node:fs';
import {join} from 'node:path';
import {misfit} from './elf.js';
import {bad, note, ok, type Finding} from './findings.js';

type Environment = Readonly<Record<string, string|undefined>>;

const libraries = ['librbd.so.1', 'librados.so.2'] as const;

/** Names that only our own libraries know: an option of librados's, a method that librbd answers. */
const marks = ['cbd2rbd_socket', 'image.quiesce'] as const;

export function isOurs(file: string): boolean {
  try {
    const bytes = readFileSync(file);
    return marks.some((mark) => bytes.includes(mark));
  } catch {
    return false;
  }
}

function cached(name: string): string|undefined {
  try {
    const lines = execFileSync('/sbin/ldconfig', ['-p'], {encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore']}).split('\n');
    return lines.map((line) => /^\s*(\S+) .*=> (\S+)$/.exec(line)).find((match) => match?.[1] === name)?.[2];
  } catch {
    return undefined;
  }
}

const words = (list: string|undefined): string[] => (list ?? '').split(/[ :]+/).filter((file) => file !== '');

/** The file that the loader takes: LD_PRELOAD, then LD_LIBRARY_PATH, then the loader's cache; and those that it passes over on its way. */
export function loadedLibrary(name: string, environment: Environment): {file: string|undefined, by: string, passedOver: readonly string[]} {
  const preloaded = words(environment['LD_PRELOAD']).find((file) => file.endsWith(`/${name}`) && misfit(file) === undefined);
  if (preloaded !== undefined) return {file: preloaded, by: 'LD_PRELOAD', passedOver: []};
  const passedOver: string[] = [];
  for (const file of (environment['LD_LIBRARY_PATH'] ?? '').split(':').filter((folder) => folder !== '').map((folder) => join(folder, name))) {
    if (!existsSync(file)) continue;
    const why = misfit(file);
    if (!why?.isPassedOver) return {file, by: 'LD_LIBRARY_PATH', passedOver};
    passedOver.push(`${file} ${why.reason}`);
  }
  return {file: cached(name), by: 'the loader\'s cache', passedOver};
}

export function checkLibraries(environment: Environment): Finding[] {
  const advice = 'install the package cbd2rbd-librbd, or set LD_LIBRARY_PATH to the folder of our libraries';
  return libraries.map((name) => {
    const {file, by, passedOver} = loadedLibrary(name, environment);
    const also = passedOver.map((text) => `; ${text}`).join('');
    if (file === undefined) return bad('library', `no ${name} is found${also}`, advice);
    return isOurs(file) ? ok('library', `${name} is ours: ${file} (by ${by})`) : bad('library', `${name} is not ours: ${file} (by ${by})${also}`, advice);
  });
}

/** Programs that are started with a wrapper need the preload; what it names must be there, fit this machine and be ours. */
export function checkPreload(environment: Environment): Finding[] {
  const files = words(environment['LD_PRELOAD']);
  if (files.length === 0) return [ok('preload', 'LD_PRELOAD is not set, and is needed only where Ceph\'s own libraries stay in place')];
  return files.flatMap((file) => checkPreloaded(file, environment));
}

function checkPreloaded(word: string, environment: Environment): Finding[] {
  // The loader itself looks for what has no folder, as for any library.
  const folders = (environment['LD_LIBRARY_PATH'] ?? '').split(':').filter((folder) => folder !== '');
  const file = word.includes('/') ? word : folders.map((folder) => join(folder, word)).find((file) => existsSync(file)) ?? cached(word);
  const isMeant = /librbd|librados|cbd2rbd/.test(word);
  const why = file === undefined ? 'is found nowhere' : misfit(file)?.reason;
  const advice = 'mend LD_PRELOAD: the package\'s are in /usr/lib/cbd2rbd/preload, librados.so.2 before librbd.so.1';
  if (why !== undefined) return [(isMeant ? bad : note)('preload', `${word} ${why}: the loader goes on without it`, advice)];
  if (!isMeant || file === undefined) return [];
  return [isOurs(file) ? ok('preload', `${file} is ours`) : bad('preload', `${file} is not ours`, advice)];
}

function onPath(name: string, environment: Environment): string|undefined {
  return (environment['PATH'] ?? '').split(':').map((folder) => join(folder, name)).find((file) => existsSync(file));
}

export function checkCommands(environment: Environment): Finding[] {
  return ['ceph', 'rbd'].map((name) => {
    const file = onPath(name, environment);
    if (file === undefined) return note('commands', `there is no ${name} in PATH`, 'OpenStack\'s services call it: put our hooks into PATH');
    // Ours are small programs that load our librados.
    const isHook = readFileSync(realpathSync(file)).includes('cbd2rbd cli');
    return isHook ? ok('commands', `${name} is ours: ${file}`) : note('commands', `${name} is not ours: ${file}`, 'it speaks to a Ceph cluster only: put our hooks in front of it in PATH');
  });
}
