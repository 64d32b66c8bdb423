// What the cases of locks ask of an image and write down: who has its locks.
import { Bytes, Out, type Handle } from '../transcript.js';
import type { Context } from '../context.js';
import { textsIn } from '../../lib/memory.js';

/** Who has the image's advisory or automatic lock. `capacity`: bytes of each buffer. */
export async function lockers(c: Context, image: Handle, capacity = 512): Promise<void> {
  const exclusive = new Out('exclusive', 'i32', 7);
  const out = (name: string) => ({ buffer: new Bytes(name, Buffer.alloc(Math.max(1, capacity))), size: new Out(`${name}Size`, 'u64', capacity) });
  const [tag, clients, cookies, addrs] = [out('tag'), out('clients'), out('cookies'), out('addrs')] as const;
  const rc = await c.call('rbd_list_lockers', image, exclusive, tag.buffer, tag.size, clients.buffer, clients.size, cookies.buffer, cookies.size, addrs.buffer, addrs.size);
  if (rc < 0) {
    c.note({ tagSize: tag.size.value, clientsSize: clients.size.value > 5n, cookiesSize: cookies.size.value, addrsSize: addrs.size.value > 5n });
    return;
  }
  const names = textsIn(clients.buffer.buffer, Number(clients.size.value));
  c.note({
    exclusive: exclusive.value, tag: tag.buffer.text, cookies: textsIn(cookies.buffer.buffer, Number(cookies.size.value)).map((k) => (/^auto \d+$/.test(k) ? '<automatic>' : k)),
    clients: names.map((name) => c.label('client', name)), clientForm: names.every((name) => /^client\.\d+$/.test(name)),
    addrForm: textsIn(addrs.buffer.buffer, Number(addrs.size.value)).every((a) => /^(v1:|v2:|any:)?127\.0\.0\.1:\d+\/\d+$/.test(a)),
  });
}

/** The addresses of those who have the managed lock. `capacity`: how many may be told. */
export async function owners(c: Context, image: Handle, capacity = 4): Promise<string[]> {
  const [mode, max] = [new Out('mode', 'i32', 9), new Out('max', 'u64', capacity)];
  const list = Buffer.alloc(Math.max(1, capacity) * 8);
  const rc = await c.call('rbd_lock_get_owners', image, mode, new Bytes('owners', list), max);
  c.show(mode, max);
  if (rc < 0) return [];
  const addresses: string[] = [];
  for (let i = 0; i < Number(max.value); i++) {
    const out = new Out('owner', 'text');
    out.set(list.readBigUInt64LE(i * 8));
    addresses.push(out.text ?? '');
  }
  c.note({ owners: addresses.map((a) => c.label('owner', a)), form: addresses.every((a) => /^(v1:|v2:|any:)?127\.0\.0\.1:\d+\/\d+$/.test(a)) });
  await c.silent('rbd_lock_get_owners_cleanup', new Bytes('owners', list), max.value);
  return addresses;
}

/** Whether this handle has the lock. */
export async function isOwner(c: Context, image: Handle): Promise<void> {
  await c.get('rbd_is_exclusive_lock_owner', image, 'owner', 'i32');
}

/** The same, without a line of its own. */
export async function quietOwner(c: Context, image: Handle): Promise<bigint> {
  const owner = new Out('owner', 'i32');
  await c.silent('rbd_is_exclusive_lock_owner', image, owner);
  return owner.value;
}
