// A process that holds one pair of libraries and takes the steps it is told, one at a time.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { root } from '../lib/root.js';
import type { Step } from './world.js';
import { targetEnv, type Target } from './runner.js';

/** Far more than a step takes on a busy machine: what is waited for so long does not come. */
const STEP_TIMEOUT_MS = 60_000;

export class Lead {
  private readonly process: ChildProcessWithoutNullStreams;
  private readonly answers: AsyncIterableIterator<string>;
  private stderr = '';

  readonly name: string;

  constructor(target: Target) {
    this.name = target.name;
    this.process = spawn(process.execPath, [root('dist/test/conformance/child.js'), target.conf, 'steps'], { env: targetEnv(target) });
    this.process.stderr.on('data', (text: Buffer) => {
      this.stderr = (this.stderr + text.toString()).slice(-2000);
    });
    this.process.stdin.on('error', () => { /* the missing answer tells */ });
    this.answers = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }

  /** The lines that the step wrote down. A library that ends the process, or does not return, says so in their place. */
  async take(step: Step): Promise<string[]> {
    this.process.stdin.write(`${JSON.stringify(step)}\n`);
    let hangs = false;
    const timer = setTimeout(() => {
      hangs = true;
      this.process.kill('SIGKILL');
    }, STEP_TIMEOUT_MS);
    const answer = await this.answers.next();
    clearTimeout(timer);
    if (hangs) return [`${this.name} hangs`];
    if (answer.done === true) return [`${this.name} ends the process: ${this.process.signalCode ?? this.process.exitCode} ${this.stderr.trim()}`];
    return JSON.parse(answer.value) as string[];
  }

  async end(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exit = once(this.process, 'exit');
    this.process.stdin.end();
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 20_000);
    await exit;
    clearTimeout(timer);
  }
}
