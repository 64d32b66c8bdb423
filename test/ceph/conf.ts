// The ceph.conf of a one-machine Ceph for tests: one mon, one mgr, one osd, one copy of everything, all on 127.0.0.1.
// Knows Ceph's options, but no processes.
import { join } from 'node:path';

export type Auth = 'none' | 'cephx';
/** memstore keeps objects in the osd's memory; bluestore in a sparse file, for tests that kill or restart the osd. */
export type Store = 'memstore' | 'bluestore';

export interface ConfOptions {
  dir: string;
  fsid: string;
  /** First of PORTS consecutive free TCP ports. */
  port: number;
  auth: Auth;
  store: Store;
  /** Capacity that the osd reports, in bytes. */
  size: number;
}

/** How many ports a cluster needs: two for the mon, the rest for osd and mgr. */
export const PORTS = 16;
export const PG_COUNT = 8;

type Section = Record<string, string | number>;

function globalSection(o: ConfOptions): Section {
  return {
    'fsid': o.fsid,
    'mon host': `[v2:127.0.0.1:${o.port}/0,v1:127.0.0.1:${o.port + 1}/0]`,
    'mon initial members': 'a',
    'public addr': '127.0.0.1',
    'cluster addr': '127.0.0.1',
    'ms bind port min': o.port + 2,
    'ms bind port max': o.port + PORTS - 1,
    'auth cluster required': o.auth,
    'auth service required': o.auth,
    'auth client required': o.auth,
    'auth allow insecure global id reclaim': 'false',
    'keyring': join(o.dir, 'keyring'),
    'run dir': join(o.dir, 'run'),
    'admin socket': join(o.dir, 'run', '$name.$pid.asok'),
    'log file': join(o.dir, 'log', '$name.log'),
    'mon cluster log file': join(o.dir, 'log', 'cluster.log'),
    'log to stderr': 'false',
    'crash dir': join(o.dir, 'crash'),
    'debug none': '0/0',
    'debug default': '0/0',
    // One osd, one copy: what a production cluster warns of is meant here.
    'osd pool default size': 1,
    'osd pool default min size': 1,
    'osd crush chooseleaf type': 0,
    'osd pool default pg num': PG_COUNT,
    'osd pool default pgp num': PG_COUNT,
    'osd pool default pg autoscale mode': 'off',
    'mon allow pool size one': 'true',
    'mon allow pool delete': 'true',
    'mon warn on pool no redundancy': 'false',
    'mon warn on pool no app': 'false',
    'mon warn on insecure global id reclaim allowed': 'false',
    'mon max pg per osd': 2000,
    'mon data avail warn': 1,
    'mon data avail crit': 0,
    'osd class load list': '*',
    'osd class default allow list': '*',
    'osd max object name len': 2048,
    // Start quickly: short paxos rounds and short report intervals.
    'paxos propose interval': 0.05,
    'paxos min wait': 0.02,
    'mon tick interval': 1,
    'osd mon report interval': 1,
    'mgr tick period': 1,
    'mgr stats period': 1,
    'mgr initial modules': '',
    // Stay small: this shares two cores with the tests.
    'osd op num shards': 2,
    'osd op num threads per shard': 1,
    'ms async op threads': 1,
    'mon memory target': '128M',
    'mon memory autotune': 'false',
    'osd heartbeat grace': 60,
    'mon mgr beacon grace': 30,
    // Tests that take the osd down again and again would make it give up otherwise.
    'osd max markdown count': 1000000,
  };
}

function osdSection(o: ConfOptions): Section {
  return {
    'osd data': join(o.dir, 'osd.0'),
    'osd objectstore': o.store,
    // memstore writes itself out only in a full shutdown.
    'osd fast shutdown': o.store === 'memstore' ? 'false' : 'true',
    'memstore device bytes': o.size,
    'bluestore block create': 'true',
    'bluestore block size': o.size,
    'bluestore block db create': 'false',
    'bluestore block wal create': 'false',
    'bluestore fsck on mount': 'false',
    'bluestore cache autotune': 'false',
    'bluestore cache size': 64 << 20,
    'bdev aio poll ms': 5,
  };
}

/** The text of ceph.conf. */
export function cephConf(o: ConfOptions): string {
  const sections: Record<string, Section> = {
    'global': globalSection(o),
    'mon.a': { 'mon data': join(o.dir, 'mon.a') },
    'mgr.x': { 'mgr data': join(o.dir, 'mgr.x') },
    'osd.0': osdSection(o),
  };
  return Object.entries(sections)
    .map(([name, options]) => `[${name}]\n` + Object.entries(options).map(([k, v]) => `${k} = ${v}\n`).join(''))
    .join('\n');
}
