// Reads C memory that a library gave us by address, and lays out C structs in buffers.
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const memcpyFrom = libc.func('memcpy', 'uintptr_t', ['void *', 'void *', 'size_t']);
const strlenOf = libc.func('strlen', 'size_t', ['void *']);

/** The address of a buffer's first byte (0 for an empty one). The buffer must stay referenced for as long as C may use it. */
export function addressOf(buffer: Buffer): bigint {
  return buffer.length === 0 ? 0n : BigInt(koffi.address(buffer));
}

/** A copy of `length` bytes at `address`. */
export function bytesAt(address: bigint, length: number): Buffer {
  const copy = Buffer.alloc(length);
  if (length > 0) memcpyFrom(copy, address, length);
  return copy;
}

/** The NUL-terminated text at `address`, null for address 0. */
export function textAt(address: bigint): string | null {
  if (address === 0n) return null;
  return bytesAt(address, Number(strlenOf(address))).toString('utf8');
}

/** The text before the first NUL of a buffer. */
export function textIn(buffer: Buffer): string {
  const end = buffer.indexOf(0);
  return buffer.subarray(0, end < 0 ? buffer.length : end).toString('utf8');
}

/** The NUL-separated texts of the first `length` bytes of a buffer. */
export function textsIn(buffer: Buffer, length = buffer.length): string[] {
  const texts = buffer.subarray(0, length).toString('utf8').split('\0');
  if (texts.at(-1) === '') texts.pop();
  return texts;
}

type FieldType = 'u64' | 'i64' | 'u32' | 'i32' | 'bool' | 'text' | 'ptr' | `char${number}`;
export type Field = string | number | bigint | boolean | null;
export type Fields = Record<string, Field>;

const WIDTH: Record<string, number> = { u64: 8, i64: 8, u32: 4, i32: 4, bool: 1, text: 8, ptr: 8 };

interface Member {
  name: string;
  type: FieldType;
  offset: number;
}

/** A C struct of plain members, read from and sized as the C compiler lays it out on a 64-bit machine. */
export class Struct {
  readonly size: number;
  private readonly members: Member[] = [];

  constructor(shape: Record<string, FieldType>) {
    let offset = 0;
    let alignment = 1;
    for (const [name, type] of Object.entries(shape)) {
      const chars = /^char(\d+)$/.exec(type);
      const width = chars === null ? WIDTH[type]! : Number(chars[1]);
      const align = chars === null ? width : 1;
      offset = Math.ceil(offset / align) * align;
      this.members.push({ name, type, offset });
      offset += width;
      alignment = Math.max(alignment, align);
    }
    this.size = Math.ceil(offset / alignment) * alignment;
  }

  /** The members of element `index` of an array in `buffer`; texts are read through their pointers. */
  read(buffer: Buffer, index = 0): Fields {
    const base = index * this.size;
    return Object.fromEntries(this.members.map(({ name, type, offset }) => [name, readField(buffer, type, base + offset)]));
  }

  readAll(buffer: Buffer, count: number): Fields[] {
    return Array.from({ length: count }, (_, i) => this.read(buffer, i));
  }
}

function readField(buffer: Buffer, type: FieldType, at: number): Field {
  switch (type) {
    case 'u64': return buffer.readBigUInt64LE(at);
    case 'i64': return buffer.readBigInt64LE(at);
    case 'u32': return buffer.readUInt32LE(at);
    case 'i32': return buffer.readInt32LE(at);
    case 'bool': return buffer.readUInt8(at) !== 0;
    case 'text': return textAt(buffer.readBigUInt64LE(at));
    case 'ptr': return buffer.readBigUInt64LE(at);
    default: return textIn(buffer.subarray(at, at + Number(type.slice(4))));
  }
}
