// One daemon at a time on a store that several hosts reach: sessions, owners and locks are kept for one. A lease holds the
// place; another daemon takes it when this one is gone. (On sqlite the file's lock does this.)
import { hostname } from 'node:os';
import { StoreError, type Store } from './store.js';

/** Where it is noted who has the place. */
export const daemonLockKey = 'daemon';

const leaseSeconds = 10;
const renewMs = 3000;

/**
 * Takes the place, or throws a StoreError that names who has it. `onLost` is called once where it cannot be kept: the daemon
 * must end then. Returns how to give it up.
 */
export async function holdDaemonLock(store: Store, where: string, onLost: (reason: string) => void): Promise<() => Promise<void>> {
  const lease = await store.grantLease(leaseSeconds);
  const { done } = await store.commit({ when: [{ key: daemonLockKey, revision: 0 }], changes: [{ put: daemonLockKey, value: `pid ${process.pid} on ${hostname()}`, lease }] });
  if (!done) {
    const holder = await store.get(daemonLockKey);
    await store.revokeLease(lease);
    throw new StoreError(`${where}: in use by another daemon (${holder?.value ?? 'which is just ending'})`);
  }
  let renewedAt = Date.now();
  const renew = async (): Promise<void> => {
    try {
      if (!await store.keepLeaseAlive(lease)) return lose('its lease ran out');
      renewedAt = Date.now();
    } catch (error) {
      if (Date.now() - renewedAt > (leaseSeconds - 1) * 1000) lose(error instanceof Error ? error.message : String(error));
    }
  };
  const timer = setInterval(() => { void renew(); }, renewMs);
  const lose = (reason: string): void => {
    clearInterval(timer);
    onLost(`${where}: this daemon's place is lost: ${reason}`);
  };
  return async () => {
    clearInterval(timer);
    await store.revokeLease(lease).catch(() => undefined);
  };
}
