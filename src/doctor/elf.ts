// Whether the loader of this machine's programs can take a file as a library. Knows nothing of what is in it.
import {closeSync, openSync, readSync} from 'node:fs';

const machines: Readonly<Record<number, string>> = {3: 'i386', 21: 'ppc64', 22: 's390x', 40: 'arm', 62: 'x86-64', 183: 'aarch64', 243: 'riscv', 258: 'loongarch'};
const headerBytes = 20;

interface Kind {
  readonly bits: number;
  readonly machine: number;
}

// Undefined where it is no ELF file. Throws where it cannot be read.
function kindOf(file: string): Kind|undefined {
  const header = Buffer.alloc(headerBytes);
  const fd = openSync(file, 'r');
  try {
    if (readSync(fd, header, 0, headerBytes, 0) < headerBytes) return undefined;
  } finally {
    closeSync(fd);
  }
  if (header.toString('latin1', 0, 4) !== '\x7fELF') return undefined;
  const isLittle = header[5] === 1;
  return {bits: header[4] === 1 ? 32 : 64, machine: isLittle ? header.readUInt16LE(18) : header.readUInt16BE(18)};
}

const nameOf = ({bits, machine}: Kind): string => `${machines[machine] ?? `machine ${machine}`}, ${bits} bits`;

export interface Misfit {
  /** What the loader does with such a file in a list of folders: passes over it, or stops. */
  readonly isPassedOver: boolean;
  readonly reason: string;
}

/** Why the programs of this machine cannot load the file; undefined where they can. */
export function misfit(file: string): Misfit|undefined {
  try {
    const [kind, own] = [kindOf(file), kindOf(process.execPath)];
    if (kind === undefined) return {isPassedOver: false, reason: 'is no library'};
    if (own === undefined || (kind.bits === own.bits && kind.machine === own.machine)) return undefined;
    return {isPassedOver: true, reason: `is for another machine (${nameOf(kind)}; this one: ${nameOf(own)})`};
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return {isPassedOver: true, reason: 'does not exist'};
    return {isPassedOver: true, reason: `cannot be read (${code ?? String(error)})`};
  }
}
