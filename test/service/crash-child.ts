// One operation in a daemon of its own that is killed at its n-th fault point: node crash-child.js DIR OPERATION N.
// Prints "done" and ends with 0 where the operation has fewer points than that.
import { join } from 'node:path';
import { startTestDaemonIn } from '../lib/daemon.js';
import { operations } from './crash-operations.js';

const [dir = '', name = '', n = ''] = process.argv.slice(2);
const operation = operations[name];
if (!operation) throw new Error(`no operation ${name}`);

const d = await startTestDaemonIn(dir);
const client = await d.client();
await operation.prepare?.(client, join(d.config.localRoot, 'pool-1'));
process.env['CBD2RBD_FAULT'] = `any:${n}`;
await operation.run(client);
delete process.env['CBD2RBD_FAULT'];
console.log('done');
process.exit(0);
