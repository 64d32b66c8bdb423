// A store as far away as another host: each call takes a turn of the event loop, may be held up, and may fail before or after it was done.
import { StoreError, type Store } from '../../src/store/store.js';

type Commit = Parameters<Store['commit']>[0];

export class FarStore implements Store {
  /** The disk there is full for commits of which this holds: nothing is changed. */
  refuse: (keys: readonly string[]) => boolean = () => false;
  /** Commits of which this holds are done, and their answer is lost. */
  loseAnswer: (keys: readonly string[]) => boolean = () => false;
  /** Runs before each call. */
  before: (call: 'get' | 'list' | 'commit', key: string) => Promise<void> | void = () => undefined;

  constructor(private readonly near: Store) {}

  async get(key: string): ReturnType<Store['get']> {
    await this.turn('get', key);
    return this.near.get(key);
  }

  async getAll(keys: readonly string[]): ReturnType<Store['getAll']> {
    await this.turn('get', keys[0] ?? '');
    return this.near.getAll(keys);
  }

  async list(options: Parameters<Store['list']>[0]): ReturnType<Store['list']> {
    await this.turn('list', options.prefix);
    return this.near.list(options);
  }

  async commit(transaction: Commit): ReturnType<Store['commit']> {
    const keys = transaction.changes.map((change) => ('put' in change ? change.put : 'remove' in change ? change.remove : change.removePrefix));
    await this.turn('commit', keys[0] ?? '');
    if (this.refuse(keys)) throw new StoreError('store.db: database or disk is full');
    const result = await this.near.commit(transaction);
    if (this.loseAnswer(keys)) throw new StoreError('etcd does not answer');
    return result;
  }

  grantLease = (seconds: number): Promise<number> => this.near.grantLease(seconds);
  keepLeaseAlive = (lease: number): Promise<boolean> => this.near.keepLeaseAlive(lease);
  revokeLease = (lease: number): Promise<void> => this.near.revokeLease(lease);
  watch: Store['watch'] = (prefix, onEvents) => this.near.watch(prefix, onEvents);
  close = (): Promise<void> => this.near.close();

  private async turn(call: 'get' | 'list' | 'commit', key: string): Promise<void> {
    await this.before(call, key);
    await new Promise((resolve) => { setImmediate(resolve); });
  }
}
