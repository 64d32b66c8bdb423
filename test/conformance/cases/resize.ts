// Changing what is there: resize and its rules, rename, remove, features.
import { Handle, Out, type Named } from '../transcript.js';
import { FEATURES, MiB, type Case, type Context } from '../context.js';

interface Progress {
  callback: Named;
  calls: [bigint, bigint][];
}

function progress(c: Context, answer: (call: number) => number = () => 0): Progress {
  const calls: [bigint, bigint][] = [];
  const callback = c.callback('progress', 'int', ['u64', 'u64', 'ptr'], (done, total) => {
    calls.push([done!, total!]);
    return answer(calls.length);
  });
  return { callback, calls };
}

async function size(c: Context, image: Handle): Promise<void> {
  await c.get('rbd_get_size', image, 'size');
}

function removal(fn: string, form: 'plain' | 'with progress'): Case {
  return {
    name: `${fn}: open elsewhere, with snapshots, locked, missing`,
    run: async (c) => {
      const args = form === 'plain' ? [] : [progress(c).callback, null];
      await c.call(fn, c.io, 'missing', ...args);
      await c.call(fn, c.io, '', ...args);
      const image = await c.fresh('i');
      await c.call(fn, c.io, 'i', ...args);
      await c.need('rbd_snap_create', image, 's');
      await c.call(fn, c.io, 'i', ...args);
      await c.close(image);
      await c.call(fn, c.io, 'i', ...args);
      const again = await c.open('i');
      await c.need('rbd_snap_remove', again, 's');
      await c.close(again);
      await c.call(fn, c.io, 'i', ...args);
      await c.call(fn, c.io, 'i', ...args);
      await c.noteNames();
    },
  };
}

function featureChange(label: string, initial: number, changes: [number | bigint, boolean][]): Case {
  return {
    name: `rbd_update_features: ${label}`,
    run: async (c) => {
      await c.need('rbd_create2', c.io, 'i', 8 * MiB, initial, new Out('order', 'i32'));
      const image = await c.open('i');
      for (const [features, on] of changes) {
        await c.call('rbd_update_features', image, features, on ? 1 : 0);
        await c.get('rbd_get_features', image, 'features');
      }
      await c.close(image);
      const again = await c.open('i');
      await c.get('rbd_get_features', again, 'features');
      await c.get('rbd_get_flags', again, 'flags');
      await c.close(again);
    },
  };
}

const F = FEATURES;

export const resize: Case[] = [
  {
    name: 'rbd_resize grows, shrinks, to 0 and back, and what comes back is zero',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      await c.write(image, 0, 4096, 1);
      await c.write(image, 6 * MiB, 4096, 2);
      for (const to of [16 * MiB, 6 * MiB + 512, 16 * MiB + 1, 1, 8 * MiB, 0, 8 * MiB]) {
        await c.call('rbd_resize', image, to);
        await size(c, image);
      }
      await c.read(image, 0, 8192);
      await c.read(image, 6 * MiB, 4096);
      await c.close(image);
    },
  },
  {
    name: 'a shrink inside a written block leaves zeroes behind it',
    run: async (c) => {
      const image = await c.fresh('i', 4 * MiB);
      await c.write(image, 0, 16384, 9);
      await c.call('rbd_resize', image, 5000);
      await c.call('rbd_resize', image, 4 * MiB);
      await c.read(image, 0, 16384);
      await c.close(image);
    },
  },
  {
    name: 'rbd_resize2 refuses a shrink that is not allowed',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      // The real library calls a null callback.
      const { callback } = progress(c);
      await c.call('rbd_resize2', image, 4 * MiB, false, callback, null);
      await size(c, image);
      await c.call('rbd_resize2', image, 8 * MiB, false, callback, null);
      await c.call('rbd_resize2', image, 12 * MiB, false, callback, null);
      await size(c, image);
      await c.call('rbd_resize2', image, 4 * MiB, true, callback, null);
      await size(c, image);
      await c.close(image);
    },
  },
  {
    name: 'a resize to an absurd size is refused and changes nothing',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      for (const to of [2n ** 53n, 2n ** 62n, 2n ** 63n - 1n, 2n ** 63n]) {
        await c.call('rbd_resize', image, to);
        await size(c, image);
      }
      await c.close(image);
    },
  },
  {
    name: 'rbd_resize_with_progress reports and can be cancelled',
    run: async (c) => {
      const image = await c.fresh('i', 16 * MiB);
      for (let at = 0; at < 16; at += 4) await c.write(image, at * MiB, 4096, 1);
      const cancel = progress(c, () => -1);
      await c.call('rbd_resize_with_progress', image, 4 * MiB, cancel.callback, null);
      c.note({ called: cancel.calls.length > 0 });
      await size(c, image);
      const seen = progress(c);
      await c.call('rbd_resize_with_progress', image, 4 * MiB, seen.callback, null);
      c.note({ called: seen.calls.length > 0, inRange: seen.calls.every(([done, total]) => done <= total) });
      await size(c, image);
      await c.close(image);
    },
  },
  {
    name: 'a resize is seen by another handle, which then reads and writes by the new size',
    run: async (c) => {
      const one = await c.fresh('i', 8 * MiB);
      const two = await c.open('i', { as: 'img2' });
      await c.call('rbd_resize', one, 16 * MiB);
      await size(c, two);
      await c.write(two, 15 * MiB, 512, 4);
      await c.call('rbd_resize', two, 4 * MiB);
      await size(c, one);
      await c.read(one, 4 * MiB - 512, 1024);
      await c.write(one, 4 * MiB, 512, 1);
      await c.close(one, two);
    },
  },
  {
    name: 'a read-only handle resizes nothing',
    run: async (c) => {
      await c.image('i', 8 * MiB);
      const image = await c.open('i', { readOnly: true });
      await c.call('rbd_resize', image, 16 * MiB);
      await c.call('rbd_resize', image, 8 * MiB);
      await c.call('rbd_resize2', image, 4 * MiB, false, progress(c).callback, null);
      await c.call('rbd_update_features', image, F.fastDiff, 0);
      await c.close(image);
    },
  },
  {
    name: 'rbd_rename: free, taken, missing, empty, strange names',
    run: async (c) => {
      await c.image('a');
      await c.image('b');
      await c.call('rbd_rename', c.io, 'a', 'b');
      await c.call('rbd_rename', c.io, 'missing', 'x');
      await c.call('rbd_rename', c.io, 'missing', 'a');
      await c.call('rbd_rename', c.io, 'a', 'a');
      await c.call('rbd_rename', c.io, '', 'x');
      await c.noteNames();
      await c.call('rbd_rename', c.io, 'a', 'x/y@z');
      await c.call('rbd_rename', c.io, 'b', 'n'.repeat(4096));
      await c.noteNames();
      await c.call('rbd_rename', c.io, 'x/y@z', 'a');
      await c.noteNames();
      // Last, since the real library then has the image under no name.
      await c.call('rbd_rename', c.io, 'a', '');
    },
  },
  {
    name: 'an open image can be renamed, and its handle goes on',
    run: async (c) => {
      const image = await c.fresh('i');
      await c.write(image, 0, 512, 6);
      await c.call('rbd_rename', c.io, 'i', 'j');
      await c.write(image, 512, 512, 7);
      await c.read(image, 0, 1024);
      await c.call('rbd_close', image);
      const again = await c.open('j');
      await c.read(again, 0, 1024);
      await c.close(again);
      await c.call('rbd_open', c.io, 'i', new Handle('gone').ref, null);
    },
  },
  removal('rbd_remove', 'plain'),
  removal('rbd_remove_with_progress', 'with progress'),
  {
    name: 'rbd_remove_with_progress reports',
    run: async (c) => {
      const image = await c.fresh('i', 32 * MiB);
      for (let at = 0; at < 32; at += 4) await c.write(image, at * MiB, 512, 1);
      await c.close(image);
      const seen = progress(c);
      await c.call('rbd_remove_with_progress', c.io, 'i', seen.callback, null);
      c.note({ called: seen.calls.length > 0, inRange: seen.calls.every(([done, total]) => done <= total) });
    },
  },
  {
    name: 'an image can be made again under the name of a removed one, and is empty',
    run: async (c) => {
      const image = await c.fresh('i', 8 * MiB);
      await c.write(image, 0, 4096, 1);
      await c.close(image);
      await c.call('rbd_remove', c.io, 'i');
      await c.call('rbd_create', c.io, 'i', 8 * MiB, new Out('order', 'i32'));
      const again = await c.open('i');
      await c.read(again, 0, 8192);
      await c.close(again);
    },
  },
  featureChange('fast-diff, object-map, exclusive-lock off and on', 61, [
    [F.fastDiff, false], [F.fastDiff, false], [F.objectMap, false], [F.exclusiveLock, false],
    [F.exclusiveLock, true], [F.objectMap, true], [F.fastDiff, true], [F.fastDiff, true],
  ]),
  featureChange('what depends on another', 61, [
    [F.exclusiveLock, false], [F.objectMap, false], [F.objectMap | F.fastDiff, false], [F.fastDiff, true], [F.objectMap | F.fastDiff, true],
  ]),
  featureChange('all at once', 61, [[F.exclusiveLock | F.objectMap | F.fastDiff, false], [F.exclusiveLock | F.objectMap | F.fastDiff, true]]),
  featureChange('what cannot be changed', 61, [
    [F.layering, false], [F.striping, true], [F.dataPool, true], [F.operations, true], [F.migrating, true], [2n ** 50n, true], [2n ** 50n, false], [0, true], [0, false],
  ]),
  featureChange('deep-flatten goes and does not come back', 61, [[F.deepFlatten, false], [F.deepFlatten, true]]),
  featureChange('layering cannot be given later', 0, [[F.layering, true]]),
];
