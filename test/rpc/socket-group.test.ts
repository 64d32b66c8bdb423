// A socket for the members of a group: others do not even get to the question of the key.
import tap from 'tap';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { groupId } from '../../src/rpc/socket-group.js';
import { run } from '../curvebs/stack.js';
import { serve } from '../lib/served.js';

const GROUP = 'users';

tap.test('a group has a number', async (t) => {
  t.equal(groupId('4711'), 4711);
  const file = `${t.testdir()}/group`;
  writeFileSync(file, 'root:x:0:\nours:x:321:cinder\n');
  t.equal(groupId('ours', file), 321);
  t.throws(() => groupId('theirs', file), { message: /listen_group = "theirs": there is no such group/ });
});

tap.test('only members of the group may connect', async (t) => {
  const served = await serve({ CBD2RBD_LISTEN_GROUP: GROUP });
  t.teardown(() => served.destroy());
  const socket = `${served.dir}/cbd2rbd.sock`;
  t.strictSame([statSync(socket).mode & 0o777, statSync(socket).gid], [0o660, groupId(GROUP)]);
  chmodSync(served.dir, 0o755);
  chmodSync(`${served.dir}/ceph.client.admin.keyring`, 0o644);
  const connect = 'import rados\nwith rados.Rados(conffile="") as c: print(c.list_pools())';
  const as = (...groups: string[]): ReturnType<typeof run> =>
    run(served.clientEnv, 'setpriv', '--reuid', '12345', '--regid', '12345', ...groups, '/usr/bin/python3', '-c', connect);
  t.match(await as('--groups', String(groupId(GROUP))), { code: 0, stdout: "['rbd']\n" }, 'a member, with a key');
  t.match(await as('--clear-groups'), { code: 1, stderr: /PermissionDeniedError/ }, 'nobody else, with the same key');
});

tap.test('a group that does not exist stops the start', async (t) => {
  await t.rejects(serve({ CBD2RBD_LISTEN_GROUP: 'no-such-group' }), /listen_group = "no-such-group": there is no such group/);
});
