"""Cinder's Ceph backup driver and os-brick's RBD connector, unmodified: a volume is attached as cinder-backup attaches it, backed
up in full and by differences, and restored."""

from cinder_setup import CONF, FOLDER, admin, backend, snapshot, volume

import os

import rados
import rbd

from os_brick import exception as brick_exception
from os_brick.initiator import connector
from oslo_concurrency import processutils

from cinder import exception, objects
from cinder.backup.drivers import ceph
from checks import check, image, names, pattern, pool, refused, same, sparse

GIB, MIB = 1 << 30, 1 << 20
volumes = backend("rbd")
backups = ceph.CephBackupDriver(admin)
backups.check_for_setup_error()
rbd_connector = connector.InitiatorConnector.factory("RBD", root_helper="sudo", device_scan_attempts=1)


class attached:
    """The volume as os-brick hands it to a service."""

    def __init__(self, of):
        self.properties = volumes.initialize_connection(of, {})["data"]

    def __enter__(self):
        self.device = rbd_connector.connect_volume(self.properties)
        return self.device["path"]

    def __exit__(self, *_):
        rbd_connector.disconnect_volume(self.properties, self.device)


def backup(of, parent=None, **values):
    made = objects.Backup(admin, user_id="user", project_id="project", volume_id=of.id, status="creating", size=of.size, host="node",
                          service="cinder.backup.drivers.ceph.CephBackupDriver", container="backups", parent_id=parent.id if parent else None, **values)
    made.create()
    return objects.Backup.get_by_id(admin, made.id)


def back_up(of, parent=None):
    made = backup(of, parent)
    with attached(of) as device:
        updates = backups.backup(made, device)
    made.update(updates)
    made.save()
    return objects.Backup.get_by_id(admin, made.id)


def restore(made, to):
    with attached(to) as device:
        backups.restore(made, to.id, device)


def content(name, length, pool_name="volumes"):
    with image(pool_name, name, read_only=True) as opened:
        return opened.read(0, length)


# os-brick: a client that knows monitors, user and key.
source = volume(1)
volumes.create_volume(source)
first = pattern(5 * MIB + 512, 20)
with attached(source) as device:
    with open(device.rbd_conf) as conf:
        text = conf.read()
    settings = sorted({line.split("=")[0].strip() for line in text.splitlines() if "=" in line and "caps" not in line})
    check("mon_host = 127.0.0.1:6789" in text and settings == ["key", "mon_host"], "os-brick's file names the monitors and the key only", settings)
    check(rbd_connector.check_valid_device(device), "an attached volume can be read")
    device.write(first)
    device.flush()
    device.seek(0)
    same(device.read(len(first)), first, "and written")
    device.seek(0, 2)
    same((device.tell(), device.read(10)), (GIB, b""), "it ends where it should")
    conf_file = device.rbd_conf
check(not os.path.exists(conf_file), "detached, its file is gone")
growing = volume(1)
volumes.create_volume(growing)
with attached(growing) as device:
    volumes.extend_volume(growing, 2)
    same(rbd_connector.extend_volume(volumes.initialize_connection(growing, {})["data"]), 2 * GIB, "a size that changed is seen")
volumes.delete_volume(growing)
properties = volumes.initialize_connection(source, {})["data"]
with refused(brick_exception.BrickException, "a user whose keyring is missing is refused"):
    rbd_connector.connect_volume(dict(properties, auth_username="nobody"))
with refused(rbd.ImageNotFound, "a volume that is not there is refused"):
    rbd_connector.connect_volume(dict(properties, name="volumes/gone"))
with refused(brick_exception.BrickException, "a pool that is not there is refused"):
    rbd_connector.connect_volume(dict(properties, name="missing/gone"))
same(rbd_connector.get_volume_paths(properties), [], "it has no path of its own")

# A full backup and two of differences.
full = back_up(source)
base = "volume-%s.backup.%s" % (source.id, full.id)
same(names("backups"), [base], "a full backup is an image in the backup pool")
with image("backups", base) as opened:
    same((opened.size(), len([snap for snap in opened.list_snaps()])), (GIB, 1), "of the volume's size, with a snapshot")
    # STRIPINGV2 with the default striping is no feature of an image.
    same(opened.features(), 29, "and the features that the driver asks for")
with pool("backups") as ioctx:
    check(b"volume-base-metadata" in ioctx.read("backup.%s.meta" % full.id), "the volume's metadata is an object there")
second = pattern(MIB, 21)
with attached(source) as device:
    device.seek(64 * MIB)
    device.write(second)
changed = back_up(source, full)
third = pattern(4096, 22)
with attached(source) as device:
    device.seek(64 * MIB + 8192)
    device.write(third)
    device.rbd_image.discard(0, 4 * MIB)
latest = back_up(source, changed)
with image("backups", base) as opened:
    same(len([snap for snap in opened.list_snaps()]), 3, "each backup of differences adds a snapshot to it")

# Each is restored as it was.
after = bytes(4 * MIB) + first[4 * MIB:]
later = bytearray(second)
later[8192:8192 + 4096] = third
for made, head, tail in ((full, first, bytes(MIB)), (changed, first, second), (latest, after, bytes(later))):
    target = volume(1)
    volumes.create_volume(target)
    restore(made, target)
    check(content(target.name, len(first)) == head, "a restored volume begins as it did")
    with image("volumes", target.name, read_only=True) as opened:
        check(opened.read(64 * MIB, MIB) == tail, "and goes on as it did")
        extents = []
        opened.diff_iterate(0, opened.size(), None, lambda offset, length, exists: extents.append(length) if exists else None)
        sparse(extents, 32 * MIB, GIB, "by its differences, not by all its bytes")
    volumes.delete_volume(target)
larger = volume(3)
volumes.create_volume(larger)
restore(latest, larger)
with image("volumes", larger.name) as opened:
    check(opened.size() == 3 * GIB and opened.read(0, len(first)) == after, "a larger volume keeps its size")
    extents = []
    opened.diff_iterate(0, opened.size(), None, lambda offset, length, exists: extents.append(length) if exists else None)
    sparse(extents, 32 * MIB, GIB, "and what was never written takes no space")
volumes.delete_volume(larger)
restore(full, source)
check(content(source.name, len(first)) == first, "the source itself can be restored, in full")

# From a snapshot, and from and to what is no RBD volume.
small = volume(1)
volumes.create_volume(small)
with attached(small) as device:
    device.write(first)
    device.flush()
made = backup(small)
plain = os.path.join(FOLDER, "plain")
with open(plain, "wb") as written:
    written.write(first)
    written.truncate(64 * MIB)
with open(plain, "rb") as opened:
    backups._full_backup(made, opened, small.name, 64 * MIB)
check(content("volume-%s.backup.%s" % (small.id, made.id), len(first), "backups") == first, "a volume of another kind is copied in full")
backups.delete_backup(made)
check(not [name for name in names("backups") if small.id in name], "and its backup deleted")
point = snapshot(small)
volumes.create_snapshot(point)
made = backup(small, snapshot_id=point.id)
with attached(small) as device:
    made.update(backups.backup(made, device, backup_metadata=False))
made.save()
same(content("volume-%s.backup.base" % small.id, len(first), "backups"), first, "a snapshot is copied in full")
target = volume(1)
volumes.create_volume(target)
restore(made, target)
same(content(target.name, len(first)), first, "and restored")
backups.delete_backup(made)
volumes.delete_snapshot(point)
volumes.delete_volume(target)
volumes.delete_volume(small)

# Deleting.
backups.delete_backup(latest)
with image("backups", base) as opened:
    same(len([snap for snap in opened.list_snaps()]), 2, "a backup of differences takes its snapshot with it")
backups.delete_backup(changed)
backups.delete_backup(full)
same(names("backups"), [], "with the last the image goes")
with pool("backups") as ioctx, refused(rados.ObjectNotFound, "and its metadata"):
    ioctx.stat("backup.%s.meta" % full.id)
backups.delete_backup(full)
check(True, "one that is gone is deleted without complaint")
missing = backup(source)
missing.container = "missing"
with refused(rados.ObjectNotFound, "a backup cannot be made in a pool that is not there"):
    with attached(source) as device:
        backups.backup(missing, device)
volumes.delete_volume(source)
same(names("volumes"), [], "a volume goes with the snapshots that its backups left")
