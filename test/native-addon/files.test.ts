// The addon's file lock, between two processes.
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {closeSync, mkdtempSync, openSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import t from 'tap';
import {tryLock} from '../../src/native/addon.js';

t.test('a lock is held by one process at a time and ends with it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'cbd-lock-'));
  t.teardown(() => rmSync(folder, {recursive: true}));
  const file = join(folder, 'lock');
  const script = 'import fcntl,sys\nf=open(sys.argv[1],"w")\nfcntl.flock(f,fcntl.LOCK_EX)\nprint("held",flush=True)\nsys.stdin.read()';
  const other = spawn('/usr/bin/python3', ['-c', script, file], {stdio: ['pipe', 'pipe', 'inherit']});
  await once(other.stdout, 'data');
  const fd = openSync(file, 'a');
  t.equal(tryLock(fd), false);
  other.kill('SIGKILL');
  await once(other, 'close');
  t.equal(tryLock(fd), true);
  const second = openSync(file, 'a');
  t.equal(tryLock(second), false, 'also against another descriptor of the same process');
  closeSync(fd);
  t.equal(tryLock(second), true);
  closeSync(second);
});

t.test('what is no descriptor is refused', async (t) => {
  t.throws(() => tryLock(-1), {code: 'EBADF'});
  t.throws(() => tryLock(999_999), {code: 'EBADF'});
});
