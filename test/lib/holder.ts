// A client process for tests that is going to be killed: node holder.js SOCKET IMAGE [own]. Prints "ready" when it has the
// image open, holds its lock and, with "own", its head.
import { RpcClient } from './rpc-client.js';

const [socket = '', name = '', own] = process.argv.slice(2);
const client = await RpcClient.open(socket);
await client.call('image.open', { at: { pool: 1, namespace: '' }, name, handle: 1 });
await client.call('image.lock.add', { handle: 1, cookie: 'held', tag: '', exclusive: true });
if (own) await client.call('layer.own', { handle: 1, mode: 'write' });
console.log('ready');
