// The options of the `ceph` command itself, as opposed to those of the monitor command behind it.

export interface CephOptions {
  /** json, json-pretty, xml, xml-pretty, plain, yaml; "" where none was given. */
  readonly format: string;
  readonly wantsVersion: boolean;
  readonly wantsStatus: boolean;
  /** Takes its input from a file (the launcher read it). */
  readonly input: string|undefined;
  readonly output: string|undefined;
  /** `-w`, `--watch-*`, `-W`: asked for, and not offered. */
  readonly watch: string|undefined;
  readonly adminDaemon: string|undefined;
  readonly words: readonly string[];
}

/** The options are wrong: usage, and code 2 as Python's argparse has it. */
export class OptionError extends Error {}

const formats = ['json', 'json-pretty', 'xml', 'xml-pretty', 'plain', 'yaml'];

// Option letter or name -> what it is; those with a value that concerns only the connection are read by the launcher and skipped here.
const valued: Readonly<Record<string, string>> = {
  '-c': 'conf', '--conf': 'conf', '-i': 'input', '--in-file': 'input', '-o': 'output', '--out-file': 'output', '--setuser': 'skip',
  '--setgroup': 'skip', '--id': 'skip', '--user': 'skip', '--name': 'skip', '-n': 'skip', '--cluster': 'skip', '--admin-daemon': 'admin',
  '-f': 'format', '--format': 'format', '--connect-timeout': 'skip', '-W': 'watch', '--watch-channel': 'watch', '-p': 'skip', '--period': 'skip',
  '-k': 'skip', '--keyring': 'skip', '--keyfile': 'skip', '--key': 'skip', '-m': 'skip', '--mon-host': 'skip', '--mon_host': 'skip',
};
const switches: Readonly<Record<string, string>> = {
  '-s': 'status', '--status': 'status', '-v': 'version', '--version': 'version', '--verbose': 'skip',
  '--concise': 'skip', '--block': 'skip', '-w': 'watch', '--watch': 'watch', '--watch-debug': 'watch', '--watch-info': 'watch',
  '--watch-sec': 'watch', '--watch-warn': 'watch', '--watch-error': 'watch',
};

/** OptionError for a bad format or an option without its value. */
export function readCephOptions(argv: readonly string[]): CephOptions {
  const found = new Map<string, string>();
  const words: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    if (word === '--') {
      words.push(...argv.slice(at + 1));
      break;
    }
    const [name = '', joined] = word.startsWith('--') && word.includes('=') ? [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)] : [word];
    const kind = valued[name];
    if (kind) {
      const value = joined ?? argv[++at];
      if (value === undefined) throw new OptionError(`argument ${name}: expected one argument`);
      found.set(kind, value);
    } else if (switches[name] && joined === undefined) {
      found.set(switches[name] ?? '', name);
    } else {
      words.push(word);
    }
  }
  const format = found.get('format') ?? '';
  if (found.has('format') && !formats.includes(format)) {
    throw new OptionError(`argument -f/--format: invalid choice: '${format}' (choose from ${formats.map((name) => `'${name}'`).join(', ')})`);
  }
  return {
    format,
    wantsVersion: found.has('version'), wantsStatus: found.has('status'),
    input: found.get('input'), output: found.get('output'), watch: found.get('watch'), adminDaemon: found.get('admin'), words,
  };
}
