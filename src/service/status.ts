// A few true figures about the daemon, for `cbd2rbd status`.
import { clusterUsage } from './cluster.js';
import type { Context } from './context.js';
import { listPools } from './pools.js';
import { keys } from './records.js';

export async function daemonStatus(ctx: Context, about: { fsid: string; socket: string }): Promise<Record<string, unknown>> {
  const [pools, images, intents] = await Promise.all([
    listPools(ctx), ctx.store.list({ prefix: keys.allImages }), ctx.store.list({ prefix: keys.intents }),
  ]);
  const sessions = ctx.sessions.list();
  return {
    ...about, pid: process.pid, pools: pools.length, images: images.length,
    sessions: sessions.length, openImages: sessions.reduce((sum, session) => sum + session.handles.size, 0),
    volumesToRemove: intents.length, merging: ctx.merging ? { ...ctx.merging } : null, imagesToMerge: ctx.merger?.backlog ?? 0, ...await clusterUsage(ctx),
  };
}
