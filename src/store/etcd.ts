// The store of many hosts: etcd, by its HTTP/JSON gateway (v3). It knows nothing of what the keys mean.
import { randomInt } from 'node:crypto';
import { faultPoint } from '../fault.js';
import { EtcdGateway } from './etcd-gateway.js';
import {
  checkChanges, endOfPrefix, type Change, type CommitResult, type Condition, type Entry, type ListOptions, type Store, type Transaction, type Watch,
  type WatchEvent,
} from './store.js';

export interface EtcdOptions {
  /** "http://host:port" or "https://...", tried in turn. */
  readonly endpoints: readonly string[];
  /** Before every key, so that several stores may share one etcd. */
  readonly prefix: string;
}

interface KeyValue {
  readonly key: string;
  readonly value?: string;
  readonly mod_revision: string;
}

interface Header {
  readonly header: { readonly revision: string };
}

interface RangeReply extends Header {
  readonly kvs?: readonly KeyValue[];
}

interface WatchReply {
  readonly result?: {
    readonly created?: boolean;
    readonly canceled?: boolean;
    readonly compact_revision?: string;
    readonly header?: { readonly revision: string };
    readonly events?: readonly { readonly type?: 'DELETE'; readonly kv: KeyValue }[];
  };
}

/** So many keys in one request: etcd takes 128 operations in a transaction by default. */
const getTogether = 100;

const encode = (text: string): string => Buffer.from(text, 'utf8').toString('base64');
const decode = (text: string | undefined): string => Buffer.from(text ?? '', 'base64').toString('utf8');

/** Resolves when an endpoint has answered. StoreError names them where none does. */
export async function openEtcdStore(options: EtcdOptions): Promise<Store> {
  const gateway = new EtcdGateway(options.endpoints);
  await gateway.call('maintenance/status', {});
  return new EtcdStore(gateway, options.prefix);
}

class EtcdStore implements Store {
  private readonly watches = new Set<Watch>();

  constructor(private readonly gateway: EtcdGateway, private readonly prefix: string) {}

  async get(key: string): Promise<Entry | undefined> {
    const { kvs } = await this.gateway.call<RangeReply>('kv/range', { key: this.keyOf(key) });
    const [found] = kvs ?? [];
    return found && this.entryOf(found);
  }

  async getAll(keys: readonly string[]): Promise<(Entry | undefined)[]> {
    const found: (Entry | undefined)[] = [];
    for (let at = 0; at < keys.length; at += getTogether) {
      const success = keys.slice(at, at + getTogether).map((key) => ({ request_range: { key: this.keyOf(key) } }));
      const { responses } = await this.gateway.call<{ responses?: readonly { response_range?: RangeReply }[] }>('kv/txn', { success });
      found.push(...success.map((_, i) => {
        const [entry] = responses?.[i]?.response_range?.kvs ?? [];
        return entry && this.entryOf(entry);
      }));
    }
    return found;
  }

  async list({ prefix, after, limit }: ListOptions): Promise<Entry[]> {
    const isBehind = after !== undefined && Buffer.compare(Buffer.from(after), Buffer.from(prefix)) >= 0;
    const { kvs } = await this.gateway.call<RangeReply>('kv/range', {
      key: this.keyOf(isBehind ? `${after}\0` : prefix), range_end: this.endOf(prefix), ...(limit === undefined ? {} : { limit: String(limit) }),
    });
    return (kvs ?? []).map((found) => this.entryOf(found));
  }

  async commit({ when, changes }: Transaction): Promise<CommitResult> {
    checkChanges(changes);
    faultPoint('store');
    let wasSentBefore = false;
    const { succeeded, header } = await this.gateway.call<Header & { succeeded?: boolean }>('kv/txn', {
      compare: (when ?? []).map((condition) => this.compareOf(condition)), success: changes.map((change) => this.requestOf(change)),
    }, () => { wasSentBefore = true; });
    faultPoint('store');
    if (succeeded === true) return { done: true, revision: Number(header.revision) };
    const earlier = wasSentBefore ? await this.doneBefore(changes) : undefined;
    return { done: earlier !== undefined, revision: earlier ?? Number(header.revision) };
  }

  /**
   * The revision at which these changes are all there: they were carried out by an endpoint whose answer was lost, and that is why the
   * conditions do not hold any more.
   */
  private async doneBefore(changes: readonly Change[]): Promise<number | undefined> {
    const revisions = new Set<number>();
    for (const change of changes) {
      if ('removePrefix' in change) {
        if ((await this.list({ prefix: change.removePrefix, limit: 1 })).length > 0) return undefined;
        continue;
      }
      const entry = await this.get('put' in change ? change.put : change.remove);
      if (entry?.value !== ('put' in change ? change.value : undefined)) return undefined;
      if (entry) revisions.add(entry.revision);
    }
    const [revision, ...others] = revisions;
    return others.length > 0 ? undefined : revision;
  }

  async grantLease(ttlSeconds: number): Promise<number> {
    if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1) throw new RangeError(`a lease of ${ttlSeconds} seconds`);
    // Chosen here, for etcd's own ids do not fit a number.
    const id = randomInt(1, 2 ** 48 - 1);
    await this.gateway.call('lease/grant', { TTL: String(ttlSeconds), ID: String(id) });
    return id;
  }

  async keepLeaseAlive(lease: number): Promise<boolean> {
    const { result } = await this.gateway.call<{ result?: { TTL?: string } }>('lease/keepalive', { ID: String(lease) });
    return Number(result?.TTL ?? 0) > 0;
  }

  async revokeLease(lease: number): Promise<void> {
    await this.gateway.call('lease/revoke', { ID: String(lease) });
  }

  watch(prefix: string, onEvents: (events: WatchEvent[]) => void): Watch {
    let next: number | undefined;
    let isReady: () => void = () => undefined;
    const ready = new Promise<void>((resolve) => { isReady = resolve; });
    const take = (reply: WatchReply): void => {
      const { created, events, header, compact_revision: compacted } = reply.result ?? {};
      if (compacted !== undefined) next = Number(compacted);
      if (header && next === undefined) next = Number(header.revision) + 1;
      if (created) isReady();
      for (const group of this.byRevision(events ?? [])) {
        next = (group[0]?.revision ?? 0) + 1;
        onEvents(group);
      }
    };
    const stream = this.gateway.stream('watch', () => ({
      create_request: { key: this.keyOf(prefix), range_end: this.endOf(prefix), ...(next === undefined ? {} : { start_revision: String(next) }) },
    }), (reply) => take(reply as WatchReply));
    const watch = {
      ready,
      close: () => {
        stream.close();
        this.watches.delete(watch);
      },
    };
    this.watches.add(watch);
    return watch;
  }

  async close(): Promise<void> {
    for (const watch of this.watches) watch.close();
    this.gateway.close();
  }

  private byRevision(events: readonly { readonly type?: 'DELETE'; readonly kv: KeyValue }[]): WatchEvent[][] {
    const groups: WatchEvent[][] = [];
    for (const { type, kv } of events) {
      const { key, value, revision } = this.entryOf(kv);
      const event: WatchEvent = type === 'DELETE' ? { type: 'remove', key, revision } : { type: 'put', key, value, revision };
      const last = groups.at(-1);
      if (last?.[0]?.revision === revision) last.push(event);
      else groups.push([event]);
    }
    return groups;
  }

  private keyOf(key: string): string {
    return encode(this.prefix + key);
  }

  private endOf(prefix: string): string {
    return encode(endOfPrefix(this.prefix + prefix));
  }

  private entryOf({ key, value, mod_revision: revision }: KeyValue): Entry {
    return { key: decode(key).slice(this.prefix.length), value: decode(value), revision: Number(revision) };
  }

  private compareOf(condition: Condition): object {
    if ('emptyPrefix' in condition) {
      const { emptyPrefix } = condition;
      return { key: this.keyOf(emptyPrefix), range_end: this.endOf(emptyPrefix), target: 'CREATE', result: 'EQUAL', create_revision: '0' };
    }
    return { key: this.keyOf(condition.key), target: 'MOD', result: 'EQUAL', mod_revision: String(condition.revision) };
  }

  private requestOf(change: Change): object {
    if ('put' in change) {
      return { request_put: { key: this.keyOf(change.put), value: encode(change.value), ...(change.lease ? { lease: String(change.lease) } : {}) } };
    }
    if ('remove' in change) return { request_delete_range: { key: this.keyOf(change.remove) } };
    return { request_delete_range: { key: this.keyOf(change.removePrefix), range_end: this.endOf(change.removePrefix) } };
  }
}
