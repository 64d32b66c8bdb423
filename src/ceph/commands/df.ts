// `df [detail]`: capacity of the backends, and what each pool's volumes take.
import type {MonCommand, Reply, Request} from '../command.js';
import {Fields, Float, List, type Doc} from '../document.js';
import {pgsOf, type Facts, type PoolFacts} from '../facts.js';
import {choice, optional} from '../signature.js';
import {left, right, textTable} from '../text-table.js';
import {bytes, counts, percent} from '../units.js';

const ratio = (used: number, total: number): number => total > 0 ? used / total : 0;

function poolStats(pool: PoolFacts, isDetailed: boolean): Doc {
  const used = pool.storedBytes;
  const quota = pool.record.quota ?? {maxBytes: 0, maxObjects: 0};
  const share = new Float(Math.fround(ratio(used, used + pool.availBytes)));
  const entries: (readonly [string, Doc])[] = [['stored', used]];
  if (isDetailed) entries.push(['stored_data', used], ['stored_omap', 0]);
  entries.push(['objects', pool.objects], ['kb_used', Math.ceil(used / 1024)], ['bytes_used', used]);
  if (isDetailed) entries.push(['data_bytes_used', used], ['omap_bytes_used', 0]);
  entries.push(['percent_used', share], ['max_avail', pool.availBytes]);
  if (isDetailed) {
    entries.push(
        ['quota_objects', quota.maxObjects], ['quota_bytes', quota.maxBytes], ['dirty', 0], ['rd', 0], ['rd_bytes', 0],
        ['wr', 0], ['wr_bytes', 0], ['compress_bytes_used', 0], ['compress_under_bytes', 0], ['stored_raw', used],
        ['avail_raw', pool.availBytes]);
  }
  return new Fields(entries);
}

function document(facts: Facts, isDetailed: boolean): Doc {
  const raw = {
    total_bytes: facts.totalBytes,
    total_avail_bytes: facts.availBytes,
    total_used_bytes: facts.usedBytes,
    total_used_raw_bytes: facts.usedBytes,
    total_used_raw_ratio: new Float(Math.fround(ratio(facts.usedBytes, facts.totalBytes))),
  };
  return {
    stats: {...raw, num_osds: 1, num_per_pool_osds: 1, num_per_pool_omap_osds: 1},
    stats_by_class: {hdd: raw},
    pools: new List('pool', facts.pools.map((pool) => ({
      name: pool.record.name, id: pool.record.id, stats: poolStats(pool, isDetailed),
    }))),
  };
}

const orNone = (limit: number, show: (limit: number) => string): string => limit === 0 ? 'N/A' : show(limit);

function plain(facts: Facts, isDetailed: boolean): string {
  const figures = [
    bytes(facts.totalBytes), bytes(facts.availBytes), bytes(facts.usedBytes), bytes(facts.usedBytes),
    percent(ratio(facts.usedBytes, facts.totalBytes)),
  ];
  const raw = textTable(
      [left('CLASS'), right('SIZE'), right('AVAIL'), right('USED'), right('RAW USED'), right('%RAW USED')],
      [['hdd', ...figures], ['TOTAL', ...figures]]);
  const parted = isDetailed ? [right('(DATA)'), right('(OMAP)')] : [];
  const columns = [
    left('POOL'), right('ID'), right('PGS'), right('STORED'), ...parted, right('OBJECTS'), right('USED'), ...parted,
    right('%USED'), right('MAX AVAIL'),
    ...(isDetailed ? ['QUOTA OBJECTS', 'QUOTA BYTES', 'DIRTY', 'USED COMPR', 'UNDER COMPR'].map(right) : []),
  ];
  const rows = facts.pools.map((pool) => {
    const stored = bytes(pool.storedBytes);
    const split = isDetailed ? [stored, bytes(0)] : [];
    const quota = pool.record.quota ?? {maxBytes: 0, maxObjects: 0};
    return [
      pool.record.name, String(pool.record.id), String(pgsOf(pool.record)), stored, ...split, counts(pool.objects), stored, ...split,
      percent(ratio(pool.storedBytes, pool.storedBytes + pool.availBytes)), bytes(pool.availBytes),
      ...(isDetailed ? [orNone(quota.maxObjects, counts), orNone(quota.maxBytes, bytes), 'N/A', bytes(0), bytes(0)] : []),
    ];
  });
  return `--- RAW STORAGE ---\n${raw} \n--- POOLS ---\n${textTable(columns, rows)}`;
}

async function run(request: Request): Promise<Reply> {
  const facts = await request.facts();
  const isDetailed = request.values.text('detail') === 'detail';
  return {root: 'stats', doc: document(facts, isDetailed), end: '\n', plain: plain(facts, isDetailed)};
}

export const dfCommands: readonly MonCommand[] = [{
  name: 'df', args: [optional(choice('detail', ['detail']))], module: 'mon', rights: 'r', run,
  help: 'show how full the backends are, and what each pool takes',
}];
