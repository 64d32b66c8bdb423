// The administrator's view of sessions. Behind: `cbd2rbd session ls|kill`.
import type { SessionAdmin, SessionView } from '../rpc/admin.js';
import type { OpenVolume } from '../backend/backend.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { getPool } from './pools.js';
import { keys, type ImageRecord, type ImageRef } from './records.js';
import type { SessionIdentity } from './sessions.js';
import { readRecord } from './transact.js';

export function sessionAdmin(ctx: Context): SessionAdmin {
  return {
    list: async () => Promise.all(ctx.sessions.list().map(async (session): Promise<SessionView> => ({
      id: session.id, ...pick(session.identity), address: session.address,
      images: await Promise.all([...session.handles.values()].map((open) => imagePath(ctx, open.image))),
      volumes: openVolumes(ctx).filter((open) => open.session === session.id).map(({ path, name }) => ({ path, name })),
    }))),
    kill: async (id) => {
      const session = ctx.sessions.get(id);
      if (!session) throw new ServiceError('ENOENT', `there is no session ${id}`);
      const { channel } = session;
      await ctx.sessions.end(session, { orderly: false });
      channel?.cut();
    },
  };
}

/** What this host's storage server has open for sessions, and for the daemon's own work (session 0). */
export function openVolumes(ctx: Context): OpenVolume[] {
  return [...new Set(ctx.backends.values())].flatMap((backend) => backend.openVolumes?.() ?? []);
}

function pick({ entity, program, pid, uid }: SessionIdentity): SessionIdentity {
  return { entity, program, pid, uid };
}

async function imagePath(ctx: Context, image: ImageRef): Promise<string> {
  const [pool, record] = await Promise.all([getPool(ctx, image.pool), readRecord<ImageRecord>(ctx.store, keys.image(image))]);
  return [pool.name, ...(image.namespace ? [image.namespace] : []), record?.name ?? image.id].join('/');
}
