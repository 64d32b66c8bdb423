// One command to the monitors of a real Ceph behind a mapped pool, given in a process of its own (ceph-asker.ts).
import {execFile} from 'node:child_process';
import {fileURLToPath} from 'node:url';

const asker = fileURLToPath(new URL('./ceph-asker.js', import.meta.url));
const patienceMs = 10_000;

/** How a pool's cluster is reached: the mapping's conf, user and keyring. */
export type CephReach = Readonly<Record<string, string>>;

export interface CephAnswer {
  readonly fsid: string;
  /** 0 or -errno. */
  readonly rc: number;
  readonly out: string;
  /** The status line. */
  readonly outs: string;
}

/** The same text for mappings that reach one cluster by one user. */
export function reachKey({conf, user, keyring}: CephReach): string {
  return JSON.stringify({conf, user, keyring});
}

// Ceph takes a whole number for an integer, and refuses it where it wants a float; every number that we send is one.
function toJson(command: Readonly<Record<string, string | number>>): string {
  const fields = Object.entries(command).map(([name, value]) => `${JSON.stringify(name)}: ${Number.isInteger(value) ? `${value}.0` : JSON.stringify(value)}`);
  return `{${fields.join(', ')}}`;
}

/** @throws Error that says why the cluster could not be asked: it does not answer, or the copies of Ceph's libraries are missing. */
export function askCeph(reach: CephReach, command: Readonly<Record<string, string | number>>): Promise<CephAnswer> {
  return new Promise((resolve, reject) => {
    const done = (failure: Error | null, stdout: string): void => {
      try {
        if (stdout === '') throw failure ?? new Error('no answer');
        const {error, ...answer} = JSON.parse(stdout) as CephAnswer & {error?: string};
        if (error !== undefined) throw new Error(error);
        resolve(answer);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    execFile(process.execPath, [asker, reachKey(reach), toJson(command)], {timeout: patienceMs, killSignal: 'SIGKILL', maxBuffer: 16 << 20}, done);
  });
}
