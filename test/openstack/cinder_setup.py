"""A Cinder without services for driver tests: its configuration, its database in a file, and objects in it. Patched by eventlet
as Cinder's services are, so driver calls run on its thread pool. Import it first."""

import eventlet
eventlet.monkey_patch()

import os
import tempfile

from checks import quiet

FOLDER = tempfile.mkdtemp(prefix="cinder-")
with open(os.path.join(FOLDER, "cinder.conf"), "w") as config:
    config.write("""
[DEFAULT]
state_path = {folder}
lock_path = {folder}
image_conversion_dir = {folder}
rootwrap_config = /dev/null
transport_url = fake://
host = node
enabled_backends = rbd
backup_driver = cinder.backup.drivers.ceph.CephBackupDriver
backup_ceph_conf = /etc/ceph/ceph.conf
backup_ceph_user = cinder-backup
backup_ceph_pool = backups
verify_glance_signatures = disabled
[oslo_concurrency]
lock_path = {folder}
[database]
connection = sqlite:///{folder}/cinder.sqlite
[key_manager]
backend = cinder.keymgr.conf_key_mgr.ConfKeyManager
fixed_key = 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
[rbd]
volume_driver = cinder.volume.drivers.rbd.RBDDriver
volume_backend_name = rbd
rbd_pool = volumes
rbd_user = cinder
rbd_ceph_conf = /etc/ceph/ceph.conf
rados_connection_interval = 0
[other]
volume_driver = cinder.volume.drivers.rbd.RBDDriver
volume_backend_name = other
rbd_pool = other
rbd_user = cinder
rbd_ceph_conf = /etc/ceph/ceph.conf
rbd_flatten_volume_from_snapshot = true
rbd_exclusive_cinder_pool = false
enable_deferred_deletion = true
deferred_deletion_delay = 0
deferred_deletion_purge_interval = 3600
rados_connect_timeout = 5
rados_connection_interval = 0
""".format(folder=FOLDER))

from oslo_config import cfg

from cinder import context, objects
from cinder.common import config as _registered  # registers Cinder's options
from cinder.db import migration
from cinder.objects import fields
from cinder.volume import configuration, driver as base_driver, volume_types

CONF = cfg.CONF
CONF([], project="cinder", version="test", default_config_files=[config.name])
quiet()
objects.register_all()
migration.db_sync()
admin = context.RequestContext("user", "project", is_admin=True, auth_token="token")


def run(*command, **options):
    """Runs a command as the services do, without rootwrap."""
    from oslo_concurrency import processutils
    for name in ("run_as_root", "root_helper"):
        options.pop(name, None)
    # qemu-img measures its processor time for a LUKS header, and gives up where a busy machine let it have none.
    for _ in range(10):
        try:
            return processutils.execute(*[str(word) for word in command], **options)
        except processutils.ProcessExecutionError as error:
            if command[0] != "qemu-img" or "accurate CPU usage" not in (error.stderr or ""):
                raise
    raise RuntimeError("qemu-img got no processor time in ten attempts")


def backend(group, **overrides):
    """A volume driver, set up as cinder-volume sets it up."""
    from cinder.volume.drivers import rbd
    config = configuration.Configuration(base_driver.volume_opts, config_group=group)
    config.append_config_values(rbd.RBD_OPTS)
    for name, value in overrides.items():
        CONF.set_override(name, value, group=group)
    made = rbd.RBDDriver(execute=run, configuration=config, host="node@" + group)
    made.do_setup(admin)
    made.check_for_setup_error()
    made.set_initialized()
    return made


def volume(size=1, volume_type=None, **values):
    volume_type = volume_type or volume_types.get_default_volume_type(admin)
    made = objects.Volume(admin, size=size, host="node@rbd#rbd", user_id="user", project_id="project", status="available",
                          attach_status=fields.VolumeAttachStatus.DETACHED, availability_zone="nova",
                          volume_type_id=volume_type["id"], **values)
    made.create()
    return objects.Volume.get_by_id(admin, made.id)


def snapshot(of, **values):
    made = objects.Snapshot(admin, volume_id=of.id, user_id="user", project_id="project", status="available", volume_size=of.size, **values)
    made.create()
    return objects.Snapshot.get_by_id(admin, made.id)


class Images:
    """Stands in for Glance: images in memory."""

    temp_images = None

    def __init__(self):
        self.stored = {}

    def add(self, name, data, disk_format="raw"):
        self.stored[name] = data
        return {"id": name, "disk_format": disk_format, "container_format": "bare", "size": len(data), "status": "active", "properties": {}}

    def show(self, _context, name):
        return self.add(name, self.stored[name])

    def download(self, _context, name, data=None):
        data.write(self.stored[name])

    def update(self, _context, name, meta, data=None, **_):
        self.stored[name] = data.read()
