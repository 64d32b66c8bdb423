// A disk that is full: of volumes and of the daemon's own records, which are on the same one. What a command began there it takes back, and
// what is removed makes room again. (On CurveBS the records are on a disk of the daemon's, and the space is the cluster's.)
import {spawn} from 'node:child_process';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import t from 'tap';
import {root} from '../lib/root.js';

t.setTimeout(60_000);

const disk = mkdtempSync(join(tmpdir(), 'cbd-full-'));
t.teardown(() => rmSync(disk, {recursive: true, force: true}));

// A namespace of mounts with a small disk in it. Each line that is given to the shell there is answered by its output and "= CODE".
const shell = spawn('unshare', ['--mount', '--map-root-user', '/bin/sh', '-c', `
mount -t tmpfs -o size=64m none "${disk}" && cd "${disk}" || exit
"$NODE" "$CLI" --dir "${disk}/d" serve >/dev/null 2>&1 &
daemon=$!
export CEPH_CONF="${disk}/d/ceph.conf"
until rbd ls >/dev/null 2>&1; do kill -0 $daemon || exit; sleep 0.1; done
while read -r line; do
  eval "$line" </dev/null 2>&1
  echo "= $?"
done
kill $daemon
wait $daemon
`], {stdio: ['pipe', 'pipe', 'inherit'], env: {PATH: `${root('build/bin/hooks')}:/usr/bin:/bin`, NODE: process.execPath, CLI: root('dist/src/cli/cbd2rbd.js')}});
const answers = createInterface({input: shell.stdout})[Symbol.asyncIterator]();
t.teardown(() => { shell.kill(); });

/** What the line printed, without progress, and its exit code. */
async function run(line: string): Promise<string> {
  shell.stdin.write(`${line}\n`);
  let text = '';
  for (;;) {
    const next = await answers.next();
    if (next.done) throw new Error(`the shell ended in ${line}: ${text}`);
    if (/^= \d+$/.test(next.value)) return `${text}${next.value}`;
    text += `${next.value.replace(/.*\r/, '')}\n`;
  }
}

t.test('a command that fills the disk says so and leaves nothing behind', async (t) => {
  const rnd = (mib: number): string => `head -c ${mib}M /dev/urandom`;
  t.equal(await run(`${rnd(100)} | rbd import --no-progress - big`), 'rbd: import failed: (28) No space left on device\n= 28', 'an import of more than there is');
  t.equal(await run('rbd ls'), '= 0');
  t.equal(await run('rbd create --size 100M --thick-provision --no-progress thick'), 'rbd: create error: (28) No space left on device\n= 28');
  t.equal(await run('rbd ls'), '= 0');
  t.equal(await run(`${rnd(32)} | rbd import --no-progress - one`), '= 0', 'there is room again');
  t.equal(await run('rbd cp --no-progress one two; rbd cp --no-progress one three'), 'rbd: copy failed: (28) No space left on device\nrbd: copy failed: (28) No space left on device\n= 28');
  t.equal(await run('rbd ls'), 'one\n= 0');
});

t.test('on a disk without a byte left images are renamed, snapshots made and images removed', async (t) => {
  t.equal(await run('rbd create --size 60M rest; rbd bench --io-type write --io-size 64K --io-total 60M rest 2>&1 >/dev/null'), 'rbd: bench failed: (28) No space left on device\n= 28');
  t.match(await run('cat /dev/zero > filler'), /No space left on device\n= 1$/);
  t.equal(await run('rbd snap create --no-progress one@s && rbd rename one uno && rbd image-meta set uno k v'), '= 0');
  t.equal(await run('ceph osd pool ls && ceph df >/dev/null'), 'rbd\n= 0');
  t.equal(await run('rbd snap rm --no-progress uno@s && rbd rm --no-progress rest && rm filler && rbd ls'), 'uno\n= 0');
  t.equal(await run('"$NODE" "$CLI" --dir d check'), 'nothing is wrong\n= 0');
  shell.stdin.end();
});
