// `osd ...` but pools: the map, and the one OSD that stands for the backends together.
import {hostname} from 'node:os';
import {MonRefusal, type MonCommand, type Reply, type Request} from '../command.js';
import {Fields, Float, List, type Doc} from '../document.js';
import {pgsOf, readPools, type Facts} from '../facts.js';
import {choice, int, many, optional, text, type Argument} from '../signature.js';
import {left, mixed, right, textTable, type Column} from '../text-table.js';
import {ago, bytes, timestamp} from '../units.js';
import {poolDocument, poolLine} from './pool-settings.js';
import {monitor, release} from './status.js';

const v2 = `${monitor.host}:6800`;
const v1 = `${monitor.host}:6801`;
const mapFlags = 'sortbitwise,recovery_deletes,purged_snapdirs,pglog_hardlimit';

// An id for the OSD that stays the same for one cluster.
const osdId = (fsid: string): string => `${fsid.slice(0, -1)}0`;
const addresses = (): Doc => ({addrvec: new List('addr', [{type: 'v2', addr: v2, nonce: 0}, {type: 'v1', addr: v1, nonce: 0}])});

async function dump({cluster}: Request): Promise<Reply> {
  const pools = await readPools(cluster);
  const epoch = Math.max(1, ...pools.map((pool) => pool.revision));
  const since = timestamp(cluster.since);
  const doc: Doc = {
    epoch, fsid: cluster.fsid, created: since, modified: since, last_up_change: since, last_in_change: since, flags: mapFlags,
    flags_num: 5799936, flags_set: new List('flag', mapFlags.split(',').sort()), crush_version: 3,
    full_ratio: new Float(Math.fround(0.95)), backfillfull_ratio: new Float(Math.fround(0.9)), nearfull_ratio: new Float(Math.fround(0.85)),
    cluster_snapshot: '', pool_max: Math.max(0, ...pools.map((pool) => pool.record.id)), max_osd: 1, require_min_compat_client: 'luminous',
    min_compat_client: 'jewel', require_osd_release: release.name,
    pools: new List('pool', pools.map(({record, revision}) => poolDocument(record, revision, 'pool'))),
    osds: new List('osd_info', [{
      osd: 0, uuid: osdId(cluster.fsid), up: 1, in: 1, weight: new Float(1), primary_affinity: new Float(1), last_clean_begin: 0, last_clean_end: 0,
      up_from: 1, up_thru: 1, down_at: 0, lost_at: 0, public_addrs: addresses(), cluster_addrs: addresses(),
      heartbeat_back_addrs: addresses(), heartbeat_front_addrs: addresses(), public_addr: `${v1}/0`, cluster_addr: `${v1}/0`,
      heartbeat_back_addr: `${v1}/0`, heartbeat_front_addr: `${v1}/0`, state: new List('state', ['exists', 'up']),
    }]),
    osd_xinfo: new List('xinfo', [{
      osd: 0, down_stamp: '0.000000', laggy_probability: new Float(0), laggy_interval: 0, features: 4540138314316775423n, old_weight: 0,
      last_purged_snaps_scrub: since, dead_epoch: 0,
    }]),
    pg_upmap: new List('mapping', []), pg_upmap_items: new List('mapping', []), pg_temp: new List('osds', []), primary_temp: new List('pgid', []),
    blocklist: {}, range_blocklist: {}, erasure_code_profiles: {default: {k: '2', m: '2', plugin: 'jerasure', technique: 'reed_sol_van'}}, removed_snaps_queue: new List('pool', []),
    new_removed_snaps: new List('pool', []), new_purged_snaps: new List('pool', []),
    crush_node_flags: {}, device_class_flags: {},
    stretch_mode: {stretch_mode_enabled: false, stretch_bucket_count: 0, degraded_stretch_mode: 0, recovering_stretch_mode: 0, stretch_mode_bucket: 0},
  };
  const plain = [
    `epoch ${epoch}`, `fsid ${cluster.fsid}`, `created ${since}`, `modified ${since}`, `flags ${mapFlags}`, 'crush_version 3', 'full_ratio 0.95',
    'backfillfull_ratio 0.9', 'nearfull_ratio 0.85', 'require_min_compat_client luminous', 'min_compat_client jewel',
    `require_osd_release ${release.name}`, 'stretch_mode_enabled false', '',
  ].join('\n') + pools.map(({record, revision}) => poolLine(record, revision)).join('') +
      `max_osd 1\nosd.0 up   in  weight 1 up_from 1 up_thru 1 down_at 0 last_clean_interval [0,0) [v2:${v2}/0,v1:${v1}/0] [v2:${v2}/0,v1:${v1}/0] exists,up ${osdId(cluster.fsid)}\n`;
  return {root: 'osdmap', doc, end: '\n', plain};
}

interface Node {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  readonly typeId: number;
  readonly depth: number;
  readonly children: readonly number[];
}

const nodes = (): readonly Node[] => [
  {id: -1, name: 'default', type: 'root', typeId: 11, depth: 0, children: [-3]},
  {id: -3, name: hostname(), type: 'host', typeId: 1, depth: 1, children: [0]},
  {id: 0, name: 'osd.0', type: 'osd', typeId: 0, depth: 2, children: []},
];

const isOsd = (node: Node): boolean => node.type === 'osd';
const place = (node: Node): string => `${'    '.repeat(node.depth)}${isOsd(node) ? '' : `${node.type} `}${node.name}`;

// The fields that every tree shows, in Ceph's order; `more` stands behind an OSD's.
function nodeDocument(node: Node, more: readonly (readonly [string, Doc])[]): Doc {
  const head: (readonly [string, Doc])[] = [['id', node.id]];
  if (isOsd(node)) head.push(['device_class', 'hdd']);
  head.push(['name', node.name], ['type', node.type], ['type_id', node.typeId]);
  if (isOsd(node)) head.push(['crush_weight', new Float(1)], ['depth', node.depth]);
  if (node.type !== 'root') head.push(['pool_weights', {}]);
  const children: (readonly [string, Doc])[] = isOsd(node) ? [] : [['children', new List('child', node.children)]];
  return new Fields([...head, ...more, ...children]);
}

function tree(): Reply {
  const state = [['exists', 1], ['status', 'up'], ['reweight', new Float(1)], ['primary_affinity', new Float(1)]] as const;
  const rows = nodes().map((node) => [
    String(node.id), isOsd(node) ? 'hdd' : '', '1.00000', place(node),
    ...(isOsd(node) ? ['up', '1.00000', '1.00000'] : ['', '', '']),
  ]);
  return {
    root: 'tree', end: '\n',
    doc: {nodes: new List('item', nodes().map((node) => nodeDocument(node, isOsd(node) ? state : []))), stray: new List('item', [])},
    plain: textTable([mixed('ID'), right('CLASS'), mixed('WEIGHT'), left('TYPE NAME'), mixed('STATUS'), mixed('REWEIGHT'), mixed('PRI-AFF')], rows),
  };
}

function crushTree(): Reply {
  const rows = nodes().map((node) => [String(node.id), isOsd(node) ? 'hdd' : '', '1.00000', place(node)]);
  return {
    root: 'crush_tree',
    doc: {nodes: new List('item', nodes().map((node) => nodeDocument(node, []))), stray: new List('item', [])},
    plain: textTable([mixed('ID'), right('CLASS'), mixed('WEIGHT'), left('TYPE NAME')], rows),
  };
}

interface Filled {
  readonly kb: number;
  readonly used: number;
  readonly data: number;
  readonly meta: number;
  readonly free: number;
  readonly share: number;
  readonly pgs: number;
}

function filled(facts: Facts): Filled {
  const [kb, used, free] = [facts.totalBytes, facts.usedBytes, facts.availBytes].map((count) => Math.floor(count / 1024));
  const data = Math.min(used ?? 0, Math.floor(facts.storedBytes / 1024));
  return {
    kb: kb ?? 0, used: used ?? 0, free: free ?? 0, data, meta: (used ?? 0) - data,
    share: facts.totalBytes > 0 ? facts.usedBytes / facts.totalBytes * 100 : 0,
    pgs: facts.pools.reduce((sum, pool) => sum + pgsOf(pool.record), 0),
  };
}

async function df(request: Request): Promise<Reply> {
  const facts = await request.facts();
  const filter = request.values.text('filter');
  const known = [...facts.pools.map(({record}) => record.name), ...nodes().map(({name}) => name), 'hdd'];
  if (filter !== '' && !known.includes(filter)) throw new MonRefusal('EINVAL', `'${filter}' not a pool, crush node or device class name`);
  const full = filled(facts);
  const isTree = request.values.text('output_method') === 'tree';
  const wanted = nodes().filter((node) => isTree || isOsd(node));
  const figures = (prefix: string): (readonly [string, Doc])[] => [
    [`${prefix}kb`, full.kb], [`${prefix}kb_used`, full.used], [`${prefix}kb_used_data`, full.data], [`${prefix}kb_used_omap`, 0],
    [`${prefix}kb_used_meta`, full.meta], [`${prefix}kb_avail`, full.free],
  ];
  const more = (node: Node): (readonly [string, Doc])[] => [
    ['reweight', new Float(isOsd(node) ? 1 : -1)], ...figures(''), ['utilization', new Float(full.share)], ['var', new Float(1)],
    ['pgs', isOsd(node) ? full.pgs : 0], ...(isOsd(node) ? [['status', 'up'] as const] : []),
  ];
  const summary = new Fields([
    ...figures('total_'), ['average_utilization', new Float(full.share)], ['min_var', new Float(1)], ['max_var', new Float(1)], ['dev', new Float(0)]]);
  return {
    root: 'df', end: '\n',
    doc: {nodes: new List('item', wanted.map((node) => nodeDocument(node, more(node)))), stray: new List('item', []), summary},
    plain: dfText(full, wanted, isTree),
  };
}

function dfText(full: Filled, wanted: readonly Node[], isTree: boolean): string {
  const sizes = [full.kb, full.used, full.data, 0, full.meta, full.free].map((kb) => bytes(kb * 1024));
  const share = full.share.toFixed(2);
  const rows = wanted.map((node) => [
    String(node.id), isOsd(node) ? 'hdd' : '', '1.00000', isOsd(node) ? '1.00000' : '-', ...sizes, share, '1.00',
    isOsd(node) ? String(full.pgs) : '-', isOsd(node) ? 'up' : '', ...(isTree ? [place(node)] : []),
  ]);
  const total = ['', '', '', 'TOTAL', ...sizes, share, '', '', '', ...(isTree ? [''] : [])];
  const heads = ['ID', 'CLASS', 'WEIGHT', 'REWEIGHT', 'SIZE', 'RAW USE', 'DATA', 'OMAP', 'META', 'AVAIL', '%USE', 'VAR', 'PGS', 'STATUS'];
  const columns: Column[] = [...heads.map(mixed), ...(isTree ? [left('TYPE NAME')] : [])];
  return `${textTable(columns, [...rows, total])}MIN/MAX VAR: 1.00/1.00  STDDEV: 0\n`;
}

const epochArgument: readonly Argument[] = [optional(int('epoch'))];
const look = {module: 'osd', rights: 'r'} as const;
const rule: Doc = {
  rule_id: 0, rule_name: 'replicated_rule', ruleset: 0, type: 1, min_size: 1, max_size: 10,
  steps: new List('step', [{op: 'take', item: -1, item_name: 'default'}, {op: 'choose_firstn', num: 0, type: 'osd'}, {op: 'emit'}]),
};

async function epochOf(request: Request): Promise<number> {
  return Math.max(1, ...(await readPools(request.cluster)).map((pool) => pool.revision));
}

export const osdCommands: readonly MonCommand[] = [
  {name: 'osd dump', args: epochArgument, ...look, help: 'show the osd map', run: dump},
  {
    name: 'osd tree', args: [...epochArgument, many(optional(choice('states', ['up', 'down', 'in', 'out', 'destroyed'])))], ...look,
    help: 'show the osds as a tree', run: tree,
  },
  {
    name: 'osd df', args: [optional(choice('output_method', ['plain', 'tree'])), optional(choice('filter_by', ['class', 'name'])), optional(text('filter'))],
    ...look, help: 'show how full the osds are', run: df,
  },
  {
    name: 'osd stat', args: [], ...look, help: 'show the osds in short',
    run: async (request) => {
      const [epoch, since] = [await epochOf(request), request.cluster.since];
      const age = ago(Math.max(0, Date.now() / 1000 - since.sec));
      return {
        root: 'osdmap',
        doc: {epoch, num_osds: 1, num_up_osds: 1, osd_up_since: since.sec, num_in_osds: 1, osd_in_since: since.sec, num_remapped_pgs: 0},
        plain: `1 osds: 1 up (since ${age}), 1 in (since ${age}); epoch: e${epoch}\n`,
      };
    },
  },
  {name: 'osd ls', args: epochArgument, ...look, help: 'list the osds', run: () => ({root: 'osds', doc: new List('osd', [0]), end: '\n', plain: '0\n'})},
  {
    name: 'osd getmaxosd', args: [], ...look, help: 'show the highest number of osds',
    run: async (request) => {
      const epoch = await epochOf(request);
      return {root: 'getmaxosd', doc: {epoch, max_osd: 1}, plain: `max_osd = 1 in epoch ${epoch}\n`};
    },
  },
  {name: 'osd crush tree', args: [optional(choice('shadow', ['--show-shadow']))], ...look, help: 'show the crush map as a tree', run: crushTree},
  {
    name: 'osd crush rule ls', args: [], ...look, help: 'list crush rules',
    run: () => ({root: 'rules', doc: new List('name', ['replicated_rule']), plain: 'replicated_rule\n'}),
  },
  {
    name: 'osd crush rule dump', args: [optional(text('name'))], ...look, help: 'show crush rules', 
    run: ({values}) => values.has('name') ? {root: 'rule', doc: rule, end: '\n', prettyEnd: '\n'} : {root: 'rules', doc: new List('rule', [rule]), end: '\n', prettyEnd: '\n'},
  },
  {
    name: 'osd erasure-code-profile ls', args: [], ...look, help: 'list erasure code profiles',
    run: () => ({root: 'erasure-code-profiles', doc: new List('profile', ['default']), end: '\n', prettyEnd: '\n', plain: 'default\n'}),
  },
];
