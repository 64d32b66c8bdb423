// The door of `npm run bench`: runs the named sections (all without a name), one after the other, and prints their tables.

import { benchCeph } from './ceph.js';
import { benchCommands } from './commands.js';
import { benchControl } from './control.js';
import { benchCurvebs } from './curvebs.js';
import { benchLayers } from './layers.js';
import { benchLocal } from './local.js';

const SECTIONS: Record<string, (parent: string) => Promise<void>> = {
  local: benchLocal,
  control: benchControl,
  layers: benchLayers,
  curvebs: benchCurvebs,
  commands: benchCommands,
  ceph: benchCeph,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in SECTIONS));
if (unknown.length > 0) {
  console.error(`bench: no section '${unknown[0]}'; there are: ${Object.keys(SECTIONS).join(', ')}`);
  process.exit(2);
}
// The disk under this folder is what is measured; a memory file system would flatter everybody.
const parent = process.env['BENCH_DIR'] ?? process.cwd();
for (const [name, run] of Object.entries(SECTIONS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n== ${name}`);
  await run(parent);
}
