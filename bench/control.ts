// Control calls as a Python program sees them: connect, open, create, list, and how they grow with the number of images.

import { BenchDaemon } from './daemon.js';
import { formatTable } from './table.js';

const MEASURE = `
def median_ms(call, times=50):
    took = []
    for i in range(times):
        start = time.perf_counter()
        call(i)
        took.append(time.perf_counter() - start)
    return '%.2f' % (sorted(took)[times // 2] * 1000)

def connect(i):
    with rados.Rados(conffile='') as other: other.open_ioctx('rbd').close()
def open_close(i):
    rbd.Image(pool, 'first').close()
`;

/** Makes images named `i<n>` until there are `count`. */
const GROW = `
def grow(start, count):
    for i in range(start, count): rbd.RBD().create(pool, 'i%d' % i, 1 << 20)
`;

/** Prints the medians in milliseconds. `parent` lies on the disk to measure. */
export async function benchControl(parent: string): Promise<void> {
  const daemon = await BenchDaemon.start(parent);
  try {
    const few = daemon.python(`${MEASURE}${GROW}
rbd.RBD().create(pool, 'first', 1 << 30)
grow(0, 100)
print(median_ms(connect), median_ms(open_close), median_ms(lambda i: rbd.RBD().create(pool, 'c%d' % i, 1 << 30)), median_ms(lambda i: rbd.RBD().remove(pool, 'c%d' % i)))
`).trim().split(' ');
    const rows = [['', 'ms'], ['connect + ioctx', few[0] ?? ''], ['open + close, among 100 images', few[1] ?? ''], ['create', few[2] ?? ''], ['remove', few[3] ?? '']];
    const thousands = daemon.python(`${MEASURE}${GROW}
grow(100, 10000)
print(median_ms(lambda i: rbd.RBD().list(pool), 9), median_ms(open_close))
`).trim().split(' ');
    rows.push(['list of 10,000 images', thousands[0] ?? ''], ['open + close, among 10,000 images', thousands[1] ?? '']);
    if (process.env['BENCH_LARGE'] !== '0') {
      const many = daemon.python(`${MEASURE}${GROW}\ngrow(10000, 100000)\nprint(median_ms(open_close))\n`).trim();
      rows.push(['open + close, among 100,000 images', many]);
    }
    console.log(formatTable(rows));
  } finally {
    await daemon.stop();
  }
}
