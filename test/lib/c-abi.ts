// Calls librados and librbd through their C ABI, like every client. Which libraries these are is the loader's choice
// (LD_LIBRARY_PATH), so a process sees one pair only. Calls run on worker threads: C may call back at any time.
import koffi from 'koffi';
import { addressOf } from './memory.js';
import { readPrototypes, type MachineType, type Prototype } from './prototypes.js';

const KOFFI: Record<MachineType, string> = {
  void: 'void', ptr: 'void *', bool: 'bool', i8: 'int8_t', u8: 'uint8_t', i32: 'int32_t', u32: 'uint32_t', i64: 'int64_t', u64: 'uint64_t', f32: 'float',
};

/** What may be passed: text becomes a C string, a buffer its address, a bigint a number or a pointer. */
export type Value = number | bigint | boolean | string | null | Buffer | Callback;

/** A JavaScript function that C may call from any thread until release(). */
export class Callback {
  readonly address: bigint;
  private readonly registered: koffi.IKoffiRegisteredCallback;

  constructor(result: 'void' | 'int', parameters: MachineType[], fn: (...args: bigint[]) => number | void) {
    const type = koffi.pointer(koffi.proto(result, parameters.map((p) => (p === 'ptr' ? 'uintptr_t' : KOFFI[p]))));
    this.registered = koffi.register((...args: (number | bigint)[]) => fn(...args.map(BigInt)), type);
    this.address = BigInt(koffi.address(this.registered));
  }

  /** After this C must not call any more. */
  release(): void {
    koffi.unregister(this.registered);
  }
}

export interface CAbi {
  /** Calls a function by name. The result is a number where it is exact, else a bigint; undefined for void. */
  call(name: string, ...args: Value[]): Promise<number | bigint | undefined>;
  /** Whether the loaded library exports the function. */
  has(name: string): boolean;
}

type Bound = koffi.KoffiFunction;

function toC(value: Value, type: MachineType): number | bigint | boolean | null | Buffer {
  if (typeof value === 'string') return Buffer.from(`${value}\0`);
  if (value instanceof Callback) return value.address;
  if (Buffer.isBuffer(value)) return addressOf(value);
  if (type === 'u64' && typeof value === 'number' && value < 0) return BigInt.asUintN(64, BigInt(value));
  return value;
}

/** Loads both libraries, as the loader finds them. */
export function loadCAbi(): CAbi {
  const libraries = { librados: koffi.load('librados.so.2'), librbd: koffi.load('librbd.so.1') };
  const prototypes = readPrototypes();
  const bound = new Map<string, Bound | null>();
  // What C reads must not be collected while it runs.
  const inFlight = new Set<object>();

  const bind = (prototype: Prototype): Bound | null => {
    const result = prototype.result === 'ptr' ? 'uintptr_t' : KOFFI[prototype.result];
    try {
      return libraries[prototype.library].func(prototype.name, result, prototype.parameters.map((p) => KOFFI[p]));
    } catch {
      return null;
    }
  };
  const find = (name: string): Bound | null => {
    const known = bound.get(name);
    if (known !== undefined) return known;
    const prototype = prototypes.get(name);
    if (prototype === undefined) throw new Error(`no prototype of ${name}`);
    const made = bind(prototype);
    bound.set(name, made);
    return made;
  };

  return {
    has: (name) => find(name) !== null,
    call: async (name, ...args) => {
      const fn = find(name);
      const prototype = prototypes.get(name)!;
      if (fn === null) throw new Error(`${name} is not exported`);
      if (args.length !== prototype.parameters.length) throw new Error(`${name} takes ${prototype.parameters.length} arguments, not ${args.length}`);
      const call = { args, values: args.map((arg, i) => toC(arg, prototype.parameters[i]!)) };
      inFlight.add(call);
      const result = await new Promise<unknown>((resolve, reject) => {
        fn.async(...call.values, (error: unknown, value: unknown) => (error ? reject(error instanceof Error ? error : new Error(String(error))) : resolve(value)));
      }).finally(() => inFlight.delete(call));
      return typeof result === 'boolean' ? Number(result) : result as number | bigint | undefined;
    },
  };
}
