// The unix socket: who may listen on it, a stale one's removal, and a door for each client that connects.
import { lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { peerCredentials } from '../native/addon.js';
import { isProcessAlive } from './process-watch.js';
import { SessionDoor, type Door } from './session-door.js';
import { groupId, openToGroup } from './socket-group.js';

const maxSocketPath = 107;
/** How often it is looked whether clients' processes are still there. */
const livenessMs = 1000;

export class RpcServer {
  private readonly doors = new Set<SessionDoor>();
  private stopping = false;
  private readonly liveness: NodeJS.Timeout;

  private constructor(private readonly server: Server, private readonly door: Door) {
    this.liveness = setInterval(() => {
      for (const { connection, pid } of this.doors) if (!isProcessAlive(pid)) connection.cut();
    }, livenessMs);
    this.liveness.unref();
  }

  /**
   * Listens at `path`, open to everybody or to members of `group`. Throws where another daemon does, where something else than a
   * socket is there, or where there is no such group.
   */
  static async listen(path: string, door: Door, { group = '' }: { group?: string } = {}): Promise<RpcServer> {
    if (Buffer.byteLength(path) > maxSocketPath) throw new Error(`socket path ${path} has more than ${maxSocketPath} bytes`);
    if (group !== '') groupId(group);
    await removeStaleSocket(path);
    const server = createServer({ allowHalfOpen: false });
    const rpc = new RpcServer(server, door);
    server.on('connection', (socket) => rpc.welcome(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, () => {
        server.off('error', reject);
        resolve();
      });
    });
    openToGroup(path, group);
    return rpc;
  }

  /** Stops listening and cuts every connection; the sessions stay on record, for their clients will reconnect. */
  async close(): Promise<void> {
    this.stopping = true;
    clearInterval(this.liveness);
    const closed = new Promise<void>((resolve) => { this.server.close(() => resolve()); });
    for (const { connection } of this.doors) connection.cut();
    await Promise.all([...this.doors].map(({ ended }) => ended));
    await closed;
  }

  private welcome(socket: Socket): void {
    if (this.stopping) return void socket.destroy();
    try {
      const fd = (socket as unknown as { _handle?: { fd?: number } })._handle?.fd;
      if (fd === undefined) return void socket.destroy();
      const door = new SessionDoor(this.door, socket, peerCredentials(fd), () => this.stopping);
      this.doors.add(door);
      void door.ended.finally(() => this.doors.delete(door));
    } catch (error) {
      this.door.log(`a client could not be welcomed: ${String(error)}`);
      socket.destroy();
    }
  }
}

/** A socket on which nobody listens is left from a daemon that was killed. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) throw new Error(`${path} exists and is not a socket`);
  const answers = await new Promise<boolean>((resolve, reject) => {
    const probe = connect(path);
    probe.once('connect', () => { probe.destroy(); resolve(true); });
    probe.once('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNREFUSED' ? resolve(false) : reject(error)));
  });
  if (answers) throw new Error(`another daemon listens on ${path}`);
  unlinkSync(path);
}
