// The options that `ceph config set` keeps: in the store, and in memory for those who ask in the middle of something.
import {keys} from '../service/records.js';
import {transact} from '../service/transact.js';
import type {Store, Watch} from '../store/store.js';

export interface StoredOption {
  /** "global", "client", "client.cinder", "osd", ... */
  readonly section: string;
  readonly name: string;
  readonly value: string;
}

export class StoredOptions {
  // Key in the store -> value; changed by the store's watch and by set and remove, never elsewhere.
  private readonly values = new Map<string, string>();
  private watch: Watch|undefined;

  constructor(private readonly store: Store) {}

  async start(): Promise<void> {
    this.watch = this.store.watch(keys.options, (events) => {
      for (const event of events) {
        if (event.type === 'put') this.values.set(event.key, JSON.parse(event.value) as string);
        else this.values.delete(event.key);
      }
    });
    await this.watch.ready;
    for (const {key, value} of await this.store.list({prefix: keys.options})) this.values.set(key, JSON.parse(value) as string);
  }

  stop(): void {
    this.watch?.close();
  }

  /** Sorted by section ("global" first) and name. */
  list(): StoredOption[] {
    const found = [...this.values].map(([key, value]) => {
      const [section = '', ...name] = key.slice(keys.options.length).split('/');
      return {section, name: name.join('/'), value};
    });
    const rank = (section: string): string => section === 'global' ? '' : section;
    const order = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0;
    return found.sort((a, b) => order(rank(a.section), rank(b.section)) || order(a.name, b.name));
  }

  /** What holds for an entity: global, then its kind, then itself, the later ones winning. */
  for(entity: string): ReadonlyMap<string, StoredOption> {
    const found = new Map<string, StoredOption>();
    for (const section of ['global', entity.split('.')[0] ?? '', entity]) {
      for (const option of this.list()) if (option.section === section) found.set(option.name, option);
    }
    return found;
  }

  async set(option: StoredOption): Promise<void> {
    const key = keys.option(option.section, option.name);
    await transact(this.store, (tx) => tx.put(key, option.value));
    this.values.set(key, option.value);
  }

  async remove(section: string, name: string): Promise<void> {
    const key = keys.option(section, name);
    await transact(this.store, (tx) => tx.remove(key));
    this.values.delete(key);
  }
}
