// Shutting a client out, as `osd blocklist add` and breaking its lock do: nothing of it reaches an image any more, and the others go on.
import t, { type Test } from 'tap';
import { backends } from '../lib/backends.js';
import { Interactive } from '../lib/interactive.js';
import { serve, type Served } from '../lib/served.js';
import { python } from '../lib/stock-client.js';

t.setTimeout(240_000);

/** Writes a letter over the first 8 KiB, or reads its first byte; says what came of it. */
const CLIENT = (image: string): string => `
i = rbd.Image(io, '${image}')
say('ready')
say(next(w['addr'] for w in i.watchers_list()))
for line in sys.stdin:
    what, *args = line.split()
    try:
        if what == 'write': i.write(args[0].encode() * 8192, 0); i.flush(); say('ok')
        if what == 'read': say(i.read(0, 1).decode())
        if what == 'set': i.metadata_set('k', 'v'); say('ok')
        if what == 'open': rbd.Image(io, '${image}').close(); say('ok')
        if what == 'pools': say(str(len(cluster.list_pools()) > 0))
    except rbd.Error as e: say(str(-e.errno))
i.close()
`;

const add = (address: string): string => `
rc, out, text = cluster.mon_command(json.dumps({'prefix': 'osd blocklist', 'blocklistop': 'add', 'addr': '${address}'}), b'')
show(rc)`;
const readFirst = (image: string): string => `
with rbd.Image(io, '${image}') as i: show(i.read(0, 8192).decode() == i.read(0, 1).decode() * 8192 and i.read(0, 1).decode())`;

const make = (image: string, kind: 'plain' | 'layered'): string => `
R.create(io, '${image}', 1 << 22)
with rbd.Image(io, '${image}') as i:
    i.write(b'0' * 8192, 0)
    if ${kind === 'layered' ? 'True' : 'False'}: i.create_snap('s')`;

async function isShutOut(t: Test, client: Interactive): Promise<void> {
  t.equal(await client.ask('write x'), '-108', 'a write');
  t.equal(await client.ask('read'), '-108', 'a read');
  t.equal(await client.ask('set'), '-108', 'a change of the image');
  t.equal(await client.ask('open'), '-108', 'opening');
  t.equal(await client.ask('pools'), 'True', 'the monitors still answer');
}

async function started(served: Served, image: string, kind: 'plain' | 'layered'): Promise<{ client: Interactive; address: string }> {
  await python(served, make(image, kind));
  const client = await Interactive.start(served.clientEnv, CLIENT(image));
  const address = await client.answer();
  t.equal(await client.ask('write a'), 'ok');
  return { client, address };
}

for (const backend of backends) {
  t.test(`on ${backend}`, async (t) => {
    const served = await serve({}, backend);
    t.teardown(() => served.destroy());

    for (const kind of ['plain', 'layered'] as const) {
      t.test(`a client on the blocklist has lost its ${kind} image, also after a restart of the daemon`, async (t) => {
        const { client, address } = await started(served, kind, kind);
        t.strictSame(await python(served, add(address)), [0]);
        await isShutOut(t, client);
        t.strictSame(await python(served, `with rbd.Image(io, '${kind}') as i:\n    show(len(list(i.watchers_list())))\n    i.write(b'b' * 8192, 0)`), [1], 'he is no watcher, and others write');
        await served.end();
        await served.start();
        t.equal(await client.ask('write y'), '-108');
        t.equal(await client.ask('open'), '-108');
        t.strictSame(await python(served, `${readFirst(kind)}\nrc, out, text = cluster.mon_command(json.dumps({'prefix': 'osd blocklist clear'}), b'')`), ['b']);
        t.equal(await client.ask('open'), 'ok', 'off the list he may open it again');
        t.equal(await client.ask('write z'), '-108', 'but what he had open stays lost');
        t.equal(await client.end(), 0);
      });
    }

    t.test('one that is stopped and cannot be asked loses its volume: what it writes later reaches nobody', async (t) => {
      const clients = await Promise.all([started(served, 'still-plain', 'plain'), started(served, 'still-layered', 'layered')]);
      for (const { client } of clients) client.signal('SIGSTOP');
      for (const { client } of clients) client.tell('write x');
      await Promise.all(clients.map(async ({ address }) => t.strictSame(await python(served, add(address)), [0])));
      for (const image of ['still-plain', 'still-layered']) t.strictSame(await python(served, `with rbd.Image(io, '${image}') as i: i.write(b'b' * 8192, 0)\n${readFirst(image)}`), ['b']);
      for (const { client } of clients) client.signal('SIGCONT');
      for (const { client } of clients) {
        await client.answer();
        t.equal(await client.ask('write y'), '-108');
        await client.end();
      }
      for (const image of ['still-plain', 'still-layered']) t.strictSame(await python(served, readFirst(image)), ['b']);
    });

    t.test('who breaks a lock shuts its holder out, and takes over; rbd_blocklist_on_break_lock = false leaves him', async (t) => {
      for (const [image, option, after] of [['broken', 'true', '-108'], ['left', 'false', 'ok']] as const) {
        const { client } = await started(served, image, 'layered');
        t.strictSame(await python(served, `
with rbd.Image(io, '${image}') as i:
    [(who, cookie, address)] = i.list_lockers()['lockers']
    cluster.conf_set('rbd_blocklist_on_break_lock', '${option}')
    show(code(i.break_lock, who, cookie)); i.write(b'b' * 8192, 0)
`), [0]);
        t.equal(await client.ask('write x'), after);
        await client.end();
      }
    });

    t.test('an advisory lock keeps everybody from writing to an image with the exclusive lock, until it goes', async (t) => {
      t.strictSame(await python(served, `
R.create(io, 'locked', 1 << 22)
i = rbd.Image(io, 'locked')
i.lock_exclusive('ck')
j = rbd.Image(io, 'locked')
show([code(j.write, b'x', 0), code(j.discard, 0, 512), code(j.resize, 1 << 23), code(j.create_snap, 's'), code(j.metadata_set, 'k', 'v'), code(j.lock_acquire, 0), code(i.write, b'x', 0)])
show([code(R.rename, io, 'locked', 'other'), j.read(0, 1) == b'\\0', list(i.list_lockers()['lockers'])[0][1]])
j.close()
i.unlock('ck'); i.write(b'x', 0); i.close()
R.create(io, 'free', 1 << 22, features=1)
k = rbd.Image(io, 'free'); k.lock_exclusive('ck'); k.write(b'x', 0); k.close()
`), [[-30, -30, -30, -30, -30, -30, -30], [-30, true, 'ck']]);
    });
  });
}
