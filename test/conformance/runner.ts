// Runs cases in a child process per pair of libraries and collects what they wrote down. A crash or a hang of the library
// ends its case, not the run.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { root } from '../lib/root.js';
import type { Report } from './child.js';

export interface Target {
  /** For messages: "real", "local"... */
  name: string;
  conf: string;
  /** Where librbd.so.1 and librados.so.2 are; the system's own when absent. */
  libraryDir?: string;
  env?: NodeJS.ProcessEnv;
}

/** The environment in which a process finds the target's libraries and cluster. */
export function targetEnv(target: Target): NodeJS.ProcessEnv {
  // Calls that wait each hold a worker thread.
  return { ...process.env, CEPH_CONF: target.conf, CEPH_ARGS: '', UV_THREADPOOL_SIZE: '16', LD_LIBRARY_PATH: target.libraryDir ?? '', ...target.env };
}

const CASE_TIMEOUT_MS = 20_000;

class Child {
  private readonly process: ChildProcessWithoutNullStreams;
  private readonly answers: AsyncIterableIterator<string>;
  private stderr = '';

  constructor(target: Target) {
    this.process = spawn(process.execPath, [root('dist/test/conformance/child.js'), target.conf], {
      env: targetEnv(target),
    });
    this.process.stderr.on('data', (text: Buffer) => {
      this.stderr = (this.stderr + text.toString()).slice(-2000);
    });
    this.process.stdin.on('error', () => { /* the child's end is noticed on its stdout */ });
    this.answers = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }

  async run(name: string): Promise<Report> {
    this.process.stdin.write(`${name}\n`);
    let hung = false;
    const timer = setTimeout(() => {
      hung = true;
      this.process.kill('SIGKILL');
    }, CASE_TIMEOUT_MS);
    const answer = await this.answers.next();
    clearTimeout(timer);
    if (answer.done === true) {
      const end = hung ? 'hangs' : `ends the process: ${this.process.signalCode ?? this.process.exitCode} ${this.stderr.trim()}`;
      return { name, lines: [end], calls: {}, left: 0 };
    }
    return JSON.parse(answer.value) as Report;
  }

  get alive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null && this.process.stdout.readable;
  }

  async end(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exit = once(this.process, 'exit');
    this.process.stdin.end();
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 10_000);
    await exit;
    clearTimeout(timer);
  }
}

/** Runs the named cases on a target, in order. */
export async function runCases(target: Target, names: string[], onReport: (report: Report) => void = () => {}): Promise<Map<string, Report>> {
  const reports = new Map<string, Report>();
  let child: Child | null = null;
  for (const name of names) {
    if (child === null || !child.alive) child = new Child(target);
    const report = await child.run(name);
    reports.set(name, report);
    onReport(report);
  }
  await child?.end();
  return reports;
}
