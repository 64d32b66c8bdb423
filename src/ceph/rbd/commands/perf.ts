// perf image iostat and iotop: one look of a few seconds at what clients do; the launcher asks again for the next.
import {setTimeout as pause} from 'node:timers/promises';
import {Float, List} from '../../document.js';
import {left, right, textTable} from '../../text-table.js';
import {bytes, counts} from '../../units.js';
import type {ImageIo} from '../../../service/io-counters.js';
import {asData, atPool, value, type RbdCommand} from '../command.js';
import {misspelt, RbdFailure, strerror} from '../errors.js';
import {countOf} from '../options.js';
import type {RbdShell} from '../shell.js';
import {parsePoolSpec} from '../spec.js';

const periodMs = 5000;

interface Rates {
  readonly pool: string;
  readonly namespace: string;
  readonly image: string;
  readonly write_ops: number;
  readonly read_ops: number;
  readonly write_bytes: number;
  readonly read_bytes: number;
  /** Nanoseconds a request. */
  readonly write_latency: number;
  readonly read_latency: number;
}

const metrics = ['write_ops', 'read_ops', 'write_bytes', 'read_bytes', 'write_latency', 'read_latency'] as const;
type Metric = (typeof metrics)[number];

function metricOf(shell: RbdShell): Metric {
  const text = (shell.options.text('sort-by') ?? 'write-ops').replaceAll('-', '_');
  const metric = metrics.find((name) => name === text);
  if (!metric) throw misspelt('the argument for option \'--sort-by\' is invalid');
  return metric;
}

async function poolsOf(shell: RbdShell): Promise<{ids: Map<number, string>, namespace: string|undefined, isOne: boolean}> {
  const spec = parsePoolSpec(shell.options.word(0));
  const name = spec.pool ?? shell.options.text('pool');
  const {pools} = await shell.ask('pool.list', {}) as {pools: {id: number, name: string}[]};
  const wanted = name === undefined ? pools : pools.filter((pool) => pool.name === name);
  if (wanted.length === 0) throw new RbdFailure(2, `rbd: mgr command failed: ${strerror(2)}: [errno 2] RADOS object not found (Pool '${name ?? ''}' not found)\n`);
  return {ids: new Map(wanted.map(({id, name}) => [id, name])), namespace: spec.namespace ?? shell.options.text('namespace'), isOne: name !== undefined};
}

async function look(shell: RbdShell, pools: Map<number, string>): Promise<Map<string, ImageIo>> {
  const {images} = await shell.ask('pool.io', {pools: [...pools.keys()]}) as {images: ImageIo[]};
  return new Map(images.map((image) => [`${image.pool}/${image.namespace}/${image.id}`, image]));
}

function ratesOf(pool: string, before: ImageIo, after: ImageIo, seconds: number): Rates {
  const rate = (a: number, b: number): number => Math.max(0, b - a) / seconds;
  const latency = (a: ImageIo['reads'], b: ImageIo['reads']): number => b.ops > a.ops ? (b.nanoseconds - a.nanoseconds) / (b.ops - a.ops) : 0;
  return {
    pool, namespace: after.namespace, image: after.name,
    write_ops: rate(before.writes.ops, after.writes.ops), read_ops: rate(before.reads.ops, after.reads.ops),
    write_bytes: rate(before.writes.bytes, after.writes.bytes), read_bytes: rate(before.reads.bytes, after.reads.bytes),
    write_latency: latency(before.writes, after.writes), read_latency: latency(before.reads, after.reads),
  };
}

/** "8.03 ms" */
function duration(nanoseconds: number): string {
  const units = [' ns', ' us', ' ms', ' s'];
  let power = 0;
  while (power < 3 && nanoseconds >= 1000 ** (power + 1)) power++;
  return `${(nanoseconds / 1000 ** power).toFixed(2)}${units[power] ?? ''}`;
}

async function iostat(shell: RbdShell): Promise<void> {
  const metric = metricOf(shell);
  const iterations = countOf(shell.options, 'iterations');
  if (iterations === 0) throw misspelt('the argument for option \'--iterations\' is invalid');
  const {format} = shell;
  const {ids, namespace, isOne} = await poolsOf(shell);
  if (!format) shell.complain('rbd: waiting for initial image stats\n\n');
  const before = await look(shell, ids);
  const begun = process.hrtime.bigint();
  await pause(periodMs);
  const after = await look(shell, ids);
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  const rates: Rates[] = [];
  for (const [key, image] of after) {
    const earlier = before.get(key);
    if (!earlier || (namespace !== undefined && image.namespace !== namespace)) continue;
    const found = ratesOf(ids.get(image.pool) ?? '', earlier, image, seconds);
    if (found.write_ops > 0 || found.read_ops > 0) rates.push(found);
  }
  rates.sort((a, b) => b[metric] - a[metric]);
  if (format) {
    shell.printed('images', () => new List('image', rates.map((one) => ({
      pool: one.pool, pool_namespace: one.namespace, image: one.image, write_ops: Math.round(one.write_ops), read_ops: Math.round(one.read_ops),
      write_bytes: Math.round(one.write_bytes), read_bytes: Math.round(one.read_bytes), write_latency: new Float(one.write_latency), read_latency: new Float(one.read_latency),
    }))));
    return;
  }
  const name = (one: Rates): string => [...(isOne ? [] : [one.pool]), ...(one.namespace ? [one.namespace] : []), one.image].join('/');
  // Every cell but the name ends in a blank, as in the real table.
  shell.print(textTable([left('NAME'), ...['WR ', 'RD ', 'WR_BYTES ', 'RD_BYTES ', 'WR_LAT ', 'RD_LAT '].map(right)], rates.map((one) => [
    name(one), `${counts(Math.round(one.write_ops))}/s `, `${counts(Math.round(one.read_ops))}/s `, `${bytes(Math.round(one.write_bytes))}/s `,
    `${bytes(Math.round(one.read_bytes))}/s `, `${duration(one.write_latency)} `, `${duration(one.read_latency)} `])));
  shell.print('\n');
}

export const perfCommands: readonly RbdCommand[] = [
  {
    names: ['perf image iostat'], usage: '<pool-spec>', help: 'Show what is done with images, by the second.', words: 1, run: iostat,
    options: [...atPool, value('iterations'), value('sort-by'), ...asData],
  },
  {names: ['perf image iotop'], usage: '<pool-spec>', help: 'Show it again and again.', words: 1, run: iostat, options: atPool},
];
