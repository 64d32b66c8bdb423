// What a case wrote down: each call with its arguments and its result, and what came back through pointers, as lines of text.
// Values that differ from run to run become labels (<image 1>) by named rules, equal values becoming equal labels.
import { Callback, type CAbi, type Value } from '../lib/c-abi.js';
import { bytesAt, textAt, textIn } from '../lib/memory.js';
import type { MachineType } from '../lib/prototypes.js';
import { constants } from 'node:os';

/** A variable that C writes through a pointer. */
export class Out {
  readonly buffer: Buffer;

  constructor(readonly name: string, readonly type: 'i32' | 'u32' | 'i64' | 'u64' | 'bool' | 'text', initial: number | bigint = 0) {
    this.buffer = Buffer.alloc(8);
    this.set(initial);
  }

  set(value: number | bigint): void {
    if (this.type === 'bool') this.buffer.writeUInt8(Number(value));
    else if (this.type === 'i32' || this.type === 'u32') this.buffer.writeUInt32LE(Number(BigInt.asUintN(32, BigInt(value))));
    else this.buffer.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  }

  /** The number in it; for `text` the address. */
  get value(): bigint {
    switch (this.type) {
      case 'bool': return BigInt(this.buffer.readUInt8());
      case 'i32': return BigInt(this.buffer.readInt32LE());
      case 'u32': return BigInt(this.buffer.readUInt32LE());
      case 'i64': return this.buffer.readBigInt64LE();
      default: return this.buffer.readBigUInt64LE();
    }
  }

  get text(): string | null {
    return textAt(this.buffer.readBigUInt64LE());
  }
}

/** A handle such as rbd_image_t: passed by value as itself, by address as `ref`. */
export class Handle {
  readonly buffer = Buffer.alloc(8);
  readonly ref: Ref;

  constructor(readonly name: string) {
    this.ref = new Ref(this);
  }

  get address(): bigint {
    return this.buffer.readBigUInt64LE();
  }
}

export class Ref {
  constructor(readonly handle: Handle) {}
}

/** Bytes with a name: text or data that C reads or fills. */
export class Bytes {
  constructor(readonly name: string, readonly buffer: Buffer) {}

  get text(): string {
    return textIn(this.buffer);
  }
}

/** A callback with a name. */
export class Named {
  constructor(readonly name: string, readonly callback: Callback) {}
}

/** A value that goes into the call as it is, but into the transcript as a label or a word. */
export class Shown {
  constructor(readonly shown: string, readonly value: Value) {}
}

export type Argument = number | bigint | boolean | string | null | Out | Handle | Ref | Bytes | Named | Shown;

const ERRNO = new Map(Object.entries(constants.errno).map(([name, n]) => [n, name] as const).reverse());
ERRNO.set(11, 'EAGAIN').set(95, 'EOPNOTSUPP');

/** -2 as "-2 ENOENT", other numbers as they are. */
export function result(value: number | bigint | undefined): string {
  if (value === undefined) return 'void';
  const name = ERRNO.get(-Number(value));
  return name === undefined ? `${value}` : `${value} ${name}`;
}

function quote(text: string): string {
  if (text.length <= 64) return JSON.stringify(text);
  return `${JSON.stringify(text.slice(0, 12))}...(${text.length})`;
}

export function render(argument: Argument): string {
  if (argument === null) return 'NULL';
  if (typeof argument === 'string') return quote(argument);
  if (argument instanceof Out) return `&${argument.name}`;
  if (argument instanceof Ref) return `&${argument.handle.name}`;
  if (argument instanceof Handle || argument instanceof Bytes || argument instanceof Named) return argument.name;
  if (argument instanceof Shown) return argument.shown;
  return `${argument}`;
}

export function toValue(argument: Argument): Value {
  if (argument instanceof Out || argument instanceof Bytes) return argument.buffer;
  if (argument instanceof Handle) return argument.address;
  if (argument instanceof Ref) return argument.handle.buffer;
  if (argument instanceof Named) return argument.callback;
  if (argument instanceof Shown) return argument.value;
  return argument;
}

export class Transcript {
  readonly lines: string[] = [];
  readonly calls: Record<string, number> = {};
  private readonly labels = new Map<string, Map<string, number>>();
  private readonly callbacks: Callback[] = [];
  /** What C reads or writes until a completion is released, by the completion: it must not be collected before. */
  private readonly pending = new Map<Handle, Argument[]>();

  constructor(readonly abi: CAbi) {}

  /** Calls a C function and writes the call and its result down. */
  async call(name: string, ...args: Argument[]): Promise<number> {
    const value = await this.silent(name, ...args);
    this.lines.push(`${name}(${args.map(render).join(', ')}) = ${result(value)}`);
    return Number(value ?? 0);
  }

  /** Calls a C function whose result is checked in another way, or varies. It counts as called. */
  async silent(name: string, ...args: Argument[]): Promise<number | bigint | undefined> {
    this.calls[name] = (this.calls[name] ?? 0) + 1;
    this.keep(name, args);
    const value = await this.abi.call(name, ...args.map(toValue));
    if (name.endsWith('_aio_release')) for (const arg of args) if (arg instanceof Handle) this.pending.delete(arg);
    return value;
  }

  private keep(name: string, args: Argument[]): void {
    for (const arg of args) {
      if (arg instanceof Ref && name.includes('_aio_create_completion')) this.pending.set(arg.handle, []);
      if (arg instanceof Handle) this.pending.get(arg)?.push(...args);
    }
  }

  /** Calls that must succeed for the case to make sense; they are not written down unless they fail. */
  async need(name: string, ...args: Argument[]): Promise<number> {
    const value = Number(await this.silent(name, ...args) ?? 0);
    if (value < 0) this.lines.push(`needed: ${name}(${args.map(render).join(', ')}) = ${result(value)}`);
    return value;
  }

  /** Writes down values. */
  note(values: Record<string, unknown>): void {
    this.lines.push(`  ${Object.entries(values).map(([k, v]) => `${k}=${show(v)}`).join(' ')}`);
  }

  /** Writes down variables. */
  show(...outs: Out[]): void {
    this.note(Object.fromEntries(outs.map((o) => [o.name, o.type === 'text' ? o.text : o.value])));
  }

  /** `<kind n>`: the same for equal values of a kind, numbered as they are first seen. */
  label(kind: string, value: unknown): string {
    const seen = this.labels.get(kind) ?? new Map<string, number>();
    this.labels.set(kind, seen);
    const key = String(value);
    if (!seen.has(key)) seen.set(key, seen.size + 1);
    return `<${kind} ${seen.get(key)}>`;
  }

  /** An argument that the transcript shows by its label. */
  hidden(kind: string, value: string): Shown {
    return new Shown(this.label(kind, value), value);
  }

  /** A point in time, shown by its name. */
  timeLabel(name: string, seconds: number): Shown {
    return new Shown(`<${name}>`, seconds);
  }

  callback(name: string, result: 'void' | 'int', parameters: MachineType[], fn: (...args: bigint[]) => number | void): Named {
    const callback = new Callback(result, parameters, fn);
    this.callbacks.push(callback);
    return new Named(name, callback);
  }

  /** The bytes that C wrote at an address. */
  bytes(address: bigint, length: number): Buffer {
    return bytesAt(address, length);
  }

  /** Gives the callbacks back; only when nothing can call them any more. */
  end(): void {
    for (const callback of this.callbacks) callback.release();
    this.callbacks.length = 0;
  }
}

function show(value: unknown): string {
  if (typeof value === 'string') return /^<.*>$/.test(value) ? value : quote(value);
  if (value === null) return 'NULL';
  if (Buffer.isBuffer(value)) return runs(value);
  if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`;
  if (typeof value === 'object') return `{${Object.entries(value).map(([k, v]) => `${k}=${show(v)}`).join(' ')}}`;
  return String(value);
}

// Data as runs of equal bytes: 0*4096,7*512.
function runs(data: Buffer): string {
  const parts: string[] = [];
  for (let i = 0; i < data.length && parts.length < 40;) {
    let end = i + 1;
    while (end < data.length && data[end] === data[i]) end++;
    parts.push(`${data[i]}*${end - i}`);
    i = end;
  }
  return `<${parts.join(' ')}>`;
}
