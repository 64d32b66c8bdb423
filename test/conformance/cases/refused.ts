// What we refuse by name, every function of the ABI table that is so: groups, mirroring, migration, encryption, object cursors, snapshots of
// pools... Each is called with arguments of its types on an image, a pool, a cluster that are in order; the real library's answers
// stand beside ours in the report.
import { readFileSync } from 'node:fs';
import { root } from '../../lib/root.js';
import { Strings } from '../rados.js';
import { Bytes, Handle, Out, type Argument } from '../transcript.js';
import { MiB, type Case, type Context } from '../context.js';

interface Row { library: string; name: string; since: string; result: string; parameters: string[] }

function splitParameters(text: string): string[] {
  return text.split(',').map((part) => part.trim()).filter((part) => part !== '' && part !== 'void');
}

/** The functions that the ABI table refuses, in its order. */
function refusedRows(): Row[] {
  return readFileSync(root('shim/abi/functions.tsv'), 'utf8').split('\n').map((line) => line.split('\t')).filter((row) => row[4] === 'refused').map((row) => {
    const prototype = /^(.*?)\b(r[a-z]+_\w+)\((.*)\)$/.exec(row[6]!)!;
    return { library: row[0]!, name: row[1]!, since: row[3]!, result: prototype[1]!.trim(), parameters: splitParameters(prototype[3]!) };
  });
}

/** What the real 16.2.15 does not survive with arguments made so, or never returns from. They are no cases; the report says why. */
export const NOT_ASKED: Readonly<Record<string, string>> = {
  rados_tmap_get: 'no header declares it', rados_tmap_put: 'no header declares it', rados_tmap_update: 'no header declares it',
  rbd_migration_prepare: 'the image would migrate and be gone from its name',
  rbd_migration_execute: 'ends the process where the image does not migrate',
  rbd_migration_execute_with_progress: 'ends the process where the image does not migrate',
};

const ROOM = 4096;

/** What a call is given that must be there. */
interface Use { image: Handle; completion: Handle; options: Handle; list: Handle; cursor: Handle }

// One argument by its C type. Texts name what is not there, buffers have room, pointers show zeroes.
function argument(c: Context, type: string, at: number, use: Use): Argument {
  const plain = type.replace(/\bconst\b/g, '').replace(/\s+/g, ' ').trim();
  if (plain === 'rbd_image_t') return use.image;
  if (plain === 'rados_ioctx_t') return c.io;
  if (plain === 'rados_t') return c.cluster;
  if (plain === 'rbd_completion_t' || plain === 'rados_completion_t') return use.completion;
  if (plain === 'rbd_image_options_t') return use.options;
  if (plain === 'rados_list_ctx_t') return use.list;
  if (plain === 'rados_object_list_cursor') return use.cursor;
  if (plain === 'char **' && type.includes('const')) return Strings.of(`["none${at}"]`, [`none${at}`]);
  if (plain === 'char *' && type.includes('const')) return `none${at}`;
  if (plain === 'size_t *' || plain === 'int *') return new Out(`size${at}`, 'u64', 1);
  if (plain === 'librbd_progress_fn_t') return c.callback('progress', 'int', ['u64', 'u64', 'ptr'], () => 0);
  if (/_callback2?_t$|^void \*$|^rbd_encryption_options_t$/.test(plain)) return null;
  if (plain.includes('*')) return new Bytes(`room${at}`, Buffer.alloc(ROOM));
  return plain === 'bool' || plain === '_Bool' ? false : plain === 'size_t' ? 1 : 0;
}

/** Where types alone do not tell what a call survives: a filter that is none, slices that are cursors already. */
const MADE_UP: Readonly<Record<string, (c: Context, use: Use) => Argument[]>> = {
  rados_object_list: (c, use) => [c.io, use.cursor, use.cursor, 1, null, 0, new Bytes('items', Buffer.alloc(ROOM)), use.cursor.ref],
  rados_object_list_slice: (c, use) => [c.io, use.cursor, use.cursor, 0, 1, use.cursor.ref, use.cursor.ref],
};

function caseOf(row: Row): Case {
  return {
    name: `refused by name: ${row.name}`,
    run: async (c) => {
      const use = { image: await c.fresh('i', 8 * MiB), completion: new Handle('comp'), options: new Handle('opts'), list: new Handle('list'), cursor: new Handle('cursor') };
      const isRbd = row.library === 'librbd';
      await c.need(isRbd ? 'rbd_aio_create_completion' : 'rados_aio_create_completion2', null, null, use.completion.ref);
      await c.need('rbd_image_options_create', use.options.ref);
      await c.need('rados_nobjects_list_open', c.io, use.list.ref);
      use.cursor.buffer.writeBigUInt64LE(BigInt(await c.silent('rados_object_list_begin', c.io) ?? 0));
      if (c.abi.has(row.name)) await ask(c, row, MADE_UP[row.name]?.(c, use) ?? row.parameters.map((type, at) => argument(c, type, at, use)), use.completion);
      else c.lines.push(`${row.name}: not before ${row.since}`);
      if (row.name !== 'rados_object_list_cursor_free') await c.silent('rados_object_list_cursor_free', c.io, use.cursor);
      await c.silent('rados_nobjects_list_close', use.list);
      await c.silent('rbd_group_remove', c.io, 'none1');
      await c.silent('rbd_image_options_destroy', use.options);
      await c.silent(isRbd ? 'rbd_aio_release' : 'rados_aio_release', use.completion);
      await c.close(use.image);
    },
  };
}

async function ask(c: Context, row: Row, args: Argument[], completion: Handle): Promise<void> {
  if (row.result === 'rados_object_list_cursor') {
    const cursor = new Handle('made');
    cursor.buffer.writeBigUInt64LE(BigInt(await c.silent(row.name, ...args) ?? 0));
    c.lines.push(`${row.name}(io) ${cursor.address === 0n ? 'gives NULL' : 'gives a cursor'}`);
    if (cursor.address !== 0n) await c.silent('rados_object_list_cursor_free', c.io, cursor);
    return;
  }
  const rc = await c.call(row.name, ...args);
  if (rc === 0 && row.name === 'rados_aio_exec') {
    await c.silent('rados_aio_wait_for_complete', completion);
    await c.call('rados_aio_get_return_value', completion);
  }
  if (rc !== 0 || !row.parameters.includes('rbd_completion_t')) return;
  await c.silent('rbd_aio_wait_for_complete', completion);
  await c.call('rbd_aio_get_return_value', completion);
}

export const refused: Case[] = refusedRows().filter(({ name }) => NOT_ASKED[name] === undefined).map(caseOf);
