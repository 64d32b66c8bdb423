// What cases of librados do all the time: lists of C strings, commands, objects that go with their case.
import { addressOf, bytesAt } from '../lib/memory.js';
import { Bytes, Out, type Argument, type Handle } from './transcript.js';
import type { Context } from './context.js';

/** An array of C strings, kept alive with its texts. */
export class Strings extends Bytes {
  constructor(name: string, readonly texts: Buffer[], room = texts.length) {
    const list = Buffer.alloc(Math.max(1, room) * 8);
    texts.forEach((text, i) => list.writeBigUInt64LE(addressOf(text), i * 8));
    super(name, list);
  }

  static of(name: string, texts: string[]): Strings {
    return new Strings(name, texts.map((text) => Buffer.from(`${text}\0`)));
  }
}

/** An array of size_t. */
export function sizes(name: string, values: number[]): Bytes {
  const list = Buffer.alloc(Math.max(1, values.length) * 8);
  values.forEach((value, i) => list.writeBigUInt64LE(BigInt(value), i * 8));
  return new Bytes(name, list);
}

/** Bytes to write, shown as text. */
export function text(value: string): Bytes {
  return new Bytes(JSON.stringify(value), Buffer.from(value === '' ? '\0' : value));
}

/** The form of a JSON value: names and kinds, the first of each list. Maps by pool or daemon are lists here. */
export function form(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? '[]' : [form(value[0])];
  if (value !== null && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, form(v)]));
  return typeof value;
}

export interface Answer {
  rc: number;
  out: string;
  status: string;
}

/** One command to the mon (or what `fn` names), its result written down; the answer's texts are not. */
export async function command(c: Context, cluster: Handle, words: string[], { input = '', fn = 'rados_mon_command', target }: { input?: string; fn?: string; target?: string } = {}): Promise<Answer> {
  const [out, outSize, status, statusSize] = [new Out('out', 'u64'), new Out('outSize', 'u64'), new Out('status', 'u64'), new Out('statusSize', 'u64')];
  const argument = Strings.of(JSON.stringify(words.map((w) => (w.length > 90 ? `${w.slice(0, 12)}...(${w.length})` : w))), words);
  const before: Argument[] = target === undefined ? [cluster] : [cluster, target];
  const rc = await c.call(fn, ...before, argument, words.length, text(input), input.length, out, outSize, status, statusSize);
  const answer: Answer = { rc, out: bytesAt(out.value, Number(outSize.value)).toString(), status: bytesAt(status.value, Number(statusSize.value)).toString() };
  for (const buffer of [out, status]) if (buffer.value !== 0n) await c.silent('rados_buffer_free', buffer.value);
  return answer;
}

/** The names of the objects of a context, with their namespaces, sorted. */
export async function objects(c: Context, io: Handle): Promise<string[]> {
  const list = new Out('list', 'u64');
  if (Number(await c.silent('rados_nobjects_list_open', io, list)) < 0) return ['rados_nobjects_list_open failed'];
  const [entry, key, space] = [new Out('entry', 'text'), new Out('key', 'text'), new Out('space', 'text')];
  const names: string[] = [];
  while (Number(await c.silent('rados_nobjects_list_next', list.value, entry, key, space)) === 0) {
    names.push(`${space.text ? `${space.text}/` : ''}${entry.text}${key.text ? ` by ${key.text}` : ''}`);
  }
  await c.silent('rados_nobjects_list_close', list.value);
  return names.sort();
}

/** The object that a case plays with; removed before and after. Images' own objects lie beside it. */
export const OBJECTS = ['o', 'p', 'q'] as const;

export async function withObjects(c: Context, run: () => Promise<void>): Promise<void> {
  const clean = async () => { for (const name of OBJECTS) await c.silent('rados_remove', c.io, name); };
  await clean();
  await run();
  await clean();
}

/** Runs with a pool of its own, which is removed afterwards. */
export async function withPool(c: Context, name: string, run: (io: Handle) => Promise<void>): Promise<void> {
  await c.need('rados_pool_create', c.cluster, name);
  const io = await c.ioctx({ pool: name, as: 'own' });
  await run(io);
  await c.drop(io);
  await c.silent('rados_pool_delete', c.cluster, name);
}
