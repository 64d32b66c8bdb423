// Makes the copies of a real Ceph's libraries that a pool on backend `ceph` needs: `ceph-libraries FROM TO`.
import {CephLibraryError, copyCephLibraries} from '../src/install/ceph-libraries.js';

const [from, to] = process.argv.slice(2);
if (from === undefined || to === undefined) {
  process.stderr.write('usage: ceph-libraries FROM TO  (FROM holds librados.so.2 and librbd.so.1 of Ceph)\n');
  process.exitCode = 2;
} else {
  try {
    for (const path of copyCephLibraries({from, to})) process.stdout.write(`${path}\n`);
  } catch (error) {
    if (!(error instanceof CephLibraryError)) throw error;
    process.stderr.write(`ceph-libraries: ${error.message}\n`);
    process.exitCode = 1;
  }
}
