// A few true figures about the daemon, for `cbd2rbd status`.
import { clusterUsage } from './cluster.js';
import type { Context } from './context.js';
import { listPools } from './pools.js';
import { keys } from './records.js';
import { openVolumes } from './session-admin.js';

export async function daemonStatus(ctx: Context, about: { fsid: string; socket: string }): Promise<Record<string, unknown>> {
  const [pools, images, intents] = await Promise.all([
    listPools(ctx), ctx.store.list({ prefix: keys.allImages }), ctx.store.list({ prefix: keys.intents }),
  ]);
  const sessions = ctx.sessions.list();
  return {
    ...about, pid: process.pid, pools: pools.length, images: images.length,
    sessions: sessions.length, openImages: sessions.reduce((sum, session) => sum + session.handles.size, 0), openVolumes: openVolumes(ctx).length,
    volumesToRemove: intents.length, merging: ctx.merging ? { ...ctx.merging } : null, imagesToMerge: ctx.merger?.backlog ?? 0, ...await usage(ctx),
  };
}

/** What a backend that does not answer cannot tell must not hide the rest. */
async function usage(ctx: Context): Promise<Record<string, unknown>> {
  try {
    return { ...await clusterUsage(ctx) };
  } catch (error) {
    return { usage: `not known: ${error instanceof Error ? error.message : String(error)}` };
  }
}
