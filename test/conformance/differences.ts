// Where we answer otherwise than the real library, on purpose. Each entry says why; one that no longer differs fails the test.

import type { TestBackend } from '../lib/backends.js';

export interface Difference {
  /** The cases that it shows in. */
  cases: string[];
  /** The line, or the lines in a row, that the real library gives, wherever they stand in the case; and ours (no line: []). */
  real: string | string[];
  ours: string | string[];
  reason: string;
  /** The backend that it shows on; without: every one. */
  on?: TestBackend;
}

function hugeSize(label: string, size: string, reason: string, withMap: Difference[] = [], on?: TestBackend): Difference[] {
  return [{
    cases: [`create with a size of ${label}`],
    real: [`rbd_create2(io, "i", ${size}, 1, &order) = 0`, 'rbd_get_size(img, &size) = 0', `  size=${size}`],
    ours: `rbd_create2(io, "i", ${size}, 1, &order) = -22 EINVAL`,
    reason,
    ...(on === undefined ? {} : { on }),
  }, ...withMap];
}

const FILE = 'A volume of the local backend is a file, and the file system here holds none of 16 TiB or more.';
const EXACT = 'Sizes over 2^53 - 1 bytes are refused: they do not pass exactly through JSON, and no backend holds them.';

const sizes: Difference[] = [
  ...hugeSize('16 TiB', '17592186044416', FILE, [{
    cases: ['create with a size of 16 TiB'],
    real: ['rbd_create(io, "j", 17592186044416, &order) = 0', '  images=["j"]'],
    ours: ['rbd_create(io, "j", 17592186044416, &order) = -22 EINVAL', '  images=[]'],
    reason: FILE,
    on: 'local',
  }], 'local'),
  ...hugeSize('2^53', '9007199254740992', EXACT),
  ...hugeSize('2^62', '4611686018427387904', EXACT),
  ...hugeSize('2^63 - 1', '9223372036854775807', EXACT),
  ...hugeSize('2^63', '9223372036854775808', EXACT),
  ...hugeSize('2^64 - 1', '18446744073709551615', EXACT, [{
    cases: ['create with a size of 2^64 - 1'],
    real: ['rbd_create(io, "j", 18446744073709551615, &order) = 0', '  images=["j"]'],
    ours: ['rbd_create(io, "j", 18446744073709551615, &order) = -22 EINVAL', '  images=[]'],
    reason: 'The real library overflows its count of objects here; we refuse the size.',
  }]),
];

const NO_ORDER = 'An image that was not made has no order: none is written back.';

const orders: Difference[] = [
  {
    cases: ['create2 with features object-map without exclusive-lock', 'create2 with features an unknown one', 'create2 with features all bits'],
    real: '  order=22', ours: '  order=0', reason: NO_ORDER,
  },
  {
    cases: ['create4 with features set unknown', 'create4 with a stripe unit alone', 'create4 with a stripe count alone', 'create4 with a data pool that does not exist'],
    real: ['rbd_image_options_get_uint64(opts, 2, &order) = 0', '  order=22'],
    ours: ['rbd_image_options_get_uint64(opts, 2, &order) = -2 ENOENT', '  order=0'],
    reason: NO_ORDER,
  },
];

const LIFTED = 'Ceph 17 lifted the limit of compare-and-write to one sector of 512 bytes; ours is the object, as there.';

const compareAndWrite: Difference[] = [
  {
    cases: ['rbd_compare_and_write: the whole first block'],
    real: ['rbd_compare_and_write(img, 0, 4096, <0*4096>, <8*4096>, &mismatch, 0) = -22 EINVAL', '  mismatch=77', 'rbd_read(img, 0, 8192, data) = 8192', '  data=<0*8192>'],
    ours: ['rbd_compare_and_write(img, 0, 4096, <0*4096>, <8*4096>, &mismatch, 0) = 4096', '  mismatch=77', 'rbd_read(img, 0, 8192, data) = 8192', '  data=<8*4096 0*4096>'],
    reason: LIFTED,
  },
  {
    cases: ['rbd_compare_and_write: across blocks'],
    real: ['rbd_compare_and_write(img, 4000, 200, <0*200>, <8*200>, &mismatch, 0) = -22 EINVAL', '  mismatch=77', 'rbd_read(img, 0, 8192, data) = 8192', '  data=<0*8192>'],
    ours: ['rbd_compare_and_write(img, 4000, 200, <0*200>, <8*200>, &mismatch, 0) = 200', '  mismatch=77', 'rbd_read(img, 0, 8192, data) = 8192', '  data=<0*4000 8*200 0*3992>'],
    reason: LIFTED,
  },
  {
    cases: ['compare_and_write names the first difference'],
    real: 'rbd_compare_and_write(img, 1024, 2048, was, now, &mismatch, 0) = -22 EINVAL',
    ours: 'rbd_compare_and_write(img, 1024, 2048, was, now, &mismatch, 0) = 2048',
    reason: LIFTED,
  },
  {
    cases: ['compare_and_write names the first difference'],
    real: '  data=<8*512 7*488 5*24 7*3072>', ours: '  data=<8*512 7*488 5*2072 7*1024>', reason: LIFTED,
  },
];

const others: Difference[] = [
  {
    cases: ['bad input: sparsify, purge, lock modes'],
    real: 'rbd_sparsify(img, 4096) = 0', ours: 'rbd_sparsify(img, 4096) = -95 EOPNOTSUPP', on: 'curvebs',
    reason: 'Of a plain volume CurveBS can give back whole GiB alone, and some time later: an image there that is one is not made sparse.',
  },
  {
    cases: ['create4 with a journal pool that does not exist'],
    real: ['rbd_create4(io, "i", 8388608, opts) = -2 ENOENT', 'rbd_image_options_get_uint64(opts, 2, &order) = 0', '  order=22'],
    ours: ['rbd_create4(io, "i", 8388608, opts) = -95 EOPNOTSUPP', 'rbd_image_options_get_uint64(opts, 2, &order) = -2 ENOENT', '  order=0'],
    reason: 'Journaling is refused by name, before its pool is looked at.',
  },
  {
    cases: ['copies: rbd_copy3 and rbd_copy4 with options, and with progress'],
    real: ['  features=3', 'rbd_get_stripe_unit(copy, &unit) = 0', '  unit=4194304'],
    ours: ['  features=1', 'rbd_get_stripe_unit(copy, &unit) = 0', '  unit=8388608'],
    reason: 'A copy of another order keeps no stripe unit that was only the size of its source\'s objects.',
  },
  {
    cases: ['copies: rbd_copy3 and rbd_copy4 with options, and with progress'],
    real: 'rbd_copy4(img, io, "c", opts, 1000) = 0', ours: 'rbd_copy4(img, io, "c", opts, 1000) = -22 EINVAL',
    reason: 'A sparse size that rbd_sparsify refuses is refused in a copy too.',
  },
  {
    cases: ['copies: rbd_copy3 and rbd_copy4 with options, and with progress'],
    real: '  images=["a", "b", "c", "d", "e", "f", "g", "src"]', ours: '  images=["a", "b", "d", "e", "f", "g", "src"]',
    reason: 'A sparse size that rbd_sparsify refuses is refused in a copy too.',
  },
  {
    cases: ['an exclusive advisory lock keeps others out'],
    real: ['rbd_list_lockers(img, &exclusive, tag, &tagSize, clients, &clientsSize, cookies, &cookiesSize, addrs, &addrsSize) = 0',
      '  exclusive=1 tag="" cookies=[] clients=[] clientForm=true addrForm=true'],
    ours: ['rbd_list_lockers(img, &exclusive, tag, &tagSize, clients, &clientsSize, cookies, &cookiesSize, addrs, &addrsSize) = 0',
      '  exclusive=0 tag="" cookies=[] clients=[] clientForm=true addrForm=true'],
    reason: 'The real library remembers the kind of the lock that was there last; ours says of no lock that it is not exclusive.',
  },
  {
    cases: [
      'rbd_update_features: fast-diff, object-map, exclusive-lock off and on', 'rbd_update_features: what depends on another',
      'rbd_update_features: all at once',
    ],
    real: '  flags=3', ours: '  flags=0',
    reason: 'Our object map is the layers\' own and never needs a rebuild, so it is not invalid after it is turned on.',
  },
];

const CACHED = 'The real library keeps the words of the first variable that a process read for all later handles; ours reads each variable.';
const PARSE = 'rados_conf_parse_env(fresh, "CBD_CONFORM") = 0';
const CACHE = 'rados_conf_get(fresh, "rbd_cache", value, 256) = 0';
const MOUNT = 'rados_conf_get(fresh, "client_mount_timeout", value, 256) = 0';
const LOCATOR = 'Locator keys place objects in a real cluster; calls on a context with one are refused by name.';

const rados: Difference[] = [
  {
    cases: ['rados_conf_parse_env: words of a variable, then of others'],
    real: [PARSE, CACHE, '  value="false"', MOUNT, '  value="8"'],
    ours: ['rados_conf_parse_env(fresh, "CBD_CONFORM") = -22 EINVAL', CACHE, '  value="true"', MOUNT, '  value="300"'],
    reason: CACHED,
  },
  {
    cases: ['mon_command to a named mon, and to the manager'],
    real: ['rados_mon_command_target(cluster, "a", ["{\\"prefix\\": \\"fsid\\"}"], 1, "", 0, &out, &outSize, &status, &statusSize) = -22 EINVAL', '  out=false'],
    ours: ['rados_mon_command_target(cluster, "a", ["{\\"prefix\\": \\"fsid\\"}"], 1, "", 0, &out, &outSize, &status, &statusSize) = 0', '  out=true'],
    reason: 'A command for one mon alone is answered as for all of them: the daemon is the one mon there is.',
  },
  {
    cases: ['xattrs: set, get, list, remove, buffers too small, names of every kind'],
    real: 'rados_getxattr(io, "o", "", value, 64) = -34 ERANGE', ours: ['rados_getxattr(io, "o", "", value, 64) = 1', '  value="v"'],
    reason: 'An attribute of the empty name is read like any other.',
  },
  {
    cases: ['listing: by namespace, all of them, with a locator'],
    real: ['rados_write_full(io2, "q", "k", 1) = 0', '  names=["cf-a/o", "cf-a/q by key"]', 'rados_remove(io2, "q") = 0'],
    ours: ['rados_write_full(io2, "q", "k", 1) = -95 EOPNOTSUPP', '  names=["cf-a/o"]', 'rados_remove(io2, "q") = -95 EOPNOTSUPP'],
    reason: LOCATOR,
  },
];

const CURSOR = 'Objects are listed by rados_nobjects_list_*; cursors are refused by name, and there is none to hand out.';

const cursors: Difference[] = [
  { cases: ['refused by name: rados_object_list_begin'], real: 'rados_object_list_begin(io) gives a cursor', ours: 'rados_object_list_begin(io) gives NULL', reason: CURSOR },
  { cases: ['refused by name: rados_object_list_end'], real: 'rados_object_list_end(io) gives a cursor', ours: 'rados_object_list_end(io) gives NULL', reason: CURSOR },
];

const ONE_MORE = 'An operation whose last step is a comparison of an attribute that holds gives 1 in the real library; ours gives 0, as for all that holds.';
const STEP = 'Of one step of an operation that failed as a whole, ours says the operation\'s error; the real library leaves 0 or says EIO.';
const CHECKSUM = 'Checksums are refused by name, in an operation as alone.';

const operations: Difference[] = [
  {
    cases: ['write operations: what they demand of the object first, and nothing is done where it is not so'],
    real: 'rados_write_op_operate(op, io, "o", NULL, 0) = 1', ours: 'rados_write_op_operate(op, io, "o", NULL, 0) = 0', reason: ONE_MORE,
  },
  {
    cases: ['read operations: data, size, attributes, comparisons, at once'],
    real: 'rados_read_op_operate(op, io, "o", 0) = 1', ours: 'rados_read_op_operate(op, io, "o", 0) = 0', reason: ONE_MORE,
  },
  { cases: ['read operations: data, size, attributes, comparisons, at once'], real: '  second=-5', ours: '  second=-2', reason: STEP },
  { cases: ['omap: set, read in pages, by keys, compared, removed, cleared'], real: '  more=0 result=-5', ours: '  more=0 result=-2', reason: STEP },
  { cases: ['read operations: not waited for'], real: '  got=0 result=0', ours: '  got=0 result=-2', reason: STEP },
  { cases: ['sizes and times in the form of later releases say what the earlier say'], real: '  size=77 code=-5', ours: '  size=77 code=-2', reason: STEP },
  {
    cases: ['read operations: a checksum'], real: 'rados_read_op_operate(op, io, "o", 0) = 0', ours: 'rados_read_op_operate(op, io, "o", 0) = -95 EOPNOTSUPP', reason: CHECKSUM,
  },
];

const OWN_SNAPSHOTS = 'Snapshots that a client of librados numbers himself are refused by name.';

const ownSnapshots: Difference[] = [['create', '&snap'], ['remove', '0']].map(([verb, snap]) => ({
  cases: ['contexts: what they belong to, full pools, snapshots to read, the later listing'],
  real: [`rados_aio_ioctx_selfmanaged_snap_${verb}(io, ${snap}, comp) = void`, 'rados_aio_get_return_value(comp) = 0'],
  ours: [`rados_aio_ioctx_selfmanaged_snap_${verb}(io, ${snap}, comp) = void`, 'rados_aio_get_return_value(comp) = -95 EOPNOTSUPP'],
  reason: OWN_SNAPSHOTS,
}));

export const differences: Difference[] = [...ownSnapshots, ...operations, ...cursors, ...rados, ...sizes, ...orders, ...compareAndWrite, ...others];
