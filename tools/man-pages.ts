// Writes the manual pages (NAME.SECTION) below a folder: `node dist/tools/man-pages.js FOLDER`. Packages install them; they are made from the
// tables that --help, the configuration and the ceph and rbd commands are made from.
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {cephManual, rbdManual} from '../src/ceph/manual.js';
import {commands} from '../src/cli/commands.js';
import {configurationPage, manualPages} from '../src/cli/manual.js';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: man-pages.js FOLDER');
const {version} = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {version: string};
const pages = new Map([
  ...manualPages(commands, version), ['cbd2rbd.conf.5', configurationPage(version)] as const, ['cbd2rbd-rbd.1', rbdManual(version)] as const,
  ['cbd2rbd-ceph.1', cephManual(version)] as const,
]);
mkdirSync(folder, {recursive: true});
for (const [name, text] of pages) writeFileSync(join(folder, name), text);
process.stdout.write(`${pages.size} pages in ${folder}\n`);
