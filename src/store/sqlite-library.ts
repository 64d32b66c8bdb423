// The few calls of libsqlite3 that the store needs, bound through koffi. It knows nothing of keys and revisions.
import koffi from 'koffi';
import { StoreError } from './store.js';

const OK = 0;
const ROW = 100;
const DONE = 101;
const OPEN_READWRITE = 0x2;
const OPEN_CREATE = 0x4;
const PREPARE_PERSISTENT = 0x1;
const TRANSIENT = -1;

type Handle = unknown;
type Bindable = string | number;

function bindLibrary() {
  const lib = koffi.load('libsqlite3.so.0');
  koffi.opaque('sqlite3');
  koffi.opaque('sqlite3_stmt');
  return {
    open: lib.func('int sqlite3_open_v2(const char *path, _Out_ sqlite3 **db, int flags, const char *vfs)'),
    close: lib.func('int sqlite3_close_v2(sqlite3 *db)'),
    errmsg: lib.func('const char *sqlite3_errmsg(sqlite3 *db)'),
    exec: lib.func('int sqlite3_exec(sqlite3 *db, const char *sql, void *callback, void *arg, void *error)'),
    prepare: lib.func('int sqlite3_prepare_v3(sqlite3 *db, const char *sql, int bytes, unsigned int flags, _Out_ sqlite3_stmt **stmt, void *tail)'),
    bindText: lib.func('int sqlite3_bind_text(sqlite3_stmt *stmt, int index, const char *text, int bytes, intptr_t destructor)'),
    bindInt: lib.func('int sqlite3_bind_int64(sqlite3_stmt *stmt, int index, int64_t value)'),
    step: lib.func('int sqlite3_step(sqlite3_stmt *stmt)'),
    reset: lib.func('int sqlite3_reset(sqlite3_stmt *stmt)'),
    finalize: lib.func('int sqlite3_finalize(sqlite3_stmt *stmt)'),
    columnText: lib.func('const char *sqlite3_column_text(sqlite3_stmt *stmt, int column)'),
    columnInt: lib.func('int64_t sqlite3_column_int64(sqlite3_stmt *stmt, int column)'),
    changes: lib.func('int sqlite3_changes(sqlite3 *db)'),
  };
}

let bound: ReturnType<typeof bindLibrary> | undefined;
const library = () => (bound ??= bindLibrary());

/** A prepared statement. Parameters are ?1, ?2, ... in the order given. */
export class Statement {
  constructor(private readonly db: Database, private readonly handle: Handle) {}

  /** Runs the statement and returns how many rows it changed. */
  run(...values: readonly Bindable[]): number {
    try {
      this.bind(values);
      const rc: number = library().step(this.handle);
      if (rc !== DONE && rc !== ROW) this.db.fail();
      return library().changes(this.db.handle) as number;
    } finally {
      library().reset(this.handle);
    }
  }

  /** Each row through `read`, which asks for columns of the current row. */
  all<T>(read: (row: Row) => T, ...values: readonly Bindable[]): T[] {
    const rows: T[] = [];
    const row = new Row(this.handle);
    try {
      this.bind(values);
      for (;;) {
        const rc: number = library().step(this.handle);
        if (rc === DONE) return rows;
        if (rc !== ROW) this.db.fail();
        rows.push(read(row));
      }
    } finally {
      library().reset(this.handle);
    }
  }

  finalize(): void {
    library().finalize(this.handle);
  }

  private bind(values: readonly Bindable[]): void {
    values.forEach((value, i) => {
      const rc: number = typeof value === 'string'
        ? library().bindText(this.handle, i + 1, value, -1, TRANSIENT)
        : library().bindInt(this.handle, i + 1, value);
      if (rc !== OK) this.db.fail();
    });
  }
}

/** The row on which a statement stands. */
export class Row {
  constructor(private readonly handle: Handle) {}

  text(column: number): string {
    return library().columnText(this.handle, column) as string;
  }

  number(column: number): number {
    return Number(library().columnInt(this.handle, column));
  }
}

/** One open database file. */
export class Database {
  readonly handle: Handle;
  private readonly statements: Statement[] = [];

  /** Opens the file, or makes it. StoreError names the file. */
  constructor(readonly path: string) {
    const out: [Handle] = [null];
    const rc: number = library().open(path, out, OPEN_READWRITE | OPEN_CREATE, null);
    this.handle = out[0];
    if (rc !== OK) this.fail();
  }

  exec(sql: string): void {
    if ((library().exec(this.handle, sql, null, null, null) as number) !== OK) this.fail();
  }

  prepare(sql: string): Statement {
    const out: [Handle] = [null];
    if ((library().prepare(this.handle, sql, -1, PREPARE_PERSISTENT, out, null) as number) !== OK) this.fail();
    const statement = new Statement(this, out[0]);
    this.statements.push(statement);
    return statement;
  }

  close(): void {
    for (const statement of this.statements.splice(0)) statement.finalize();
    library().close(this.handle);
  }

  /** Throws what sqlite says about its last failure. */
  fail(): never {
    const reason = library().errmsg(this.handle) as string;
    throw new StoreError(`${this.path}: ${reason === 'database is locked' ? 'in use by another daemon (database is locked)' : reason}`);
  }
}
