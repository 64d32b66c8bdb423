// A process that holds one pair of libraries and takes the steps it is told, one at a time.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { root } from '../lib/root.js';
import type { Step } from './world.js';
import { targetEnv, type Target } from './runner.js';

/** Far more seconds than a step takes on a busy machine: what is waited for so long does not come. */
const STEP_SECONDS = 60;
const END_SECONDS = 20;

/** What a step wrote down, or how the process came to its end in it. */
export type Answer = { lines: string[] } | { ended: string };

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

  /** Takes a step. A library that ends the process in it, or does not return, is told of in the answer, and takes no more. */
  async take(step: Step): Promise<Answer> {
    this.process.stdin.write(`${JSON.stringify(step)}\n`);
    const { value: answer, late } = await this.within(STEP_SECONDS, this.answers.next());
    if (late) return { ended: `${this.name} hangs` };
    if (answer.done === true) return { ended: `${this.name} ends the process: ${await this.signal()} ${this.stderr.trim()}` };
    return { lines: JSON.parse(answer.value) as string[] };
  }

  /** Closes everything and ends the process in order. Gives back what was not in order in that, nothing where all was. */
  async end(): Promise<string> {
    this.process.stdin.end();
    const { value: how, late } = await this.within(END_SECONDS, this.exit());
    if (late) return `${this.name} hangs when everything is closed`;
    return how === '0' ? '' : `${this.name} ends with ${how} when everything is closed: ${this.stderr.trim()}`;
  }

  // By which signal. An exit is none of the library's, but of the program around it, which is not what is tested.
  private async signal(): Promise<string> {
    const how = await this.exit();
    if (this.process.signalCode === null) throw new Error(`${this.name}'s process ends with ${how}: ${this.stderr.trim()}`);
    return how;
  }

  // By which signal, or with which code.
  private async exit(): Promise<string> {
    if (this.process.exitCode === null && this.process.signalCode === null) await once(this.process, 'exit');
    return this.process.signalCode ?? String(this.process.exitCode);
  }

  // Waits for what the process does, and kills it if that takes too long. Only seconds are counted in which this process ran, too:
  // one that was stopped for a while, as all of them may be, has not waited.
  private async within<T>(seconds: number, happens: Promise<T>): Promise<{ value: T; late: boolean }> {
    let passed = 0;
    let late = false;
    const timer = setInterval(() => {
      if (++passed < seconds) return;
      late = true;
      this.process.kill('SIGKILL');
    }, 1000);
    try {
      const value = await happens;
      return { value, late };
    } finally {
      clearInterval(timer);
    }
  }
}
