// One operation in a daemon of its own that is killed at its n-th fault point: node crash-child.js DIR OPERATION N SETTINGS (JSON).
// Prints "done" and ends with 0 where the operation has fewer points than that.
import { fillOn, startOn, type GroundSettings } from './crash-ground.js';
import { operations } from './crash-operations.js';

const [dir = '', name = '', n = '', settings = '{}'] = process.argv.slice(2);
const operation = operations[name];
if (!operation) throw new Error(`no operation ${name}`);

const d = await startOn(dir, JSON.parse(settings) as GroundSettings);
const client = await d.client();
await operation.prepare?.(client, fillOn(d));
process.env['CBD2RBD_FAULT'] = `any:${n}`;
await operation.run(client);
delete process.env['CBD2RBD_FAULT'];
console.log('done');
process.exit(0);
