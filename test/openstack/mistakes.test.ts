// A service that was set up with the wrong key, user or pool gets Ceph's error, and the daemon's log says why.

import t from 'tap';

import { Host } from '../lib/host.js';
import { diskXml, domainXml, SECRET, secretXml } from '../libvirt/domain.js';
import { Libvirtd } from '../libvirt/libvirtd.js';
import { cloudPools, cloudUsers } from './driver.js';

t.test('mistakes in a service\'s configuration are told on both sides', async (t) => {
  const host = await Host.start({ pools: cloudPools, users: cloudUsers });
  t.teardown(() => host.stop());
  await host.sh(`sed "s/client.nova/client.stranger/" /etc/ceph/ceph.client.nova.keyring >/etc/ceph/ceph.client.stranger.keyring
    sed "s/client.glance/client.cinder/" /etc/ceph/ceph.client.glance.keyring >/etc/ceph/wrong.keyring
    printf '[client.broken]\\n\\tkey = no base64!\\n' >/etc/ceph/ceph.client.broken.keyring
    rbd create --size 1G volumes/volume; rbd create --size 1G images/image`);

  /** What a service that runs these lines of Python gets: the error's kind and number, or "fine". Its uid is nobody's. */
  const service = async (lines: string, conf = ''): Promise<string> => host.sh(`chmod 644 /etc/ceph/*.keyring; cat >/tmp/service.py <<'PYTHON'
import rados, rbd
try:
${lines.split('\n').map((line) => `    ${line}`).join('\n')}
    print("fine")
except Exception as error:
    print(type(error).__name__, error.errno)
PYTHON
    printf '[global]\\nmon_host = 127.0.0.1\\n${conf}\\n' >/tmp/ceph.conf; setpriv --reuid 12345 --clear-groups /usr/bin/python3 /tmp/service.py`);
  const connect = (user: string, more = ''): string => `cluster = rados.Rados(conffile="/tmp/ceph.conf", rados_id="${user}"${more})\ncluster.connect()`;
  const open = (user: string, pool: string): string => `${connect(user)}\nio = cluster.open_ioctx("${pool}")`;
  const refused = async (what: string, lines: string, conf: string, gets: string, why: RegExp | undefined): Promise<void> => {
    const before = host.log;
    t.equal(await service(lines, conf), gets, `${what}: the service gets Ceph's error`);
    if (why === undefined) t.equal(host.log, before, `${what}: the daemon never hears of it`);
    else t.ok(await host.logs(why, before.length), `${what}: the log says why`, { log: host.log.slice(before.length) });
  };

  t.equal(await service(`${open('cinder', 'volumes')}\nrbd.Image(io, "volume").close()`), 'fine', 'a service that is set up well works');
  await refused('another user\'s key', connect('cinder'), 'keyring = /etc/ceph/wrong.keyring', 'PermissionDeniedError 13', /^.*refused "client.cinder" \(pid \d+, uid 12345\): wrong key$/);
  await refused('a user that does not exist', connect('stranger'), '', 'PermissionDeniedError 13', /refused "client.stranger" \(pid \d+, uid 12345\): no such user$/);
  const keyless = (user: string, why: string): RegExp => new RegExp(`^.*refused "client.${user}" \\(pid \\d+, uid 12345\\): it has no key: "[^"]*${why}[^"]*"$`);
  await refused('a keyring that is missing', connect('nobody'), '', 'ObjectNotFound 2', keyless('nobody', '/etc/ceph/ceph.client.nobody.keyring: No such file or directory'));
  await refused('a key that is none', connect('broken'), '', 'IOError 5', keyless('broken', '/etc/ceph/ceph.client.broken.keyring: its key is none'));
  await refused("another user's keyring", connect('nova'), 'keyring = /etc/ceph/ceph.client.cinder.keyring', 'ObjectNotFound 2', keyless('nova', 'ceph.client.cinder.keyring: it has no \\[client.nova\\]'));
  await host.sh('cp /etc/ceph/ceph.client.nova.keyring /etc/ceph/mine; chmod 600 /etc/ceph/mine');
  await refused('a keyring that the service may not read', connect('nova'), 'keyring = /etc/ceph/mine', 'PermissionDeniedError 13', keyless('nova', '/etc/ceph/mine: Permission denied'));
  await refused('a configuration file that is missing', 'rados.Rados(conffile="/etc/ceph/missing.conf", rados_id="cinder")', '', 'ObjectNotFound 2', undefined);
  await refused('a pool that does not exist', open('cinder', 'volume'), '', 'ObjectNotFound 2', /refused "client.cinder" \(pid \d+, uid 12345, "[^"]*"\): pool.lookup: .*\bvolume\b/);
  await refused('a pool without rights', `${open('cinder-backup', 'volumes')}\nrbd.RBD().list(io)`, '', 'PermissionError 1', /refused "client.cinder-backup" .*: image.list: .*volumes/);
  await refused('a pool with rights to read only', `${open('nova', 'images')}\nrbd.RBD().create(io, "new", 1 << 30)`, '', 'PermissionError 1', /refused "client.nova" .*: image.create: .*images/);
  const before = host.log;
  await service(`${open('cinder-backup', 'volumes')}\nfor _ in range(20):\n    try: rbd.RBD().list(io)\n    except rbd.PermissionError: pass`);
  await host.logs(/image.list/, before.length);
  t.equal(host.log.slice(before.length).trim().split('\n').length, 1, 'a service that asks again and again is written down once');
  t.notMatch(host.log, /AQ[A-Za-z0-9+/]{36}==/, 'no key is ever written');
});

t.test("mistakes in libvirt's configuration are told on both sides", async (t) => {
  const host = await Host.start({ pools: cloudPools, users: cloudUsers });
  t.teardown(() => host.stop());
  const libvirt = await Libvirtd.start(host);
  t.teardown(() => libvirt.stop());
  await host.sh('rbd create --size 64M vms/disk');
  await libvirt.virsh(`secret-define ${libvirt.file('secret.xml', secretXml('nova'))}`);
  const setKey = (user: string): Promise<string> => libvirt.virsh(`secret-set-value ${SECRET} "$(sed -n 's/.*key = //p' /etc/ceph/ceph.client.${user}.keyring)"`);
  const refused = async (what: string, words: string, hears: RegExp, says: RegExp): Promise<void> => {
    const before = host.log.length;
    await t.rejects(libvirt.virsh(words), hears, `${what}: virsh is told Ceph's error`);
    t.ok(await host.logs(says, before), `${what}: the log says why`, { log: host.log.slice(before) });
  };
  const domain = (name: string, disk: Parameters<typeof diskXml>[0]): string => `create ${libvirt.file(`${name}.xml`, domainXml({ name, disks: [disk] }))}`;
  const pool = (name: string, source: string, user: string): string => `pool-create ${libvirt.file(`${name}-pool.xml`, `<pool type='rbd'><name>${name}</name><source><name>${source}</name>
    <host name='127.0.0.1' port='6789'/><auth type='ceph' username='${user}'><secret uuid='${SECRET}'/></auth></source></pool>`)}`;

  await setKey('glance');
  await refused("a guest's disk with another user's key", domain('wrong-key', { name: 'vms/disk', target: 'vda', user: 'nova' }), /error connecting: Permission denied/, /refused "client.nova" \(pid \d+, uid 64055\): wrong key$/);
  await refused("a storage pool with another user's key", pool('wrong-key', 'vms', 'nova'), /failed to connect to the RADOS monitor/i, /refused "client.nova" \(pid \d+, uid 0\): wrong key$/);
  await setKey('nova');
  await refused('a storage pool that is not there', pool('wrong-pool', 'vm', 'nova'), /failed to create the RBD IoCTX/i, /refused "client.nova" .*pool.lookup: .*\bvm\b/);
  await refused('a user whom nobody made', pool('wrong-user', 'vms', 'novas'), /failed to connect to the RADOS monitor/i, /refused "client.novas" \(pid \d+, uid 0\): no such user$/);
  await refused("a pool of another service's", pool('no-right', 'backups', 'nova'), /Operation not permitted|failed/i, /refused "client.nova" .*: .*backups/);
  await libvirt.virsh(pool('right', 'vms', 'nova'));
  t.match(await libvirt.virsh('vol-list right'), /disk/, 'set up well, it works');
});
