// What the daemon itself says to nebd-server: it closes what dead clients left open, and zeroes the end of a volume. The data
// path of clients is the shim's (shim/block/nebd_*). A connection lives for one task.

import { connect, type Socket } from 'node:net';
import { ServiceError } from '../../service/errors.js';
import { FrameReader, NOTHING, encodeFrame, type Frame } from './baidu-std.js';
import { MessageWriter, bytesField, numberField, readFields, type Field } from './protobuf.js';

const SERVICE = 'nebd.client.NebdFileService';
const MAX_DATA = 1024 * 1024;

/** A file as it is open on the server. */
export interface OpenedFile {
  readonly fd: number;
  readonly size: number;
  readonly blockSize: number;
}

/** An answer that says no; nothing of what was asked for is under way. */
export class NebdRefusal extends ServiceError {
  constructor(message: string) {
    super('EIO', message);
  }
}

export class NebdSession {
  private readonly pending = new Map<bigint, { resolve: (frame: Frame) => void; reject: (error: Error) => void }>();
  private nextId = 1n;

  private constructor(private readonly socket: Socket, private readonly timeoutMs: number) {
    const reader = new FrameReader();
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const frame of reader.push(chunk)) this.take(frame);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : undefined);
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', () => this.failAll());
  }

  /** ETIMEDOUT where nobody listens at that path. */
  static async connect(path: string, timeoutMs: number): Promise<NebdSession> {
    const socket = connect({ path });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (error) => reject(new ServiceError('ETIMEDOUT', `nebd-server does not answer at '${path}': ${error.message}`)));
    });
    return new NebdSession(socket, timeoutMs);
  }

  /** A NebdRefusal (EIO) where the server refuses; it never says why. */
  async open(name: string): Promise<OpenedFile> {
    const fd = await this.openOnly(name);
    const info = await this.call('GetInfo', new MessageWriter().varint(1, fd), `GetInfo of '${name}'`);
    const details = readFields(bytesField(info.fields, 3) ?? NOTHING);
    return { fd, size: numberField(details, 1) ?? 0, blockSize: numberField(details, 4) ?? 4096 };
  }

  /** The fd alone, of whatever has that name: what is open under it already, or is opened now. EIO. */
  async openOnly(name: string): Promise<number> {
    const opened = await this.call('OpenFile', new MessageWriter().bytes(1, name), `OpenFile of '${name}'`);
    return numberField(opened.fields, 3) ?? -1;
  }

  async closeFile(fd: number): Promise<void> {
    await this.call('CloseFile', new MessageWriter().varint(1, fd), `CloseFile of ${fd}`);
  }

  async read(file: OpenedFile, offset: number, length: number): Promise<Buffer> {
    checkRange(file, offset, length);
    const { attachment } = await this.call('Read', range(file, offset, length), `Read at ${offset}`);
    if (attachment.length !== length) throw new ServiceError('EIO', `Read at ${offset} gave ${attachment.length} bytes of ${length}`);
    return attachment;
  }

  async write(file: OpenedFile, offset: number, data: Buffer): Promise<void> {
    checkRange(file, offset, data.length);
    await this.call('Write', range(file, offset, data.length), `Write at ${offset}`, data);
  }

  /** Gives space back, some time; says nothing about what is read. */
  async discard(file: OpenedFile, offset: number, length: number): Promise<void> {
    checkWhole(file, offset, length);
    await this.call('Discard', range(file, offset, length), `Discard at ${offset}`);
  }

  close(): void {
    this.socket.destroy();
  }

  private async call(method: string, body: MessageWriter, what: string, attachment: Buffer = NOTHING): Promise<{ fields: Field[]; attachment: Buffer }> {
    const correlationId = this.nextId++;
    const reply = await new Promise<Frame>((resolve, reject) => {
      const timer = setTimeout(() => reject(new ServiceError('ETIMEDOUT', `nebd-server does not answer to ${what}`)), this.timeoutMs);
      this.pending.set(correlationId, {
        resolve: (frame) => { clearTimeout(timer); resolve(frame); },
        reject: (error) => { clearTimeout(timer); reject(error); },
      });
      if (this.socket.destroyed) this.failAll();
      this.socket.write(encodeFrame({ request: { service: SERVICE, method, logId: Number(correlationId) }, compressType: 0, correlationId, body: body.finish(), attachment }));
    });
    const fields = readFields(reply.body);
    const code = reply.response?.errorCode !== 0 ? reply.response?.errorText : numberField(fields, 1);
    if (code !== 0) throw new NebdRefusal(`${what}: nebd-server says ${code ?? 'nothing'}`);
    return { fields, attachment: reply.attachment };
  }

  private take(frame: Frame): void {
    const waiting = this.pending.get(frame.correlationId);
    this.pending.delete(frame.correlationId);
    waiting?.resolve(frame);
  }

  private failAll(): void {
    for (const { reject } of this.pending.values()) reject(new ServiceError('ENOTCONN', 'the connection to nebd-server ended'));
    this.pending.clear();
  }
}

function range(file: OpenedFile, offset: number, length: number): MessageWriter {
  return new MessageWriter().varint(1, file.fd).varint(2, offset).varint(3, length);
}

/** One unaligned request takes down every guest of the host; an empty one, or one past the end, hangs its file. None leaves here. */
function checkWhole(file: OpenedFile, offset: number, length: number): void {
  const isWhole = length > 0 && offset >= 0 && offset % file.blockSize === 0 && length % file.blockSize === 0 && offset + length <= file.size;
  if (!isWhole) throw new ServiceError('EINVAL', `${length} bytes at ${offset} are not whole blocks of ${file.blockSize} bytes inside ${file.size}`);
}

function checkRange(file: OpenedFile, offset: number, length: number): void {
  checkWhole(file, offset, length);
  if (length > MAX_DATA) throw new ServiceError('EINVAL', `${length} bytes are too many for one request`);
}
