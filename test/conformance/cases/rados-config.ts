// librados before and at connecting: handles, options, files, command lines, the environment, connect and shutdown.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { Bytes, Handle, Out, Shown } from '../transcript.js';
import type { Case, Context } from '../context.js';
import { Strings } from '../rados.js';
import { textAt } from '../../lib/memory.js';

async function value(c: Context, cluster: Handle, option: string, room = 256): Promise<void> {
  const buffer = new Bytes('value', Buffer.alloc(Math.max(1, room), 0x2e));
  const rc = await c.call('rados_conf_get', cluster, option, buffer, room);
  c.note({ value: rc === 0 ? buffer.text : null });
}

/** A handle that is not connected. */
async function handle(c: Context, id: string | null = null): Promise<Handle> {
  const cluster = new Handle('fresh');
  await c.need('rados_create', cluster.ref, id);
  return cluster;
}

async function contextOf(c: Context, cluster: Handle): Promise<Shown> {
  return new Shown('<context>', BigInt(await c.silent('rados_cct', cluster) ?? 0));
}

function withHandle(run: (c: Context, cluster: Handle) => Promise<void>): Case['run'] {
  return async (c) => {
    const cluster = await handle(c);
    await run(c, cluster);
    await c.silent('rados_shutdown', cluster);
  };
}

async function withFile(text: string, run: (path: Shown, folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cbd-conf-'));
  try {
    writeFileSync(join(folder, 'some.conf'), text);
    await run(new Shown('<file>', join(folder, 'some.conf')), folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function files(label: string, text: string, options = ['mon_host', 'rbd_cache', 'client_mount_timeout']): Case {
  return {
    name: `rados_conf_read_file: ${label}`,
    run: withHandle(async (c, cluster) => {
      await withFile(text, async (path) => { await c.call('rados_conf_read_file', cluster, path); });
      for (const option of options) await value(c, cluster, option);
    }),
  };
}

async function argv(c: Context, cluster: Handle, words: string[]): Promise<void> {
  await c.call('rados_conf_parse_argv', cluster, words.length, Strings.of(JSON.stringify(words), words));
  for (const option of ['rbd_cache', 'client_mount_timeout', 'mon_host']) await value(c, cluster, option);
}

async function remainder(c: Context, cluster: Handle, words: string[]): Promise<void> {
  const given = Strings.of(JSON.stringify(words), words);
  const left = new Strings('left', [], words.length + 1);
  await c.call('rados_conf_parse_argv_remainder', cluster, words.length, given, left);
  c.note({ left: words.map((_, i) => textAt(left.buffer.readBigUInt64LE(i * 8))) });
}

async function fromEnvironment(c: Context, cluster: Handle, variable: string | null, text: string | undefined): Promise<void> {
  const name = variable ?? 'CEPH_ARGS';
  const before = process.env[name];
  if (text !== undefined) process.env[name] = text;
  await c.call('rados_conf_parse_env', cluster, variable);
  if (before === undefined) delete process.env[name];
  else process.env[name] = before;
  for (const option of ['rbd_cache', 'client_mount_timeout']) await value(c, cluster, option);
}

// What every call says on a handle that is not connected.
async function unconnected(c: Context, cluster: Handle): Promise<void> {
  const [io, id, number] = [new Handle('io'), new Bytes('buffer', Buffer.alloc(64)), new Out('number', 'u64')];
  await c.call('rados_ioctx_create', cluster, 'conform', io.ref);
  await c.call('rados_ioctx_create2', cluster, 1, io.ref);
  await c.call('rados_pool_lookup', cluster, 'conform');
  await c.call('rados_pool_reverse_lookup', cluster, 1, id, 64);
  await c.call('rados_pool_list', cluster, id, 64);
  await c.call('rados_pool_create', cluster, 'cf-never');
  await c.call('rados_pool_delete', cluster, 'cf-never');
  const least = new Bytes('least', Buffer.alloc(8));
  await c.call('rados_get_min_compatible_osd', cluster, least);
  await c.call('rados_get_instance_id', cluster);
  await c.call('rados_pool_get_base_tier', cluster, 1, number);
}

export const radosConfig: Case[] = [
  {
    name: 'rados_create: every kind of id',
    run: async (c) => {
      for (const id of [null, 'admin', '', 'client.admin', 'a/b', 'ä', 'x'.repeat(4096)]) {
        const cluster = new Handle('fresh');
        if (await c.call('rados_create', cluster.ref, id) < 0) continue;
        await c.call('rados_get_instance_id', cluster);
        await c.silent('rados_shutdown', cluster);
      }
    },
  },
  {
    name: 'rados_create2: clusters, names of every kind, flags',
    run: async (c) => {
      for (const [name, user, flags] of [
        ['ceph', 'client.admin', 0], ['other', 'client.x', 0], ['', 'client.x', 0], [null, 'client.x', 0], ['ceph', 'x', 0], ['ceph', '', 0], ['ceph', null, 0],
        ['ceph', 'osd.0', 0], ['ceph', 'client.', 0], ['ceph', '.x', 0], ['ceph', 'nokind.x', 0], ['ceph', 'client.a.b', 0], ['ceph', 'client.x', 2n ** 63n],
      ] as const) {
        const cluster = new Handle('fresh');
        if (await c.call('rados_create2', cluster.ref, name, user, flags) < 0) continue;
        await value(c, cluster, 'log_to_stderr');
        await c.silent('rados_shutdown', cluster);
      }
    },
  },
  {
    name: 'rados_create_with_context shares the options of another handle',
    run: withHandle(async (c, cluster) => {
      await c.call('rados_conf_set', cluster, 'client_mount_timeout', '77');
      const context = await contextOf(c, cluster);
      const second = new Handle('second');
      await c.call('rados_create_with_context', second.ref, context);
      await value(c, second, 'client_mount_timeout');
      await c.call('rados_conf_set', second, 'client_mount_timeout', '78');
      await value(c, cluster, 'client_mount_timeout');
      c.note({ sameContext: BigInt(await c.silent('rados_cct', second) ?? 0) === context.value });
      await c.silent('rados_shutdown', second);
      await value(c, cluster, 'client_mount_timeout');
    }),
  },
  {
    name: 'rados_create_with_context connects with what the context holds, and its handles end one by one',
    run: async (c) => {
      const second = new Handle('second');
      await c.call('rados_create_with_context', second.ref, await contextOf(c, c.cluster));
      await c.call('rados_connect', second);
      const io = new Handle('io');
      await c.call('rados_ioctx_create', second, 'conform', io.ref);
      await c.silent('rados_ioctx_destroy', io);
      await c.silent('rados_shutdown', second);
      await c.noteNames();
    },
  },
  {
    name: 'rados_conf_set and rados_conf_get: options good, bad and unknown',
    run: withHandle(async (c, cluster) => {
      for (const [option, text] of [
        ['rbd_cache', 'false'], ['rbd_cache', 'maybe'], ['rbd_cache', ''], ['client_mount_timeout', '5m'], ['client_mount_timeout', '-1'], ['client_mount_timeout', 'x'],
        ['rbd_cache_size', '1M'], ['rbd_cache_size', '-1'], ['rbd_default_features', 'layering'], ['rbd_default_features', 'nosuch'], ['rbd_default_order', '22'],
        ['mon_host', '127.0.0.1,'], ['key', 'AQ=='], ['keyring', '/nowhere'], ['nosuch', 'x'], ['', 'x'], ['rbd cache', 'true'], ['rbd-cache', 'true'], ['RBD_CACHE', 'true'],
        ['rbd_cache\n', 'true'], ['x'.repeat(4096), 'x'], ['mon_host', 'h'.repeat(4096)],
      ] as const) {
        await c.call('rados_conf_set', cluster, option, text);
        await value(c, cluster, option, 8192);
      }
    }),
  },
  {
    name: 'rados_conf_get: buffers too small',
    run: withHandle(async (c, cluster) => {
      await c.need('rados_conf_set', cluster, 'mon_host', '127.0.0.1');
      for (const room of [0, 1, 4, 9, 10, 11]) await value(c, cluster, 'mon_host', room);
      await value(c, cluster, 'nosuch', 1);
      await value(c, cluster, 'rbd_cache', 4);
    }),
  },
  {
    name: 'rados_conf_set after connecting: what may still change',
    run: async (c) => {
      const cluster = await c.client();
      for (const [option, text] of [['rbd_cache', 'false'], ['rbd_cache', 'maybe'], ['mon_host', '9.9.9.9'], ['keyring', '/nowhere'], ['rados_osd_op_timeout', '5'], ['nosuch', 'x']] as const) {
        await c.call('rados_conf_set', cluster, option, text);
      }
      await value(c, cluster, 'rbd_cache');
      await value(c, cluster, 'rados_osd_op_timeout');
      await c.shutdown(cluster);
    },
  },
  files('sections', '[global]\nmon host = a\nrbd cache = false\n[client]\nmon_host = b\n[client.admin]\nclient mount timeout = 44\n[osd]\nrbd_cache = true\n'),
  files('nothing in it', ''),
  files('a comment and a continued line', '# one\n[global]\nmon host = a, \\\n b ; two\nrbd_cache=0\n'),
  files('a value that is none', '[global]\nrbd cache = maybe\nmon host = a\n'),
  files('an unknown option', '[global]\nnosuch = 1\nmon host = a\n'),
  files('a line that is none', '[global]\nmon host = a\nnonsense\n'),
  files('a section that does not end', '[global\nmon host = a\n'),
  files('metavariables', '[global]\nmon host = $cluster/$type/$id/$name\nlog file = $mon_host-x\n', ['mon_host', 'log_file']),
  {
    name: 'rados_conf_read_file: missing, a folder, by CEPH_CONF, a list of files, and twice',
    run: withHandle(async (c, cluster) => {
      await c.call('rados_conf_read_file', cluster, '/nowhere/x.conf');
      await c.call('rados_conf_read_file', cluster, '');
      await withFile('[global]\nmon host = a\nclient mount timeout = 9\n', async (path, folder) => {
        await c.call('rados_conf_read_file', cluster, new Shown('<folder>', folder));
        await c.call('rados_conf_read_file', cluster, new Shown('<missing>,<file>', `/nowhere/x,${String(path.value)}`));
        await value(c, cluster, 'client_mount_timeout');
        await c.call('rados_conf_set', cluster, 'client_mount_timeout', '10');
        await c.call('rados_conf_read_file', cluster, path);
        await value(c, cluster, 'client_mount_timeout');
        await value(c, cluster, 'mon_host');
      });
      await c.call('rados_conf_read_file', cluster, null);
    }),
  },
  {
    name: 'rados_conf_parse_argv: good, bad and unknown words',
    run: async (c) => {
      for (const words of [
        ['p', '--rbd_cache', 'false', '-m', 'h'], ['p', '--rbd-cache=false', '--client-mount-timeout', '7'], ['p', '--no-rbd-cache'], ['p', '--nosuch', 'x'],
        ['p', '--rbd_cache=maybe'], ['p', '--client_mount_timeout', 'abc'], ['p', '--client_mount_timeout'], ['p', '--', '--rbd_cache=false'], ['p'], [''],
      ]) {
        const cluster = await handle(c);
        await argv(c, cluster, words);
        await c.silent('rados_shutdown', cluster);
      }
    },
  },
  {
    name: 'rados_conf_parse_argv_remainder gives back what it does not know',
    run: async (c) => {
      for (const words of [['p', 'a', '--rbd_cache', 'false', 'b', '--nosuch', '-m', 'h', 'c'], ['p', '--', 'a', '--rbd_cache=false'], ['p', '--rbd_cache=maybe', 'a'], ['p']]) {
        const cluster = await handle(c);
        await remainder(c, cluster, words);
        await c.silent('rados_shutdown', cluster);
      }
    },
  },
  { name: 'before it is connected a handle answers ENOTCONN', run: withHandle(unconnected) },
  {
    name: 'rados_connect: without a mon, twice, and after a shutdown of another',
    run: async (c) => {
      const lost = await handle(c);
      await withFile('', async (path) => { await c.call('rados_conf_read_file', lost, path); });
      await c.call('rados_connect', lost);
      await unconnected(c, lost);
      await c.silent('rados_shutdown', lost);
      const one = await c.client('one');
      const two = await c.client('two');
      await c.call('rados_connect', one);
      await c.shutdown(one);
      const id = new Bytes('fsid', Buffer.alloc(64));
      await c.call('rados_cluster_fsid', two, id, 64);
      await c.shutdown(two);
    },
  },
  {
    name: 'each connection has an instance id and addresses of its own',
    run: async (c) => {
      const [one, two] = [await c.client('one'), await c.client('two')];
      const ids = await Promise.all([one, two].map(async (cluster) => String(await c.silent('rados_get_instance_id', cluster))));
      c.note({ different: ids[0] !== ids[1], numbers: ids.every((id) => /^[1-9]\d*$/.test(id)) });
      for (const cluster of [one, two]) {
        const addresses = new Out('addresses', 'text');
        await c.call('rados_getaddrs', cluster, addresses);
        c.note({ form: /^127\.0\.0\.1:0\/\d+$/.test(addresses.text ?? ''), addresses: c.label('addresses', addresses.text) });
        await c.silent('rados_buffer_free', addresses.value);
      }
      await c.shutdown(one);
      await c.shutdown(two);
    },
  },
  {
    name: 'an I/O context knows its cluster and its context',
    run: async (c) => {
      const cluster = await c.client();
      const io = await c.ioctx({ cluster });
      c.note({ cluster: BigInt(await c.silent('rados_ioctx_get_cluster', io) ?? 0) === cluster.address });
      c.note({ context: BigInt(await c.silent('rados_ioctx_cct', io) ?? 0) === BigInt(await c.silent('rados_cct', cluster) ?? 1) });
      await c.drop(io);
      await c.shutdown(cluster);
    },
  },
  // The last one: the real library keeps the words of the first variable for all that the process does later.
  {
    name: 'rados_conf_parse_env: words of a variable, then of others',
    run: async (c) => {
      for (const [variable, text] of [
        ['CBD_CONFORM', undefined], ['CBD_CONFORM', ''], [null, '--rbd_cache false --client_mount_timeout 8 --nosuch x'], ['CBD_CONFORM', '--rbd_cache=maybe'],
      ] as const) {
        const cluster = await handle(c);
        await fromEnvironment(c, cluster, variable, text);
        await c.silent('rados_shutdown', cluster);
      }
    },
  },
];
