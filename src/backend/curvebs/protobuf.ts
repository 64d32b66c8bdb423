// Protocol buffers' wire format, as little of it as CurveBS needs: varints and length-delimited fields. Knows no message.

/** A message that does not parse. */
export class BadMessage extends Error {}

/** One field as it stands on the wire: a varint's 64 bits, unsigned, or the bytes of a string or a message within. */
export interface Field {
  readonly number: number;
  readonly value: bigint | Buffer;
}

const MASK_64 = (1n << 64n) - 1n;

/** Puts a message together, field by field, in the order of the calls. */
export class MessageWriter {
  private readonly parts: Buffer[] = [];

  /** Negative numbers become ten bytes, as protobuf has it for int32 and int64. */
  varint(number: number, value: number | bigint): this {
    this.raw(BigInt(number << 3));
    this.raw(BigInt(value) & MASK_64);
    return this;
  }

  bytes(number: number, value: Buffer | string): this {
    const content = typeof value === 'string' ? Buffer.from(value) : value;
    this.raw(BigInt((number << 3) | 2));
    this.raw(BigInt(content.length));
    this.parts.push(content);
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.parts);
  }

  private raw(value: bigint): void {
    const out: number[] = [];
    let rest = value;
    while (rest > 127n) {
      out.push(Number(rest & 127n) | 128);
      rest >>= 7n;
    }
    out.push(Number(rest));
    this.parts.push(Buffer.from(out));
  }
}

/** The fields of a message, in the order of the wire. Fixed-width fields are passed over. Throws BadMessage. */
export function readFields(message: Buffer): Field[] {
  const found: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw new BadMessage('a varint is cut off');
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value & MASK_64;
    }
    throw new BadMessage('a varint is longer than ten bytes');
  };
  const skip = (bytes: number): Buffer => {
    if (at + bytes > message.length) throw new BadMessage('a field is cut off');
    at += bytes;
    return message.subarray(at - bytes, at);
  };
  while (at < message.length) {
    const key = varint();
    const number = Number(key >> 3n);
    if (number < 1 || number > 0x1fffffff) throw new BadMessage(`field number ${number}`);
    switch (Number(key & 7n)) {
      case 0: found.push({ number, value: varint() }); break;
      case 1: skip(8); break;
      case 2: {
        const length = varint();
        if (length > BigInt(message.length)) throw new BadMessage('a field is cut off');
        found.push({ number, value: skip(Number(length)) });
        break;
      }
      case 5: skip(4); break;
      default: throw new BadMessage(`wire type ${Number(key & 7n)}`);
    }
  }
  return found;
}

/** The last varint of that number, as a signed number; nothing where there is none. Throws BadMessage for text in its place. */
export function numberField(fields: Field[], number: number): number | undefined {
  const field = fields.filter((each) => each.number === number).at(-1);
  if (field === undefined) return undefined;
  if (typeof field.value !== 'bigint') throw new BadMessage(`field ${number} is not a number`);
  return Number(BigInt.asIntN(64, field.value));
}

/** The last bytes of that number, or nothing. Throws BadMessage for a number in their place. */
export function bytesField(fields: Field[], number: number): Buffer | undefined {
  const field = fields.filter((each) => each.number === number).at(-1);
  if (field === undefined) return undefined;
  if (typeof field.value === 'bigint') throw new BadMessage(`field ${number} is a number`);
  return field.value;
}
