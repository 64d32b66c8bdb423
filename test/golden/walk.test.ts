// The walk through rbd's commands gives what the real 16.2.15 gave (test/data/rbd-walk.jsonl), line by line.
// The list of differences is reasoned and may only shrink: an entry that is no longer needed fails the test.
import {readFileSync, rmSync, writeFileSync, mkdtempSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import t from 'tap';
import {backends} from '../lib/backends.js';
import {startTestDaemonOn} from '../lib/daemon.js';
import {maskRbd} from '../lib/golden.js';
import {root} from '../lib/root.js';
import {walk, type Step} from './walk.js';

t.setTimeout(240_000);

const differences: readonly {readonly command: RegExp, readonly reason: string}[] = [
  {command: /^trash purge schedule/, reason: 'refused by name: schedules are not supported'},
  {command: /^(help|nonsense|snap|snap nonsense|)$/, reason: 'the list of commands is ours, and its sentences'},
  {command: /^bash-completion( snap)?$/, reason: 'as help: the commands that are here'},
  {command: /--help$/, reason: 'help of the command itself, where the real one shows the list of all'},
];

/** Besides those, on CurveBS. */
const differencesOnCurvebs: typeof differences = [
  {command: /^sparsify z2 --no-progress$/, reason: 'of a plain volume CurveBS can give back whole GiB alone, and some time later'},
];

const read = (name: string): Step[] => readFileSync(root(name), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as Step);

const shown = ({line, rc, stdout, stderr}: Step): {rc: number, stdout: string, stderr: string} => {
  // Librbd's own log lines, and what is a figure of the moment.
  const text = (out: string): string => maskRbd(out.replaceAll(/\d{4}-\d\d-\d\dT\S+ [0-9a-f]+ +-1 .*\n\n?/g, '')).replaceAll(/127\.0\.0\.1:0\/ID/g, 'ADDR').replaceAll(/cookie=(\d+|ID)/g, 'cookie=N').replaceAll(/\n\n+/g, '\n');
  return {rc, stdout: line.includes('bench') && rc === 0 ? '' : text(stdout), stderr: text(stderr)};
};

for (const backend of backends) t.test(`on ${backend}: rbd answers line by line as the real one`, async (t) => {
  const daemon = await startTestDaemonOn(backend);
  const folder = mkdtempSync(join(tmpdir(), 'cbd-walk-'));
  t.teardown(async () => {
    await daemon.stop();
    rmSync(folder, {recursive: true});
  });
  const conf = join(folder, 'ceph.conf');
  writeFileSync(conf, `[global]\ncbd2rbd_socket = ${daemon.socket}\n`);
  const meant = backend === 'local' ? differences : [...differences, ...differencesOnCurvebs];
  const recorded = read('test/data/rbd-walk.jsonl');
  const used = new Set<number>();
  let at = 0;
  let same = 0;
  await walk(root('build/bin/hooks/rbd'), {CEPH_CONF: conf}, (step) => {
    const theirs = recorded[at++];
    if (theirs === undefined || theirs.line !== step.line) throw new Error(`the recording has ${theirs?.line ?? 'nothing'} where the walk has ${step.line}: record it anew`);
    const [is, should] = [shown(step), shown(theirs)];
    const isSame = JSON.stringify(is) === JSON.stringify(should);
    const words = step.line.replace(/^(\S+=\S+ )*rbd ?/, '');
    const known = meant.findIndex(({command}) => command.test(words));
    if (isSame) same++;
    else if (known >= 0) used.add(known);
    else t.strictSame(is, should, step.line);
  });
  t.equal(at, recorded.length);
  t.ok(same > 260, `${same} of ${at} are the same`);
  meant.forEach(({command, reason}, index) => t.ok(used.has(index), `still different: ${command.source} (${reason})`));
});
