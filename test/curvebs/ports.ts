// Ports of loopback for the stand-in's servers.

import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Linux gives none of these to who asks for any port, nor to an outgoing connection. */
const PORTS = { first: 10_000, last: 20_000 };
const TRIES = 100;

/**
 * A TCP port of loopback that nobody listened on a moment ago, for a server that stops listening now and then: were it one that Linux
 * hands out, a client that looks for the server meanwhile could be given it as its own, and talk to itself.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = randomInt(PORTS.first, PORTS.last);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)));
    if (!isFree) continue;
    await new Promise<void>((resolve) => server.close(() => resolve()));
    return port;
  }
  throw new Error(`no free port from ${PORTS.first} to ${PORTS.last}`);
}
