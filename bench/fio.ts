// Runs fio once and reads its figures. Knows nothing of which engines are compared.

import { spawnSync } from 'node:child_process';

export interface Workload {
  name: string;
  rw: 'randread' | 'randwrite' | 'read' | 'write';
  blockSize: string;
  depth: number;
}

export interface Figures {
  /** Operations a second. */
  iops: number;
  /** Bytes a second. */
  bandwidth: number;
  /** Mean time of one operation, submission to completion, in microseconds. */
  latencyUs: number;
  /** Processor time of the client, in microseconds an operation. */
  cpuUs: number;
}

/** fio with direct=1 switches rbd_cache off, and our volumes are then opened with O_DIRECT, as the plain file is. The workloads of issue 1's table. */
export const WORKLOADS: readonly Workload[] = [
  { name: '4k read, depth 1', rw: 'randread', blockSize: '4k', depth: 1 },
  { name: '4k read, depth 32', rw: 'randread', blockSize: '4k', depth: 32 },
  { name: '4k write, depth 1', rw: 'randwrite', blockSize: '4k', depth: 1 },
  { name: '4k write, depth 32', rw: 'randwrite', blockSize: '4k', depth: 32 },
  { name: '1M read, depth 8', rw: 'read', blockSize: '1M', depth: 8 },
  { name: '1M write, depth 8', rw: 'write', blockSize: '1M', depth: 8 },
];

interface Side {
  iops: number;
  bw_bytes: number;
  total_ios: number;
  lat_ns: { mean: number };
}

/**
 * Runs one fio job and returns its figures.
 * @param engine the options that choose the engine and its target
 * @param seconds how long the job runs; 0 means: through the whole range, once
 * @throws Error with fio's own words when it fails
 */
export function runFio(engine: readonly string[], workload: Workload, sizeBytes: number, seconds: number,
                       environment: NodeJS.ProcessEnv): Figures {
  const length = seconds > 0 ? ['--time_based=1', `--runtime=${seconds}`] : [];
  const result = spawnSync('fio', [
    '--name=bench', '--output-format=json', '--thread=1', '--direct=1', `--rw=${workload.rw}`, `--bs=${workload.blockSize}`,
    `--iodepth=${workload.depth}`, `--size=${sizeBytes}`, '--randrepeat=1', '--norandommap=1', ...length, ...engine,
  ], { encoding: 'utf8', env: environment, maxBuffer: 64 << 20 });
  const json = result.stdout.slice(result.stdout.indexOf('{'));
  if (result.status !== 0 || json === '') throw new Error(`fio ${engine.join(' ')}: ${result.stderr || result.stdout}`);
  const report = JSON.parse(json) as { jobs: [{ read: Side; write: Side; usr_cpu: number; sys_cpu: number; job_runtime: number }] };
  const job = report.jobs[0];
  const side = workload.rw.endsWith('read') ? job.read : job.write;
  return {
    iops: side.iops,
    bandwidth: side.bw_bytes,
    latencyUs: side.lat_ns.mean / 1000,
    cpuUs: ((job.usr_cpu + job.sys_cpu) / 100) * job.job_runtime * 1000 / Math.max(1, side.total_ios),
  };
}
