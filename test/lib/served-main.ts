// `node served-main.js local|curvebs`: serve() for tests in other languages. Says "ready CONF" when clients may connect. The line "log" on its
// standard input makes it say what the daemon logged last, and "." behind that; the input's end ends it.
import { createInterface } from 'node:readline';
import { backends } from './backends.js';
import { serve } from './served.js';

const backend = backends.find((known) => known === process.argv[2]);
if (backend === undefined) throw new Error(`'${String(process.argv[2])}' is no backend: one of ${backends.join(', ')}`);
const served = await serve({}, backend);
console.log(`ready ${served.conf}`);
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'log') console.log(`${served.lastLog.trimEnd()}\n.`);
}
await served.destroy();
