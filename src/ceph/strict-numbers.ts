// Numbers as Ceph's monitors read them out of commands and options ("10G", "4Ki", "3k"), and what is wrong with the others in their words.

/** A number, or why the text is none. */
export type Read = {readonly value: number}|{readonly complaint: string};

const powers = 'KMGTPE';
const largest = 2n ** 63n - 1n;

function integer(text: string): bigint|string {
  if (!/^[-+]?\d+$/.test(text)) return `Expected option value to be integer, got '${text}'`;
  const value = BigInt(text.replace(/^\+/, ''));
  return value > largest || value < -largest - 1n ? `The option value '${text}' seems to be invalid` : value;
}

// Numbers beyond 2^53 - 1 are no size of anything here.
function safe(value: bigint, tooLarge: string): Read {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? {value: Number(value)} : {complaint: tooLarge};
}

/** Bytes: units are powers of 1024, with or without an "i". */
export function readIec(text: string): Read {
  const complain = (why: string): Read => ({complaint: `strict_iecstrtoll: ${why}`});
  if (text === '') return complain('value not specified');
  const digits = /^[-+\d]*/.exec(text)?.[0] ?? '';
  const unit = text.slice(digits.length);
  if (unit.startsWith('B') && unit.endsWith('i')) return complain('illegal prefix "Bi"');
  if (unit.length > 2) return complain('illegal prefix (length > 2)');
  if (unit !== '' && !`B${powers}`.includes(unit.charAt(0))) return complain('unit prefix not recognized');
  const value = integer(digits);
  if (typeof value === 'string') return {complaint: value};
  if (value < 0n) return complain('value should not be negative');
  return safe(value << BigInt(10 * (unit === '' ? 0 : powers.indexOf(unit.charAt(0)) + 1)), 'strict_iecstrtoll: value seems to be too large');
}

/** Numbers of things: units are powers of 1000. */
export function readSi(text: string, {sign}: {sign: 'none'|'any'} = {sign: 'none'}): Read {
  if (text === '') return {complaint: 'strict_sistrtoll: value not specified'};
  const power = powers.indexOf(text.slice(-1)) + 1;
  if (power === 0 && /[^-+\d]/.test(text) && !text.endsWith('B')) return {complaint: 'strict_si_cast: unit prefix not recognized'};
  const value = integer(power === 0 ? text : text.slice(0, -1));
  if (typeof value === 'string') return {complaint: value};
  if (value < 0n && sign === 'none') return {complaint: 'strict_sistrtoll: value should not be negative'};
  return safe(value * 1000n ** BigInt(power), 'strict_sistrtoll: value out of range');
}
