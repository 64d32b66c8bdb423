// What hooks/rbd makes of files for import, import-diff and merge-diff that are cut off, lie about lengths, or ask for what cannot be:
// one clear error with the real rbd's code (16.2.15 was asked the same), no memory without bounds, and no half-made image.
import {execFile} from 'node:child_process';
import {existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import t from 'tap';
import {backends} from '../lib/backends.js';
import {root} from '../lib/root.js';
import {serve} from '../lib/served.js';

t.setTimeout(500_000);

const folder = mkdtempSync(join(tmpdir(), 'cbd-hostile-'));
const file = (name: string): string => join(folder, name);
t.teardown(() => rmSync(folder, {recursive: true}));

interface Ended {
  readonly code: number|string;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const quiet = ([command = '']: readonly string[]): string[] => /^(import|import-diff|merge-diff|export|rm)$/.test(command) ? ['--no-progress'] : [];

/** With 2 GiB of addresses: who believes a length of 4 GiB does not get it. */
function rbd(conf: string, ...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile('/bin/sh', ['-c', 'ulimit -v 2097152; exec "$@"', 'sh', root('build/bin/hooks/rbd'), ...args, ...quiet(args)],
        {env: {PATH: '/usr/bin:/bin', CEPH_CONF: conf}, cwd: folder, encoding: 'buffer'}, (error, stdout, stderr) =>
          resolve({code: error ? error.signal ?? Number(error.code) : 0, stdout, stderr: stderr.toString()}));
    child.stdin?.end();
  });
}

function number(value: bigint|number, bytes = 8): Buffer {
  const all = Buffer.alloc(8);
  all.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return all.subarray(0, bytes);
}
const text = (value: string): Buffer => Buffer.concat([number(Buffer.byteLength(value), 4), Buffer.from(value)]);
const joined = (...parts: readonly (Buffer|string)[]): Buffer => Buffer.concat(parts.map((part) => typeof part === 'string' ? Buffer.from(part) : part));

/** A record: its tag, and what is in it; `length` where it lies about that. */
interface Record {
  readonly tag: string;
  readonly content: Buffer;
  readonly length?: bigint|number;
}
const record = (tag: string, content: Buffer, length?: bigint|number): Record => length === undefined ? {tag, content} : {tag, content, length};
const withLength = ({tag, content, length}: Record): Buffer => joined(tag, number(length ?? content.length), content);

const MiB = 1 << 20;
const size = (bytes: bigint|number): Record => record('s', number(bytes));
const data = (offset: bigint|number, length: bigint|number, bytes: string): Record => record('w', joined(number(offset), number(length), bytes));
const zeroes = (offset: bigint|number, length: bigint|number): Record => record('z', joined(number(offset), number(length)));
const diff1 = (...records: readonly Record[]): Buffer => joined('rbd diff v1\n', ...records.map(({tag, content}) => joined(tag, content)), 'e');
const diff2 = (...records: readonly Record[]): Buffer => joined('rbd diff v2\n', ...records.map(withLength), 'e');

const usual = [record('O', number(22)), record('T', number(0x3d)), record('U', number(4 * MiB)), record('C', number(1))];
const note = (key: string, value: string, length?: bigint|number): Record => record('M', joined(text(key), text(value)), length);
function whole(head: readonly Record[], diffs: readonly Buffer[], count: bigint|number = diffs.length): Buffer {
  return joined('rbd image v2\n', ...head.map(withLength), 'E', 'rbd image diffs v2\n', number(count), ...diffs);
}
const small = diff2(size(MiB));
const firstDiff = diff2(record('t', text('s1')), record('p', Buffer.from([1]), 8), size(MiB), data(0, 4, 'abcd'));
const good = whole([...usual, note('k', 'v')], [firstDiff, diff2(record('f', text('s1')), size(MiB), data(4096, 4, 'efgh'), zeroes(8192, 4096))]);

for (const backend of backends) t.test(`on ${backend}`, {timeout: 240_000}, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());
  const run = (...args: string[]): Promise<Ended> => rbd(served.conf, ...args);
  const images = async (): Promise<string> => (await run('ls')).stdout.toString();
  const importing = async (bytes: Buffer, ...more: string[]): Promise<Ended> => {
    writeFileSync(file('in'), bytes);
    return await run('import', '--export-format', '2', file('in'), 'new', ...more);
  };

  t.test('a whole image that ends too soon is refused wherever it ends, and leaves nothing', async (t) => {
    const lengths = Array.from({length: good.length}, (_, at) => at).filter((at) => at > 0 && (at % 19 === 0 || at === good.length - 1));
    for (const length of lengths) {
      const {code, stderr} = await importing(good.subarray(0, length));
      t.equal(code, 33, `${length} bytes`);
      t.match(stderr, /^rbd: failed to decode [a-zA-Z ]+\n(rbd: import-diff failed: \(33\) .*\n)?rbd: (import header failed\.|failed to import image)\nrbd: import failed: \(33\) Numerical argument out of domain\n$/, `${length} bytes`);
    }
    t.match(await importing(Buffer.alloc(0)), {code: 25, stderr: 'rbd: unable to get size of file/block device\nrbd: import failed: (25) Inappropriate ioctl for device\n'});
    t.equal(await images(), '');
    t.match(await importing(good), {code: 0, stderr: ''}, 'all of it is taken');
    t.equal((await run('snap', 'unprotect', 'new@s1')).code, 0);
    t.equal((await run('snap', 'purge', 'new')).code, 0);
    t.equal((await run('rm', 'new')).code, 0);
  });

  t.test('a head that lies is refused', async (t) => {
    const wrong: readonly (readonly [string, Buffer, number, RegExp])[] = [
      ['a key of 4 GiB', whole([record('M', joined(number(0xffffffff, 4), 'a'.repeat(16)))], [small]), 22, /^rbd: failed to decode metadata key\nrbd: import header failed/],
      ['a value of 4 GiB', whole([record('M', joined(text('k'), number(0xffffffff, 4), 'abc'))], [small]), 22, /^rbd: failed to decode metadata value\n/],
      ['a record longer than what is in it', whole([note('k', 'v', 100)], [small]), 22, /the record 'M' in the image properties zone is not as long as it says/],
      ['a record shorter than what is in it', whole([note('k', 'v', 3)], [small]), 22, /not as long as it says/],
      ['a record of 2^63 bytes', whole([note('k', 'v', 1n << 63n)], [small]), 22, /not as long as it says/],
      ['a number of four bytes', whole([record('O', number(22, 4))], [small]), 22, /the record 'O'/],
      ['an unknown record of 2^40 bytes', whole([record('Q', Buffer.from('abc'), 1n << 40n)], [small]), 33, /^rbd: invalid tag in image properties zone: QSkip it\.\nrbd: failed to decode tag\n/],
      ['objects of 2^11', whole([record('O', number(11))], [small]), 33, /^rbd: image creation failed\n/],
      ['objects of 2^(2^32)', whole([record('O', number(1n << 32n))], [small]), 33, /^rbd: image creation failed\n/],
      ['stripes of 3 bytes', whole([...usual.slice(0, 1), record('T', number(0x3f)), record('U', number(3)), record('C', number(5))], [small]), 22, /^rbd: image creation failed\n/],
      ['another banner', joined('rbd image v3\n', good.subarray(13)), 22, /^rbd: invalid or unexpected diff banner\nrbd: import header failed\.\n/],
      ['a diff of the first version', whole(usual, [diff1(size(MiB))]), 22, /^rbd: invalid or unexpected diff banner\nrbd: import-diff failed: .*\nrbd: failed to import image\n/],
      ['more diffs than there are', whole(usual, [small], (1n << 64n) - 1n), 33, /^rbd: failed to decode diff banner\n/],
      ['5000 bytes that are nothing', Buffer.alloc(5000, 'nonsense'), 22, /^rbd: invalid or unexpected diff banner\n/],
    ];
    for (const [what, bytes, code, stderr] of wrong) t.match(await importing(bytes), {code, stderr}, what);
    t.equal(await images(), '');
  });

  t.test('an unknown record is passed over and named; no features are none; long notes arrive', async (t) => {
    t.match(await importing(whole([record('O', number(22)), record('T', number(0)), record('Q', Buffer.from('abcdef')), note('k', 'v'.repeat(100_000))], [small])),
        {code: 0, stderr: 'rbd: invalid tag in image properties zone: QSkip it.\n'});
    t.match(JSON.parse((await run('info', 'new', '--format', 'json')).stdout.toString()), {size: MiB, features: []});
    t.equal((await run('image-meta', 'get', 'new', 'k')).stdout.length, 100_001);
    t.equal((await run('rm', 'new')).code, 0);
  });

  const bodies: readonly (readonly [string, readonly Record[], RegExp])[] = [
    ['data behind the end', [size(MiB), data(MiB, 4, 'abcd')], /^(22)$/],
    ['data at 2^63', [size(MiB), data(1n << 63n, 4, 'abcd')], /^22$/],
    ['data before the offset 0', [size(MiB), data(-1, 4, 'abcd')], /^22$/],
    ['2^40 bytes of data that do not come', [size(MiB), data(0, 1n << 40n, 'abcd')], /^(33|74)$/],
    ['2^64 - 1 bytes of data', [size(MiB), data(0, -1, 'abcd')], /^(33|74)$/],
    ['zeroes behind the end', [size(MiB), zeroes(MiB, 4096)], /^22$/],
    ['a size of 2^62', [size(1n << 62n)], /^22$/],
    ['a size of 2^64 - 1', [size(-1)], /^22$/],
    ['a start that is not there', [record('f', text('nosuch')), size(MiB)], /^22$/],
    ['a name of 4 GiB', [record('t', joined(number(0xffffffff, 4), 'abc')), size(MiB)], /^22$/],
    ['a name of 5000 bytes', [record('t', text('x'.repeat(5000))), size(MiB)], /^22$/],
  ];

  t.test('a diff that lies is refused, in a whole image and by itself', async (t) => {
    t.equal((await run('create', 'there', '-s', '1M')).code, 0);
    for (const [what, records, code] of bodies) {
      const inWhole = await importing(whole(usual, [diff2(...records)]));
      t.match(String(inWhole.code), code, what);
      t.match(inWhole.stderr, /rbd: import-diff failed: .*\nrbd: failed to import image\nrbd: import failed: \(\d+\) .*\n$/, what);
      writeFileSync(file('diff'), diff1(...records));
      const alone = await run('import-diff', file('diff'), 'there');
      t.match(String(alone.code), code, `${what}: alone`);
      t.match(alone.stderr, /rbd: import-diff failed: \(\d+\) .*\n$/);
    }
    t.equal(await images(), 'there\n');
    t.match(JSON.parse((await run('info', 'there', '--format', 'json')).stdout.toString()), {size: MiB, snapshot_count: 0});
    t.ok((await run('export', 'there', '-')).stdout.equals(Buffer.alloc(MiB)), 'nothing was written');
  });

  t.test('import-diff takes the first version alone, as the real one, and names what it does not know', async (t) => {
    writeFileSync(file('diff'), small);
    t.match(await run('import-diff', file('diff'), 'there'), {code: 22, stderr: 'rbd: invalid or unexpected diff banner\nrbd: import-diff failed: (22) Invalid argument\n'});
    writeFileSync(file('diff'), diff1(size(MiB), record('Q', Buffer.from('abc'))));
    t.match(await run('import-diff', file('diff'), 'there'), {code: 22, stderr: /^unrecognized tag byte 81 in stream/});
    const sound = diff1(size(MiB), data(0, 4, 'abcd'));
    for (let length = 0; length < sound.length; length += 3) {
      writeFileSync(file('diff'), sound.subarray(0, length));
      t.match(await run('import-diff', file('diff'), 'there'), {code: 74, stderr: /^rbd: failed to decode [a-zA-Z ]+\nrbd: import-diff failed: \(74\) Bad message\n$/}, `${length} bytes`);
    }
    writeFileSync(file('diff'), diff1(record('t', text('kept')), record('p', Buffer.from([1])), size(MiB)));
    t.equal((await run('import-diff', file('diff'), 'there')).code, 0);
    t.match(JSON.parse((await run('snap', 'ls', 'there', '--format', 'json')).stdout.toString()), [{name: 'kept', protected: 'true'}]);
  });
});

const merged = async (first: Buffer, second: Buffer): Promise<Ended> => {
  writeFileSync(file('one'), first);
  writeFileSync(file('two'), second);
  rmSync(file('both'), {force: true});
  return await rbd('/dev/null', 'merge-diff', file('one'), file('two'), file('both'));
};

t.test('merge-diff refuses what is wrong with either side and leaves no file', async (t) => {
  const sound = diff1(size(MiB), data(100, 4, '1234'));
  const wrong: readonly (readonly [string, Buffer, number, RegExp])[] = [
    ['the second version', small, 22, /^invalid banner 'rbd diff v2\n', expected 'rbd diff v1\n'\nrbd: failed to parse (first|second) diff header\nrbd: merge-diff error\n$/],
    ['no bytes', Buffer.alloc(0), 33, /^rbd: failed to parse (first|second) diff header\nrbd: merge-diff error\n$/],
    ['half a size', sound.subarray(0, 17), 33, /^rbd: failed to parse (first|second) diff header\n/],
    ['half of the data', sound.subarray(0, -3), 33, /^rbd: failed to merge diff chunk\n/],
    ['no end', sound.subarray(0, -1), 33, /^rbd: failed to read (first|second) diff data chunk header\n/],
    ['2^40 bytes of data that do not come', diff1(size(MiB), data(0, 1n << 40n, 'abcd')), 33, /^rbd: failed to merge diff chunk\n/],
    ['a range that ends before it begins', diff1(size(MiB), zeroes(100, -1)), 95, /^rbd: failed to read (first|second) diff data chunk header\n/],
    ['a range of nothing', diff1(size(MiB), zeroes(100, 0)), 95, /^rbd: failed to read (first|second) diff data chunk header\n/],
    ['an unknown record', diff1(size(MiB), record('Q', Buffer.from('abc'))), 95, /^rbd: failed to read (first|second) diff data chunk header\n/],
    ['ranges out of their order', diff1(size(MiB), data(8192, 4, 'abcd'), data(0, 4, 'abcd')), 95, /^rbd: out-of-order offset from (first|second) diff \(8196 > 0\)\n/],
    ['a name of 4 GiB', diff1(record('t', joined(number(0xffffffff, 4), 'abc'))), 22, /^rbd: failed to parse (first|second) diff header\n/],
  ];
  for (const [what, bytes, code, stderr] of wrong) {
    for (const [first, second] of [[bytes, sound], [sound, bytes]] as const) {
      t.match(await merged(first, second), {code, stderr}, what);
      t.notOk(existsSync(file('both')), what);
    }
  }
});

/** What an image of these bytes is behind a diff of the first version. */
function carriedOut(image: Buffer, diff: Buffer): Buffer {
  const at = (offset: number): number => Number(diff.readBigUInt64LE(offset));
  let [bytes, position] = [image, 12];
  for (;;) {
    const tag = String.fromCharCode(diff[position++] ?? 0);
    if (tag === 'e') return bytes;
    if (tag === 's') {
      const length = at(position);
      bytes = joined(bytes.subarray(0, length), Buffer.alloc(Math.max(0, length - bytes.length)));
      position += 8;
      continue;
    }
    const [offset, length] = [at(position), at(position + 8)];
    position += 16;
    if (offset + length > bytes.length) throw new Error(`a range ends at ${offset + length}, the image at ${bytes.length}`);
    const content = tag === 'w' ? diff.subarray(position, position + length) : Buffer.alloc(length);
    if (tag === 'w') position += length;
    bytes = joined(bytes.subarray(0, offset), content, bytes.subarray(offset + length));
  }
}

t.test('two diffs in one do what they do one after the other, however the image shrinks and grows', async (t) => {
  let seed = 20261122;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor(seed / 65536) % below;
  };
  const bytes = (length: number): string => Array.from({length}, () => String.fromCharCode(1 + random(126))).join('');
  const anyDiff = (): Buffer => {
    const end = [0, 200, 400, 600][random(4)] ?? 0;
    const records = [size(end)];
    for (let offset = random(40); ; offset += random(60)) {
      const length = 1 + random(40);
      if (offset + length > end) return diff1(...records);
      records.push(random(2) === 0 ? zeroes(offset, length) : data(offset, length, bytes(length)));
      offset += length;
    }
  };
  for (let round = 0; round < 60; round++) {
    const [first, second, image] = [anyDiff(), anyDiff(), Buffer.from(bytes(500))];
    t.match(await merged(first, second), {code: 0, stderr: ''});
    const [is, should] = [carriedOut(image, readFileSync(file('both'))), carriedOut(carriedOut(image, first), second)];
    t.ok(is.equals(should), `round ${round}`);
  }
});
