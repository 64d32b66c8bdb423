// What every feature of the service works with. It is built once by the daemon; tests build their own.
import type { Backend } from '../backend/backend.js';
import type { Store } from '../store/store.js';
import { ServiceError } from './errors.js';
import type { LayerWorker } from './layer-worker.js';
import type { Merger, MergeProgress } from './merge.js';
import { KeyedLock } from './keyed-lock.js';
import { ObjectWatches } from './object-watches.js';
import { Ops } from './ops.js';
import type { IntentRecord, Time } from './records.js';
import { Sessions } from './sessions.js';

export interface ServiceOptions {
  readonly store: Store;
  /** By the name that pools give. */
  readonly backends: ReadonlyMap<string, Backend>;
  /** The options that the configuration gives to a client: Ceph's names and their text (rbd_default_features, ...). */
  readonly clientConfig: (entity: string) => Readonly<Record<string, string>>;
  /** How long the sessions of an earlier daemon may take to come back. */
  readonly graceMs: number;
  readonly log: (line: string) => void;
  /** How long a process that is alive may take to drain and flush before its volume is taken from it. */
  readonly drainMs?: number;
  /** Whether a process stands still (SIGSTOP), so that waiting for its answer is in vain. */
  readonly isStopped?: (pid: number) => boolean;
  /** False where the process has ended. */
  readonly isAlive?: (pid: number) => boolean;
  /** What copies and merges layers; without it those calls are refused. */
  readonly layerWorker?: LayerWorker;
  /** Milliseconds since the epoch; tests replace it. */
  readonly now?: () => number;
}

export class Context {
  readonly store: Store;
  readonly backends: ReadonlyMap<string, Backend>;
  readonly clientConfig: (entity: string) => Readonly<Record<string, string>>;
  readonly log: (line: string) => void;
  readonly drainMs: number;
  readonly isStopped: (pid: number) => boolean;
  readonly sessions: Sessions;
  readonly ops: Ops;
  readonly objectWatches = new ObjectWatches();
  /** One change at a time to an image: held while volumes and records change together. */
  readonly imageLocks = new KeyedLock();
  readonly poolLocks = new KeyedLock();
  /** Images (imageKey) that are just being removed: who wants to open one waits for the outcome. */
  readonly removing = new Set<string>();
  /** Volumes that are to go and could not be removed yet, by name, and why not. */
  readonly unremoved = new Map<string, { readonly intent: IntentRecord; readonly reason: string }>();
  /** Volumes that somebody reads beside all records: they are not removed meanwhile. */
  private readonly pins = new Map<string, number>();
  /** Set where removals are tried again. */
  retryRemovals: (() => void) | undefined;
  /** The merge that is going on. */
  merging: MergeProgress | undefined;
  /** Where layers are merged in the background. */
  merger: Merger | undefined;
  private serial = Date.now() * 1000;
  private readonly clock: () => number;

  private readonly worker: LayerWorker | undefined;

  constructor(options: ServiceOptions) {
    this.store = options.store;
    this.backends = options.backends;
    this.clientConfig = options.clientConfig;
    this.log = options.log;
    this.worker = options.layerWorker;
    this.drainMs = options.drainMs ?? 10_000;
    this.isStopped = options.isStopped ?? (() => false);
    this.clock = options.now ?? Date.now;
    this.ops = new Ops(options.store, this.clock);
    this.sessions = new Sessions(options.store, { graceMs: options.graceMs, isAlive: options.isAlive ?? (() => true), log: options.log });
    this.sessions.onStir = () => this.retryRemovals?.();
  }

  isPinned(volume: string): boolean {
    return this.pins.has(volume);
  }

  /** Returns how to take the pins away again; to be called once. */
  pin(volumes: readonly string[]): () => void {
    const add = (volume: string, by: number): void => {
      const count = (this.pins.get(volume) ?? 0) + by;
      if (count > 0) this.pins.set(volume, count);
      else this.pins.delete(volume);
    };
    for (const volume of volumes) add(volume, 1);
    return () => {
      for (const volume of volumes) add(volume, -1);
      this.retryRemovals?.();
    };
  }

  get canWorkOnLayers(): boolean {
    return this.worker !== undefined;
  }

  /** EOPNOTSUPP where there is none. */
  layerWorker(): LayerWorker {
    if (!this.worker) throw new ServiceError('EOPNOTSUPP', 'this daemon cannot copy layers');
    return this.worker;
  }

  /** Numbers that grow, also over a restart: a session ignores a state that is older than one it has. */
  nextSerial(): number {
    this.serial += 1;
    return this.serial;
  }

  now(): Time {
    const ms = this.clock();
    return { sec: Math.floor(ms / 1000), nsec: Math.floor((ms % 1000) * 1e6) };
  }

  /** A number of a client's configuration, or Ceph's default for it. */
  configNumber(entity: string, option: string, byDefault: number): number {
    const text = this.clientConfig(entity)[option];
    const value = text === undefined || text.trim() === '' ? byDefault : Number(text);
    return Number.isSafeInteger(value) ? value : byDefault;
  }
}
