// Reading the parameters of a request: each field is checked once, and a wrong one is named. EINVAL throughout.
import { ServiceError } from '../service/errors.js';
import type { At } from '../service/records.js';

export class Params {
  constructor(readonly fields: Readonly<Record<string, unknown>>, private readonly path = '') {}

  has(name: string): boolean {
    return this.fields[name] !== undefined && this.fields[name] !== null;
  }

  text(name: string, byDefault?: string): string {
    const value = this.fields[name] ?? byDefault;
    if (typeof value !== 'string') throw this.wrong(name, 'a text');
    // Two texts that differ only in what UTF-8 cannot hold would be one key in the store.
    return Buffer.from(value, 'utf8').toString('utf8');
  }

  /** A whole number from 0 to 2^53 - 1. */
  number(name: string, byDefault?: number): number {
    const value = this.fields[name] ?? byDefault;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw this.wrong(name, 'a whole number from 0 to 2^53 - 1');
    return value;
  }

  /** Any finite number. */
  real(name: string, byDefault: number): number {
    const value = this.fields[name] ?? byDefault;
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.wrong(name, 'a number');
    return value;
  }

  flag(name: string, byDefault?: boolean): boolean {
    const value = this.fields[name] ?? byDefault;
    if (typeof value !== 'boolean') throw this.wrong(name, 'true or false');
    return value;
  }

  /** A list of whole numbers; EINVAL for another thing. */
  numbers(name: string): number[] {
    const value = this.fields[name];
    const isNumber = (item: unknown): item is number => Number.isSafeInteger(item);
    if (!Array.isArray(value) || !value.every(isNumber)) throw new ServiceError('EINVAL', `${name} must be a list of whole numbers`);
    return value;
  }

  texts(name: string): string[] {
    const value = this.fields[name];
    if (!Array.isArray(value) || !value.every((item): item is string => typeof item === 'string')) throw this.wrong(name, 'a list of texts');
    return value;
  }

  object(name: string): Params {
    const value = this.fields[name] ?? {};
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.wrong(name, 'an object');
    return new Params(value as Record<string, unknown>, `${this.path}${name}.`);
  }

  at(): At {
    const at = this.object('at');
    return { pool: at.number('pool'), namespace: at.text('namespace', '') };
  }

  /** `{ name: value }` where it is given, `{}` where not: for optional properties. */
  optionalText<K extends string>(name: K): { [P in K]?: string } {
    return this.has(name) ? { [name]: this.text(name) } as { [P in K]?: string } : {};
  }

  optionalNumber<K extends string>(name: K): { [P in K]?: number } {
    return this.has(name) ? { [name]: this.number(name) } as { [P in K]?: number } : {};
  }

  private wrong(name: string, kind: string): ServiceError {
    return new ServiceError('EINVAL', `${this.path}${name} must be ${kind}`);
  }
}
