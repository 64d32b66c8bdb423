// librados: commands to the mon, and the few other words a client has with its cluster.
import { Bytes, Out, type Handle } from '../transcript.js';
import { POOL, type Case, type Context } from '../context.js';
import { command, form, type Answer } from '../rados.js';

async function ask(c: Context, command_: Record<string, unknown>): Promise<Answer> {
  return command(c, c.cluster, [JSON.stringify(command_)]);
}

// Names are what differs from cluster to cluster, forms are not.
function parse(answer: Answer): Record<string, unknown> {
  return JSON.parse(answer.out) as Record<string, unknown>;
}

async function withUser(c: Context, entity: string, caps: string[], run: () => Promise<void>): Promise<void> {
  await ask(c, { prefix: 'auth get-or-create', entity, caps });
  await run();
  await ask(c, { prefix: 'auth rm', entity });
}

async function blocklist(c: Context, cluster: Handle, address: string, seconds: number): Promise<void> {
  await c.call('rados_blocklist_add', cluster, new Bytes(JSON.stringify(address), Buffer.from(`${address}\0`)), seconds);
}

export const radosCommands: Case[] = [
  {
    name: 'mon_command df: its form in JSON',
    run: async (c) => {
      const answer = parse(await ask(c, { prefix: 'df', format: 'json' }));
      const { stats, pools } = answer as { stats: unknown; pools: { name: string }[] };
      c.note({ keys: Object.keys(answer).sort(), stats: form(stats), pool: form(pools.find((p) => p.name === POOL)) });
      const detail = parse(await ask(c, { prefix: 'df', detail: 'detail', format: 'json' })) as { pools: { name: string }[] };
      c.note({ pool: form(detail.pools.find((p) => p.name === POOL)) });
    },
  },
  {
    name: 'mon_command fsid, as text and in JSON',
    run: async (c) => {
      const plain = await ask(c, { prefix: 'fsid' });
      c.note({ out: /^[0-9a-f-]{36}\n?$/.test(plain.out), newline: plain.out.endsWith('\n'), status: plain.status });
      c.note({ form: form(parse(await ask(c, { prefix: 'fsid', format: 'json' }))) });
    },
  },
  {
    name: 'mon_command mon dump: its form in JSON',
    run: async (c) => {
      const answer = await ask(c, { prefix: 'mon dump', format: 'json' });
      const dump = parse(answer) as { mons: Record<string, unknown>[] };
      c.note({ status: answer.status.replace(/\d+/, 'N'), keys: ['epoch', 'fsid', 'mons', 'quorum', 'created', 'modified'].filter((k) => !(k in dump)) });
      c.note({ mon: ['rank', 'name', 'public_addrs', 'addr', 'public_addr'].filter((k) => !(k in dump.mons[0]!)) });
    },
  },
  {
    name: 'mon_command osd pool ls and osd lspools',
    run: async (c) => {
      const names = JSON.parse((await ask(c, { prefix: 'osd pool ls', format: 'json' })).out) as string[];
      c.note({ has: [names.includes('conform'), names.includes('conform2')] });
      const plain = (await ask(c, { prefix: 'osd pool ls' })).out;
      c.note({ same: plain === names.map((n) => `${n}\n`).join('') });
      const numbered = JSON.parse((await ask(c, { prefix: 'osd lspools', format: 'json' })).out) as { poolnum: number; poolname: string }[];
      c.note({ form: form(numbered), same: numbered.map((p) => p.poolname).join() === names.join() });
      const lines = (await ask(c, { prefix: 'osd lspools' })).out;
      c.note({ same: lines.trim() === numbered.map((p) => `${p.poolnum} ${p.poolname}`).join('\n') });
      const detail = JSON.parse((await ask(c, { prefix: 'osd pool ls', detail: 'detail', format: 'json' })).out) as Record<string, unknown>[];
      const mine = detail.find((p) => p['pool_name'] === POOL) ?? {};
      c.note({ missing: ['pool_name', 'pool_id', 'type', 'size', 'min_size', 'crush_rule', 'pg_num', 'application_metadata', 'quota_max_bytes', 'quota_max_objects', 'flags_names'].filter((k) => !(k in mine)) });
    },
  },
  {
    name: 'mon_command osd pool get-quota and set-quota',
    run: async (c) => {
      const quota = async () => {
        const answer = await ask(c, { prefix: 'osd pool get-quota', pool: POOL, format: 'json' });
        c.note(parse(answer)['quota_max_bytes'] === undefined ? { none: true } : { bytes: parse(answer)['quota_max_bytes'], objects: parse(answer)['quota_max_objects'] });
      };
      await quota();
      for (const [field, val] of [['max_bytes', '1073741824'], ['max_bytes', '2G'], ['max_objects', '100'], ['max_objects', 'x'], ['max_bytes', '-1'], ['nosuch', '1'], ['max_bytes', '0'], ['max_objects', '0']] as const) {
        const { status } = await ask(c, { prefix: 'osd pool set-quota', pool: POOL, field, val });
        c.note({ said: status !== '' });
        await quota();
      }
      await ask(c, { prefix: 'osd pool get-quota', pool: 'nopool' });
      await ask(c, { prefix: 'osd pool get-quota' });
    },
  },
  {
    name: 'mon_command: what is no command',
    run: async (c) => {
      for (const words of [
        ['{'], ['nonsense'], [''], ['{}'], ['{"prefix": "nosuch"}'], ['{"prefix": ""}'], ['{"format": "json"}'], ['{"prefix": "osd pool get"}'],
        ['{"prefix": "osd pool get", "pool": "nopool", "var": "size"}'], ['{"prefix": "osd pool get", "pool": "conform", "var": "nosuch"}'],
        ['{"prefix": "osd pool delete", "pool": "conform"}'], ['{"prefix": "osd pool delete", "pool": "conform", "pool2": "conform2", "yes_i_really_really_mean_it": true}'],
        [`{"prefix": "${'x'.repeat(4096)}"}`], ['{"prefix": "fsid"', '}'],
      ]) {
        const { out, status } = await command(c, c.cluster, words);
        c.note({ out: out.replace(/[0-9a-f-]{36}/, '<fsid>'), said: status !== '' });
      }
    },
  },
  {
    name: 'mon_command: words that a command does not know are let pass',
    run: async (c) => {
      const answer = await ask(c, { prefix: 'fsid', nosuch: 'x' });
      c.note({ out: /^[0-9a-f-]{36}\n?$/.test(answer.out) });
      await ask(c, { prefix: 'osd pool get-quota', pool: POOL, nosuch: 1 });
    },
  },
  {
    name: 'mon_command: osd pool create, get, set, rename, application and delete',
    run: async (c) => {
      await ask(c, { prefix: 'osd pool create', pool: 'cf-cmd', pg_num: 8 });
      await ask(c, { prefix: 'osd pool create', pool: 'cf-cmd', pg_num: 8 });
      c.note({ pgs: parse(await ask(c, { prefix: 'osd pool get', pool: 'cf-cmd', var: 'pg_num', format: 'json' }))['pg_num'] });
      const size = parse(await ask(c, { prefix: 'osd pool get', pool: 'cf-cmd', var: 'size', format: 'json' }));
      c.note({ pool: size['pool'], size: typeof size['size'] });
      await ask(c, { prefix: 'osd pool application enable', pool: 'cf-cmd', app: 'rbd' });
      c.note({ application: (await ask(c, { prefix: 'osd pool application get', pool: 'cf-cmd', format: 'json' })).out.trim() });
      await ask(c, { prefix: 'osd pool rename', srcpool: 'cf-cmd', destpool: 'cf-cmd2' });
      await ask(c, { prefix: 'osd pool rename', srcpool: 'nopool', destpool: 'cf-x' });
      await ask(c, { prefix: 'osd pool delete', pool: 'cf-cmd2' });
      await ask(c, { prefix: 'osd pool delete', pool: 'cf-cmd2', pool2: 'cf-cmd2', yes_i_really_really_mean_it: true });
      await ask(c, { prefix: 'osd pool delete', pool: 'cf-cmd2', pool2: 'cf-cmd2', yes_i_really_really_mean_it: true });
    },
  },
  {
    name: 'mon_command: auth get-or-create, get-key, get, caps, ls, rm',
    run: async (c) => withUser(c, 'client.cf', ['mon', 'profile rbd', 'osd', 'profile rbd pool=conform'], async () => {
      const key = (await ask(c, { prefix: 'auth get-key', entity: 'client.cf' })).out;
      c.note({ key: /^[A-Za-z0-9+/]{38}==$/.test(key.trim()), newline: key.endsWith('\n') });
      const got = JSON.parse((await ask(c, { prefix: 'auth get', entity: 'client.cf', format: 'json' })).out) as { entity: string; caps: unknown }[];
      c.note({ entity: got[0]?.entity, caps: got[0]?.caps });
      await ask(c, { prefix: 'auth caps', entity: 'client.cf', caps: ['mon', 'allow r'] });
      await ask(c, { prefix: 'auth get-or-create', entity: 'client.cf', caps: ['mon', 'allow *'] });
      await ask(c, { prefix: 'auth caps', entity: 'client.cf', caps: ['mon', 'nonsense'] });
      await ask(c, { prefix: 'auth get', entity: 'client.nosuch' });
      await ask(c, { prefix: 'auth get-key', entity: 'nonsense' });
      await ask(c, { prefix: 'auth rm', entity: 'client.nosuch' });
    }),
  },
  {
    name: 'mon_command to a named mon, and to the manager',
    run: async (c) => {
      c.note({ out: /^[0-9a-f-]{36}\n?$/.test((await command(c, c.cluster, ['{"prefix": "fsid"}'], { fn: 'rados_mon_command_target', target: 'a' })).out) });
      await command(c, c.cluster, ['{"prefix": "nosuch"}'], { fn: 'rados_mon_command_target', target: 'a' });
      await command(c, c.cluster, ['{"prefix": "nosuch"}'], { fn: 'rados_mgr_command' });
      await command(c, c.cluster, ['{'], { fn: 'rados_mgr_command' });
    },
  },
  {
    name: 'rados_wait_for_latest_osdmap, twice',
    run: async (c) => {
      await c.call('rados_wait_for_latest_osdmap', c.cluster);
      await c.call('rados_wait_for_latest_osdmap', c.cluster);
    },
  },
  {
    name: 'rados_blocklist_add: addresses good and bad',
    run: async (c) => {
      for (const [address, seconds] of [['127.0.0.9:0/12345', 1], ['127.0.0.9:0/12345', 1], ['127.0.0.9', 1], ['nonsense', 1], ['', 1]] as const) await blocklist(c, c.cluster, address, seconds);
      await c.call('rados_blacklist_add', c.cluster, new Bytes('"127.0.0.9:0/7"', Buffer.from('127.0.0.9:0/7\0')), 1);
    },
  },
  {
    name: 'a client on the blocklist is shut out, and nobody else',
    run: async (c) => {
      const other = await c.client();
      const io = await c.ioctx({ cluster: other });
      await c.call('rados_write_full', io, 'o', new Bytes('data', Buffer.from('x')), 1);
      const addresses = new Out('addresses', 'text');
      await c.need('rados_getaddrs', other, addresses);
      const address = addresses.text ?? '';
      await c.need('rados_blocklist_add', c.cluster, new Bytes('address', Buffer.from(`${address}\0`)), 30);
      await c.call('rados_wait_for_latest_osdmap', other);
      await c.call('rados_write_full', io, 'o', new Bytes('data', Buffer.from('y')), 1);
      await c.call('rados_read', c.io, 'o', new Bytes('data', Buffer.alloc(4)), 4, 0);
      await c.call('rados_remove', c.io, 'o');
      await ask(c, { prefix: 'osd blocklist', blocklistop: 'rm', addr: 'nonsense' });
      await c.silent('rados_buffer_free', addresses.value);
      await c.drop(io);
      await c.shutdown(other);
    },
  },
  {
    name: 'rados_ping_monitor and services',
    run: async (c) => {
      const [out, size] = [new Out('out', 'u64'), new Out('size', 'u64')];
      await c.call('rados_ping_monitor', c.cluster, 'nosuch', out, size);
      const other = await c.client();
      const map = (text: string) => new Bytes(JSON.stringify(text), Buffer.from(`${text}\0\0`));
      await c.call('rados_service_register', other, 'cf-service', 'one', map('version\u00001\0'));
      await c.call('rados_service_register', other, 'cf-service', 'one', map('version\u00001\0'));
      await c.call('rados_service_update_status', other, map('state\0well\0'));
      await c.shutdown(other);
    },
  },
];
