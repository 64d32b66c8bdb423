// A guest as its test sees it: a serial port that takes command lines and says what they printed.

import { connect, type Socket } from 'node:net';

export class Guest {
  private said = '';
  private lines = 0;
  private waiting: (() => void)[] = [];
  private socket: Socket | undefined;

  /** Attaches to the guest's serial port, a unix socket; after a migration, to that of the other side. */
  async attach(path: string): Promise<void> {
    this.socket?.destroy();
    const socket = connect(path);
    this.socket = socket;
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    socket.on('error', () => undefined);
    socket.on('data', (text: Buffer) => {
      this.said += text.toString();
      for (const wake of this.waiting.splice(0)) wake();
    });
  }

  /** Resolves when the guest has come up. */
  async up(): Promise<void> {
    await this.heard(/guest is up/);
  }

  /** Starts a command line there and returns at once; `done` of the result waits for its end. */
  start(commandLine: string): { done: Promise<{ code: number; output: string }> } {
    const token = `line${++this.lines}`;
    const from = this.said.length;
    this.socket?.write(`${token} ${commandLine}\n`);
    const done = this.heard(new RegExp(`${token} ended in (\\d+)`)).then((found) => ({
      code: Number(found[1]), output: this.said.slice(from, found.index).trim(),
    }));
    return { done };
  }

  /** Runs a command line there; what it printed. Rejects where it fails. */
  async run(commandLine: string): Promise<string> {
    const { code, output } = await this.start(commandLine).done;
    if (code !== 0) throw new Error(`in the guest, ${commandLine} ended in ${code}: ${output}`);
    return output;
  }

  /** Everything that came over the serial port. */
  get console(): string {
    return this.said;
  }

  detach(): void {
    this.socket?.destroy();
  }

  private async heard(wanted: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = wanted.exec(this.said);
      if (found) return found;
      await new Promise<void>((resolve) => { this.waiting.push(resolve); });
    }
  }
}
