// QEMU over its monitor, as libvirt talks to it: one command at a time, and what it answered.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';

interface Message {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

export class Qemu {
  private readonly lines: AsyncIterator<string>;
  private readonly reader: Interface;
  private readonly ended: Promise<unknown[]>;
  private said = '';
  /** What qemu-io commands wrote; QEMU may hold it back until it ends. */
  readonly printed: string[] = [];

  private constructor(private readonly child: ChildProcess) {
    this.ended = once(child, 'exit');
    child.stderr?.on('data', (text: Buffer) => { this.said += text.toString(); });
    this.reader = createInterface({ input: child.stdout! });
    this.lines = this.reader[Symbol.asyncIterator]();
  }

  /** @param child a QEMU that was started with `-qmp stdio` */
  static async attach(child: ChildProcess): Promise<Qemu> {
    const qemu = new Qemu(child);
    await qemu.command('qmp_capabilities');
    return qemu;
  }

  /** What it returned. Rejects with its words where it refuses or has ended. */
  async command(execute: string, args: object = {}): Promise<unknown> {
    this.child.stdin?.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    for (;;) {
      const { value, done } = await this.lines.next();
      if (done) throw new Error(`QEMU ended in ${JSON.stringify(await this.ended)}: ${this.said}`);
      if (!value.startsWith('{')) {
        this.printed.push(value);
        continue;
      }
      const message = JSON.parse(value) as Message;
      if (message.error) throw new Error(`${execute}: ${message.error.desc}`);
      if ('return' in message) return message.return;
    }
  }

  /** Runs a qemu-io command on a node or a device. What came of it is in `printed` at the latest after quit(). */
  async io(node: string, command: string): Promise<void> {
    const said = String(await this.command('human-monitor-command', { 'command-line': `qemu-io ${node} "${command}"` }));
    if (said !== '') throw new Error(`qemu-io ${node} ${command}: ${said}`);
  }

  /** Ends it in order; its exit code, or the signal that ended it. */
  async quit(): Promise<unknown> {
    await this.command('quit');
    for (let line = await this.lines.next(); !line.done; line = await this.lines.next()) if (!line.value.startsWith('{')) this.printed.push(line.value);
    const [code, signal] = await this.ended;
    return signal ?? code;
  }
}
