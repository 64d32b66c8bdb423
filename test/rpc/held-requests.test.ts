// More requests at once than are served at once: the others wait, and what the daemon asks meanwhile is answered all the same.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createServer, connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { Connection } from '../../src/rpc/connection.js';

const requests = 1000;

t.test('an answer is heard while more requests are there than are served at once, all of which wait for it', async (t) => {
  // Not t.testdir(): a socket's path may have 107 bytes.
  const folder = mkdtempSync(join(tmpdir(), 'cbd-held-'));
  const path = join(folder, 'socket');
  let answered = (): void => undefined;
  const answer = new Promise<void>((resolve) => { answered = resolve; });
  let connection: Connection | undefined;
  let asked = false;
  const server = createServer((socket: Socket) => {
    connection = new Connection(socket, async () => {
      if (!asked) {
        asked = true;
        void connection?.ask('image.giveUp', {}).then(answered);
      }
      await answer;
      return { result: {} };
    });
  });
  server.listen(path);
  await once(server, 'listening');
  const client = connect(path);
  t.teardown(() => { client.destroy(); server.close(); rmSync(folder, { recursive: true }); });

  const seen = new Set<number>();
  const lines = createInterface({ input: client });
  const all = new Promise<void>((resolve) => {
    lines.on('line', (line) => {
      const message = JSON.parse(line) as { id: number; method?: string };
      if (message.method === undefined) seen.add(message.id);
      else client.write(`${JSON.stringify({ jsonrpc: '2.0', id: message.id, result: {} })}\n`);
      if (seen.size === requests) resolve();
    });
  });
  for (let id = 1; id <= requests; id += 1) client.write(`${JSON.stringify({ jsonrpc: '2.0', id, method: 'layer.own', params: {} })}\n`);
  await all;
  t.equal(seen.size, requests, 'and each is answered');
});
