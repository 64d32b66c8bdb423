// What can be a name. RBD takes nearly everything: slashes, at signs, control bytes, any length that the store holds.
import { ServiceError } from './errors.js';

/** EINVAL for an empty name. */
export function checkName(what: string, name: string): void {
  if (name === '') throw new ServiceError('EINVAL', `the ${what} name is empty`);
  checkNoNul(what, name);
}

/** Ceph's object that an image's name stands in is called rbd_id.NAME, and osd_max_object_name_len is 2048. */
const maxImageNameBytes = 2048 - 'rbd_id.'.length;

/** Whether an image can have a name of this length. */
export const isImageName = (name: string): boolean => Buffer.byteLength(name) <= maxImageNameBytes;

/** ENAMETOOLONG for a name that no image can have. */
export function checkLength(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes > maxImageNameBytes) throw new ServiceError('ENAMETOOLONG', `an image name has ${maxImageNameBytes} bytes at most, not ${bytes}`);
}

/** EINVAL for a NUL byte: no C string has one, and the store's keys end there. */
export function checkNoNul(what: string, text: string): void {
  if (text.includes('\0')) throw new ServiceError('EINVAL', `the ${what} ${JSON.stringify(text)} holds a NUL byte`);
}
