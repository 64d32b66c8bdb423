// What clients do with images just now, asked of their sessions: data does not pass through the daemon, so only they know.
// Behind: rbd perf image iostat and iotop.
import type { Context } from './context.js';
import { keys, imageKey, type ImageRecord } from './records.js';
import { firstOwnHandle, type OpenImage } from './sessions.js';
import { readRecord } from './transact.js';

export interface IoTotals {
  readonly ops: number;
  readonly bytes: number;
  readonly nanoseconds: number;
}

/** Since the client began to count: of one image, of all who have it open. */
export interface ImageIo {
  readonly pool: number;
  readonly namespace: string;
  readonly name: string;
  readonly id: string;
  readonly reads: IoTotals;
  readonly writes: IoTotals;
}

/** A process that is stopped or slow is left out. */
const answerMs = 1000;
const none: IoTotals = { ops: 0, bytes: 0, nanoseconds: 0 };

/** Sums of the open images of these pools; asking makes clients count for the next half minute. */
export async function imageIo(ctx: Context, pools: ReadonlySet<number>): Promise<ImageIo[]> {
  const opens = ctx.sessions.list().flatMap((session) => [...session.handles.values()])
    .filter((open) => open.handle < firstOwnHandle && pools.has(open.image.pool));
  const answers = await Promise.all(opens.map((open) => ask(open)));
  const sums = new Map<string, ImageIo>();
  for (const [at, { image }] of opens.entries()) {
    const answer = answers[at];
    if (!answer) continue;
    const key = imageKey(image);
    const name = sums.get(key)?.name ?? (await readRecord<ImageRecord>(ctx.store, keys.image(image)))?.name ?? image.id;
    const known = sums.get(key) ?? { ...image, name, reads: none, writes: none };
    sums.set(key, { pool: image.pool, namespace: image.namespace, id: image.id, name, reads: sum(known.reads, answer.reads), writes: sum(known.writes, answer.writes) });
  }
  return [...sums.values()];
}

function sum(a: IoTotals, b: IoTotals): IoTotals {
  return { ops: a.ops + b.ops, bytes: a.bytes + b.bytes, nanoseconds: a.nanoseconds + b.nanoseconds };
}

async function ask(open: OpenImage): Promise<{ reads: IoTotals; writes: IoTotals } | undefined> {
  const { channel } = open.session;
  if (!channel || !open.attached) return undefined;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => { timer = setTimeout(() => resolve(undefined), answerMs); });
  // A client of an older version does not know the question.
  const asked = channel.ask('image.counters', { handle: open.handle }).then((answer) => totalsOf(answer), () => undefined);
  const answer = await Promise.race([asked, late]);
  clearTimeout(timer);
  return answer;
}

function totalsOf(answer: unknown): { reads: IoTotals; writes: IoTotals } {
  const fields = typeof answer === 'object' && answer !== null ? answer as Record<string, unknown> : {};
  const totals = (value: unknown): IoTotals => {
    const given = typeof value === 'object' && value !== null ? value as Record<string, unknown> : {};
    const number = (name: string): number => (typeof given[name] === 'number' && Number.isSafeInteger(given[name]) ? given[name] : 0);
    return { ops: number('ops'), bytes: number('bytes'), nanoseconds: number('nanoseconds') };
  };
  return { reads: totals(fields['reads']), writes: totals(fields['writes']) };
}
