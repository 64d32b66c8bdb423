// brpc's "baidu_std" frames: PRPC, two lengths, a meta message, a body and an attachment. Knows neither NEBD nor MDS.

import { BadMessage, MessageWriter, bytesField, numberField, readFields } from './protobuf.js';

/** brpc closes a connection that announces more than this. */
export const MAX_FRAME_BYTES = 64 * 1024 * 1024;
const HEADER_BYTES = 12;

export interface Frame {
  /** Of a request: whom it is for. */
  readonly request?: { readonly service: string; readonly method: string; readonly logId?: number };
  /** Of a reply: brpc's own verdict, 0 where the method ran. */
  readonly response?: { readonly errorCode: number; readonly errorText?: string };
  /** Requests of libnebd say it (0), those of other clients may leave it out; replies always have it. */
  readonly compressType?: number;
  /** Chosen by the client, echoed by the server. */
  readonly correlationId: bigint;
  readonly body: Buffer;
  readonly attachment: Buffer;
}

export const NOTHING = Buffer.alloc(0);

/** The frame's bytes, as brpc lays them out. */
export function encodeFrame(frame: Frame): Buffer {
  const meta = new MessageWriter();
  if (frame.request) {
    const request = new MessageWriter().bytes(1, frame.request.service).bytes(2, frame.request.method);
    if (frame.request.logId !== undefined) request.varint(3, frame.request.logId);
    meta.bytes(1, request.finish());
  }
  if (frame.response) {
    const response = new MessageWriter().varint(1, frame.response.errorCode);
    if (frame.response.errorText !== undefined) response.bytes(2, frame.response.errorText);
    meta.bytes(2, response.finish());
  }
  if (frame.compressType !== undefined) meta.varint(3, frame.compressType);
  meta.varint(4, frame.correlationId);
  if (frame.attachment.length > 0) meta.varint(5, frame.attachment.length);
  const metaBytes = meta.finish();
  const header = Buffer.alloc(HEADER_BYTES);
  header.write('PRPC', 0, 'latin1');
  header.writeUInt32BE(metaBytes.length + frame.body.length + frame.attachment.length, 4);
  header.writeUInt32BE(metaBytes.length, 8);
  return Buffer.concat([header, metaBytes, frame.body, frame.attachment]);
}

/** The frame that `bytes` are, header included. Throws BadMessage. */
export function decodeFrame(bytes: Buffer): Frame {
  const metaLength = bytes.readUInt32BE(8);
  if (metaLength > bytes.length - HEADER_BYTES) throw new BadMessage('the meta is longer than its frame');
  const meta = readFields(bytes.subarray(HEADER_BYTES, HEADER_BYTES + metaLength));
  const rest = bytes.subarray(HEADER_BYTES + metaLength);
  const attachmentSize = numberField(meta, 5) ?? 0;
  if (attachmentSize < 0 || attachmentSize > rest.length) throw new BadMessage('the attachment is longer than its frame');
  const requestBytes = bytesField(meta, 1);
  const responseBytes = bytesField(meta, 2);
  const compressType = numberField(meta, 3);
  const correlation = meta.find((field) => field.number === 4)?.value ?? 0n;
  if (typeof correlation !== 'bigint') throw new BadMessage('the correlation id is not a number');
  return {
    ...(requestBytes ? { request: decodeRequest(requestBytes) } : {}),
    ...(responseBytes ? { response: decodeResponse(responseBytes) } : {}),
    ...(compressType !== undefined ? { compressType } : {}),
    correlationId: correlation,
    body: rest.subarray(0, rest.length - attachmentSize),
    attachment: rest.subarray(rest.length - attachmentSize),
  };
}

function decodeRequest(bytes: Buffer): NonNullable<Frame['request']> {
  const fields = readFields(bytes);
  const logId = numberField(fields, 3);
  return {
    service: bytesField(fields, 1)?.toString() ?? '',
    method: bytesField(fields, 2)?.toString() ?? '',
    ...(logId !== undefined ? { logId } : {}),
  };
}

function decodeResponse(bytes: Buffer): NonNullable<Frame['response']> {
  const fields = readFields(bytes);
  const errorText = bytesField(fields, 2)?.toString();
  return { errorCode: numberField(fields, 1) ?? 0, ...(errorText !== undefined ? { errorText } : {}) };
}

/** Cuts a stream into frames. After it threw BadMessage the stream is lost: close it. */
export class FrameReader {
  private chunks: Buffer[] = [];
  private held = 0;
  private wanted = HEADER_BYTES;

  /** Takes what arrived and returns the frames that it completes. */
  push(chunk: Buffer): Frame[] {
    this.chunks.push(chunk);
    this.held += chunk.length;
    const frames: Frame[] = [];
    while (this.held >= this.wanted) {
      const all = this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks);
      this.chunks = [all];
      if (this.wanted === HEADER_BYTES) {
        if (all.toString('latin1', 0, 4) !== 'PRPC') throw new BadMessage('not a PRPC frame');
        const length = all.readUInt32BE(4);
        if (length > MAX_FRAME_BYTES) throw new BadMessage(`a frame of ${length} bytes`);
        this.wanted = HEADER_BYTES + length;
        if (length === 0) throw new BadMessage('an empty frame');
        continue;
      }
      frames.push(decodeFrame(all.subarray(0, this.wanted)));
      this.chunks = [all.subarray(this.wanted)];
      this.held -= this.wanted;
      this.wanted = HEADER_BYTES;
    }
    return frames;
  }
}
