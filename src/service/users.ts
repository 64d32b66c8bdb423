// Users as records of the store, for src/access.
import type { User, UserRecords } from '../access/user.js';
import type { Store } from '../store/store.js';
import { keys } from './records.js';
import { readRecord, transact } from './transact.js';

export function storedUsers(store: Store): UserRecords {
  return {
    read: (entity) => readRecord<User>(store, keys.user(entity)),
    list: async () => (await store.list({ prefix: keys.users })).map(({ value }) => JSON.parse(value) as User),
    write: (user) => transact(store, (tx) => { tx.put(keys.user(user.entity), user); }),
    remove: (entity) => transact(store, async (tx) => {
      const known = await tx.get<User>(keys.user(entity));
      if (known) tx.remove(keys.user(entity));
      return known !== undefined;
    }),
  };
}
