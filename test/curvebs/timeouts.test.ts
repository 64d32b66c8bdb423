// Control calls of a stock client while no MDS listens, and while one takes connections and never answers: each ends in ETIMEDOUT, by the
// client's own time-outs or by the daemon's, and all is well when the MDS is back. A call that did not end would have tap end the test.

import { appendFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { Interactive } from '../lib/interactive.js';
import type { Cluster } from './cluster.js';
import { startAll } from './stack.js';

const CLIENT = `
R.create(io, 'disk', 1 << 20)
opened = rbd.Image(io, 'disk')
opened.write(b'before', 0)
calls = {
    'create': lambda: R.create(io, 'new', 1 << 20),
    'open': lambda: rbd.Image(io, 'disk').close(),
    'list': lambda: R.list(io),
    'copy': lambda: opened.copy(io, 'copied'),
    'grow': lambda: opened.resize(11 << 30),
    'pool create': lambda: cluster.create_pool('others'),
    'cluster stat': lambda: cluster.get_cluster_stats(),
    'pool list': lambda: cluster.list_pools(),
    'connect': lambda: rados.Rados(conffile=os.environ['CEPH_CONF']).connect(),
    'write': lambda: opened.write(b'on and on', 0),
    'read': lambda: opened.read(0, 4096),
}
say('ready')
for line in sys.stdin:
    try:
        calls[line.strip()]()
        say('done')
    except (rbd.Error, rados.Error) as error:
        say(str(error.errno))
`;

const NEED_NONE = ['connect', 'pool list', 'write', 'read'];
const NEED_MDS = ['create', 'open', 'copy', 'grow', 'pool create', 'cluster stat'];

interface Trouble {
  readonly begin: (cluster: Cluster) => Promise<void> | void;
  readonly end: (cluster: Cluster) => Promise<void> | void;
}

const troubles: Readonly<Record<string, Trouble>> = {
  'no MDS listens': { begin: (cluster) => cluster.setLeader(-1), end: (cluster) => cluster.setLeader(0) },
  'the MDS says nothing': {
    begin: (cluster) => { cluster.mdsServers[0]!.silent = true; },
    end: (cluster) => { cluster.mdsServers[0]!.silent = false; },
  },
};

async function callDuring(test: Test, trouble: Trouble, { conf, settings }: { conf: string; settings: Record<string, string> }): Promise<void> {
  const { cluster, stack, stop } = await startAll({ variablesAfterMs: 0, settings: { CBD2RBD_DEFAULT_BACKEND: 'curvebs', ...settings } });
  test.teardown(stop);
  appendFileSync(stack.conf, conf);
  const client = await Interactive.start(stack.environment, CLIENT);
  test.teardown(() => client.kill());
  await trouble.begin(cluster);
  for (const call of NEED_NONE) test.equal(await client.ask(call), 'done', `${call} needs no MDS`);
  for (const call of NEED_MDS) test.equal(await client.ask(call), '110', call);
  test.match(await client.ask('list'), /^(110|done)$/, 'list, which can do without');
  await trouble.end(cluster);
  // What the daemon had begun is carried out first, as on a real cluster; a leader knows its capacity after a while.
  const inTheEnd = async (call: string, good: string[]): Promise<void> => {
    let answer: string;
    do answer = await client.ask(call); while (answer === '110');
    test.ok(good.includes(answer), `${call}, when the MDS is back: ${answer}`);
  };
  for (const call of ['open', 'list', 'write', 'read', 'grow', 'cluster stat']) await inTheEnd(call, ['done']);
  await inTheEnd('create', ['done', '17']);
  test.equal(await client.end(), 0);
}

t.setTimeout(180_000);
// They wait more than they work.
t.jobs = 4;
for (const [what, trouble] of Object.entries(troubles)) {
  t.test(`${what}: the client's time-outs bound every call`, { buffered: true }, (test) =>
    callDuring(test, trouble, { conf: 'client_mount_timeout = 1\nrados_mon_op_timeout = 1\n', settings: { CBD2RBD_REQUEST_TIMEOUT: '1h' } }));
  t.test(`${what}: so does the daemon's, for a client without any`, { buffered: true }, (test) => callDuring(test, trouble, { conf: '', settings: { CBD2RBD_REQUEST_TIMEOUT: '1s' } }));
}
