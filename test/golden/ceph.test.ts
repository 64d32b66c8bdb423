// Replays what the real `ceph` was asked and printed: argument by argument, exit code and masked output.
// The list of differences is reasoned and may only shrink: an entry that is no longer needed fails the test.
import t from 'tap';
import {runMonCommand} from '../../src/ceph/mon.js';
import {runCeph} from '../../src/ceph/shell/ceph.js';
import {Identity} from '../../src/access/identity.js';
import {backends, type TestBackend} from '../lib/backends.js';
import {startTestDaemonOn} from '../lib/daemon.js';
import {goldenRuns, maskTable, type GoldenRun} from '../lib/golden.js';
import {cephDifferences} from './ceph-differences.js';

t.setTimeout(120_000);

const admin = new Identity({entity: 'client.admin', key: '', owner: '', caps: {mon: 'allow *', osd: 'allow *'}}, {trusted: true});

async function prepared(backend: TestBackend) {
  const daemon = await startTestDaemonOn(backend);
  const {cluster} = daemon.daemon;
  const ask = async (fields: object): Promise<void> => {
    const {rc, outs} = await runMonCommand(cluster, admin, [JSON.stringify(fields)], Buffer.alloc(0));
    if (rc !== 0) throw new Error(`${JSON.stringify(fields)}: ${rc} ${outs}`);
  };
  // As the recorded cluster was.
  await ask({prefix: 'osd pool set', pool: 'rbd', var: 'pg_num', val: '8'});
  await ask({prefix: 'osd pool create', pool: 'device_health_metrics', pg_num: 1, pg_num_min: 1, pg_num_max: 32});
  await ask({prefix: 'osd pool application enable', pool: 'device_health_metrics', app: 'mgr_devicehealth'});
  return {daemon, cluster};
}

function withoutInput(run: GoldenRun): boolean {
  return run.argv[0] === 'ceph' && !run.argv.includes('-i') && !run.argv.includes('-o') && !run.argv.includes('--id') && run.argv.length > 1 &&
      !run.argv.includes('-n') && !run.argv.includes('--conf') && !run.argv.includes('--connect-timeout');
}

// The recorded cluster's pools had 8 placement groups by default.
function withDefaults(words: readonly string[]): readonly string[] {
  return words.length === 4 && words.slice(0, 3).join(' ') === 'osd pool create' ? [...words, '8'] : words;
}

for (const backend of backends) t.test(`the ceph command answers as the real one did, on ${backend}`, async (t) => {
  const {daemon, cluster} = await prepared(backend);
  t.teardown(() => daemon.stop());
  const used = new Set<number>();
  let same = 0;
  for (const run of goldenRuns(['ceph-status', 'ceph-pool', 'ceph-auth', 'ceph-error']).filter(withoutInput)) {
    const line = run.argv.slice(1).join(' ');
    const ours = await runCeph({cluster, identity: admin, argv: withDefaults(run.argv.slice(1)), input: Buffer.alloc(0)});
    const is = {rc: ours.code, stdout: maskTable(ours.stdout.toString()), stderr: maskTable(ours.stderr)};
    const should = {rc: run.rc, stdout: maskTable(run.stdout), stderr: maskTable(run.stderr)};
    const at = cephDifferences.findIndex((difference) => difference.command.test(line) && run.seq >= (difference.from ?? 0));
    const isSame = JSON.stringify(is) === JSON.stringify(should);
    if (at >= 0) {
      if (!isSame) used.add(at);
      if (cephDifferences[at]?.code !== undefined) t.equal(is.rc, cephDifferences[at]?.code, `${run.seq}: ${line}: exit code`);
    } else {
      if (isSame) same++;
      t.strictSame(is, should, `${run.seq}: ceph ${line}`);
    }
  }
  t.ok(same > 250, `${same} runs are the same`);
  cephDifferences.forEach((difference, at) => t.ok(used.has(at), `still different: ${difference.command.source} (${difference.reason})`));
});
