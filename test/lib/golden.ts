// What the real ceph and rbd 16.2.15 printed (test/data/golden-cli.jsonl.gz), and the rules by which variable parts are masked.
import {readFileSync} from 'node:fs';
import {hostname} from 'node:os';
import {gunzipSync} from 'node:zlib';

export interface GoldenRun {
  readonly seq: number;
  readonly group: string;
  readonly argv: readonly string[];
  readonly stdout: string;
  readonly stderr: string;
  readonly rc: number;
}

/** All runs in their order, or those of some groups. */
export function goldenRuns(groups?: readonly string[]): GoldenRun[] {
  const file = new URL('../../../test/data/golden-cli.jsonl.gz', import.meta.url);
  const runs = gunzipSync(readFileSync(file)).toString().trimEnd().split('\n').map((line) => JSON.parse(line) as GoldenRun);
  return groups ? runs.filter((run) => groups.includes(run.group)) : runs;
}

// Figures that depend on the machine or on how long it has been up.
const figures = [
  'total_bytes', 'total_avail_bytes', 'total_used_bytes', 'total_used_raw_bytes', 'total_used_raw_ratio', 'stored', 'stored_data',
  'stored_raw', 'objects', 'kb_used', 'kb_used_data', 'kb_used_meta', 'kb_avail', 'kb', 'bytes_used', 'data_bytes_used', 'percent_used',
  'max_avail', 'avail_raw', 'num_objects', 'data_bytes', 'bytes_avail', 'bytes_total', 'num_bytes', 'quorum_age', 'osd_up_since',
  'osd_in_since', 'epoch', 'election_epoch', 'last_change', 'snap_epoch', 'snap_seq', 'current_num_objects', 'current_num_bytes', 'total_kb',
  'total_kb_used', 'total_kb_used_data', 'total_kb_used_meta', 'total_kb_avail', 'utilization', 'average_utilization', 'up_from',
  'up_thru', 'num', 'rd', 'wr', 'rd_bytes', 'wr_bytes', 'nonce', 'num_pgs',
].join('|');

/** The same text for two answers that differ only in ids, times, addresses, keys, host names and figures of the machine. */
export function mask(text: string): string {
  return text.replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UUID')
      .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(\+0000|Z)/g, 'TIME')
      .replaceAll(/16\.2\.15 \([^)]*\)/g, 'VERSION').replaceAll(/16\.2\.15_\([^)]*\)/g, 'VERSION')
      .replaceAll(/127\.0\.0\.1:\d+(\/\d+)?/g, 'ADDR')
      .replaceAll(/AQ[A-Za-z0-9+/]{36}==/g, 'KEY')
      .replaceAll(new RegExp(`"(${figures})":( ?)"?-?[0-9.e+-]+"?`, 'g'), '"$1":$2N')
      .replaceAll(new RegExp(`<(${figures})>[0-9.e+-]+<`, 'g'), '<$1>N<')
      .replaceAll(/\d+(\.\d+)? ([KMGTPE]i)?B\b/g, 'SIZE')
      .replaceAll(/\d+ objects, SIZE/g, 'N objects, SIZE').replaceAll(/(?<=SIZE +)\d+\.\d\d(?= |$)/gm, 'N')
      .replaceAll(/(age|since) \d+[smhdw]/g, '$1 AGE')
      
      // Help sentences are our own.
      .replaceAll(/ : {1,2}[a-z][^"\n]*$/gim, ' : HELP')
      .replaceAll(/epoch:? e?\d+/g, 'epoch N').replaceAll(/last_change \d+/g, 'last_change N').replaceAll(/up_(from|thru) \d+/g, 'up_$1 N')
      .replaceAll(/-?\bvm\b/g, 'HOST').replaceAll(hostname(), 'HOST');
}

/** Plain tables whose columns are as wide as machine-dependent figures: blanks count once. */
export function maskTable(text: string): string {
  return mask(text).replaceAll(/ +/g, ' ').replaceAll(/SIZE \d+ SIZE/g, 'SIZE N SIZE').replaceAll(/ $/gm, '');
}

/** For rbd: ids, times and lock owners; progress shows only its end; librbd's own log lines do not count. */
export function maskRbd(text: string): string {
  return text.replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+0000 [0-9a-f]+ +-1 .*\n/g, '')
      .replaceAll(/\r[A-Z][\w ]*: \d+% complete\.\.\.(?=\r)/g, '')
      .replaceAll(/\d+% complete\.\.\.failed/g, 'N% complete...failed')
      .replaceAll(/127\.0\.0\.1:0\/\d+/g, 'ADDR')
      .replaceAll(/\b(?=[0-9a-f]*[0-9])[0-9a-f]{9,16}\b/g, 'ID')
      .replaceAll(/[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}/g, 'TIME')
      .replaceAll(/client\.\d+/g, 'CLIENT')
      .replaceAll(/"(id|snapshot_id)":( ?)\d+/g, '"$1":$2N').replaceAll(/<(id|snapshot_id)>\d+</g, '<$1>N<').replaceAll(/^ *\d+ {2}/gm, 'N  ')
      .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UUID')
      .replaceAll(/ +/g, ' ').replaceAll(/ $/gm, '').replace(/^\n/, '');
}
