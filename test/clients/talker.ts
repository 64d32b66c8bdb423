// Drives talker.py: an unmodified python3-rbd client in a process of its own, told what to do line by line.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { root } from '../lib/root.js';

export class Talker {
  private readonly process: ChildProcessWithoutNullStreams;
  private readonly answers: AsyncIterableIterator<string>;
  private stderr = '';

  private constructor(env: NodeJS.ProcessEnv) {
    this.process = spawn('/usr/bin/python3', [root('test/clients/talker.py')], { env });
    this.process.stderr.on('data', (text: Buffer) => {
      this.stderr = (this.stderr + text.toString()).slice(-4000);
    });
    this.process.stdin.on('error', () => { /* noticed by the missing answer */ });
    this.answers = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }

  /** Starts a client and returns when it is connected. */
  static async start(env: NodeJS.ProcessEnv): Promise<Talker> {
    const talker = new Talker(env);
    await talker.answer();
    return talker;
  }

  private async answer(): Promise<Record<string, unknown>> {
    const next = await this.answers.next();
    if (next.done === true) throw new Error(`the client ended: ${this.stderr}`);
    return JSON.parse(next.value) as Record<string, unknown>;
  }

  /** Sends a command; its answer comes with the promise. Throws what the client raised. */
  async ask<T = unknown>(command: string, ...args: (string | number)[]): Promise<T> {
    this.process.stdin.write(`${JSON.stringify([command, ...args])}\n`);
    const answer = await this.answer();
    if (answer['error'] !== undefined) throw new Error(`${command}: ${String(answer['error'])}\n${this.stderr}`);
    return answer['result'] as T;
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exit = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await exit;
  }

  /** Lets the client end by itself; gives its exit code. */
  async end(): Promise<number | null> {
    const exit = once(this.process, 'exit');
    this.process.stdin.end();
    const [code] = await exit as [number | null];
    return code;
  }
}
