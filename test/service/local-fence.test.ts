// A volume on local files is taken from a writer who does not answer: nothing that he was told to be durable is missing in what others get.
import { chmod, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openLocalBackend } from '../../src/backend/local.js';

t.test('the file is marked as taken before it is copied, and the copy is not', async (t) => {
  const root = t.testdir({ bin: {} });
  // Stands in the way to the real one: it copies only what is marked.
  const cp = join(root, 'bin', 'cp');
  await writeFile(cp, '#!/bin/sh\nfor last; do from=$to; to=$last; done\n[ -k "$from" ] && exec /bin/cp "$@"\n');
  await chmod(cp, 0o755);
  const { PATH } = process.env;
  process.env['PATH'] = `${join(root, 'bin')}:${PATH}`;
  t.teardown(() => { process.env['PATH'] = PATH; });

  const backend = await openLocalBackend(join(root, 'volumes'));
  const place = { dir: 'pool', owner: '' };
  await backend.createDirectory(place);
  await backend.createVolume(place, 'layer', 8192);
  const path = join(root, 'volumes', 'pool', 'layer');
  const writer = await open(path, 'r+');
  t.teardown(() => writer.close());
  await writer.write('flushed', 4096);

  await backend.fenceVolume(place, 'layer');
  t.equal((await writer.stat()).mode & 0o7777, 0o1600, 'who has the old file open sees the mark');
  t.equal((await writer.stat()).nlink, 0);
  t.equal((await stat(path)).mode & 0o7777, 0o600, 'the new one has none');
  t.equal((await readFile(path)).subarray(4096, 4103).toString(), 'flushed');

  await writer.write('too late', 0);
  await backend.fenceVolume(place, 'layer');
  t.equal((await readFile(path)).subarray(0, 8).toString(), '\0'.repeat(8), 'and it can be taken again');
});
