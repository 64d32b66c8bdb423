// How full the real clusters behind mapped pools are, as they say themselves: asked in a process of its own (ceph-asker.ts), and
// remembered for a while, so that a cluster that does not answer holds nobody up more than once in that time.
import {execFile} from 'node:child_process';
import {fileURLToPath} from 'node:url';

const asker = fileURLToPath(new URL('./ceph-asker.js', import.meta.url));
const rememberedMs = 5_000;
/** A cluster that did not answer is left alone for longer. */
const failureRememberedMs = 15_000;
const patienceMs = 10_000;

export interface CephPoolFigures {
  readonly storedBytes: number;
  readonly objects: number;
  readonly availBytes: number;
}

export interface CephFigures {
  readonly fsid: string;
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly availBytes: number;
  /** By the pool's name there. */
  readonly pools: ReadonlyMap<string, CephPoolFigures>;
}

interface Df {
  readonly stats: {readonly total_bytes: number, readonly total_avail_bytes: number, readonly total_used_raw_bytes: number};
  readonly pools: readonly {readonly name: string, readonly stats: {readonly stored: number, readonly objects: number, readonly max_avail: number}}[];
}

function read(text: string): CephFigures {
  const {fsid, df, error} = JSON.parse(text) as {fsid: string, df: Df, error?: string};
  if (error !== undefined) throw new Error(error);
  return {
    fsid,
    totalBytes: df.stats.total_bytes,
    usedBytes: df.stats.total_used_raw_bytes,
    availBytes: df.stats.total_avail_bytes,
    pools: new Map(df.pools.map(({name, stats}) => [name, {storedBytes: stats.stored, objects: stats.objects, availBytes: stats.max_avail}])),
  };
}

export class CephFigureBook {
  private readonly known = new Map<string, {answer: Promise<CephFigures|undefined>, until: number}>();
  private readonly complained = new Set<string>();

  constructor(private readonly log: (line: string) => void) {}

  /** Undefined where the cluster cannot be asked; the log says why, once for each reason. */
  figuresOf({conf, user, keyring}: Readonly<Record<string, string>>): Promise<CephFigures|undefined> {
    const key = JSON.stringify({conf, user, keyring});
    const known = this.known.get(key);
    if (known && Date.now() < known.until) return known.answer;
    const entry = {answer: this.ask(key), until: Infinity};
    this.known.set(key, entry);
    void entry.answer.then((figures) => {
      entry.until = Date.now() + (figures ? rememberedMs : failureRememberedMs);
    });
    return entry.answer;
  }

  private ask(key: string): Promise<CephFigures|undefined> {
    return new Promise((resolve) => {
      execFile(process.execPath, [asker, key], {timeout: patienceMs, killSignal: 'SIGKILL', maxBuffer: 16 << 20}, (failure, stdout) => {
        try {
          resolve(read(failure && stdout === '' ? JSON.stringify({error: failure.message}) : stdout));
        } catch (error) {
          this.complain(`the real Ceph of ${key} does not say how full it is: ${(error as Error).message}`);
          resolve(undefined);
        }
      });
    });
  }

  private complain(line: string): void {
    if (this.complained.has(line)) return;
    this.complained.add(line);
    this.log(line);
  }
}
