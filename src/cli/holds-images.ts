// For the package's scripts: prints how many images the metadata on this host names, when the daemon does not run. Images of pools on
// CurveBS have no file here, but what they are made of is written here alone.
import {existsSync} from 'node:fs';
import {loadConfig} from '../config/config.js';
import {keys} from '../service/records.js';
import {openSqliteStore} from '../store/sqlite.js';

async function count(): Promise<number> {
  const {store: place} = loadConfig();
  if (place.kind !== 'sqlite' || !existsSync(place.path)) return 0;
  const store = await openSqliteStore(place.path);
  try {
    return (await store.list({prefix: keys.allImages, limit: 1000})).length;
  } finally {
    await store.close();
  }
}

console.log(await count());
