// `npm run curvebs [FOLDER]`: a CurveBS on this machine to try cbd2rbd with. Runs until it is stopped, or until a request
// arrives that would take down a real nebd-server.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Cluster, DEFAULT_ROOT_PASSWORD } from './cluster.js';

function port(name: string, otherwise: number): number {
  const text = process.env[name];
  if (text === undefined || text === '') return otherwise;
  const value = Number(text);
  if (Number.isInteger(value) && value > 0 && value < 65536) return value;
  console.error(`curvebs: ${name}='${text}' is not a port`);
  process.exit(2);
}

const folder = resolve(process.argv[2] ?? mkdtempSync(join(tmpdir(), 'curvebs-')));
const mdsPort = port('CURVEBS_MDS_PORT', 6666);
const blockSize = process.env['CURVEBS_BLOCK_SIZE'] === '512' ? 512 : 4096;
// As if its MDS had led for long: a real one's variables come 10 s after it began to lead.
const isOld = process.env['CURVEBS_IS_OLD'] === '1';
const cluster = new Cluster({ folder, mdsPorts: [mdsPort], snapshotClonePort: port('CURVEBS_SNAPSHOT_CLONE_PORT', 5555), blockSize, ...isOld ? { variablesAfterMs: 0 } : {} });

cluster.nebdServer.onCrash = (why) => {
  console.error(`curvebs: a real nebd-server crashes on ${why}; so does this one`);
  process.exit(134);
};
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => void cluster.stop().then(() => process.exit(0)));
}
try {
  await cluster.start();
} catch (error) {
  console.error(`curvebs: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
const passwordFile = join(folder, 'root-password');
writeFileSync(passwordFile, `${DEFAULT_ROOT_PASSWORD}\n`, { mode: 0o600 });
console.log(`A CurveBS stand-in is running on ${folder} (thin, blocks of ${blockSize} bytes). Stop it with Ctrl-C.

In cbd2rbd's configuration:

  curvebs_mds = ${cluster.mdsAddresses.join(', ')}
  curvebs_nebd_socket = ${cluster.nebdSocket}
  curvebs_root_password_file = ${passwordFile}

then:

  cbd2rbd pool map volumes curvebs:/volumes --owner cinder
  qemu-img create -f raw rbd:volumes/disk 10G

ready`);
