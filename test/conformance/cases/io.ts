// Reading and writing: ranges, the synchronous, asynchronous and vector forms, discard, zeroes, writesame, compare and write.
import { Bytes, Handle, Out, type Argument } from '../transcript.js';
import { KiB, MiB, type Case, type Context } from '../context.js';
import { addressOf } from '../../lib/memory.js';

const SIZE = 10 * MiB;

// Never a null pointer: the real library asserts on one even where the length is 0.
function data(value: number, length: number): Bytes {
  return new Bytes(`<${value}*${length}>`, Buffer.alloc(Math.max(1, length), value));
}

/** struct iovec[] over buffers. */
function iovec(name: string, buffers: Buffer[]): Bytes {
  const list = Buffer.alloc(Math.max(1, buffers.length) * 16);
  buffers.forEach((b, i) => {
    list.writeBigUInt64LE(addressOf(b), i * 16);
    list.writeBigUInt64LE(BigInt(b.length), i * 16 + 8);
  });
  return new Bytes(name, list);
}

async function aio(c: Context, fn: string, ...args: (Argument | 'COMP')[]): Promise<number> {
  const completion = await c.completion();
  const rc = await c.call(fn, ...args.map((a) => (a === 'COMP' ? completion : a)));
  if (rc < 0) {
    await c.silent('rbd_aio_release', completion);
    return rc;
  }
  return c.finish(completion);
}

const RANGES: [string, number | bigint, number][] = [
  ['the first byte', 0, 1],
  ['the whole first block', 0, 4096],
  ['across blocks', 4000, 200],
  ['across objects', 4 * MiB - 300, 600],
  ['the last byte', SIZE - 1, 1],
  ['across the end', SIZE - 100, 200],
  ['at the end', SIZE, 1],
  ['past the end', SIZE + 1, 1],
  ['far past the end', 2n ** 62n, 512],
  ['with an offset near 2^64', 2n ** 64n - 512n, 1024],
  ['nothing at the start', 0, 0],
  ['nothing at the end', SIZE, 0],
  ['nothing past the end', SIZE + 4096, 0],
];

function ranges(name: string, ask: (c: Context, image: Handle, offset: number | bigint, length: number) => Promise<void>, which = RANGES): Case[] {
  return which.map(([label, offset, length]) => ({
    name: `${name}: ${label}`,
    run: async (c) => {
      const image = await c.fresh('i', SIZE);
      await c.need('rbd_write', image, 4 * MiB - 8192, 16384, data(5, 16384));
      await ask(c, image, offset, length);
      await c.read(image, 0, 8192);
      await c.read(image, 4 * MiB - 4096, 8192);
      await c.read(image, SIZE - 4096, 4096);
      await c.get('rbd_get_size', image, 'size');
      await c.close(image);
    },
  }));
}

async function everyRefusal(c: Context, image: Handle): Promise<void> {
  await c.call('rbd_write', image, 0, 512, data(1, 512));
  await c.call('rbd_write2', image, 0, 512, data(1, 512), 0);
  await c.call('rbd_discard', image, 0, 65536);
  await c.call('rbd_write_zeroes', image, 0, 4096, 0, 0);
  await c.call('rbd_writesame', image, 0, 4096, data(1, 512), 512, 0);
  const mismatch = new Out('mismatch', 'u64');
  await c.call('rbd_compare_and_write', image, 0, 512, data(0, 512), data(1, 512), mismatch, 0);
  await aio(c, 'rbd_aio_write', image, 0, 512, data(1, 512), 'COMP');
  await aio(c, 'rbd_aio_discard', image, 0, 65536, 'COMP');
  await aio(c, 'rbd_aio_write_zeroes', image, 0, 4096, 'COMP', 0, 0);
  await aio(c, 'rbd_aio_flush', image, 'COMP');
  await c.call('rbd_flush', image);
  await c.call('rbd_invalidate_cache', image);
  await c.read(image, 0, 512);
}

export const io: Case[] = [
  ...ranges('rbd_read', async (c, image, offset, length) => { await c.read(image, offset, length); }),
  ...ranges('rbd_write', async (c, image, offset, length) => { await c.write(image, offset, length, 7); }),
  ...ranges('rbd_discard', async (c, image, offset, length) => { await c.call('rbd_discard', image, offset, length); }),
  ...ranges('rbd_write_zeroes', async (c, image, offset, length) => { await c.call('rbd_write_zeroes', image, offset, length, 0, 0); }),
  ...ranges('rbd_aio_read', async (c, image, offset, length) => {
    const into = new Bytes('data', Buffer.alloc(Math.max(1, length), 0xee));
    await aio(c, 'rbd_aio_read', image, offset, length, into, 'COMP');
    c.note({ data: into.buffer.subarray(0, length) });
  }),
  ...ranges('rbd_aio_write', async (c, image, offset, length) => { await aio(c, 'rbd_aio_write', image, offset, length, data(7, length), 'COMP'); }),
  ...ranges('rbd_aio_discard', async (c, image, offset, length) => { await aio(c, 'rbd_aio_discard', image, offset, length, 'COMP'); }),
  ...ranges('rbd_aio_write_zeroes', async (c, image, offset, length) => { await aio(c, 'rbd_aio_write_zeroes', image, offset, length, 'COMP', 0, 0); }),
  ...ranges('rbd_writesame', async (c, image, offset, length) => {
    await c.call('rbd_writesame', image, offset, length, data(7, 100), 100, 0);
    await c.call('rbd_writesame', image, offset, length, data(7, Math.max(1, length)), Math.max(1, length), 0);
  }),
  ...ranges('rbd_compare_and_write', async (c, image, offset, length) => {
    const mismatch = new Out('mismatch', 'u64', 77);
    await c.call('rbd_compare_and_write', image, offset, length, data(0, length), data(8, length), mismatch, 0);
    c.show(mismatch);
    // Of no length, the real library asserts.
  }, RANGES.filter(([, , length]) => length > 0)),
  {
    name: 'rbd_read2, rbd_write2 with advice',
    run: async (c) => {
      const image = await c.fresh('i');
      // LIBRADOS_OP_FLAG_FADVISE_*: 0x4 random, 0x8 sequential, 0x10 willneed, 0x20 dontneed, 0x40 nocache, 0x80 fua
      for (const flags of [0, 4, 8, 0x10, 0x20, 0x40, 0x80]) {
        await c.call('rbd_write2', image, flags * 512, 512, data(flags + 1, 512), flags);
        const into = new Bytes('data', Buffer.alloc(512));
        await c.call('rbd_read2', image, flags * 512, 512, into, flags);
        c.note({ data: into.buffer });
      }
      await aio(c, 'rbd_aio_write2', image, 0, 512, data(9, 512), 'COMP', 0x80);
      const into = new Bytes('data', Buffer.alloc(512));
      await aio(c, 'rbd_aio_read2', image, 0, 512, into, 'COMP', 0x20);
      c.note({ data: into.buffer });
      await c.close(image);
    },
  },
  {
    name: 'vector reads and writes',
    run: async (c) => {
      const image = await c.fresh('i', SIZE);
      const parts = [1, 511, 4096, 3].map((n, i) => Buffer.alloc(n, i + 1));
      await aio(c, 'rbd_aio_writev', image, iovec('iov', parts), 4, 4090, 'COMP');
      const into = [100, 5000].map((n) => Buffer.alloc(n, 0xee));
      await aio(c, 'rbd_aio_readv', image, iovec('iov', into), 2, 4000, 'COMP');
      c.note({ first: into[0], second: into[1] });
      const end = [Buffer.alloc(300, 6), Buffer.alloc(300, 7)];
      await aio(c, 'rbd_aio_writev', image, iovec('iov', end), 2, SIZE - 400, 'COMP');
      await c.read(image, SIZE - 512, 512);
      const past = [Buffer.alloc(300, 0xee), Buffer.alloc(300, 0xee)];
      await aio(c, 'rbd_aio_readv', image, iovec('iov', past), 2, SIZE - 400, 'COMP');
      c.note({ first: past[0], second: past[1] });
      await aio(c, 'rbd_aio_readv', image, iovec('iov', past), 2, SIZE, 'COMP');
      await aio(c, 'rbd_aio_writev', image, iovec('iov', parts), 0, 0, 'COMP');
      await aio(c, 'rbd_aio_writev', image, iovec('iov', parts), -1, 0, 'COMP');
      await aio(c, 'rbd_aio_readv', image, iovec('iov', into), 0, 0, 'COMP');
      await aio(c, 'rbd_aio_readv', image, iovec('iov', into), -1, 0, 'COMP');
      await c.close(image);
    },
  },
  {
    name: 'rbd_read_iterate and rbd_read_iterate2',
    run: async (c) => {
      const image = await c.fresh('i', SIZE);
      await c.write(image, 4 * MiB - 512, 1024, 3);
      for (const [offset, length] of [[0, 1000], [4 * MiB - 1024, 2048], [SIZE - 10, 100], [SIZE, 10], [SIZE + 5, 10], [0, 0]] as const) {
        for (const fn of ['rbd_read_iterate', 'rbd_read_iterate2']) {
          const seen: string[] = [];
          const callback = c.callback('each', 'int', ['u64', 'u64', 'ptr', 'ptr'], (at, n, pointer) => {
            const bytes = pointer === 0n ? Buffer.alloc(Number(n)) : c.bytes(pointer!, Number(n));
            seen.push(`${at}+${n}:${bytes.reduce((sum, b) => sum + b, 0)}`);
            return 0;
          });
          await c.call(fn, image, offset, length, callback, null);
          c.note({ seen: mergeSeen(seen) });
        }
      }
      const stop = c.callback('stop', 'int', ['u64', 'u64', 'ptr', 'ptr'], () => -5);
      await c.call('rbd_read_iterate2', image, 0, 8 * MiB, stop, null);
      await c.close(image);
    },
  },
  {
    name: 'discard below its granularity does nothing, aligned pieces go',
    run: async (c) => {
      const image = await c.fresh('i', SIZE);
      await c.write(image, 0, 512 * KiB, 7);
      for (const [offset, length] of [[4096, 4096], [65536, 65536], [200000, 70000], [262144 + 512, 131072]] as const) {
        await c.call('rbd_discard', image, offset, length);
        await c.read(image, 0, 512 * KiB);
      }
      await c.call('rbd_discard', image, 0, SIZE);
      await c.read(image, 0, 512 * KiB);
      await c.close(image);
    },
  },
  {
    name: 'discard up to the end of an image whose size is no multiple of its granularity',
    run: async (c) => {
      for (const [size, order] of [[300 * KiB + 100, 22], [300 * KiB, 16], [300 * KiB + 1, 12], [4 * MiB + 70 * KiB, 22]] as const) {
        await c.need('rbd_create', c.io, `i${order}-${size}`, size, new Out('order', 'i32', order));
        const image = await c.open(`i${order}-${size}`);
        await c.write(image, 0, size, 7);
        for (const offset of [size - 100, size - 66 * KiB, 0]) {
          await c.call('rbd_discard', image, offset, size - offset);
          await c.read(image, 0, size);
        }
        await c.close(image);
      }
    },
  },
  {
    name: 'discard and write_zeroes of more than 2 GiB',
    run: async (c) => {
      const image = await c.fresh('i', 6 * 1024 * MiB);
      await c.call('rbd_discard', image, 0, 2 ** 31 - 1);
      await c.call('rbd_discard', image, 0, 2 ** 31);
      await c.call('rbd_discard', image, 0, 3 * 2 ** 30);
      await c.call('rbd_write_zeroes', image, 0, 2 ** 31 - 1, 0, 0);
      await c.call('rbd_write_zeroes', image, 0, 3 * 2 ** 30, 0, 0);
      await aio(c, 'rbd_aio_discard', image, 0, 3 * 2 ** 30, 'COMP');
      await aio(c, 'rbd_aio_write_zeroes', image, 0, 3 * 2 ** 30, 'COMP', 0, 0);
      await c.close(image);
    },
  },
  {
    name: 'write_zeroes is exact, and knows its flags',
    run: async (c) => {
      const image = await c.fresh('i', SIZE);
      await c.write(image, 0, 128 * KiB, 7);
      await c.call('rbd_write_zeroes', image, 100, 50, 0, 0);
      await c.call('rbd_write_zeroes', image, 4096, 4096, 1, 0);
      await c.call('rbd_write_zeroes', image, 65536, 65536, 0, 0);
      await c.read(image, 0, 128 * KiB);
      await c.call('rbd_write_zeroes', image, 0, 512, 2, 0);
      await c.call('rbd_write_zeroes', image, 0, 512, -1, 0);
      await aio(c, 'rbd_aio_write_zeroes', image, 0, 512, 'COMP', 2, 0);
      await aio(c, 'rbd_aio_write_zeroes', image, 200, 10, 'COMP', 1, 0);
      await c.read(image, 0, 1024);
      await c.close(image);
    },
  },
  {
    name: 'writesame repeats its pattern and refuses one that does not fit',
    run: async (c) => {
      const image = await c.fresh('i', SIZE);
      const pattern = new Bytes('pattern', Buffer.concat([Buffer.alloc(256, 1), Buffer.alloc(256, 2)]));
      await c.call('rbd_writesame', image, 100, 2048, pattern, 512, 0);
      await c.read(image, 0, 3000);
      await c.call('rbd_writesame', image, 0, 1000, pattern, 512, 0);
      await c.call('rbd_writesame', image, 0, 0, pattern, 512, 0);
      await c.call('rbd_writesame', image, 0, 512, pattern, 0, 0);
      await c.call('rbd_writesame', image, SIZE - 512, 1024, pattern, 512, 0);
      await c.call('rbd_writesame', image, 0, 2 ** 31, pattern, 512, 0);
      const zeroes = new Bytes('zeroes', Buffer.alloc(512));
      await c.call('rbd_writesame', image, 0, 4096, zeroes, 512, 0);
      await aio(c, 'rbd_aio_writesame', image, 4096, 1024, pattern, 512, 'COMP', 0);
      await aio(c, 'rbd_aio_writesame', image, 4096, 1000, pattern, 512, 'COMP', 0);
      await aio(c, 'rbd_aio_writesame', image, 8192, 1024, zeroes, 512, 'COMP', 0);
      await c.read(image, 0, 8192);
      await c.close(image);
    },
  },
  {
    name: 'compare_and_write names the first difference',
    run: async (c) => {
      const image = await c.fresh('i', SIZE);
      await c.write(image, 0, 4096, 7);
      const compare = async (offset: number, was: Buffer, now: Buffer) => {
        const mismatch = new Out('mismatch', 'u64', 99);
        await c.call('rbd_compare_and_write', image, offset, was.length, new Bytes('was', was), new Bytes('now', now), mismatch, 0);
        c.show(mismatch);
      };
      await compare(0, Buffer.alloc(512, 7), Buffer.alloc(512, 8));
      await compare(0, Buffer.alloc(512, 7), Buffer.alloc(512, 9));
      await compare(512, Buffer.concat([Buffer.alloc(100, 7), Buffer.alloc(412, 6)]), Buffer.alloc(512, 9));
      await compare(1000, Buffer.alloc(24, 7), Buffer.alloc(24, 5));
      await compare(1024, Buffer.alloc(2048, 7), Buffer.alloc(2048, 5));
      await compare(4 * MiB - 256, Buffer.alloc(512, 0), Buffer.alloc(512, 5));
      await compare(5 * MiB, Buffer.alloc(512, 0), Buffer.alloc(512, 5));
      const mismatch = new Out('mismatch', 'u64', 99);
      await aio(c, 'rbd_aio_compare_and_write', image, 512, 512, data(7, 512), data(4, 512), 'COMP', mismatch, 0);
      await aio(c, 'rbd_aio_compare_and_write', image, 512, 512, data(7, 512), data(4, 512), 'COMP', mismatch, 0);
      c.show(mismatch);
      await c.read(image, 0, 4096);
      await c.read(image, 5 * MiB - 512, 1024);
      await c.close(image);
    },
  },
  {
    name: 'a read-only handle refuses what writes',
    run: async (c) => {
      await c.image('i');
      const image = await c.open('i', { readOnly: true });
      await everyRefusal(c, image);
      await c.close(image);
    },
  },
  {
    name: 'a snapshot handle refuses what writes',
    run: async (c) => {
      const image = await c.fresh('i');
      await c.write(image, 0, 512, 5);
      await c.need('rbd_snap_create', image, 's');
      await c.close(image);
      const snap = await c.open('i', { snap: 's' });
      await everyRefusal(c, snap);
      await c.close(snap);
    },
  },
  {
    name: 'completions: states, argument, callback',
    run: async (c) => {
      const image = await c.fresh('i');
      const seen: string[] = [];
      const completion = new Handle('comp');
      const callback = c.callback('done', 'void', ['ptr', 'ptr'], (comp, arg) => {
        seen.push(`same=${comp === completion.address} arg=${arg}`);
      });
      await c.call('rbd_aio_create_completion', 0x123n, callback, completion.ref);
      await c.call('rbd_aio_is_complete', completion);
      await c.call('rbd_aio_get_return_value', completion);
      const arg = await c.silent('rbd_aio_get_arg', completion);
      c.note({ arg });
      await c.call('rbd_aio_write', image, 0, 512, data(1, 512), completion);
      await c.call('rbd_aio_wait_for_complete', completion);
      c.note({ seen });
      await c.call('rbd_aio_is_complete', completion);
      await c.call('rbd_aio_get_return_value', completion);
      await c.call('rbd_aio_release', completion);
      await c.close(image);
    },
  },
  {
    name: 'inside a callback the completion is complete and has its value',
    run: async (c) => {
      const image = await c.fresh('i');
      const completion = new Handle('comp');
      let asked: Promise<void> = Promise.resolve();
      const callback = c.callback('done', 'void', ['ptr', 'ptr'], () => {
        asked = (async () => {
          c.note({ complete: await c.abi.call('rbd_aio_is_complete', completion.address), value: await c.abi.call('rbd_aio_get_return_value', completion.address) });
        })();
      });
      await c.need('rbd_aio_create_completion', null, callback, completion.ref);
      const into = new Bytes('data', Buffer.alloc(700));
      await c.need('rbd_aio_read', image, 0, 700, into, completion);
      await c.need('rbd_aio_wait_for_complete', completion);
      await asked;
      await c.silent('rbd_aio_release', completion);
      await c.close(image);
    },
  },
  {
    name: 'rbd_close waits for what is in flight, and its callbacks',
    run: async (c) => {
      const image = await c.fresh('i');
      let done = 0;
      const callback = c.callback('done', 'void', ['ptr', 'ptr'], () => { done++; });
      const buffers = Array.from({ length: 16 }, (_, i) => Buffer.alloc(64 * KiB, i + 1));
      for (const [i, buffer] of buffers.entries()) {
        const completion = await c.completion('comp', callback);
        await c.need('rbd_aio_write', image, i * 64 * KiB, 64 * KiB, new Bytes('data', buffer), completion);
        await c.silent('rbd_aio_release', completion);
      }
      await c.call('rbd_close', image);
      c.note({ done });
      const again = await c.open('i');
      await c.read(again, 0, MiB);
      await c.close(again);
    },
  },
  {
    name: 'a flush covers what was written before it',
    run: async (c) => {
      const image = await c.fresh('i');
      for (let i = 0; i < 4; i++) await aio(c, 'rbd_aio_write', image, i * 1000, 1000, data(i + 1, 1000), 'COMP');
      await aio(c, 'rbd_aio_flush', image, 'COMP');
      await c.call('rbd_flush', image);
      await c.call('rbd_invalidate_cache', image);
      await c.read(image, 0, 4096);
      await c.close(image);
    },
  },
  {
    name: 'concurrent unaligned writes into one block lose nothing',
    run: async (c) => {
      const image = await c.fresh('i');
      const pending: Handle[] = [];
      const kept: Buffer[] = [];
      for (let i = 0; i < 64; i++) {
        const completion = await c.completion();
        const buffer = Buffer.alloc(100, i + 1);
        kept.push(buffer);
        await c.need('rbd_aio_write', image, i * 100, 100, new Bytes('data', buffer), completion);
        pending.push(completion);
      }
      for (const completion of pending) {
        await c.need('rbd_aio_wait_for_complete', completion);
        await c.silent('rbd_aio_release', completion);
      }
      const all = Buffer.alloc(6400);
      await c.need('rbd_read', image, 0, 6400, new Bytes('all', all));
      c.note({ intact: all.equals(Buffer.concat(kept)) });
      await c.close(image);
    },
  },
];

// Pieces that lie side by side are one: where the library cuts is its own business.
function mergeSeen(seen: string[]): string[] {
  const merged: { at: number; n: number; sum: number }[] = [];
  for (const piece of seen) {
    const [at, n, sum] = piece.split(/[+:]/).map(Number) as [number, number, number];
    const last = merged.at(-1);
    if (last !== undefined && last.at + last.n === at) {
      last.n += n;
      last.sum += sum;
    } else {
      merged.push({ at, n, sum });
    }
  }
  return merged.map(({ at, n, sum }) => `${at}+${n}:${sum}`);
}
