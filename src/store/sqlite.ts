// The embedded store: one sqlite file, one daemon. Each call is a few short statements on the caller's turn, so calls take
// effect in the order they are made. It knows nothing of what the keys mean.
import { statSync } from 'node:fs';
import { faultPoint } from '../fault.js';
import { Database, type Statement } from './sqlite-library.js';
import {
  checkChanges, endOfPrefix, StoreError, type Change, type CommitResult, type Condition, type Entry, type ListOptions, type Store, type Transaction,
  type Watch, type WatchEvent,
} from './store.js';

const schemaVersion = 1;
const schema = `
  CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL, lease INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS leased ON entries (lease) WHERE lease <> 0;
  CREATE TABLE IF NOT EXISTS leases (id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL, expires INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  INSERT OR IGNORE INTO counters VALUES ('revision', 1), ('lease', 0);
`;

const statementTexts = {
  get: 'SELECT value, revision FROM entries WHERE key = ?1',
  getAll: `SELECT json_group_array(json_array(key, value, revision)) FROM entries WHERE key IN (SELECT value FROM json_each(?1))`,
  // One row with everything as JSON: a call into sqlite for each column of 10,000 rows would take longer than the query.
  listFrom: `SELECT json_group_array(json_array(key, value, revision)) FROM
    (SELECT key, value, revision FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3)`,
  listAfter: `SELECT json_group_array(json_array(key, value, revision)) FROM
    (SELECT key, value, revision FROM entries WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3)`,
  revisionOf: 'SELECT revision FROM entries WHERE key = ?1',
  anyIn: 'SELECT 1 FROM entries WHERE key >= ?1 AND key < ?2 LIMIT 1',
  keysIn: 'SELECT key FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key',
  put: `INSERT INTO entries (key, value, revision, lease) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (key) DO UPDATE SET value = ?2, revision = ?3, lease = ?4`,
  remove: 'DELETE FROM entries WHERE key = ?1',
  counter: 'SELECT value FROM counters WHERE name = ?1',
  setCounter: 'UPDATE counters SET value = ?2 WHERE name = ?1',
  begin: 'BEGIN IMMEDIATE',
  commit: 'COMMIT',
  rollback: 'ROLLBACK',
  leaseTtl: 'SELECT ttl FROM leases WHERE id = ?1',
  putLease: 'INSERT INTO leases (id, ttl, expires) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET expires = ?3',
  removeLease: 'DELETE FROM leases WHERE id = ?1',
  leasedKeys: 'SELECT key FROM entries WHERE lease = ?1 ORDER BY key',
  expired: 'SELECT id FROM leases WHERE expires <= ?1',
  leases: 'SELECT id, ttl FROM leases',
} as const;

type Statements = Record<keyof typeof statementTexts, Statement>;

interface Watcher {
  readonly prefix: string;
  readonly onEvents: (events: WatchEvent[]) => void;
}

const leaseCheckMs = 250;
/** What the log holds between two checkpoints. */
const reservedPages = 500;
const reservedBytes = reservedPages * 4096;
/** So many keys in one statement. */
const getTogether = 500;

/** What a statement gave as JSON. */
function entriesOf(text: string | undefined): Entry[] {
  const rows = JSON.parse(text ?? '[]') as [string, string, number][];
  return rows.map(([key, value, revision]) => ({ key, value, revision }));
}

/** Opens, or makes, the store in the file at `path`. StoreError names the file, for instance where another daemon has it open. */
export function openSqliteStore(path: string): Store {
  return new SqliteStore(path);
}

class SqliteStore implements Store {
  private readonly db: Database;
  private readonly statements: Statements;
  private readonly watchers = new Set<Watcher>();
  private revision: number;
  private fullSync = true;
  private leaseTimer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(path: string) {
    this.db = new Database(path);
    try {
      // Exclusive: a second daemon on the same file is refused when it starts, not when both have done harm.
      this.db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;' +
        `PRAGMA wal_autocheckpoint = ${reservedPages};`);
      this.db.exec(`BEGIN IMMEDIATE; ${schema} COMMIT;`);
      this.statements = this.prepareAll();
      this.checkVersion();
      this.reserveSpace();
      this.revision = this.counter('revision');
      this.startLeaseTimer();
      // Time that passed while no daemon ran does not count against a lease: who could have kept it alive?
      for (const { id, ttl } of this.statements.leases.all((row) => ({ id: row.number(0), ttl: row.number(1) }))) {
        this.statements.putLease.run(id, ttl, Date.now() + ttl * 1000);
      }
    } catch (error) {
      this.db.close();
      throw error;
    }
  }

  async get(key: string): Promise<Entry | undefined> {
    this.assertOpen();
    return this.statements.get.all((row) => ({ key, value: row.text(0), revision: row.number(1) }), key)[0];
  }

  async getAll(keys: readonly string[]): Promise<(Entry | undefined)[]> {
    const found = new Map<string, Entry>();
    for (let at = 0; at < keys.length; at += getTogether) {
      this.assertOpen();
      const [text] = this.statements.getAll.all((row) => row.text(0), JSON.stringify(keys.slice(at, at + getTogether)));
      for (const entry of entriesOf(text)) found.set(entry.key, entry);
    }
    return keys.map((key) => found.get(key));
  }

  async list({ prefix, after, limit }: ListOptions): Promise<Entry[]> {
    this.assertOpen();
    const isBehind = after !== undefined && Buffer.compare(Buffer.from(after), Buffer.from(prefix)) >= 0;
    const statement = isBehind ? this.statements.listAfter : this.statements.listFrom;
    const [text] = statement.all((row) => row.text(0), isBehind ? after : prefix, endOfPrefix(prefix), limit ?? -1);
    return entriesOf(text);
  }

  async commit(transaction: Transaction): Promise<CommitResult> {
    this.assertOpen();
    checkChanges(transaction.changes);
    faultPoint('store');
    this.useFullSync(transaction.survives !== 'process-death');
    const result = this.inTransaction(() => {
      const holds = (transaction.when ?? []).every((condition) => this.holds(condition));
      return holds ? this.apply(transaction.changes) : undefined;
    });
    faultPoint('store');
    if (!result) return { done: false, revision: this.revision };
    this.announce(result);
    return { done: true, revision: this.revision };
  }

  async grantLease(ttlSeconds: number): Promise<number> {
    this.assertOpen();
    if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1) throw new RangeError(`a lease of ${ttlSeconds} seconds`);
    const id = this.inTransaction(() => {
      const next = this.counter('lease') + 1;
      this.statements.setCounter.run('lease', next);
      this.statements.putLease.run(next, ttlSeconds, Date.now() + ttlSeconds * 1000);
      return next;
    });
    this.startLeaseTimer();
    return id;
  }

  async keepLeaseAlive(lease: number): Promise<boolean> {
    this.assertOpen();
    const [ttl] = this.statements.leaseTtl.all((row) => row.number(0), lease);
    if (ttl === undefined) return false;
    this.statements.putLease.run(lease, ttl, Date.now() + ttl * 1000);
    return true;
  }

  async revokeLease(lease: number): Promise<void> {
    this.assertOpen();
    const events = this.inTransaction(() => {
      const keys = this.statements.leasedKeys.all((row) => row.text(0), lease);
      this.statements.removeLease.run(lease);
      return keys.length > 0 ? this.apply(keys.map((key) => ({ remove: key }))) : [];
    });
    this.announce(events);
  }

  watch(prefix: string, onEvents: (events: WatchEvent[]) => void): Watch {
    this.assertOpen();
    const watcher: Watcher = { prefix, onEvents };
    this.watchers.add(watcher);
    return { ready: Promise.resolve(), close: () => { this.watchers.delete(watcher); } };
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.leaseTimer);
    this.watchers.clear();
    this.db.close();
  }

  private prepareAll(): Statements {
    const entries = Object.entries(statementTexts).map(([name, text]) => [name, this.db.prepare(text)] as const);
    return Object.fromEntries(entries) as Statements;
  }

  private checkVersion(): void {
    const [version = 0] = this.db.prepare('PRAGMA user_version').all((row) => row.number(0));
    if (version > schemaVersion) throw new StoreError(`${this.db.path}: made by a newer cbd2rbd (schema ${version}, known ${schemaVersion})`);
    if (version < schemaVersion) this.db.exec(`PRAGMA user_version = ${schemaVersion}`);
  }

  /**
   * Volumes may be on the same disk, and may fill it: commits must go on then, or nothing could be removed any more. So the log and the file
   * have grown beforehand by as much as the log holds between two checkpoints, and a commit writes over what is theirs already. The log keeps
   * its length until the file is closed, and where the daemon is killed; the file's pages stay free for later.
   */
  private reserveSpace(): void {
    const [free = 0] = this.db.prepare('PRAGMA freelist_count').all((row) => row.number(0));
    if (free >= reservedPages && statSync(`${this.db.path}-wal`).size >= reservedBytes) return;
    try {
      this.inTransaction(() => this.db.exec(`DROP TABLE IF EXISTS reserve; CREATE TABLE reserve (space BLOB); INSERT INTO reserve VALUES (zeroblob(${reservedBytes}));`));
      this.db.exec('PRAGMA wal_checkpoint(FULL)');
      this.inTransaction(() => this.db.exec('DROP TABLE reserve'));
      this.db.exec('PRAGMA wal_checkpoint(RESTART)');
    } catch (error) {
      // On a disk that is full already nothing is set aside.
      if (!(error instanceof StoreError)) throw error;
    }
  }

  private counter(name: string): number {
    return this.statements.counter.all((row) => row.number(0), name)[0] ?? 0;
  }

  private holds(condition: Condition): boolean {
    if ('emptyPrefix' in condition) {
      return this.statements.anyIn.all(() => true, condition.emptyPrefix, endOfPrefix(condition.emptyPrefix)).length === 0;
    }
    return (this.statements.revisionOf.all((row) => row.number(0), condition.key)[0] ?? 0) === condition.revision;
  }

  /** Carries out the changes at a new revision, inside a transaction of sqlite, and returns what watchers must hear. */
  private apply(changes: readonly Change[]): WatchEvent[] {
    const revision = this.revision + 1;
    const events: WatchEvent[] = [];
    for (const change of changes) {
      if ('put' in change) {
        this.statements.put.run(change.put, change.value, revision, change.lease ?? 0);
        events.push({ type: 'put', key: change.put, value: change.value, revision });
      } else if ('remove' in change) {
        if (this.statements.remove.run(change.remove) > 0) events.push({ type: 'remove', key: change.remove, revision });
      } else {
        const keys = this.statements.keysIn.all((row) => row.text(0), change.removePrefix, endOfPrefix(change.removePrefix));
        for (const key of keys) {
          this.statements.remove.run(key);
          events.push({ type: 'remove', key, revision });
        }
      }
    }
    if (events.length > 0) this.statements.setCounter.run('revision', revision);
    return events;
  }

  private inTransaction<T>(body: () => T): T {
    this.statements.begin.run();
    let result: T;
    try {
      result = body();
      this.statements.commit.run();
    } catch (error) {
      // A commit that failed for want of space has been rolled back by sqlite itself; a second rollback then says so.
      try { this.statements.rollback.run(); } catch { /* already rolled back */ }
      throw error;
    }
    return result;
  }

  /** Watchers hear of a commit after it, before its caller does; one that throws is its own fault. */
  private announce(events: WatchEvent[]): void {
    const [first] = events;
    if (!first) return;
    this.revision = first.revision;
    for (const watcher of this.watchers) {
      const matching = events.filter((event) => event.key.startsWith(watcher.prefix));
      if (matching.length > 0) watcher.onEvents(matching);
    }
  }

  private useFullSync(wanted: boolean): void {
    if (wanted === this.fullSync) return;
    this.db.exec(`PRAGMA synchronous = ${wanted ? 'FULL' : 'NORMAL'}`);
    this.fullSync = wanted;
  }

  private startLeaseTimer(): void {
    if (this.leaseTimer || this.statements.leases.all(() => 0).length === 0) return;
    this.leaseTimer = setInterval(() => {
      this.expireLeases().catch(() => { /* The disk is full: tried again. */ });
    }, leaseCheckMs);
  }

  private async expireLeases(): Promise<void> {
    for (const lease of this.statements.expired.all((row) => row.number(0), Date.now())) await this.revokeLease(lease);
  }

  private assertOpen(): void {
    if (this.closed) throw new StoreError(`${this.db.path}: the store is closed`);
  }
}
