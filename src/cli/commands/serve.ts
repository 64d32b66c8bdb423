// `cbd2rbd serve`: runs the daemon in the foreground. It holds the lock that keeps a second daemon off the same store, and
// writes the files that clients of a --dir daemon need. What the daemon does is src/daemon.ts's.
import {chmodSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {connect} from 'node:net';
import {dirname, join} from 'node:path';
import {formatKeyring} from '../../access/keyring.js';
import type {Config} from '../../config/config.js';
import type {Daemon} from '../../daemon.js';
import type {Command} from '../command.js';

/** Takes the store's lock for this process; the descriptor holds it. Throws where another daemon has it. */
export async function lockStore(config: Config): Promise<number|undefined> {
  const {tryLock} = await import('../../native/addon.js');
  if (config.store.kind !== 'sqlite') return undefined;
  mkdirSync(dirname(config.store.path), {recursive: true});
  const file = `${config.store.path}.lock`;
  const fd = openSync(file, 'a+', 0o600);
  if (tryLock(fd)) {
    writeFileSync(file, `${process.pid}\n`);
    return fd;
  }
  const holder = readFileSync(file, 'utf8').trim();
  closeSync(fd);
  throw new Error(`another daemon${holder ? ` (pid ${holder})` : ''} is running on the store ${config.store.path}`);
}

/** Makes the socket's folder and removes a socket that a dead daemon left. Throws where somebody listens there. */
async function clearSocket(path: string): Promise<void> {
  mkdirSync(dirname(path), {recursive: true, mode: 0o755});
  const isAnswered = await new Promise<boolean>((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
  if (isAnswered) throw new Error(`another daemon listens at ${path}`);
  rmSync(path, {force: true});
}

interface ClientFiles {
  readonly conf: string;
  readonly keyring: string;
}

/** For --dir: a ceph.conf and the administrator's keyring beside the data, so that clients need one variable. */
async function writeClientFiles(config: Config&{dir: string}, daemon: Daemon): Promise<ClientFiles> {
  const keyring = join(config.dir, 'ceph.client.admin.keyring');
  const admin = await daemon.users.read('client.admin');
  if (admin) {
    writeFileSync(keyring, formatKeyring(admin), {mode: 0o600});
    chmodSync(keyring, 0o600);
  }
  const conf = join(config.dir, 'ceph.conf');
  writeFileSync(conf, [
    `# Written by \`cbd2rbd serve\` at each start. Point clients at it: export CEPH_CONF=${conf}`,
    '[global]', `fsid = ${daemon.fsid}`, `cbd2rbd_socket = ${config.listen}`,
    `keyring = ${config.dir}/$cluster.$name.keyring`, '',
  ].join('\n'));
  return {conf, keyring};
}

function ending(): {promise: Promise<string>, stop: (why: string) => void} {
  let stop: (why: string) => void = () => undefined;
  const promise = new Promise<string>((resolve) => stop = resolve);
  
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop(signal));
  return {promise, stop};
}

export const serve: Command = {
  name: 'serve',
  usage: '',
  takes: {least: 0, most: 0},
  summary: 'Run the daemon in the foreground until SIGTERM, SIGINT or `cbd2rbd stop`',
  details: [
    'With --dir, everything is kept below that folder: socket, metadata, volumes, and a ceph.conf and keyring for clients.',
    'Prints one line that begins with "ready" when clients may connect; the log goes to standard error.',
  ],
  examples: ['cbd2rbd serve', 'cbd2rbd serve --dir ./demo'],
  run: async (invocation) => {
    const config = invocation.config();
    const lock = await lockStore(config);
    await clearSocket(config.listen);
    const end = ending();
    // Loaded here, so that no other command pays for it.
    const {startDaemon} = await import('../../daemon.js');
    const daemon = await startDaemon(config, {stop: () => end.stop('stop'), log: (line) => process.stderr.write(`${line}\n`)});
    try {
      const {dir} = config;
      const files = dir === undefined ? undefined : await writeClientFiles({...config, dir}, daemon);
      invocation.print({ready: true, pid: process.pid, socket: config.listen, ...files}, () => [
        `ready: pid ${process.pid}, socket ${config.listen}${files ? `, CEPH_CONF=${files.conf}` : ''}`]);
      await end.promise;
    } finally {
      await daemon.close();
      if (lock !== undefined) closeSync(lock);
    }
    return 0;
  },
};
