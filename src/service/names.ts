// What can be a name. RBD takes nearly everything: slashes, at signs, control bytes, any length that the store holds.
import { ServiceError } from './errors.js';

/** EINVAL for an empty name. */
export function checkName(what: string, name: string): void {
  if (name === '') throw new ServiceError('EINVAL', `the ${what} name is empty`);
  checkNoNul(what, name);
}

/** EINVAL for a NUL byte: no C string has one, and the store's keys end there. */
export function checkNoNul(what: string, text: string): void {
  if (text.includes('\0')) throw new ServiceError('EINVAL', `the ${what} ${JSON.stringify(text)} holds a NUL byte`);
}
