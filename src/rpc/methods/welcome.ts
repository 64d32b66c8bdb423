// Who is on the blocklist may ask the monitors, and nobody else.
import { requireWelcome } from '../../service/blocklist.js';
import type { Method, Methods } from '../method.js';

/** Questions that Ceph's clients send to the monitors, the administrator's own, and what ends things. */
const always = /^(mon|cluster|admin)\.|^pool\.(list|lookup|create|delete|stat)$|^image\.close$|^object\.(unwatch|close)$/;

/** The same methods; the others end with ESHUTDOWN for who is on the blocklist. */
export function withWelcome(methods: Methods): Methods {
  const welcoming = (name: string, method: Method): Method => async (call) => {
    requireWelcome(call.session, name);
    return method(call);
  };
  return Object.fromEntries(Object.entries(methods).map(([name, method]) => [name, always.test(name) ? method : welcoming(name, method)]));
}
