// Advisory locks on librados objects, kept in the object's record. Behind: rados_lock_exclusive/shared, rados_unlock, rados_break_lock,
// rados_list_lockers. Rules and errors are those of Ceph's lock class.
import { ServiceError } from './errors.js';
import type { ObjectDraft } from './object-draft.js';
import type { Op } from './object-ops.js';
import type { ObjectLock, ObjectLocker } from './object-records.js';
import type { Time } from './records.js';

const mayRenew = 1;   // LIBRADOS_LOCK_FLAG_MAY_RENEW
const mustRenew = 2;  // LIBRADOS_LOCK_FLAG_MUST_RENEW
const longestName = 95;

const isOver = (now: Time, end: Time | null): boolean => end !== null && (end.sec < now.sec || (end.sec === now.sec && end.nsec <= now.nsec));

/** The lock without lockers whose time is over. */
function current(draft: ObjectDraft, name: string): ObjectLock | undefined {
  const lock = draft.locks.get(name);
  const lockers = lock?.lockers.filter((locker) => !isOver(draft.now, locker.expires)) ?? [];
  return lock && lockers.length > 0 ? { ...lock, lockers } : undefined;
}

const later = (now: Time, seconds: number, microseconds: number): Time | null => {
  if (seconds === 0 && microseconds === 0) return null;
  const nsec = now.nsec + microseconds * 1000;
  return { sec: now.sec + seconds + Math.floor(nsec / 1e9), nsec: nsec % 1e9 };
};

export const lockOps: Readonly<Record<string, Op>> = {
  lock: {
    run: (draft, params) => {
      const name = params.text('name'), tag = params.text('tag', ''), exclusive = params.flag('exclusive'), flags = params.number('lockFlags', 0);
      const client = params.text('client'), cookie = params.text('cookie');
      if (name === '') throw new ServiceError('EINVAL', 'the lock has no name');
      // Ceph keeps it in an xattr "lock.NAME".
      if (Buffer.byteLength(name) > longestName) throw new ServiceError('ENAMETOOLONG', `lock name ${name.slice(0, 20)}... is longer than ${longestName} bytes`);
      if ((flags & mayRenew) !== 0 && (flags & mustRenew) !== 0) throw new ServiceError('EINVAL', 'a lock that may and must be renewed');
      const held = current(draft, name);
      if (held && held.tag !== tag) throw new ServiceError('EBUSY', `lock ${name} has the tag ${held.tag}`);
      const own = held?.lockers.find((locker) => locker.client === client && locker.cookie === cookie);
      if (own && (flags & (mayRenew | mustRenew)) === 0) throw new ServiceError('EEXIST', `lock ${name} is held with that cookie already`);
      if (!own && (flags & mustRenew) !== 0) throw new ServiceError('ENOENT', `lock ${name} is not held`);
      const others = held?.lockers.filter((locker) => locker !== own) ?? [];
      if (held && others.length > 0 && (exclusive || held.exclusive)) throw new ServiceError('EBUSY', `lock ${name} is held by ${others[0]?.client}`);
      const expires = later(draft.now, params.number('seconds', 0), params.number('microseconds', 0));
      const locker: ObjectLocker = { client, cookie, address: params.text('address'), description: params.text('description', ''), expires };
      draft.setLock(name, { exclusive, tag, lockers: [...others, locker] });
    },
  },
  unlock: { run: (draft, params) => dropLocker(draft, params.text('name'), params.text('client'), params.text('cookie')) },
  breakLock: { run: (draft, params) => dropLocker(draft, params.text('name'), params.text('client'), params.text('cookie')) },
  lockers: {
    reads: true,
    run: (draft, params) => {
      if (!draft.exists) throw new ServiceError('ENOENT', 'the object does not exist');
      const lock = current(draft, params.text('name'));
      return { exclusive: lock?.exclusive ?? false, tag: lock?.tag ?? '', lockers: lock?.lockers ?? [] };
    },
  },
};

function dropLocker(draft: ObjectDraft, name: string, client: string, cookie: string): void {
  const lock = draft.exists ? current(draft, name) : undefined;
  const left = lock?.lockers.filter((locker) => locker.client !== client || locker.cookie !== cookie) ?? [];
  if (!lock || left.length === lock.lockers.length) throw new ServiceError('ENOENT', `lock ${name} is not held by ${client} with that cookie`);
  draft.setLock(name, left.length > 0 ? { ...lock, lockers: left } : undefined);
}
