// The cluster as a whole: status, health, ids, versions, monitors. What has no counterpart here is shown as a small healthy
// cluster would show it (docs/ceph-commands.md lists those fields).
import {hostname} from 'node:os';
import type {Cluster, MonCommand, Reply, Request} from '../command.js';
import {Fields, List, render, type Doc} from '../document.js';
import {pgsOf, type Facts} from '../facts.js';
import {atLeast, choice, int, optional} from '../signature.js';
import {ago, bytes, counts, timestamp} from '../units.js';

/** What clients that look for a release find. */
export const release = {version: '16.2.15', name: 'pacific', build: 'cbd2rbd-0.1.0'} as const;
export const versionText = `ceph version ${release.version} (${release.build}) ${release.name} (stable)`;

/** Where the one monitor says it is: its address is for texts that name one, nobody connects there. */
export const monitor = {name: 'a', host: '127.0.0.1', v2: 3300, v1: 6789} as const;

const monFeatures = ['kraken', 'luminous', 'mimic', 'osdmap-prune', 'nautilus', 'octopus', 'pacific', 'elector-pinging'];

const secondsUp = (cluster: Cluster): number => Math.max(0, Date.now() / 1000 - cluster.since.sec);

function health(): Doc {
  return {status: 'HEALTH_OK', checks: {}, mutes: new List('item', [])};
}

async function status(request: Request): Promise<Reply> {
  const facts = await request.facts();
  const {cluster} = request;
  const up = secondsUp(cluster);
  const pgs = facts.pools.reduce((sum, pool) => sum + pgsOf(pool.record), 0);
  const doc: Doc = {
    fsid: cluster.fsid,
    health: health(),
    election_epoch: 3,
    quorum: new List('rank', [0]),
    quorum_names: new List('id', [monitor.name]),
    quorum_age: Math.floor(up),
    monmap: {epoch: 1, min_mon_release_name: release.name, num_mons: 1},
    osdmap: {
      epoch: facts.epoch, num_osds: 1, num_up_osds: 1, osd_up_since: cluster.since.sec, num_in_osds: 1,
      osd_in_since: cluster.since.sec, num_remapped_pgs: 0,
    },
    pgmap: {
      pgs_by_state: new List('pgs_by_state_element', pgs > 0 ? [{state_name: 'active+clean', count: pgs}] : []),
      num_pgs: pgs, num_pools: facts.pools.length, num_objects: facts.objects, data_bytes: facts.storedBytes,
      bytes_used: facts.usedBytes, bytes_avail: facts.availBytes, bytes_total: facts.totalBytes,
    },
    fsmap: {epoch: 1, by_rank: new List('mds', []), 'up:standby': 0},
    mgrmap: {available: true, num_standbys: 0, modules: new List('module', []), services: {}},
    servicemap: {epoch: 1, modified: timestamp(cluster.since), services: {}},
    progress_events: {},
  };
  return {root: 'status', doc, end: '\n', plain: statusText(cluster, facts, pgs)};
}

function statusText(cluster: Cluster, facts: Facts, pgs: number): string {
  const age = ago(secondsUp(cluster));
  return [
    '  cluster:', `    id:     ${cluster.fsid}`, '    health: HEALTH_OK', ' ',
    '  services:',
    `    mon: 1 daemons, quorum ${monitor.name} (age ${age})`,
    `    mgr: x(active, since ${age})`,
    `    osd: 1 osds: 1 up (since ${age}), 1 in (since ${age})`, ' ',
    '  data:',
    `    pools:   ${facts.pools.length} pools, ${pgs} pgs`,
    `    objects: ${counts(facts.objects)} objects, ${bytes(facts.storedBytes)}`,
    `    usage:   ${bytes(facts.usedBytes)} used, ${bytes(facts.availBytes)} / ${bytes(facts.totalBytes)} avail`,
    `    pgs:     ${pgs > 0 ? `${pgs} active+clean` : ''}`, ' ', '',
  ].join('\n');
}

function monmap({fsid, since}: Cluster): Record<string, Doc> {
  const time = timestamp(since).replace('+0000', 'Z');
  const address = `${monitor.host}:${monitor.v1}/0`;
  return {
    epoch: 1, fsid, modified: time, created: time, min_mon_release: 16, min_mon_release_name: release.name, election_strategy: 1,
    'disallowed_leaders: ': '', stretch_mode: false, tiebreaker_mon: '', 'removed_ranks: ': '',
    features: {persistent: new List('bit_flag', monFeatures), optional: new List('bit_flag', [])},
    mons: new List('mon', [{
      rank: 0, name: monitor.name,
      public_addrs: {addrvec: new List('addr', [
        {type: 'v2', addr: `${monitor.host}:${monitor.v2}`, nonce: 0}, {type: 'v1', addr: `${monitor.host}:${monitor.v1}`, nonce: 0}])},
      addr: address, public_addr: address, priority: 0, weight: 0, crush_location: '{}',
    }]),
  };
}

const addressVector = `[v2:${monitor.host}:${monitor.v2}/0,v1:${monitor.host}:${monitor.v1}/0]`;

function monDump({cluster}: Request): Reply {
  const time = timestamp(cluster.since);
  return {
    outs: 'dumped monmap epoch 1', root: 'monmap', end: '\n',
    doc: {...monmap(cluster), quorum: new List('mon', [0])},
    plain: [
      'epoch 1', `fsid ${cluster.fsid}`, `last_changed ${time}`, `created ${time}`, `min_mon_release 16 (${release.name})`,
      'election_strategy: 1', `0: ${addressVector} mon.${monitor.name}`, '',
    ].join('\n'),
  };
}

function monStat(): Reply {
  return {
    root: 'monmap', end: '\n',
    doc: {
      epoch: 1, min_mon_release_name: release.name, num_mons: 1, leader: monitor.name,
      quorum: new List('mon', [{rank: 0, name: monitor.name}]),
    },
    plain: `e1: 1 mons at {${monitor.name}=${addressVector}} removed_ranks: {}, election epoch 3, leader 0 ${monitor.name}, quorum 0 ${monitor.name}\n`,
  };
}

function quorumStatus({cluster}: Request): Reply {
  const doc: Doc = {
    election_epoch: 3, quorum: new List('mon', [0]), quorum_names: new List('mon', [monitor.name]), quorum_leader_name: monitor.name,
    quorum_age: Math.floor(secondsUp(cluster)),
    features: {quorum_con: '4540138314316775423', quorum_mon: new List('bit_flag', monFeatures)},
    monmap: monmap(cluster),
  };
  // Plain is compact JSON here, as the real monitor has it.
  return {root: 'quorum_status', doc, end: '\n', plain: `${render('', doc, 'json')}\n`};
}

function monStatus({cluster}: Request): Reply {
  const doc: Doc = {
    name: monitor.name, rank: 0, state: 'leader', election_epoch: 3, quorum: new List('mon', [0]), quorum_age: Math.floor(secondsUp(cluster)),
    features: {
      required_con: '2449958747317026820', required_mon: new List('bit_flag', monFeatures), quorum_con: '4540138314316775423',
      quorum_mon: new List('bit_flag', monFeatures),
    },
    outside_quorum: new List('mon', []), extra_probe_peers: new List('peer', []), sync_provider: new List('provider', []), monmap: monmap(cluster),
  };
  return {root: 'mon_status', doc};
}

const counted = (count: number): Doc => new Fields([[versionText, count]]);

const noArgs = {args: [], module: 'mon', rights: 'r'} as const;
const detail = optional(choice('detail', ['detail']));

export const statusCommands: readonly MonCommand[] = [
  {name: 'status', ...noArgs, help: 'show the cluster in short', run: status},
  {
    name: 'health', ...noArgs, args: [detail], help: 'show health',
    run: () => ({root: 'health', doc: health(), plain: 'HEALTH_OK\n'}),
  },
  {
    name: 'fsid', ...noArgs, help: 'show the cluster\'s id',
    run: ({cluster}) => ({root: 'fsid', doc: {fsid: cluster.fsid}, plain: `${cluster.fsid}\n`}),
  },
  {
    name: 'version', ...noArgs, help: 'show the monitor\'s version',
    run: () => ({root: 'version', doc: {version: versionText}, end: '\n', plain: `${versionText}\n`}),
  },
  {
    name: 'versions', ...noArgs, help: 'show how many daemons run which version',
    run: () => ({root: 'version', doc: {mon: counted(1), mgr: counted(1), osd: counted(1), mds: {}, overall: counted(3)}}),
  },
  ...(['mon', 'osd', 'mgr'] as const).map((kind): MonCommand => ({
    name: `${kind} versions`, args: [], module: kind, rights: 'r', help: `show how many ${kind}s run which version`,
    run: () => ({root: 'ceph_version', doc: counted(1), end: kind === 'mon' ? '\n' : ''}),
  })),
  {name: 'mon_status', ...noArgs, help: 'show the monitor that answers', run: monStatus, isDeprecated: true},
  {name: 'mon dump', ...noArgs, args: [optional(int('epoch'))], help: 'show the monitor map', run: monDump},
  {name: 'mon stat', ...noArgs, help: 'show the monitors in short', run: monStat},
  {name: 'quorum_status', ...noArgs, help: 'show the monitors\' quorum', run: quorumStatus},
  {
    name: 'features', ...noArgs, help: 'show which features daemons and clients have',
    run: ({cluster}) => {
      const group = (num: number): Doc => new List('group', [{features: '0x3f01cfbdfffdffff', release: 'luminous', num}]);
      const clients = Math.max(1, cluster.ctx.sessions.list().length);
      return {root: 'features', doc: {mon: group(1), osd: group(1), client: group(clients), mgr: group(1)}};
    },
  },
  {
    name: 'node ls', ...noArgs, args: [optional(choice('type', ['all', 'osd', 'mon', 'mds', 'mgr']))], help: 'show which daemons run on which host',
    run: ({values}) => {
      const on = (item: string, name: string|number): Doc => new Fields([[hostname(), new List(item, [name])]]);
      const all: Record<string, Doc> = {mon: on('mon', monitor.name), osd: on('osd', 0), mgr: on('mgr', 'x')};
      const type = values.text('type');
      return {root: type && type !== 'all' ? type : 'nodes', doc: type && type !== 'all' ? all[type] ?? {} : all, end: '\n'};
    },
  },
  {
    name: 'time-sync-status', ...noArgs, help: 'show the monitors\' clocks',
    run: () => ({root: 'time_sync', doc: {timechecks: {epoch: 3, round: 0, round_status: 'finished'}}}),
  },
  {
    name: 'log last', args: [optional(atLeast(1, int('num'))), optional(choice('level', ['debug', 'info', 'sec', 'warn', 'error'])),
      optional(choice('channel', ['*', 'cluster', 'audit', 'cephadm']))], module: 'mon', rights: 'r', help: 'show the last lines of the cluster\'s log',
    run: () => ({root: 'tail', doc: new List('entry', []), plain: ''}),
  },
  {name: 'mgr services', ...noArgs, module: 'mgr', help: 'show the manager\'s addresses', run: () => ({root: 'services', doc: {}})},
  {
    name: 'mgr stat', ...noArgs, module: 'mgr', help: 'show the manager in short',
    run: () => ({root: 'stat', doc: {epoch: 4, available: true, active_name: 'x', num_standby: 0}}),
  },
  {
    name: 'fs ls', ...noArgs, help: 'list file systems (there are none here)',
    run: () => ({root: 'filesystems', doc: new List('filesystem', []), end: '\n', plain: 'No filesystems enabled\n'}),
  },
  {
    name: 'pg stat', args: [], module: 'pg', rights: 'r', help: 'show the placement groups in short',
    run: async (request) => {
      const facts = await request.facts();
      const pgs = facts.pools.reduce((sum, pool) => sum + pgsOf(pool.record), 0);
      return {
        root: 'pg_info', hasInnerEnd: true,
        doc: {
          pg_ready: true,
          pg_summary: {
            num_pg_by_state: new List('state', pgs > 0 ? [{name: 'active+clean', num: pgs}] : []), num_pgs: pgs,
            num_bytes: facts.storedBytes, total_bytes: facts.totalBytes, total_avail_bytes: facts.availBytes,
            total_used_bytes: facts.usedBytes, total_used_raw_bytes: facts.usedBytes,
          },
        },
        plain: `${pgs} pgs: ${pgs > 0 ? `${pgs} active+clean; ` : ''}${bytes(facts.storedBytes)} data, ${bytes(facts.usedBytes)} used, ${bytes(facts.availBytes)} / ${bytes(facts.totalBytes)} avail\n`,
      };
    },
  },
];
