// The options of rbd's commands: written as Ceph's are, wrong in Ceph's words.
import {misspelt} from './errors.js';

export interface OptionSpec {
  /** "size"; with a value unless `isSwitch`. */
  readonly name: string;
  /** "s" for -s. */
  readonly letter?: string;
  readonly isSwitch?: true;
  /** May be given several times. */
  readonly isMany?: true;
  /** Help shows it without brackets; its absence is the command's to complain about. */
  readonly isRequired?: true;
  /** Help does not show it. */
  readonly isHidden?: true;
}

export class Options {
  constructor(private readonly found: ReadonlyMap<string, readonly string[]>, readonly words: readonly string[]) {}

  has(name: string): boolean {
    return this.found.has(name);
  }

  text(name: string): string|undefined {
    return this.found.get(name)?.at(-1);
  }

  texts(name: string): readonly string[] {
    return this.found.get(name) ?? [];
  }

  /** The word at this place, and none where the line has fewer. */
  word(at: number): string|undefined {
    return this.words[at];
  }
}

/** Words behind "--" are words. Misspelt options and missing values end the command with code 1. */
export function readOptions(specs: readonly OptionSpec[], argv: readonly string[]): Options {
  const found = new Map<string, string[]>();
  const words: string[] = [];
  const put = (spec: OptionSpec, value: string): void => {
    const known = found.get(spec.name);
    if (known && !spec.isMany) throw misspelt(`option '--${spec.name}' cannot be specified more than once`);
    found.set(spec.name, [...known ?? [], value]);
  };
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    if (word === '--') {
      words.push(...argv.slice(at + 1));
      break;
    }
    // A lone "-" is a word.
    if (!/^-./.test(word)) {
      words.push(word);
      continue;
    }
    const long = /^--([^=]+)(?:=(.*))?$/s.exec(word);
    const short = long ? null : /^-(.)(.*)$/s.exec(word);
    const spec = specs.find((spec) => long ? spec.name === long[1] : spec.letter === short?.[1]);
    if (!spec) throw misspelt(`unrecognised option '${word}'`);
    const joined = long ? long[2] : short?.[2] || undefined;
    if (spec.isSwitch) {
      if (joined !== undefined) throw misspelt(`option '--${spec.name}' does not take any arguments`);
      put(spec, '');
      continue;
    }
    const value = joined ?? argv[++at];
    if (value === undefined) throw misspelt(`the required argument for option '--${spec.name}' is missing`);
    put(spec, value);
  }
  return new Options(found, words);
}

const badArgument = (option: string): Error => misspelt(`the argument for option '--${option}' is invalid`);

/** Sizes of `--size`: a number in MiB, or with a unit (B, K, M, G, T, P, E; "10G", "10MB"). */
export function sizeOf(options: Options, name: string): number|undefined {
  const text = options.text(name);
  if (text === undefined) return undefined;
  const match = /^\+?(\d+)(?:([BKMGTPE])B?)?$/.exec(text);
  if (!match || text.endsWith('BB')) throw badArgument(name);
  const unit = match[2] ?? 'M';
  const value = BigInt(match[1] ?? '0') << BigInt(10 * 'BKMGTPE'.indexOf(unit));
  if (value >= 1n << 63n) throw badArgument(name);
  return Number(value);
}

/** Of `--object-size`: a number in bytes, or with a unit; rounded to the next power of two; as an order. */
export function orderOf(options: Options): number|undefined {
  const order = options.text('order');
  if (order !== undefined) {
    if (!/^\+?\d+$/.test(order) || Number(order) < 12 || Number(order) > 25) throw badArgument('order');
    return Number(order);
  }
  const text = options.text('object-size');
  if (text === undefined) return undefined;
  const match = /^\+?(\d+)([BKMGTPE]?)B?$/.exec(text);
  const bytes = match ? Number(match[1]) * 1024 ** 'BKMGTPE'.indexOf(match[2] || 'B') : 0;
  if (!Number.isSafeInteger(bytes) || bytes === 0) throw badArgument('object-size');
  return Math.ceil(Math.log2(bytes));
}

/** Bytes with a unit, plain numbers being bytes (--stripe-unit). */
export function bytesOf(options: Options, name: string): number|undefined {
  const text = options.text(name);
  if (text === undefined) return undefined;
  const match = /^\+?(\d+)([BKMGTPE]?)B?$/.exec(text);
  const bytes = match ? Number(match[1]) * 1024 ** 'BKMGTPE'.indexOf(match[2] || 'B') : 0;
  if (!Number.isSafeInteger(bytes)) throw badArgument(name);
  return bytes;
}

/** A whole number as boost reads one of 64 bits: with a sign, of which - counts down from 2^64. */
export function countOf(options: Options, name: string): number|undefined {
  const text = options.text(name);
  if (text === undefined) return undefined;
  if (text === '') throw badArgument(name);
  const value = /^[+-]?\d+$/.test(text) ? BigInt(text.replace(/^[+-]/, '')) : undefined;
  if (value === undefined || value >= 1n << 64n) throw misspelt(`the argument ('${text}') for option '--${name}' is invalid`);
  return Number(BigInt.asUintN(64, text.startsWith('-') ? -value : value));
}

/** Features by name, in lists with commas too. */
export const featureBits = {
  'layering': 1, 'striping': 2, 'exclusive-lock': 4, 'object-map': 8, 'fast-diff': 16, 'deep-flatten': 32, 'journaling': 64,
  'data-pool': 128, 'operations': 256, 'migrating': 512, 'non-primary': 1024, 'dirty-cache': 2048,
} as const;

export function featuresOf(names: readonly string[]): number|undefined {
  let bits = 0;
  for (const name of names.flatMap((list) => list.split(','))) {
    if (!Object.hasOwn(featureBits, name)) return undefined;
    bits |= featureBits[name as keyof typeof featureBits];
  }
  return bits;
}

export function featureNames(bits: number): string[] {
  return Object.entries(featureBits).filter(([, bit]) => bits & bit).map(([name]) => name);
}
