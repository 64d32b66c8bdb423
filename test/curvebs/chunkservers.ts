// The stand-in's chunkservers, as far as clients talk to them: UpdateEpoch, by which a writer is fenced. Each holds the
// epochs that it was told; segments are spread over them.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { freePort } from './ports.js';

export class Chunkservers {
  private readonly servers: Server[] = [];
  /** Of each, also while it does not run. */
  private readonly ports: number[] = [];
  private readonly epochs: Array<Record<string, number>> = [];

  constructor(
    private readonly count: number,
    private readonly file: string,
  ) {
    const saved = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Array<Record<string, number>>) : [];
    for (let i = 0; i < count; i++) this.epochs.push(saved[i] ?? {});
  }

  async start(): Promise<void> {
    for (let i = 0; i < this.count; i++) {
      const server = createServer((request, response) => void this.serve(i, request, response));
      const port = (this.ports[i] ??= await freePort());
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
      this.servers.push(server);
    }
  }

  async stop(): Promise<void> {
    for (const server of this.servers.splice(0)) {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    }
  }

  addresses(): Array<{ hostIp: string; port: number }> {
    return this.ports.map((port) => ({ hostIp: '127.0.0.1', port }));
  }

  /** The epoch that the chunkserver of that segment knows; older openers write no longer. */
  epochOf(segment: number, volume: number): number {
    return this.epochs[segment % this.count]?.[String(volume)] ?? 0;
  }

  private async serve(server: number, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.url !== '/curve.chunkserver.ChunkService/UpdateEpoch') {
      response.writeHead(404).end();
      return;
    }
    const { fileId, epoch } = JSON.parse(Buffer.concat(chunks).toString()) as { fileId: number; epoch: number };
    const known = this.epochs[server]![String(fileId)] ?? 0;
    if (epoch > known) {
      this.epochs[server]![String(fileId)] = epoch;
      writeFileSync(this.file, JSON.stringify(this.epochs));
    }
    const text = JSON.stringify({ status: epoch >= known ? 'CHUNK_OP_STATUS_SUCCESS' : 'CHUNK_OP_STATUS_EPOCH_TOO_OLD' });
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(text);
  }
}
