// `cbd2rbd image move`: carries an image to another pool. The data goes through librbd, in a program of its own
// (hooks/src/move.cc); here are its words and how it finds the daemon.
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {exitCodes, type Command, type Invocation} from '../command.js';
import {size} from '../size.js';

/** `CBD2RBD_MOVER`, or build/bin/hooks/cbd2rbd-move beside dist/. */
function moverPath(): string {
  const override = process.env['CBD2RBD_MOVER'];
  if (override) return override;
  for (let folder = dirname(fileURLToPath(import.meta.url));; folder = dirname(folder)) {
    const candidate = join(folder, 'build', 'bin', 'hooks', 'cbd2rbd-move');
    if (existsSync(candidate)) return candidate;
    if (folder === dirname(folder)) throw new Error('build/bin/hooks/cbd2rbd-move is missing: run `npm run build`');
  }
}

/** Where the daemon is and who the user is, as librados takes it. */
function connection({values, config}: Invocation): {argv: string[], environment: NodeJS.ProcessEnv} {
  const user = values.get('user') ?? 'client.admin';
  const socket = values.get('socket') ?? (values.has('dir') ? undefined : process.env['CBD2RBD_SOCKET'] || undefined) ?? config().listen;
  const keyring = values.get('keyring');
  const dir = values.has('socket') ? undefined : config().dir;
  const conf = dir !== undefined && existsSync(join(dir, 'ceph.conf')) ? {CEPH_CONF: join(dir, 'ceph.conf')} : {};
  return {
    argv: ['--name', user.includes('.') ? user : `client.${user}`, `--cbd2rbd_socket=${socket}`, ...(keyring !== undefined ? ['--keyring', keyring] : [])],
    environment: {...process.env, ...conf, CEPH_ARGS: ''},
  };
}

interface Moved {
  readonly size?: number;
  readonly snapshots?: number;
  readonly trashId?: string;
}

function told({from, to, size: bytes = 0, snapshots = 0, trashId}: Moved&{from: string, to: string}): string[] {
  const kept = trashId === undefined ? 'the source is removed' : `the source is in its pool's trash as ${trashId}`;
  return [`${from} is ${to} now: ${size(bytes)}, ${snapshots} snapshots; ${kept}`];
}

const move: Command = {
  name: 'image move',
  usage: 'IMAGE DEST',
  takes: {least: 2, most: 2},
  summary: 'Move an image with its snapshots to another pool, on whatever that stands',
  details: [
    'IMAGE and DEST are [POOL/[NAMESPACE/]]NAME; the pool is rbd where none is named. The image must be closed: EBUSY while anybody has it open for writing.',
    'It is copied under a name of its own; then it is taken away from its clients, every snapshot is compared byte by byte with the copy, and the copy gets its name.',
    'The source goes to its pool\'s trash after that, and keeps its name where the copy differs. What a clone reads from its parent becomes its own.',
    'Killed in the middle, the same command goes on where it was; --abort takes back what was done.',
  ],
  options: {
    remove: {help: 'remove the source after the move, and its snapshots, instead of keeping it in the trash'},
    abort: {help: 'take back a move that did not end'},
    'no-progress': {help: 'show no progress'},
  },
  examples: ['cbd2rbd image move old/vm1 volumes/vm1', 'cbd2rbd image move old/vm1 volumes/vm1 --abort'],
  run: async (invocation) => {
    const [from = '', to = ''] = invocation.args;
    const {argv, environment} = connection(invocation);
    const switches = ['remove', 'abort', 'no-progress'].filter((name) => invocation.switches.has(name)).map((name) => `--${name}`);
    const child = spawn(moverPath(), [...argv, ...switches, '--', from, to], {env: environment, stdio: ['ignore', 'pipe', 'inherit']});
    let output = '';
    child.stdout.on('data', (text: Buffer) => output += text.toString());
    const [code, signal] = await once(child, 'close') as [number|null, NodeJS.Signals|null];
    if (code !== 0) {
      if (signal !== null) process.stderr.write(`cbd2rbd: the mover was ended by ${signal}: the same command goes on with it\n`);
      return exitCodes.failed;
    }
    const moved = {from, to, ...JSON.parse(output) as Moved};
    invocation.print(moved, (moved) => (invocation.switches.has('abort') ? [`${from} is as it was`] : told(moved)));
    return exitCodes.ok;
  },
};

export const moveCommands: readonly Command[] = [move];
