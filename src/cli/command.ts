// What a subcommand of `cbd2rbd` is: words, arguments, options, help, and what it does. One description serves parser,
// help, completion and manual page.
import type {Config} from '../config/config.js';
import type {DaemonClient} from './client.js';

/** The exit codes, for scripts. */
export const exitCodes = {
  ok: 0,
  /** The daemon or the operation refused; the message says why. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** No daemon answers. */
  noDaemon: 3,
  /** The configuration is bad. */
  badConfig: 4,
} as const;

export const exitCodeMeanings: ReadonlyMap<number, string> = new Map([
  [exitCodes.ok, 'done'],
  [exitCodes.failed, 'refused or failed; the message says why'],
  [exitCodes.usage, 'the command line is wrong'],
  [exitCodes.noDaemon, 'no daemon answers at the socket'],
  [exitCodes.badConfig, 'the configuration has a bad line'],
]);

export class UsageError extends Error {
  constructor(message: string, readonly command?: Command) {
    super(message);
    this.name = 'UsageError';
  }
}

export interface OptionHelp {
  /** The value's name in help; absent for a switch. */
  readonly value?: string;
  readonly help: string;
}

/** Options that every command takes. */
export const commonOptions: Readonly<Record<string, OptionHelp>> = {
  dir: {value: 'FOLDER', help: 'keep and look for everything below FOLDER (also CBD2RBD_DIR)'},
  config: {value: 'FILE', help: 'the configuration file (also CBD2RBD_CONFIG)'},
  socket: {value: 'PATH', help: 'the daemon\'s socket (also CBD2RBD_SOCKET)'},
  user: {value: 'USER', help: 'who to be (default client.admin)'},
  keyring: {value: 'FILE', help: 'where that user\'s key is'},
  json: {help: 'print JSON'},
  help: {help: 'show help'},
};

export interface Command {
  /** "pool map" */
  readonly name: string;
  /** "NAME [KIND CAPS]..." */
  readonly usage: string;
  /** How many arguments it takes. */
  readonly takes: {readonly least: number, readonly most: number};
  readonly summary: string;
  readonly details?: readonly string[];
  readonly options?: Readonly<Record<string, OptionHelp>>;
  readonly examples: readonly string[];
  readonly run: (invocation: Invocation) => Promise<number>;
}

/** One run of a command. */
export interface Invocation {
  readonly command: Command;
  readonly args: readonly string[];
  /** Options with a value. */
  readonly values: ReadonlyMap<string, string>;
  readonly switches: ReadonlySet<string>;
  /** Reads the configuration; ConfigError where it is bad. */
  readonly config: () => Config;
  /** Opens a session with the daemon, once; it is closed after the run. */
  readonly daemon: () => Promise<DaemonClient>;
  /** Prints text as it is. */
  readonly write: (text: string) => void;
  /** Says something beside the result, on standard error. */
  readonly note: (text: string) => void;
  /** Prints a result: JSON with --json, else the lines that `plain` makes of it. */
  readonly print: <T>(result: T, plain: (result: T) => readonly string[]) => void;
}

/** Columns as wide as their widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, at) => Math.max(...all.map((row) => (row[at] ?? '').length)));
  return all.map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ').trimEnd());
}
