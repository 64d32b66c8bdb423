// Replays what the real `rbd` was asked and printed, in its order, for the commands that the daemon answers.
// The list of differences is reasoned and may only shrink: an entry that is no longer needed fails the test.
import t from 'tap';
import {backends} from '../lib/backends.js';
import {startTestDaemonOn} from '../lib/daemon.js';
import {goldenRuns, maskRbd, type GoldenRun} from '../lib/golden.js';
import {rbdDifferences} from './rbd-differences.js';

t.setTimeout(240_000);

const groups = [
  'rbd-empty', 'rbd-create', 'rbd-info', 'rbd-resize', 'rbd-rename', 'rbd-snap', 'rbd-clone', 'rbd-lock', 'rbd-meta', 'rbd-feature', 'rbd-trash', 'rbd-namespace', 'rbd-pool',
  'rbd-rm', 'rbd-errors-2',
];

// Runs whose effect later runs build on, in a form that does the same here; an empty line is passed over.
const instead: Readonly<Record<number, string>> = {
  605: 'create g -s 10M --image-feature layering,exclusive-lock,object-map,fast-diff,deep-flatten',  // no journals
  609: '',  // the recorded pool p1 was not prepared for images; ours are from the start
  610: 'create k -s 10M', 611: 'create k2 -s 10M',  // volumes are thin
  855: '', 857: '',  // as 609; the real one takes the parent's 4 MiB for the stripe unit of a clone with smaller objects
  826: 'create rb -s 1M',  // data is moved in the caller's process
};

interface Ended {
  readonly rc: number;
  readonly stdout: string;
  readonly stderr: string;
}

for (const backend of backends) t.test(`the rbd command answers as the real one did, on ${backend}`, async (t) => {
  const daemon = await startTestDaemonOn(backend);
  t.teardown(() => daemon.stop());
  const client = await daemon.client();
  const rbd = async (given: readonly string[]): Promise<Ended> => {
    // The launcher takes options of the configuration out, and passes this one on.
    const option = given.indexOf('--rbd-default-clone-format');
    const argv = option < 0 ? given : given.filter((_, at) => at !== option && at !== option + 1);
    const env = option < 0 ? {} : {RBD_DEFAULT_CLONE_FORMAT: given[option + 1]};
    const cmd = [JSON.stringify({prefix: 'cbd2rbd cli', program: 'rbd', argv, env})];
    // A client of its own for each, as processes are: who breaks a lock shuts its holder out.
    const client = await daemon.client();
    const {rc, outbuf, outs} = await client.call('mon.command', {cmd}) as {rc: number, outbuf: string, outs: string};
    await client.close();
    return {rc: -rc, stdout: Buffer.from(outbuf, 'base64').toString(), stderr: outs};
  };
  // Ids that the recorded runs name, and ours in their place.
  const ids = new Map<string, string>();
  const learn = (run: GoldenRun, ours: Ended): void => {
    const theirs = /id: ([0-9a-f]+)/.exec(run.stdout)?.[1];
    const own = /id: ([0-9a-f]+)/.exec(ours.stdout)?.[1];
    if (theirs && own) ids.set(theirs, own);
    const trashed = [run.stdout, ours.stdout].map((text) => new Map([...text.matchAll(/^([0-9a-f]+) (\S+)$/gm)].map((match) => [match[2], match[1]])));
    for (const [name, id] of trashed[0] ?? []) ids.set(id ?? '', trashed[1]?.get(name) ?? '');
    const lockers = [run.stdout, ours.stdout].map((text) => [...text.matchAll(/client\.\d+/g)].map(([name]) => name));
    lockers[0]?.forEach((name, at) => ids.set(name, lockers[1]?.[at] ?? name));
  };
  const used = new Set<number>();
  let same = 0;
  await client.call('mon.command', {cmd: [JSON.stringify({prefix: 'osd pool create', pool: 'p1'})]});
  for (const run of goldenRuns([...groups, 'rbd-help']).filter((run) => (run.group !== 'rbd-help' || run.argv.includes('--nonesuch')) && run.argv[0] === 'rbd' && typeof run.rc === 'number' && run.stdout !== undefined)) {
    const line = run.argv.slice(1).join(' ');
    const other = instead[run.seq];
    if (other === '') continue;
    const ours = await rbd((other?.split(' ') ?? run.argv.slice(1)).map((word) => ids.get(word) ?? word));
    learn(run, ours);
    if (run.seq === 1270) ids.set('187c12c0bd71', (await rbd(['trash', 'ls'])).stdout.split(' ')[0] ?? '');
    if (other !== undefined) {
      t.equal(ours.rc, 0, other);
      continue;
    }
    const is = {rc: ours.rc, stdout: maskRbd(ours.stdout), stderr: maskRbd(ours.stderr)};
    const should = {rc: run.rc, stdout: maskRbd(run.stdout), stderr: maskRbd(run.stderr)};
    const at = rbdDifferences.findIndex((difference) => difference.command.test(line) && run.seq >= (difference.from ?? 0) && run.seq <= (difference.to ?? Infinity));
    const isSame = JSON.stringify(is) === JSON.stringify(should);
    if (at >= 0) {
      if (!isSame) used.add(at);
      const code = rbdDifferences[at]?.code;
      if (code !== undefined) t.equal(is.rc, code, `${run.seq}: ${line}: exit code`);
    } else {
      if (isSame) same++;
      t.strictSame(is, should, `${run.seq}: rbd ${line}`);
    }
  }
  t.ok(same > 300, `${same} runs are the same`);
  rbdDifferences.forEach((difference, at) => t.ok(used.has(at) || difference.isChance, `still different: ${difference.command.source} (${difference.reason})`));
});
