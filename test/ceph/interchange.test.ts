// Whole images and differences go between our `rbd` and the real one, and back: in both formats, compared byte by byte on both sides.
import t from 'tap';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { backends } from '../lib/backends.js';
import { serve, type Served } from '../lib/served.js';
import { cephInstalled, startCeph, type Ceph } from './cluster.js';

if (!cephInstalled()) t.bailout('ceph-mon, ceph-mgr, ceph-osd and ceph-common are needed (tools/setup.sh installs them)');
t.setTimeout(240_000);

const hook = fileURLToPath(new URL('../../../build/bin/hooks/rbd', import.meta.url));
let folder = '';
const file = (name: string): string => join(folder, name);
let ceph: Ceph;
let daemon: Served;

interface Side {
  readonly name: string;
  /** Runs its rbd; throws where it fails. Standard output. */
  rbd(args: readonly string[], input?: Buffer): Buffer;
}

const quiet = { maxBuffer: 1 << 28, stdio: ['pipe', 'pipe', 'pipe'] as ('pipe')[] };
const ours: Side = { name: 'ours', rbd: (args, input = Buffer.alloc(0)) => execFileSync(hook, args, { env: { PATH: '/usr/bin:/bin', CEPH_CONF: daemon.conf }, input, ...quiet }) };
const real: Side = { name: 'real', rbd: (args, input = Buffer.alloc(0)) => execFileSync('rbd', args, { env: ceph.env, input, ...quiet }) };

const sum = (side: Side, image: string): string => createHash('sha256').update(side.rbd(['export', '--no-progress', image, '-'])).digest('hex');
const names = (side: Side, image: string): { name: string; size: number; protected: string }[] =>
  (JSON.parse(side.rbd(['snap', 'ls', '--format', 'json', image]).toString()) as { name: string; size: number; protected: string }[])
    .map(({ name, size, protected: kept }) => ({ name, size, protected: kept }));
const scribble = (side: Side, image: string): void => void side.rbd(['bench', '--io-type', 'write', '--io-size', '12K', '--io-total', '600K', '--io-pattern', 'rand', image]);

// 10 MB and a bit: data at odd places, holes of many objects, a stretch of written zeroes.
function writeSource(): void {
  const fd = openSync(file('source'), 'w');
  for (const [at, length] of [[0, 70_001], [3 << 20, 1 << 20], [9_000_000, 5000]] as const) writeSync(fd, randomBytes(length), 0, length, at);
  writeSync(fd, Buffer.alloc(1 << 20), 0, 1 << 20, 5 << 20);
  closeSync(fd);
  truncateSync(file('source'), 10_000_001);
}

for (const backend of backends) t.test(`ours on ${backend}`, async (t) => {
  [ceph, daemon] = await Promise.all([startCeph({ pools: ['rbd'] }), serve({}, backend)]);
  folder = mkdtempSync(join(tmpdir(), 'cbd-ix-'));
  t.teardown(async () => {
    await Promise.all([ceph.destroy(), daemon.destroy()]);
    rmSync(folder, { recursive: true, force: true });
  });
  writeSource();

  t.test('a plain export of one is what the other imported, as a file and through a pipe', async (t) => {
    const bytes = readFileSync(file('source'));
    for (const [from, to] of [[ours, real], [real, ours]] as const) {
      from.rbd(['import', '--no-progress', file('source'), 'plain']);
      from.rbd(['export', '--no-progress', 'plain', file(`${from.name}.plain`)]);
      to.rbd(['import', '--no-progress', file(`${from.name}.plain`), `plain-of-${from.name}`]);
      to.rbd(['import', '--no-progress', '-', `pipe-of-${from.name}`], from.rbd(['export', '--no-progress', 'plain', '-']));
      for (const image of [`plain-of-${from.name}`, `pipe-of-${from.name}`]) t.ok(to.rbd(['export', '--no-progress', image, '-']).equals(bytes), `${image} on ${to.name}`);
    }
  });

  t.test('differences go there, and back with what was written there', async (t) => {
    ours.rbd(['import', '--no-progress', file('source'), 'inc']);
    ours.rbd(['snap', 'create', '--no-progress', 'inc@s1']);
    real.rbd(['create', '-s', '1M', 'inc']);
    real.rbd(['import-diff', '--no-progress', '-', 'inc'], ours.rbd(['export-diff', '--no-progress', 'inc@s1', '-']));
    t.equal(sum(real, 'inc@s1'), sum(ours, 'inc@s1'), 'the whole image');
    scribble(ours, 'inc');
    ours.rbd(['resize', '--no-progress', '-s', '14M', 'inc']);
    ours.rbd(['snap', 'create', '--no-progress', 'inc@s2']);
    ours.rbd(['export-diff', '--no-progress', '--from-snap', 's1', 'inc@s2', file('s1-s2')]);
    real.rbd(['import-diff', '--no-progress', file('s1-s2'), 'inc']);
    t.equal(sum(real, 'inc@s2'), sum(ours, 'inc@s2'), 'what changed, and the new size');
    scribble(real, 'inc');
    real.rbd(['resize', '--no-progress', '--allow-shrink', '-s', '7M', 'inc']);
    real.rbd(['snap', 'create', '--no-progress', 'inc@s3']);
    real.rbd(['export-diff', '--no-progress', '--from-snap', 's2', 'inc@s3', file('s2-s3')]);
    ours.rbd(['import-diff', '--no-progress', file('s2-s3'), 'inc']);
    for (const snap of ['s1', 's2', 's3']) t.equal(sum(ours, `inc@${snap}`), sum(real, `inc@${snap}`), `${snap} after the way back`);
    t.strictSame(names(ours, 'inc'), names(real, 'inc'));
  });

  t.test('two differences merged by one are what the other takes, and what it merges itself', async (t) => {
    for (const side of [ours, real]) side.rbd(['merge-diff', '--no-progress', file('s1-s2'), file('s2-s3'), file(`${side.name}.merged`)]);
    for (const [side, merged] of [[ours, 'real.merged'], [real, 'ours.merged'], [real, 'real.merged'], [ours, 'ours.merged']] as const) {
      const image = `m-${side.name}-${merged}`;
      side.rbd(['create', '-s', '1M', image]);
      side.rbd(['import-diff', '--no-progress', '-', image], side.rbd(['export-diff', '--no-progress', 'inc@s1', '-']));
      side.rbd(['import-diff', '--no-progress', file(merged), image]);
      t.equal(sum(side, image), sum(real, 'inc@s3'), image);
    }
  });

  t.test('whole images with snapshots, protection and notes go both ways (--export-format 2)', async (t) => {
    for (const side of [ours, real]) {
      side.rbd(['create', '-s', '9M', '--object-size', '1M', '--image-feature', 'layering,exclusive-lock', 'full']);
      side.rbd(['image-meta', 'set', 'full', 'owner', 'some body']);
      side.rbd(['image-meta', 'set', 'full', 'conf_rbd_qos_iops_limit', '500']);
      scribble(side, 'full');
      side.rbd(['snap', 'create', '--no-progress', 'full@one']);
      scribble(side, 'full');
      side.rbd(['snap', 'create', '--no-progress', 'full@two']);
      side.rbd(['snap', 'protect', 'full@two']);
      scribble(side, 'full');
    }
    for (const [from, to] of [[ours, real], [real, ours]] as const) {
      const image = `full-of-${from.name}`;
      from.rbd(['export', '--no-progress', '--export-format', '2', 'full', file(`${from.name}.full`)]);
      to.rbd(['import', '--no-progress', '--export-format', '2', file(`${from.name}.full`), image]);
      for (const at of ['', '@one', '@two']) t.equal(sum(to, image + at), sum(from, `full${at}`), `${image}${at}`);
      t.strictSame(names(to, image), names(from, 'full'));
      t.match(JSON.parse(to.rbd(['info', '--format', 'json', image]).toString()), { size: 9 << 20, order: 20, features: ['layering', 'exclusive-lock'] });
      t.match(JSON.parse(to.rbd(['image-meta', 'ls', '--format', 'json', image]).toString()), { owner: 'some body', conf_rbd_qos_iops_limit: '500' });
      to.rbd(['import', '--no-progress', '--export-format', '2', '-', `${image}-piped`], from.rbd(['export', '--no-progress', '--export-format', '2', 'full', '-']));
      t.equal(sum(to, `${image}-piped@one`), sum(from, 'full@one'));
    }
    // What describes the image is the same to the byte; of the differences, where each record ends may differ.
    const head = (side: Side): Buffer => {
      const bytes = readFileSync(file(`${side.name}.full`));
      return bytes.subarray(0, bytes.indexOf('rbd image diffs v2\n') + 'rbd image diffs v2\n'.length + 8);
    };
    t.strictSame(head(ours).toString('hex'), head(real).toString('hex'), 'the head of the stream');
  });

  t.test('what one side spoiled is refused by both in the same words', async (t) => {
    const whole = readFileSync(file('ours.full'));
    const first = ours.rbd(['export-diff', '--no-progress', 'inc@s1', '-']);
    const cases: readonly (readonly [string, readonly string[], Buffer])[] = [
      ['a difference cut short', ['import-diff', '--no-progress', '-', 'spoiled'], first.subarray(0, 40_000)],
      ['a difference without its snapshot', ['import-diff', '--no-progress', '-', 'spoiled'], readFileSync(file('s1-s2'))],
      ['no difference', ['import-diff', '--no-progress', '-', 'spoiled'], whole],
      ['a whole image cut short', ['import', '--no-progress', '--export-format', '2', '-', 'cut'], whole.subarray(0, 100_000)],
      ['a whole image without its head', ['import', '--no-progress', '--export-format', '2', '-', 'cut'], first],
    ];
    for (const side of [ours, real]) side.rbd(['create', '-s', '10M', 'spoiled']);
    for (const [name, args, input] of cases) {
      const ended = [ours, real].map((side) => {
        const command = side === ours ? hook : 'rbd';
        const env = side === ours ? { PATH: '/usr/bin:/bin', CEPH_CONF: daemon.conf } : ceph.env;
        const { status, stderr } = spawnSync(command, args, { env, input, encoding: 'utf8' });
        return { status, stderr: stderr.replaceAll(/^\d{4}-\S+ .*\n/gm, '') };
      });
      t.equal(ended[0]?.status, ended[1]?.status, `${name}: ${ended[0]?.stderr ?? ''} | ${ended[1]?.stderr ?? ''}`);
      t.match(ended[0]?.stderr, /rbd: import(-diff)? failed/, name);
    }
    t.notMatch(ours.rbd(['ls']).toString(), /^cut$/m, 'a half-made image does not stay');
    writeFileSync(file('junk'), 'rbd diff v1\nq');
    const [own, theirs] = [hook, 'rbd'].map((program) => spawnSync(program, ['merge-diff', file('junk'), file('s1-s2'), file('x')], { env: { PATH: '/usr/bin:/bin', CEPH_CONF: daemon.conf } }).status);
    t.equal(own, theirs, 'a merge with no difference');
  });
});
