// `cbd2rbd status` and `cbd2rbd stop`.
import type {Command} from '../command.js';

const status: Command = {
  name: 'status',
  usage: '',
  takes: {least: 0, most: 0},
  summary: 'Show whether a daemon answers, and what it holds',
  examples: ['cbd2rbd status', 'cbd2rbd --dir ./demo status --json'],
  run: async (invocation) => {
    const state = await (await invocation.daemon()).call('admin.status') as Record<string, unknown>;
    invocation.print(state, (state) => Object.entries(state).map(([name, value]) => `${name}: ${shown(value)}`));
    return 0;
  },
};

function shown(value: unknown): string {
  if (value === null) return 'nothing';
  if (isProgress(value)) return `image ${value.image}, ${value.done} of ${value.total} bytes`;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** A merge of layers that is going on. */
function isProgress(value: unknown): value is {image: string, done: number, total: number} {
  return typeof value === 'object' && value !== null && 'image' in value && 'done' in value && 'total' in value;
}

const stop: Command = {
  name: 'stop',
  usage: '',
  takes: {least: 0, most: 0},
  summary: 'End the daemon in order, and wait until it is gone',
  examples: ['cbd2rbd stop'],
  run: async (invocation) => {
    const daemon = await invocation.daemon();
    await daemon.call('admin.stop');
    await daemon.ended;
    invocation.print({stopped: true}, () => ['stopped']);
    return 0;
  },
};

export const statusCommands: readonly Command[] = [status, stop];
