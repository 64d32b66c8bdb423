// How full the real clusters behind mapped pools are, as they say themselves, remembered for a while, so that a cluster that does not
// answer holds nobody up more than once in that time.
import {askCeph, reachKey, type CephAnswer, type CephReach} from './ceph-command.js';

const rememberedMs = 5_000;
/** A cluster that did not answer is left alone for longer. */
const failureRememberedMs = 15_000;

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

function read({fsid, rc, out, outs}: CephAnswer): CephFigures {
  if (rc < 0) throw new Error(`errno ${-rc} ${outs}`);
  const df = JSON.parse(out) as Df;
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
  figuresOf(reach: CephReach): Promise<CephFigures|undefined> {
    const key = reachKey(reach);
    const known = this.known.get(key);
    if (known && Date.now() < known.until) return known.answer;
    const entry = {answer: this.ask(reach), until: Infinity};
    this.known.set(key, entry);
    void entry.answer.then((figures) => {
      entry.until = Date.now() + (figures ? rememberedMs : failureRememberedMs);
    });
    return entry.answer;
  }

  private async ask(reach: CephReach): Promise<CephFigures|undefined> {
    try {
      return read(await askCeph(reach, {prefix: 'df', format: 'json'}));
    } catch (error) {
      this.complain(`the real Ceph of ${reachKey(reach)} does not say how full it is: ${(error as Error).message}`);
      return undefined;
    }
  }

  private complain(line: string): void {
    if (this.complained.has(line)) return;
    this.complained.add(line);
    this.log(line);
  }
}
