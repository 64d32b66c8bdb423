// Ceph's options: name, type, default, and whether a running client takes a change. The table is the shim's own
// (shim/rados/option_table.inc), so that both know the same names.
import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {readIec, readSi, type Read} from './strict-numbers.js';

export interface CephOption {
  readonly name: string;
  /** bool, int, uint, size, secs, millisecs, float, str, addr, uuid, ... */
  readonly type: string;
  readonly byDefault: string;
  readonly isRuntime: boolean;
}

let table: ReadonlyMap<string, CephOption>|undefined;

/** Reads the table when first asked. */
export function cephOption(name: string): CephOption|undefined {
  table ??= readTable();
  return table.get(name);
}

function readTable(): ReadonlyMap<string, CephOption> {
  const text = readFileSync(fileURLToPath(new URL('../../../shim/rados/option_table.inc', import.meta.url)), 'utf8');
  const found = new Map<string, CephOption>();
  for (const line of text.split('\n')) {
    const [name = '', type, byDefault = '', , , , runtime] = line.replace(/^.*R"TABLE\(/, '').split('\t');
    if (type) found.set(name, {name, type, byDefault, isRuntime: runtime?.startsWith('r') ?? false});
  }
  return found;
}

/** What is wrong with a value, in Ceph's words; undefined where nothing is. */
export function valueComplaint(option: CephOption, value: string): string|undefined {
  const complaintOf = (read: Read): string|undefined => 'complaint' in read ? read.complaint : undefined;
  switch (option.type) {
    case 'bool': return /^(true|false|[-+]?\d+)$/i.test(value) ? undefined : `Expected option value to be integer, got '${value}'`;
    case 'int': return complaintOf(readSi(value, {sign: 'any'}));
    case 'uint': return complaintOf(readSi(value));
    case 'size': return complaintOf(readIec(value));
    case 'float': return value !== '' && Number.isFinite(Number(value)) ? undefined : `Expected option value to be float, got '${value}'`;
    default: return undefined;
  }
}
