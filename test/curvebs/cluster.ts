// The CurveBS stand-in put together: MDS, chunkservers, nebd-server and snapshotcloneserver over one folder. Tests run it in
// their own process and reach its switches; main.ts runs it as a program.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Chunkservers } from './chunkservers.js';
import { realClock, type Clock } from './clock.js';
import { Mds } from './mds.js';
import { MdsServer } from './mds-server.js';
import { GIB, Namespace } from './namespace.js';
import { Nebd } from './nebd.js';
import { NebdServer, type Faults } from './nebd-server.js';
import { freePort } from './ports.js';
import { SnapshotCloneServer } from './snapshotclone.js';
import { VolumeData } from './volume-data.js';

export interface ClusterOptions {
  /** Where everything is kept; a stand-in started again on it goes on where the last one stopped. */
  readonly folder: string;
  readonly clock?: Clock;
  readonly rootPassword?: string;
  readonly capacity?: number;
  readonly blockSize?: number;
  /** RPC ports of the MDSs; the first leads. Without it one MDS on a free port. */
  readonly mdsPorts?: readonly number[];
  readonly snapshotClonePort?: number;
  readonly nebdSocket?: string;
  readonly returnRpcWhenIoError?: boolean;
  readonly maxRequestAgeMs?: number;
  readonly firstFd?: number;
  /** How long after its start the leader knows its capacity: 10 s, as the real one, where nothing is said. */
  readonly variablesAfterMs?: number;
}

export const DEFAULT_ROOT_PASSWORD = 'root_password';

export class Cluster {
  readonly data: VolumeData;
  readonly files: Namespace;
  readonly chunkservers: Chunkservers;
  readonly mds: Mds;
  readonly snapshotClone: SnapshotCloneServer;
  readonly nebdSocket: string;
  mdsServers: MdsServer[] = [];
  nebd: Nebd;
  nebdServer: NebdServer;
  private readonly clock: Clock;

  constructor(private readonly options: ClusterOptions) {
    mkdirSync(options.folder, { recursive: true });
    this.clock = options.clock ?? realClock;
    this.nebdSocket = options.nebdSocket ?? join(options.folder, 'nebd.sock');
    this.data = new VolumeData(join(options.folder, 'volumes'));
    this.files = new Namespace(options.folder);
    this.chunkservers = new Chunkservers(3, join(options.folder, 'epochs.json'));
    this.mds = new Mds(this.files, this.data, this.clock, {
      rootPassword: options.rootPassword ?? DEFAULT_ROOT_PASSWORD,
      capacity: options.capacity ?? 3000 * GIB,
      blockSize: options.blockSize ?? 4096,
      poolset: 'default',
      chunkservers: () => this.chunkservers.addresses(),
      maxRequestAgeMs: options.maxRequestAgeMs ?? 15_000,
    });
    this.snapshotClone = new SnapshotCloneServer(this.mds, this.clock, options.snapshotClonePort ?? 0, join(options.folder, 'snapshots.json'));
    this.nebd = this.newNebd();
    this.nebdServer = new NebdServer(this.nebd, this.nebdSocket);
  }

  /** Addresses of all MDSs, the leader's and the followers'. */
  get mdsAddresses(): string[] {
    return this.mdsServers.map((server) => server.address);
  }

  get faults(): Faults {
    return this.nebdServer.faults;
  }

  async start(): Promise<void> {
    await this.chunkservers.start();
    const ports = this.options.mdsPorts ?? [await freePort()];
    this.mdsServers = ports.map((port) => new MdsServer(this.mds, this.clock, port, this.options.variablesAfterMs));
    for (const server of this.mdsServers) await server.start();
    await this.mdsServers[0]!.lead();
    await this.nebdServer.start();
    await this.snapshotClone.start();
  }

  async stop(): Promise<void> {
    this.nebdServer.kill();
    for (const server of this.mdsServers) await server.stop();
    await this.snapshotClone.stop();
    await this.chunkservers.stop();
    await this.data.close();
  }

  /** As kill -9 of the nebd-server process, and its start on the same table. Switched faults stay. */
  async restartNebd(): Promise<void> {
    this.nebdServer.kill();
    // What the killed one had begun does not reach the volumes after what clients send to the next one.
    await this.data.idle();
    const { faults, counts, connections } = this.nebdServer;
    this.nebd = this.newNebd();
    this.nebdServer = new NebdServer(this.nebd, this.nebdSocket);
    Object.assign(this.nebdServer.faults, faults);
    for (const [method, count] of counts) this.nebdServer.counts.set(method, count);
    this.nebdServer.connections = connections;
    await this.nebdServer.start();
  }

  /** Another MDS takes the lead; -1: none does. */
  async setLeader(index: number): Promise<void> {
    for (const server of this.mdsServers) await server.follow();
    await this.mdsServers[index]?.lead();
  }

  /** A nebd-server's insides; another host's, where the table is another. */
  newNebd(table = 'nebd-table.json', firstFd = this.options.firstFd): Nebd {
    return new Nebd(this.mds, this.data, this.chunkservers, this.clock, {
      returnRpcWhenIoError: this.options.returnRpcWhenIoError ?? false,
      clientConfs: ['/etc/curve/client.conf', '/etc/curve/vol_conf/client.conf'],
      tableFile: join(this.options.folder, table),
      mdsAnswers: () => this.mdsServers.some((server) => server.leads),
      ...(firstFd === undefined ? {} : { firstFd }),
    });
  }
}
