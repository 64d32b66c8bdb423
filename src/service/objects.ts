// librados objects: atomic reads and writes of one, and what there is in a pool. Each write is one transaction of the store.
// Behind: rados_write_op_operate, rados_read_op_operate, the single object calls, rados_nobjects_list_*.
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { KeyedLock } from './keyed-lock.js';
import { ObjectDraft } from './object-draft.js';
import { objectOps, OpFailed } from './object-ops.js';
import type { Params } from './object-params.js';
import { objectKeys, type ObjectRecord } from './object-records.js';
import type { At, Time } from './records.js';
import { Tx } from './transact.js';

/** Ceph's default for osd_max_object_name_len. */
const maxNameLength = 2048;
const failOk = 2;  // LIBRADOS_OP_FLAG_FAILOK
const maxTries = 64;

export interface ObjectRequest {
  readonly at: At;
  readonly name: string;
  /** Each with `op`, `flags`? and its own. */
  readonly ops: readonly Params[];
}

export interface ObjectWrite extends ObjectRequest {
  readonly mtime?: Time;
  readonly op?: string;
}

export interface OpResult {
  readonly rc: number;
  readonly [field: string]: unknown;
}

export interface ObjectAnswer {
  /** 0 or the code of the first operation that failed; then nothing was changed. */
  readonly rc: number;
  /** The object's version after it; 0 where there is none. */
  readonly version: number;
  /** Of the operations up to the one that failed. */
  readonly results: readonly OpResult[];
}

// One at a time an object: what a read sees of its chunks and omap belongs together.
const turns = new WeakMap<Context, KeyedLock>();
const turnsOf = (ctx: Context): KeyedLock => {
  const known = turns.get(ctx) ?? new KeyedLock();
  turns.set(ctx, known);
  return known;
};

/** Looks at an object. */
export async function readObject(ctx: Context, request: ObjectRequest): Promise<ObjectAnswer> {
  checkObjectName(request.name);
  const key = objectKeys.object(request.at, request.name);
  return turnsOf(ctx).run(key, async () => {
    for (let tries = 0; tries < maxTries; tries += 1) {
      const before = await ctx.store.get(key);
      const draft = draftOf(ctx, new Tx(ctx.store), request, before?.value);
      const { rc, results } = await runOps(draft, request.ops, { reading: true });
      const after = await ctx.store.get(key);  // another daemon may have written
      if (before?.revision === after?.revision) return { rc, version: draft.version, results };
    }
    throw new ServiceError('EAGAIN', 'the object is being changed by too many at once');
  });
}

/** Changes an object, all operations or none. */
export async function writeObject(ctx: Context, request: ObjectWrite): Promise<ObjectAnswer> {
  checkObjectName(request.name);
  const key = objectKeys.object(request.at, request.name);
  return turnsOf(ctx).run(key, () => ctx.ops.once<ObjectAnswer>(request.op, async (finish) => {
    for (let tries = 0; tries < maxTries; tries += 1) {
      const tx = new Tx(ctx.store);
      const record = await tx.get<ObjectRecord>(key);
      const draft = new ObjectDraft(ctx.store, tx, request.at, request.name, record, ctx.now());
      const { rc, results } = await runOps(draft, request.ops, { reading: false });
      if (rc < 0 || !draft.hasChanged) return { rc, version: draft.version, results };
      // Larger than any version that an object of this name had before it was removed.
      const version = Math.max(draft.version + 1, draft.now.sec * 1000 + Math.floor(draft.now.nsec / 1e6));
      await draft.save(request.mtime, version);
      const answer = finish(tx, { rc, version, results });
      const { done } = await ctx.store.commit({ when: tx.conditions(), changes: tx.changes() });
      if (done) {
        if (!draft.exists) ctx.objectWatches.lost(request.at, request.name);
        return answer;
      }
    }
    throw new ServiceError('EAGAIN', 'the object is being changed by too many at once');
  }));
}

/** Names behind `after`, sorted, at most `max`; of all namespaces where `at.namespace` is null. */
export async function listObjects(
  ctx: Context, request: { pool: number; namespace: string | null; after?: string; max: number },
): Promise<{ objects: { name: string; namespace: string }[]; next: string | null }> {
  const { pool, namespace, max } = request;
  const prefix = namespace === null ? objectKeys.ofPool(pool) : objectKeys.objects({ pool, namespace });
  const entries = await ctx.store.list({ prefix, limit: max, ...(request.after === undefined ? {} : { after: request.after }) });
  const root = objectKeys.ofPool(pool);
  const objects = entries.map(({ key }) => {
    const rest = key.slice(root.length);
    const slash = rest.indexOf('/');
    return { name: rest.slice(slash + 1), namespace: decodeURIComponent(rest.slice(0, slash)) };
  });
  return { objects, next: entries.length === max ? entries.at(-1)?.key ?? null : null };
}

/** What goes with a pool. */
export const objectPrefixesOfPool = (pool: number): string[] => [objectKeys.ofPool(pool), objectKeys.dataOfPool(pool), objectKeys.omapOfPool(pool)];

function checkObjectName(name: string): void {
  if (name === '') throw new ServiceError('EINVAL', 'the object has no name');
  if (Buffer.byteLength(name) > maxNameLength) throw new ServiceError('ENAMETOOLONG', `object name ${name.slice(0, 20)}... is longer than ${maxNameLength} bytes`);
  if (name.includes('\0')) throw new ServiceError('EINVAL', `object name ${JSON.stringify(name)} holds a NUL byte`);
}

function draftOf(ctx: Context, tx: Tx, request: ObjectRequest, value: string | undefined): ObjectDraft {
  const record = value === undefined ? undefined : JSON.parse(value) as ObjectRecord;
  return new ObjectDraft(ctx.store, tx, request.at, request.name, record, ctx.now());
}

/** Runs them in order up to the first that fails, save those that may. */
async function runOps(draft: ObjectDraft, ops: readonly Params[], mode: { reading: boolean }): Promise<{ rc: number; results: OpResult[] }> {
  const results: OpResult[] = [];
  for (const params of ops) {
    const name = params.text('op');
    const op = Object.hasOwn(objectOps, name) ? objectOps[name] : undefined;
    if (!op) throw new ServiceError('EOPNOTSUPP', `objects have no operation ${name}`);
    if (mode.reading && !op.reads) throw new ServiceError('EINVAL', `${name} is no reading operation`);
    try {
      results.push({ rc: 0, ...await op.run(draft, params) ?? {} });
    } catch (error) {
      if (!(error instanceof ServiceError) && !(error instanceof OpFailed)) throw error;
      results.push({ rc: error.code, message: error.message });
      if ((params.number('flags', 0) & failOk) === 0) return { rc: error.code, results };
    }
  }
  return { rc: 0, results };
}
