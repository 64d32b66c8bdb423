// `npm run test:openstack`: Debian's glance-api and Cinder's services, unmodified, with SQLite and RabbitMQ, several workers and
// several backends, driven over HTTP.

import t, { type Test } from 'tap';
import { copyFileSync, openSync, readFileSync, writeFileSync } from 'node:fs';

import { backends } from '../lib/backends.js';
import { Host } from '../lib/host.js';
import { guestMedia } from '../libvirt/guest-media.js';
import { Libvirtd } from '../libvirt/libvirtd.js';
import { cloudPools, cloudUsers, driverTest } from './driver.js';

t.setTimeout(3_600_000);

const COMMON = `
transport_url = rabbit://guest:guest@127.0.0.1:5672/
debug = false
`;
const GLANCE = `[DEFAULT]${COMMON}
bind_host = 127.0.0.1
workers = 2
show_image_direct_url = true
show_multiple_locations = true
enabled_import_methods = []
[database]
connection = sqlite:////srv/glance.sqlite?timeout=120
sqlite_synchronous = false
[glance_store]
stores = rbd
default_store = rbd
rbd_store_user = glance
rbd_store_pool = images
rbd_store_ceph_conf = /etc/ceph/ceph.conf
[paste_deploy]
config_file = /usr/share/glance-common/glance-api-paste.ini
`;
/** Backends that were set up wrongly: what Cinder hears, and what our log says. */
const MISTAKES = {
  badkey: { settings: 'rbd_pool = volumes\nrbd_user = mistyped', hears: /Permission denied|PermissionDenied/, says: /refused "client.mistyped" \(pid \d+, uid \d+\): wrong key/ },
  baduser: { settings: 'rbd_pool = volumes\nrbd_user = stranger', hears: /Permission denied|PermissionDenied/, says: /refused "client.stranger" \(pid \d+, uid \d+\): no such user/ },
  badpool: { settings: 'rbd_pool = volume\nrbd_user = cinder', hears: /ObjectNotFound|error opening pool/, says: /refused "client.cinder" .*: pool.lookup: .*\bvolume\b/ },
};
const CINDER = `[DEFAULT]${COMMON}
state_path = /srv
image_conversion_dir = /srv/conversion
api_paste_config = /usr/share/cinder-common/api-paste.ini
rootwrap_config = /etc/cinder/rootwrap.conf
auth_strategy = noauth
osapi_volume_listen = 127.0.0.1
osapi_volume_workers = 2
glance_api_servers = http://127.0.0.1:9292
enabled_backends = rbd,other,badkey,baduser,badpool
default_volume_type = rbd
host = node
backup_driver = cinder.backup.drivers.ceph.CephBackupDriver
backup_ceph_conf = /etc/ceph/ceph.conf
backup_ceph_user = cinder-backup
backup_ceph_pool = backups
backup_workers = 2
service_down_time = 600
report_interval = 120
backend_stats_polling_interval = 5
[oslo_concurrency]
lock_path = /srv/locks
[database]
connection = sqlite:////srv/cinder.sqlite?timeout=120
sqlite_synchronous = false
${['rbd', 'other'].map((name) => `[${name}]
volume_driver = cinder.volume.drivers.rbd.RBDDriver
volume_backend_name = ${name}
rbd_pool = ${name === 'rbd' ? 'volumes' : name}
rbd_user = cinder
rbd_ceph_conf = /etc/ceph/ceph.conf
`).join('')}${Object.entries(MISTAKES).map(([name, { settings }]) => `[${name}]
volume_driver = cinder.volume.drivers.rbd.RBDDriver
volume_backend_name = ${name}
rados_connection_interval = 0
rbd_ceph_conf = /etc/ceph/ceph.conf
${settings}
`).join('')}`;

/** Starts one of them; what it writes goes to a file beside the node's others. */
function start(t: Test, host: Host, name: string, command: readonly string[], environment: NodeJS.ProcessEnv = {}): void {
  const log = openSync(host.own(`${name}.log`), 'w');
  const child = host.spawn(command[0]!, command.slice(1), { stdio: ['ignore', log, log], environment });
  t.teardown(() => { child.kill('SIGTERM'); });
}

for (const backend of backends) {
  t.test(`on ${backend}: glance-api and Cinder work over HTTP`, async (t) => {
    const host = await Host.start({ trees: ['services', 'openstack'], pools: cloudPools, users: cloudUsers, network: 'own', backend });
    t.teardown(() => host.stop());
    await host.sh('mkdir -p /srv/conversion /srv/locks /srv/rabbit');
    writeFileSync(host.own('glance.conf'), GLANCE);
    writeFileSync(host.own('cinder.conf'), CINDER);
    const key = (from: string, to: string): string => `sed 's/client.${from}/client.${to}/' /etc/ceph/ceph.client.${from}.keyring >/etc/ceph/ceph.client.${to}.keyring`;
    await host.sh(`cbd2rbd user add mistyped mon 'profile rbd' osd 'profile rbd pool=volumes'; ${key('glance', 'mistyped')}; ${key('cinder', 'stranger')}`);
    copyFileSync(guestMedia(), host.own('guest.img'));
    const libvirt = await Libvirtd.start(host);
    t.teardown(() => libvirt.stop());
    // Otherwise rabbitmq starts one that outlives it.
    start(t, host, 'epmd', ['/usr/bin/epmd']);
    start(t, host, 'rabbitmq', ['/usr/lib/rabbitmq/bin/rabbitmq-server'], {
      HOME: '/srv/rabbit', RABBITMQ_NODENAME: 'rabbit@localhost', RABBITMQ_MNESIA_BASE: '/srv/rabbit', RABBITMQ_LOG_BASE: '/srv/rabbit', RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    });
    await host.sh('glance-manage --config-file /node/glance.conf db_sync >/srv/glance-sync.log 2>&1; cinder-manage --config-file /node/cinder.conf db sync >/srv/cinder-sync.log 2>&1');
    start(t, host, 'glance-api', ['/usr/bin/glance-api', '--config-file', '/node/glance.conf']);
    for (const name of ['cinder-api', 'cinder-scheduler', 'cinder-volume', 'cinder-backup']) start(t, host, name, [`/usr/bin/${name}`, '--config-file', '/node/cinder.conf']);
    await driverTest(t, host, 'services', { LIBVIRT_URI: libvirt.uri });
    if (!t.passing()) {
      for (const name of ['glance-api', 'cinder-api', 'cinder-volume', 'cinder-backup']) {
        t.comment(name, readFileSync(host.own(`${name}.log`), 'utf8').split('\n').filter((line) => /ERROR|CRITICAL/.test(line)).slice(-25).join('\n'));
      }
    }
    const heard = readFileSync(host.own('cinder-volume.log'), 'utf8');
    for (const [name, { hears, says }] of Object.entries(MISTAKES)) {
      t.match(heard, new RegExp(`${name}[^]*?(${hears.source})`), `${name}: cinder-volume is told Ceph's error`);
      t.ok(await host.logs(says), `${name}: and our log says why`);
    }
  });
}
