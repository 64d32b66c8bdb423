// A python3-rbd process that takes the steps it is told, a line each, so that it can be stopped, continued and killed in between.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { PYTHON, pythonText } from './stock-client.js';

export class Interactive {
  private readonly lines: AsyncIterableIterator<string>;
  private stderr = '';

  private constructor(private readonly process: ChildProcessWithoutNullStreams) {
    this.lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
    process.stderr.on('data', (text: Buffer) => { this.stderr += text.toString(); });
    process.stdin.on('error', () => { /* the missing answer tells */ });
  }

  /** Starts a process that runs `body` (as python() of stock-client.ts does) and answers by `say(text)`; returns when it has said "ready". */
  static async start(environment: NodeJS.ProcessEnv, body: string): Promise<Interactive> {
    const text = `${pythonText('def say(text): print(text, flush=True)\n')}${body}`;
    const made = new Interactive(spawn(PYTHON, ['-c', text], { env: environment, stdio: ['pipe', 'pipe', 'pipe'] }));
    const first = await made.answer();
    if (first !== 'ready') throw new Error(`said ${first} in place of ready`);
    return made;
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** Gives it a line to read from its standard input. */
  tell(line: string): void {
    this.process.stdin.write(`${line}\n`);
  }

  /** The next line that it says. */
  async answer(): Promise<string> {
    const next = await this.lines.next();
    if (next.done === true) throw new Error(`the client ended: ${this.stderr}`);
    return next.value;
  }

  /** All that it said and nobody has read yet, of one that has ended. */
  async rest(): Promise<string[]> {
    const lines: string[] = [];
    for await (const line of this.lines) lines.push(line);
    return lines;
  }

  async ask(line: string): Promise<string> {
    this.tell(line);
    return this.answer();
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Ends its input, and returns its exit code. */
  async end(): Promise<number | null> {
    const over = once(this.process, 'close');
    this.process.stdin.end();
    const [code] = await over as [number | null];
    return code;
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const over = once(this.process, 'close');
    this.process.kill('SIGKILL');
    await over;
  }
}
