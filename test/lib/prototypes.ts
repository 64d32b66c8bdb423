// Reads the recorded C prototypes (test/data/abi/prototypes) into the few machine types that a call needs.
// Knows C's spelling, not the functions.
import { readFileSync } from 'node:fs';
import { root } from './root.js';

/** How a value travels: `ptr` is any pointer or handle; integers carry their width and sign. */
export type MachineType = 'void' | 'ptr' | 'bool' | 'i8' | 'u8' | 'i32' | 'u32' | 'i64' | 'u64' | 'f32';

export interface Prototype {
  name: string;
  library: LibraryName;
  result: MachineType;
  parameters: MachineType[];
}

export type LibraryName = 'librados' | 'librbd';

const SCALARS: Record<string, MachineType> = {
  'void': 'void', 'int': 'i32', 'unsigned int': 'u32', '_Bool': 'bool', 'float': 'f32', 'unsigned char': 'u8',
  'int8_t': 'i8', 'uint8_t': 'u8', 'int32_t': 'i32', 'uint32_t': 'u32', 'int64_t': 'i64', 'uint64_t': 'u64',
  'size_t': 'u64', 'ssize_t': 'i64', 'time_t': 'i64', 'rados_snap_t': 'u64',
  'rbd_lock_mode_t': 'u32', 'rbd_mirror_mode_t': 'u32', 'rbd_mirror_peer_direction_t': 'u32', 'rbd_mirror_image_mode_t': 'u32',
  'rbd_encryption_format_t': 'u32', 'rados_checksum_type_t': 'u32',
};

const HANDLES = new Set([
  'rados_t', 'rados_ioctx_t', 'rados_config_t', 'rados_completion_t', 'rados_callback_t', 'rados_list_ctx_t', 'rados_object_list_cursor',
  'rados_xattrs_iter_t', 'rados_omap_iter_t', 'rados_write_op_t', 'rados_read_op_t', 'rados_watchcb_t', 'rados_watchcb2_t',
  'rados_watcherrcb_t', 'rados_log_callback_t', 'rados_log_callback2_t', 'rbd_image_t', 'rbd_image_options_t', 'rbd_completion_t',
  'rbd_callback_t', 'rbd_pool_stats_t', 'rbd_update_callback_t', 'librbd_progress_fn_t', 'rbd_encryption_options_t',
]);

function machineType(c: string): MachineType {
  if (c.includes('*')) return 'ptr';
  const plain = c.replace(/\bconst\b/g, '').replace(/\s+/g, ' ').trim();
  if (HANDLES.has(plain)) return 'ptr';
  const type = SCALARS[plain];
  if (type === undefined) throw new Error(`prototype with an unknown type: ${c}`);
  return type;
}

// Splits at commas that stand outside parentheses, since a parameter may be a function pointer.
function splitParameters(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let part = '';
  for (const c of text) {
    if (c === ',' && depth === 0) {
      parts.push(part);
      part = '';
      continue;
    }
    if (c === '(') depth++;
    if (c === ')') depth--;
    part += c;
  }
  parts.push(part);
  return parts.map((p) => p.trim()).filter((p) => p !== '' && p !== 'void');
}

/** One line such as `extern int rbd_close (rbd_image_t);`. */
export function parsePrototype(line: string, library: LibraryName): Prototype {
  const match = /^extern (.+?)\b(r[a-z]+_\w+) \((.*)\);$/.exec(line.trim());
  if (match === null) throw new Error(`not a prototype: ${line}`);
  return { name: match[2]!, library, result: machineType(match[1]!.trim()), parameters: splitParameters(match[3]!).map(machineType) };
}

/** All prototypes of a release, by function name. */
export function readPrototypes(release = '20.2.4'): Map<string, Prototype> {
  const all = new Map<string, Prototype>();
  for (const library of ['librados', 'librbd'] as const) {
    const text = readFileSync(root(`test/data/abi/prototypes/${library}-${release}.txt`), 'utf8');
    for (const line of text.split('\n').filter(Boolean)) {
      const prototype = parsePrototype(line, library);
      all.set(prototype.name, prototype);
    }
  }
  return all;
}
