// The stand-in's MDS on the network: HTTP with JSON and baidu_std on one port, the variables, and a follower that does not
// listen. Knows no rule of the MDS itself.

import { createServer as createHttpServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { FrameReader, NOTHING, encodeFrame, type Frame } from '../../src/backend/curvebs/baidu-std.js';
import type { Clock } from './clock.js';
import { REQUIRED, type Mds } from './mds.js';
import { decodeMessage, encodeMessage } from './mds-schema.js';

/** The capacity variables appear this long after a leader's start. */
export const VARIABLES_AFTER_MS = 10_000;
const SERVICE = 'curve.mds.CurveFSService';

export class MdsServer {
  private readonly http: HttpServer;
  private readonly dummy: HttpServer;
  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;
  private leaderSince = 0;
  /** Answers nothing while true: connections are taken and left alone. */
  silent = false;
  /** How many requests came while it was silent. */
  unanswered = 0;

  constructor(
    private readonly mds: Mds,
    private readonly clock: Clock,
    private readonly port: number,
    private readonly variablesAfterMs = VARIABLES_AFTER_MS,
  ) {
    this.http = createHttpServer({ keepAliveTimeout: 60_000 }, (request, response) => void this.serve(request, response));
    this.dummy = createHttpServer((request, response) => this.serveDummy(request, response));
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get leads(): boolean {
    return this.server !== undefined;
  }

  /** Where `mds_status` is. */
  get dummyAddress(): string {
    return `127.0.0.1:${(this.dummy.address() as AddressInfo).port}`;
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => this.dummy.once('error', reject).listen(0, '127.0.0.1', resolve));
  }

  /** Takes the lead: only now does the RPC port listen. */
  async lead(): Promise<void> {
    const server = createServer((socket) => this.accept(socket));
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(this.port, '127.0.0.1', resolve));
    this.server = server;
    this.leaderSince = this.clock.now();
  }

  async follow(): Promise<void> {
    const server = this.server;
    this.server = undefined;
    for (const socket of this.sockets) socket.destroy();
    if (server) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  async stop(): Promise<void> {
    await this.follow();
    await new Promise<void>((resolve) => this.dummy.close(() => resolve()));
    this.http.close();
  }

  private accept(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.once('data', (first: Buffer) => {
      if (first.toString('latin1', 0, 4) === 'PRPC') {
        const reader = new FrameReader();
        const take = (chunk: Buffer): void => {
          try {
            for (const frame of reader.push(chunk)) socket.write(this.answer(frame));
          } catch {
            socket.destroy();
          }
        };
        socket.on('data', take);
        take(first);
      } else {
        socket.pause();
        socket.unshift(first);
        this.http.emit('connection', socket);
        socket.resume();
      }
    });
  }

  private answer(frame: Frame): Buffer {
    const reply = (errorCode: number, body: Buffer, errorText?: string): Buffer =>
      encodeFrame({ response: { errorCode, ...(errorText ? { errorText } : {}) }, compressType: 0, correlationId: frame.correlationId, body, attachment: NOTHING });
    const { service, method } = frame.request ?? { service: '', method: '' };
    if (service !== SERVICE || !this.mds.knows(method)) {
      return reply(1002, NOTHING, `[${this.address}][E1002]Fail to find method=${service}/${method}`);
    }
    const request = decodeMessage(`${method}Request`, frame.body);
    if (REQUIRED[method]!.some((field) => request[field] === undefined)) {
      return reply(1003, NOTHING, `[${this.address}][E1003]Fail to parse request message, CompressType=none, request_size=${frame.body.length}`);
    }
    return reply(0, encodeMessage(`${method}Response`, this.mds.call(method, request)));
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (this.silent) {
      this.unanswered++;
      return;
    }
    response.sendDate = false;
    const url = new URL(request.url ?? '/', 'http://mds');
    if (url.pathname.startsWith('/vars/')) return this.serveVariable(url, response);
    const [, service, method] = url.pathname.split('/');
    if (service !== SERVICE || method === undefined || !this.mds.knows(method)) {
      return this.refuse(response, 404, 1002, `Fail to find method on \`${url.pathname}'`);
    }
    let body: unknown;
    try {
      body = JSON.parse(Buffer.concat(chunks).toString());
    } catch {
      return this.refuse(response, 400, 1003, `Fail to parse http body as curve.mds.${method}Request, Invalid json`);
    }
    const wrong = this.fault(method, body);
    if (wrong !== undefined) return this.refuse(response, 400, 1003, `Fail to parse http body as curve.mds.${method}Request, ${wrong}`);
    const text = JSON.stringify(this.mds.call(method, body as Record<string, unknown>));
    response.writeHead(200, { 'Content-Length': Buffer.byteLength(text), 'Content-Type': 'application/json' }).end(text);
  }

  /** What keeps the body from being that method's request. A number as text is refused, as by the real one. */
  private fault(method: string, body: unknown): string | undefined {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) return 'the root value is not an object';
    const missing = REQUIRED[method]!.find((field) => (body as Record<string, unknown>)[field] === undefined);
    if (missing !== undefined) return `Missing required field: curve.mds.${method}Request.${missing}`;
    const numbers = ['date', 'fileLength', 'newSize', 'fileId', 'oldFileId', 'newFileId'];
    const asText = numbers.find((field) => typeof (body as Record<string, unknown>)[field] === 'string');
    return asText === undefined ? undefined : `Invalid value \`"..."' for field \`curve.mds.${method}Request.${asText}'`;
  }

  private refuse(response: ServerResponse, code: number, error: number, why: string): void {
    const text = `[${this.address}][E${error}]${why}`;
    response.writeHead(code, { 'Content-Length': Buffer.byteLength(text), 'Content-Type': 'text/plain', 'x-bd-error-code': error }).end(text);
  }

  private serveVariable(url: URL, response: ServerResponse): void {
    const name = url.pathname.slice('/vars/'.length);
    const values: Record<string, number> = {
      topology_metric_cluster_logical_capacity: this.mds.options.capacity,
      topology_metric_cluster_logical_alloc: this.mds.allocated(),
      topology_metric_logical_pool_logical_pool1_logical_capacity: this.mds.options.capacity,
      topology_metric_logical_pool_logical_pool1_logical_alloc: this.mds.allocated(),
    };
    const known = this.clock.now() - this.leaderSince >= this.variablesAfterMs && values[name] !== undefined;
    const text = known ? `${name} : ${values[name]}\r\n` : `Fail to find any bvar by \`${name}'`;
    response.writeHead(known ? 200 : 404, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(text) }).end(text);
  }

  private serveDummy(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://mds');
    const known = url.pathname === '/vars/mds_status';
    const text = known ? `mds_status : "${this.server ? 'leader' : 'follower'}"\r\n` : 'not found';
    response.writeHead(known ? 200 : 404, { 'Content-Type': 'text/plain' }).end(text);
  }
}
