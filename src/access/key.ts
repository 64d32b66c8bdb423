// cephx keys as text, and the proof of possession in docs/protocol.md ("Session"). It knows nothing of users.
import {createHmac, randomBytes, timingSafeEqual} from 'node:crypto';

// The text is base64 of: u16 type (1, AES), u32 seconds, u32 nanoseconds, u16 length of the secret (16), all little-endian.
const headerBytes = 12;
const secretBytes = 16;
const typeAes = 1;

/** A new key, made now, as `ceph-authtool --gen-print-key` prints one. */
export function newKey(): string {
  const now = Date.now();
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16LE(typeAes, 0);
  header.writeUInt32LE(Math.floor(now / 1000), 2);
  header.writeUInt32LE((now % 1000) * 1e6, 6);
  header.writeUInt16LE(secretBytes, 10);
  return Buffer.concat([header, randomBytes(secretBytes)]).toString('base64');
}

/** Whether the text is a key that Ceph's own tools take. */
export function isKey(text: string): boolean {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return false;
  const raw = Buffer.from(text, 'base64');
  return raw.length === headerBytes + secretBytes && raw.readUInt16LE(0) === typeAes && raw.readUInt16LE(10) === secretBytes;
}

/** The secret within a key's text; a key of another shape is taken whole. */
export function secretOf(key: string): Buffer {
  const raw = Buffer.from(key, 'base64');
  return isKey(key) ? raw.subarray(headerBytes) : raw;
}

/** The two sides' nonces, hex. */
export interface Nonces {
  readonly daemon: string;
  readonly client: string;
}

/** HMAC-SHA256(secret, daemon nonce + client nonce + entity), hex. */
export function proofOf(input: {secret: Buffer, nonces: Nonces, entity: string}): string {
  return createHmac('sha256', input.secret)
      .update(Buffer.from(input.nonces.daemon, 'hex'))
      .update(Buffer.from(input.nonces.client, 'hex'))
      .update(input.entity)
      .digest('hex');
}

/** Whether a proof (hex) is the right one; takes the same time whether or not it is. An empty client nonce never matches. */
export function proofMatches(input: {secret: Buffer, nonces: Nonces, entity: string, proof: string}): boolean {
  if (!/^([0-9a-f]{2}){8,64}$/i.test(input.nonces.client)) return false;
  const expected = Buffer.from(proofOf(input), 'hex');
  const given = Buffer.from(input.proof, 'hex');
  return given.length === expected.length && timingSafeEqual(given, expected);
}
