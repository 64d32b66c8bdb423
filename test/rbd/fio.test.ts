// Debian's fio with ioengine=rbd, unmodified, checking every block that it wrote.
import t from 'tap';
import { backends } from '../lib/backends.js';
import { serve } from '../lib/served.js';
import { mustRun, python } from '../lib/stock-client.js';

interface Job { jobname: string; error: number; read: { total_ios: number }; write: { total_ios: number } }

for (const backend of backends) t.test(`fio on ${backend}`, async (t) => {
  const served = await serve({}, backend);
  t.teardown(() => served.destroy());
  await python(served, "R.create(io, 'disk', 64 << 20)");
  const fio = async (...args: string[]): Promise<Job> => {
    const output = await mustRun(served, 'fio', ['--name=job', '--ioengine=rbd', '--clientname=admin', '--pool=rbd', '--rbdname=disk',
      '--output-format=json', '--size=16m', '--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', ...args]);
    return (JSON.parse(output.slice(output.indexOf('{'))) as { jobs: [Job] }).jobs[0];
  };

  for (const direct of [0, 1]) {
    for (const [pattern, size, depth] of [['randwrite', '4k', 32], ['randwrite', '512-9k', 16], ['write', '1m', 8], ['randwrite', '4k', 1]] as const) {
      await t.test(`${pattern} of ${size} at depth ${depth}, direct=${direct}, reads back what it wrote`, async (t) => {
        const job = await fio(`--rw=${pattern}`, size.includes('-') ? `--bsrange=${size}` : `--bs=${size}`, `--iodepth=${depth}`, `--direct=${direct}`,
          ...(size.includes('-') ? ['--bs_unaligned=1'] : []), ...(depth === 1 ? ['--size=2m'] : []));
        t.equal(job.error, 0);
        t.ok(job.write.total_ios > 0);
        t.equal(job.read.total_ios, job.write.total_ios);
      });
    }
  }

  await t.test('a mix of reads, writes and trims under flushes ends without an error', async (t) => {
    const output = await mustRun(served, 'fio', ['--name=mix', '--ioengine=rbd', '--clientname=admin', '--pool=rbd', '--rbdname=disk', '--output-format=json',
      '--rw=randrw', '--bs=4k', '--iodepth=16', '--size=16m', '--fsync=32', '--busy_poll=1']);
    t.equal((JSON.parse(output.slice(output.indexOf('{'))) as { jobs: [Job] }).jobs[0].error, 0);
  });
});
