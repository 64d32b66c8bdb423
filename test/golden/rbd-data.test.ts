// Replays what the real `rbd` was asked where data is read or moved: with hooks/rbd as a process, in a folder with the recorded files.
// The list of differences is reasoned and may only shrink: an entry that is no longer needed fails the test.
import {execFile} from 'node:child_process';
import {closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import t from 'tap';
import {backends} from '../lib/backends.js';
import {startTestDaemonOn} from '../lib/daemon.js';
import {goldenRuns, maskRbd, type GoldenRun} from '../lib/golden.js';
import {rbdDataDifferences, rbdDataDifferencesOnCurvebs} from './rbd-data-differences.js';

t.setTimeout(240_000);
const program = fileURLToPath(new URL('../../../build/bin/hooks/rbd', import.meta.url));
const groups = ['rbd-copy', 'rbd-import-export', 'rbd-diff', 'rbd-du', 'rbd-bench', 'rbd-sparsify-migrate'];

// The same bytes as the recorded one's four scattered writes left there, for its store kept objects whole.
const instead: Readonly<Record<number, string>> = {1011: 'bench --io-type write --io-size 4096 --io-threads 1 --io-total 3149824 im1'};

// Images that recorded runs outside these groups made.
const before = ['import small.bin rb --no-progress', 'create a -s 1G', 'create k -s 10M --thick-provision --no-progress', 'create f -s 10M --image-feature layering'];

interface Ended {
  readonly rc: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** 4 KiB at the start and a stretch from 8 MiB on: what the recorded store said of the recorded file. */
function writeFiles(folder: string): void {
  const fd = openSync(join(folder, 'sparse.bin'), 'w');
  ftruncateSync(fd, 16 << 20);
  writeSync(fd, Buffer.alloc(4096, 'a'), 0, 4096, 0);
  writeSync(fd, Buffer.alloc(1114112, 'b'), 0, 1114112, 8 << 20);
  closeSync(fd);
  writeFileSync(join(folder, 'empty.bin'), '');
  writeFileSync(join(folder, 'odd.bin'), Buffer.alloc(1_000_001, 'o'));
  writeFileSync(join(folder, 'small.bin'), Buffer.alloc(1 << 20, 's'));
}

type Recorded = GoldenRun&{readonly stdin_len?: number, readonly stdin_b64?: string};

function inputOf(run: Recorded): Buffer {
  if (run.stdin_b64 !== undefined) return Buffer.from(run.stdin_b64, 'base64');
  return Buffer.alloc(run.stdin_len ?? 0, 'i');
}

const isOurs = (run: GoldenRun): boolean => run.argv[0] === 'rbd' && typeof run.rc === 'number' && run.stdout !== undefined &&
    !/^(migration|status f2|info f2|sparsify --sparse-size 3)/.test(run.argv.slice(1).join(' ')) && !/^du( --|$)/.test(run.argv.slice(1, 3).join(' '));

const shown = (text: string, line: string): string => {
  const masked = maskRbd(text).replaceAll(/rbd: image creation failed\n*/g, '').replaceAll(/\n\n+/g, '\n');
  return line.startsWith('bench') ? masked.replaceAll(/(elapsed|ops|bytes)(\/sec)?: +[\d.e+]+( [KMG]?i?B\/s)?/g, '$1$2: N').replaceAll(/^.*\d+ [KMG]?i?B\/s$\n/gm, '') : masked;
};

for (const backend of backends) t.test(`rbd moves and shows data as the real one did, on ${backend}`, async (t) => {
  const daemon = await startTestDaemonOn(backend);
  const folder = mkdtempSync(join(tmpdir(), 'cbd-golden-'));
  t.teardown(async () => {
    await daemon.stop();
    rmSync(folder, {recursive: true});
  });
  writeFiles(folder);
  writeFileSync(join(folder, 'ceph.conf'), `[global]\ncbd2rbd_socket = ${daemon.socket}\n`);
  const rbd = (argv: readonly string[], input: Buffer = Buffer.alloc(0)): Promise<Ended> => new Promise((resolve) => {
    const child = execFile(program, argv, {
      env: {PATH: '/usr/bin:/bin', CEPH_CONF: join(folder, 'ceph.conf')}, cwd: folder, encoding: 'buffer', maxBuffer: 1 << 26,
    }, (error, stdout, stderr) => resolve({rc: error ? Number(error.code) : 0, stdout, stderr: stderr.toString()}));
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
  const admin = await daemon.client();
  await admin.call('mon.command', {cmd: [JSON.stringify({prefix: 'osd pool create', pool: 'p1'})]});
  for (const line of before) t.equal((await rbd(line.split(' '))).rc, 0, line);
  const differences = backend === 'local' ? rbdDataDifferences : [...rbdDataDifferences, ...rbdDataDifferencesOnCurvebs];
  const used = new Set<number>();
  let same = 0;
  for (const run of goldenRuns(groups).filter(isOurs)) {
    const line = run.argv.slice(1).join(' ');
    const ours = await rbd(instead[run.seq]?.split(' ') ?? run.argv.slice(1), inputOf(run));
    if (instead[run.seq] !== undefined) {
      t.equal(ours.rc, 0, line);
      continue;
    }
    const is = {rc: ours.rc, stdout: shown(ours.stdout.toString(), line), stderr: shown(ours.stderr, line)};
    const should = {rc: run.rc, stdout: shown(run.stdout, line), stderr: shown(run.stderr, line)};
    const isSame = JSON.stringify(is) === JSON.stringify(should);
    const at = differences.findIndex((difference) => difference.command.test(line));
    if (at >= 0) {
      if (!isSame) used.add(at);
      const code = differences[at]?.code;
      if (code !== undefined) t.equal(is.rc, code, `${run.seq}: ${line}: exit code`);
    } else {
      if (isSame) same++;
      t.strictSame(is, should, `${run.seq}: rbd ${line}`);
    }
  }
  t.ok(same > (backend === 'local' ? 110 : 80), `${same} runs are the same`);
  differences.forEach((difference, at) => t.ok(used.has(at), `still different: ${difference.command.source} (${difference.reason})`));
  t.ok(readFileSync(join(folder, 'x1')).equals(readFileSync(join(folder, 'sparse.bin'))), 'what was exported is what was imported');
  t.ok(readFileSync(join(folder, 'm.diff')).subarray(0, 12).toString() === 'rbd diff v1\n');
});
