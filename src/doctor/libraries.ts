// Which librbd.so.1 and librados.so.2 a program of this environment would load, and which `ceph` and `rbd` it would start.
import {execFileSync} from 'node:child_process';
import {existsSync, readFileSync, realpathSync} from 'node:fs';
import {join} from 'node:path';
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

/** The file that the loader takes: LD_PRELOAD, then LD_LIBRARY_PATH, then the loader's cache. */
export function loadedLibrary(name: string, environment: Environment): {file: string|undefined, by: string} {
  const preloaded = (environment['LD_PRELOAD'] ?? '').split(/[ :]+/).find((file) => file.endsWith(`/${name}`));
  if (preloaded !== undefined) return {file: preloaded, by: 'LD_PRELOAD'};
  const folder = (environment['LD_LIBRARY_PATH'] ?? '').split(':').find((folder) => folder !== '' && existsSync(join(folder, name)));
  if (folder !== undefined) return {file: join(folder, name), by: 'LD_LIBRARY_PATH'};
  return {file: cached(name), by: 'the loader\'s cache'};
}

export function checkLibraries(environment: Environment): Finding[] {
  const advice = 'install the package cbd2rbd-librbd, or set LD_LIBRARY_PATH to the folder of our libraries';
  return libraries.map((name) => {
    const {file, by} = loadedLibrary(name, environment);
    if (file === undefined) return bad('library', `no ${name} is found`, advice);
    if (!existsSync(file)) return bad('library', `${by} names ${file}, which does not exist`, 'mend the variable');
    return isOurs(file) ? ok('library', `${name} is ours: ${file} (by ${by})`) : bad('library', `${name} is not ours: ${file} (by ${by})`, advice);
  });
}

/** Programs that are started with a wrapper need the preload; its files must be there and be ours. */
export function checkPreload(environment: Environment): Finding[] {
  const files = (environment['LD_PRELOAD'] ?? '').split(/[ :]+/).filter((file) => file !== '');
  if (files.length === 0) return [ok('preload', 'LD_PRELOAD is not set, and is needed only where Ceph\'s own libraries stay in place')];
  return files.filter((file) => /librbd|librados/.test(file)).map((file) => isOurs(file) ? ok('preload', `${file} is ours`) :
                                                                                           bad('preload', `${file} is missing, or is not ours`, 'mend LD_PRELOAD'));
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
