// The real Cephs behind mapped pools, where what is asked concerns a client and not a pool. Behind: rados_blocklist_add, `osd blocklist`.
import { reachKey } from '../backend/ceph-command.js';
import type { Context } from './context.js';
import { Errno, type ErrnoName } from './errors.js';
import { listPools } from './pools.js';
import type { PoolRecord } from './records.js';

export interface RealRefusal {
  /** The first of ours that is on that cluster. */
  readonly pool: string;
  readonly errno: ErrnoName;
  readonly why: string;
}

function nameOf(rc: number): ErrnoName {
  const found = Object.entries(Errno).find(([, number]) => number === -rc);
  return found === undefined ? 'EIO' : found[0] as ErrnoName;
}

async function refusalOf(ctx: Context, pool: PoolRecord, command: Readonly<Record<string, string | number>>): Promise<RealRefusal | undefined> {
  try {
    const answer = await ctx.backends.get(pool.backend)!.realCommand!(pool.ceph!, command);
    return answer.rc < 0 ? { pool: pool.name, errno: nameOf(answer.rc), why: answer.outs || `errno ${-answer.rc}` } : undefined;
  } catch (error) {
    return { pool: pool.name, errno: 'ETIMEDOUT', why: (error as Error).message };
  }
}

/** Gives `command` to each real cluster that a pool is mapped to, once for each user there; who did not carry it out, and why. */
export async function commandRealClusters(ctx: Context, command: Readonly<Record<string, string | number>>): Promise<RealRefusal[]> {
  const pools = (await listPools(ctx)).filter((pool) => pool.ceph && ctx.backends.get(pool.backend)?.realCommand);
  const each = [...new Map(pools.map((pool) => [reachKey(pool.ceph!), pool] as const).reverse()).values()];
  const answers = await Promise.all(each.map((pool) => refusalOf(ctx, pool, command)));
  return answers.filter((refusal) => refusal !== undefined);
}
