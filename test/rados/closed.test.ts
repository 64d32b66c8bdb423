// A pool handle that was destroyed and is used all the same. Ceph's library crashes there, or works on whatever lies at its address by
// now; ours refuses, since services do so (Cinder's RBD driver, where it takes a volume back that could not be mirrored).
import tap from 'tap';
import { serve } from '../lib/served.js';
import { runPython } from './python.js';

interface Told {
  readonly call: string;
  readonly error?: string;
  readonly gave?: string;
}

tap.test('calls through a closed pool handle', async (t) => {
  const served = await serve({ CBD2RBD_DEFAULT_POOLS: 'rbd other' });
  t.teardown(() => served.destroy());
  // What is allocated holds anything but zeroes: python3-rbd frees what its lists hold also where the call failed.
  const ran = await runPython('closed.py', [], { CEPH_CONF: served.conf, MALLOC_PERTURB_: '165' });
  t.equal(ran.code, 0, 'the process outlives them all', { err: ran.err });
  const told = ran.out.trim().split('\n').map((line) => JSON.parse(line) as Told);
  const gave = new Map(told.filter((each) => each.gave !== undefined).map((each) => [each.call, each.gave]));
  const refused = told.filter((each) => each.gave === undefined);
  t.ok(refused.length > 55, 'many were tried', { count: refused.length });
  for (const each of refused) t.match(each.error, /^(ENOTCONN|ENOENT|ENOTSUP)$/, `${each.call} is refused`);
  t.strictSame(Object.fromEntries(gave), {
    'read of an image whose pool was closed': 'True', 'cct and cluster': '(None, None)', memory: 'True', 'what is left': "(['image'], ['other'])",
  }, 'nothing was done by them, here or in another pool, and no memory is lost');
});
