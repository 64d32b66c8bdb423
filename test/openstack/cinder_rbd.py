"""Cinder's RBD volume driver, unmodified: every operation that its volume manager asks for."""

from cinder_setup import CONF, FOLDER, Images, admin, backend, run, snapshot, volume

import json

import rbd
from castellan import key_manager

from cinder import db, exception, objects
from cinder.volume import qos_specs, volume_types
from checks import check, image, names, pattern, pool, refused, same, sparse

GIB, MIB = 1 << 30, 1 << 20
volumes = backend("rbd")
data = pattern(3 * MIB + 512, 7)


def fill(name, contents=data, offset=0):
    with image("volumes", name) as opened:
        opened.write(contents, offset)


def holds(name, contents=data, offset=0, pool_name="volumes"):
    with image(pool_name, name, read_only=True) as opened:
        return opened.read(offset, len(contents)) == contents


def size_of(name):
    with image("volumes", name, read_only=True) as opened:
        return opened.size()


# What the scheduler hears.
stats = volumes.get_volume_stats(True)
same((stats["backend_state"], stats["storage_protocol"], stats["qos_support"], stats["multiattach"]), ("up", "ceph", True, True), "the backend reports itself as up")
check(stats["free_capacity_gb"] > 1 and stats["total_capacity_gb"] >= stats["free_capacity_gb"], "with its capacity", stats)
run("ceph", "osd", "pool", "set-quota", "volumes", "max_bytes", str(20 * GIB))
CONF.set_override("report_dynamic_total_capacity", False, group="rbd")
same(volumes.get_volume_stats(True)["total_capacity_gb"], 20.0, "a pool's quota is its capacity")
CONF.clear_override("report_dynamic_total_capacity", group="rbd")
run("ceph", "osd", "pool", "set-quota", "volumes", "max_bytes", "0")

# A volume's life.
first = volume(1)
volumes.create_volume(first)
with image("volumes", first.name) as opened:
    same((opened.size(), opened.stat()["order"], opened.features()), (GIB, 22, 61), "a volume is an image of exactly 1 GiB in objects of 4 MiB")
with refused(rbd.ImageExists, "a volume whose image exists is refused"):
    volumes.create_volume(first)
fill(first.name)
volumes.extend_volume(first, 3)
check(size_of(first.name) == 3 * GIB and holds(first.name), "it grows to 3 GiB and keeps its data")
first.size = 3
first.save()

# Where it is attached.
connection = volumes.initialize_connection(first, {})["data"]
same((connection["name"], connection["hosts"], connection["ports"], connection["auth_username"], connection["auth_enabled"]),
     ("volumes/" + first.name, ["127.0.0.1"], ["6789"], "cinder", True), "an attachment names image, monitors and user")
same(connection["secret_uuid"], volumes._get_fsid(), "and the cluster's id as the secret's")
volumes.ensure_export(admin, first)
volumes.create_export(admin, first, {})
volumes.remove_export(admin, first)
volumes.terminate_connection(first, {})

# Snapshots and what is made of them.
point = snapshot(first)
volumes.create_snapshot(point)
with image("volumes", first.name) as opened:
    check(opened.is_protected_snap(point.name), "a snapshot is taken and protected")
fill(first.name, b"later" * 1000)
same_size, larger = volume(3), volume(4)
volumes.create_volume_from_snapshot(same_size, point)
volumes.create_volume_from_snapshot(larger, point)
check(holds(same_size.name) and size_of(same_size.name) == 3 * GIB, "a volume of a snapshot has its bytes")
check(holds(larger.name) and size_of(larger.name) == 4 * GIB, "and may be larger")
with image("volumes", larger.name) as opened:
    same(opened.read(4 * GIB - 4096, 4096), bytes(4096), "with zeroes behind")
    same(opened.stat()["order"], 22, "in objects as large as configured")
volumes.revert_to_snapshot(admin, first, point)
check(holds(first.name), "a volume reverts to its snapshot")
for clone in (same_size, larger):
    volumes.delete_volume(clone)
volumes.delete_snapshot(point)
with image("volumes", first.name) as opened:
    same([snap for snap in opened.list_snaps()], [], "a snapshot without clones is deleted")
volumes.delete_snapshot(point)
check(True, "and deleted again without complaint")

# Deleting a snapshot that has clones: clone format 1 is busy, format 2 lets go.
run("ceph", "config", "set", "client", "rbd_default_clone_format", "1")
volumes = backend("rbd")
point = snapshot(first)
volumes.create_snapshot(point)
clone = volume(3)
volumes.create_volume_from_snapshot(clone, point)
with refused(exception.SnapshotIsBusy, "in clone format 1 a snapshot with a clone is busy"):
    volumes.delete_snapshot(point)
volumes.delete_volume(clone)
volumes.delete_snapshot(point)
run("ceph", "config", "set", "client", "rbd_default_clone_format", "2")
volumes = backend("rbd")
point = snapshot(first)
volumes.create_snapshot(point)
clone = volume(3)
volumes.create_volume_from_snapshot(clone, point)
volumes.delete_snapshot(point)
check(holds(clone.name), "in clone format 2 it is deleted, and the clone keeps its data")
volumes.delete_volume(clone)

# Clones of volumes, their depth, and deleted parents that are still needed.
chain = [first]
for _ in range(7):
    cloned = volume(3)
    volumes.create_cloned_volume(cloned, chain[-1])
    chain.append(cloned)
check(all(holds(cloned.name) for cloned in chain), "clones of clones have the first one's bytes")
with image("volumes", chain[2].name) as opened:
    same(tuple(opened.parent_info()), ("volumes", chain[1].name, chain[2].name + ".clone_snap"), "a clone names its parent and its snapshot")
with image("volumes", chain[6].name) as opened, refused(rbd.ImageNotFound, "one that would be too deep is flattened"):
    opened.parent_info()
wide = volume(5)
volumes.create_cloned_volume(wide, first)
check(size_of(wide.name) == 5 * GIB and holds(wide.name), "a clone may be larger than its source")
volumes.delete_volume(wide)
volumes.delete_volume(chain[1])
check(chain[1].name + ".deleted" in names("volumes"), "a deleted parent of clones stays under another name")
for cloned in chain[2:]:
    volumes.delete_volume(cloned)
same(names("volumes"), [first.name], "with its last clone it goes too")
CONF.set_override("rbd_max_clone_depth", 0, group="rbd")
copied = volume(3)
volumes.create_cloned_volume(copied, first)
check(holds(copied.name), "without clones a volume is copied")
with image("volumes", first.name) as opened:
    same([snap for snap in opened.list_snaps()], [], "and leaves no snapshot")
CONF.clear_override("rbd_max_clone_depth", group="rbd")
volumes.delete_volume(copied)

# Images.
images = Images()
raw = pattern(2 * MIB, 9) + bytes(30 * MIB) + pattern(4096 + 512, 10)
meta = images.add("imported", raw)
from_image = volume(1)
volumes.create_volume(from_image)
volumes.copy_image_to_volume(admin, from_image, images, "imported")
check(holds(from_image.name, raw) and size_of(from_image.name) == GIB, "an image becomes a volume")
with image("volumes", from_image.name) as opened:
    extents = []
    opened.diff_iterate(0, GIB, None, lambda offset, length, exists: extents.append(length) if exists else None)
    sparse(extents, 12 * MIB, GIB, "and its zeroes take no space")
images.add("exported", b"")
volumes.copy_volume_to_image(admin, from_image, images, {"id": "exported", "disk_format": "raw", "container_format": "bare"})
exported = images.stored.pop("exported")
check(len(exported) == GIB and exported[:len(raw)] == raw and not any(exported[len(raw)::4096]), "a volume becomes an image")
del exported
with pool("images") as ioctx:
    rbd.RBD().create(ioctx, "glance", 64 * MIB, 23, old_format=False, features=61)
    with rbd.Image(ioctx, "glance") as opened:
        opened.write(raw, 0)
        opened.create_snap("snap")
        opened.protect_snap("snap")
url = "rbd://%s/images/glance/snap" % volumes._get_fsid()
cloned = volume(2)
same(volumes.clone_image(admin, cloned, (url, None), {"id": "glance", "disk_format": "raw"}, images), ({"provider_location": None}, True), "an image in the same cluster is cloned")
check(holds(cloned.name, raw) and size_of(cloned.name) == 2 * GIB, "with its bytes, at the volume's size")
with image("volumes", cloned.name) as opened:
    same(opened.stat()["order"], 23, "in objects as large as the image's")
for location, meta, what in (
        (url, {"disk_format": "qcow2"}, "in another format"), ("rbd://other/images/glance/snap", {"disk_format": "raw"}, "in another cluster"),
        (url.replace("glance", "gone"), {"disk_format": "raw"}, "that is not there"), ("file:///x", {"disk_format": "raw"}, "elsewhere")):
    same(volumes.clone_image(admin, volume(1), (location, None), meta, images), ({}, False), "an image %s is not cloned" % what)
volumes.delete_volume(cloned)
with pool("images") as ioctx:
    with rbd.Image(ioctx, "glance") as opened:
        opened.unprotect_snap("snap")
        opened.remove_snap("snap")
    rbd.RBD().remove(ioctx, "glance")
volumes.delete_volume(from_image)

# Encrypted volumes.
secret_type = volume_types.create(admin, "secret")
db.volume_type_encryption_create(admin, secret_type["id"], {"cipher": "aes-xts-plain64", "key_size": 256, "provider": "luks", "control_location": "front-end"})
key = key_manager.API(CONF).create_key(admin, algorithm="aes", length=256)
encrypted = volume(1, secret_type, encryption_key_id=key)
volumes.create_volume(encrypted)
with image("volumes", encrypted.name) as opened:
    same(opened.read(0, 6), b"LUKS\xba\xbe", "an encrypted volume begins with its LUKS header")
volumes.delete_volume(encrypted)

# Quality of service, and types.
specs = qos_specs.create(admin, "limits", {"consumer": "back-end", "total_iops_sec": "100", "write_bytes_sec": "1048576"})
gold = volume_types.create(admin, "gold")
qos_specs.associate_qos_with_type(admin, specs["id"], gold["id"])
limited = volume(1, volume_types.get_volume_type(admin, gold["id"]))
volumes.create_volume(limited)
limits = volumes.get_rbd_image_qos(limited)
same((limits["rbd_qos_iops_limit"], limits["rbd_qos_write_bps_limit"], limits["rbd_qos_bps_limit"]), ("100", "1048576", "0"), "a type's limits are set on the image")
volumes.update_rbd_image_qos(limited, {"read_iops_sec": "50"})
same(volumes.get_rbd_image_qos(limited)["rbd_qos_read_iops_limit"], "50", "a limit is added")
volumes.delete_rbd_image_qos_keys(limited, ["read_iops_sec"])
same(volumes.get_rbd_image_qos(limited)["rbd_qos_read_iops_limit"], "0", "and taken away")
with refused(exception.VolumeBackendAPIException, "one that is not set cannot be taken away"):
    volumes.delete_rbd_image_qos_keys(limited, ["read_iops_sec"])
plain = volume_types.create(admin, "plain")
diff = {"encryption": {}, "extra_specs": {}, "qos_specs": {"consumer": ("back-end", None), "total_iops_sec": ("100", None), "write_bytes_sec": ("1048576", None)}}
plain_type = objects.VolumeType.get_by_id(admin, plain["id"])
volumes.retype(admin, limited, plain_type, diff, None)
limits = volumes.get_rbd_image_qos(limited)
same((limits["rbd_qos_iops_limit"], limits["rbd_qos_write_bps_limit"]), ("0", "0"), "a type without limits takes them all away")
shared = volume_types.create(admin, "shared", {"multiattach": "<is> True"})
_, update = volumes.retype(admin, limited, objects.VolumeType.get_by_id(admin, shared["id"]), None, None)
with image("volumes", limited.name) as opened:
    same(opened.features() & (4 | 8 | 16), 0, "a type for many guests turns the lock and all that needs it off")
limited.provider_location = update["provider_location"]
limited.volume_type_id = shared["id"]
limited.volume_type = objects.VolumeType.get_by_id(admin, shared["id"])
volumes.retype(admin, limited, plain_type, None, None)
with image("volumes", limited.name) as opened:
    same(opened.features(), 61, "another type turns them on again")
replicated = volume_types.create(admin, "replicated", {"replication_enabled": "<is> True"})
limited.volume_type_id = plain["id"]
limited.volume_type = plain_type
with refused(exception.ReplicationError, "a type that asks for mirroring is refused"):
    volumes.retype(admin, limited, objects.VolumeType.get_by_id(admin, replicated["id"]), None, None)
mirrored = volume(1, volume_types.get_volume_type(admin, replicated["id"]))
# The driver takes the image back through a pool handle that it has closed: that ends a process with Ceph's library.
with refused(rbd.Error, "and so is a new volume of it, with an error and no more"):
    volumes.create_volume(mirrored)
volumes.delete_volume(mirrored)
check(mirrored.name not in names("volumes"), "what is left of it can be deleted")
volumes.delete_volume(limited)

# Images that Cinder did not make.
with pool("volumes") as ioctx:
    rbd.RBD().create(ioctx, "stray", GIB + 1, 22, old_format=False, features=61)
    with rbd.Image(ioctx, "stray") as opened:
        opened.write(data, 0)
        opened.create_snap("old")
listed = {entry["reference"]["source-name"]: entry for entry in volumes.get_manageable_volumes([first], None, 1000, 0, ["reference"], ["asc"])}
same((listed["stray"]["safe_to_manage"], listed["stray"]["size"], listed[first.name]["reason_not_safe"]), (True, 2, "already managed"), "images that could be managed are listed")
with image("volumes", "stray") as held:
    held.write(b"held", 0)
    listed = {entry["reference"]["source-name"]: entry for entry in volumes.get_manageable_volumes([first], None, 1000, 0, ["reference"], ["asc"])}
    same(listed["stray"]["reason_not_safe"], "volume in use", "one that is open elsewhere is in use")
    held.write(data, 0)
same(volumes.manage_existing_get_size(None, {"source-name": "stray"}), 2, "its size is told in whole GiB")
managed = volume(2)
volumes.manage_existing(managed, {"source-name": "stray"})
check(holds(managed.name) and "stray" not in names("volumes"), "it becomes a volume by its name")
with refused(exception.ManageExistingInvalidReference, "one that is not there is refused"):
    volumes.manage_existing_get_size(None, {"source-name": "stray"})
taken = snapshot(managed)
same([entry["reference"] for entry in volumes.get_manageable_snapshots([], None, 1000, 0, ["reference"], ["asc"])], [{"source-name": "old"}], "its snapshot can be managed too")
same(volumes.manage_existing_snapshot_get_size(taken, {"source-name": "old"}), 2, "with its size")
volumes.manage_existing_snapshot(taken, {"source-name": "old"})
with image("volumes", managed.name) as opened:
    check(opened.is_protected_snap(taken.name), "it gets its name and is protected")
with refused(exception.ManageExistingInvalidReference, "a snapshot that is not there is refused"):
    volumes.manage_existing_snapshot_get_size(taken, {"source-name": "old"})
volumes.unmanage_snapshot(taken)
with image("volumes", managed.name) as opened:
    check(not opened.is_protected_snap(taken.name), "given back, it is not protected any more")
volumes.unmanage(managed)
volumes.delete_snapshot(taken)

# Moving.
other = backend("other")
with pool("volumes") as ioctx:
    target = volume(2)
    rbd.RBD().create(ioctx, target.name, GIB, 22, old_format=False, features=61)
volumes.delete_volume(target)
moved_to = volume(2)
volumes.create_volume(moved_to)
volumes.delete_volume(managed)
same(volumes.update_migrated_volume(admin, managed, moved_to, "available"), {"_name_id": None, "provider_location": None}, "a migrated volume takes the old one's name")
check(managed.name in names("volumes") and moved_to.name not in names("volumes"), "and its image too")
fill(managed.name)
stats = other.get_volume_stats(True)
same(stats["provisioned_capacity_gb"], 0, "a pool that is shared with others is measured by its images")
host = {"host": "node@other#other", "capabilities": {"storage_protocol": "ceph", "location_info": stats["location_info"]}}
same(volumes.migrate_volume(admin, managed, host), (True, None), "a volume moves to another pool")
check(holds(managed.name, pool_name="other") and managed.name not in names("volumes"), "with its bytes")

# Deferred deletion, in the other pool, whose volumes of snapshots are flattened.
point = snapshot(managed)
other.create_snapshot(point)
flat = volume(2)
other.create_volume_from_snapshot(flat, point)
with image("other", flat.name) as opened, refused(rbd.ImageNotFound, "a volume of a snapshot is flattened where that is configured"):
    opened.parent_info()
other.delete_snapshot(point)
CONF.set_override("deferred_deletion_delay", 3600, group="other")
other.delete_volume(flat)
CONF.set_override("deferred_deletion_delay", 0, group="other")
other.delete_volume(managed)
with pool("other") as ioctx:
    same(sorted(entry["name"] for entry in rbd.RBD().trash_list(ioctx)), sorted([flat.name, managed.name]), "deleted volumes go to the trash")
    other._trash_purge()
    same([entry["name"] for entry in rbd.RBD().trash_list(ioctx)], [flat.name], "and are purged when their time has come")

# What is open, gone, or was never there.
with image("volumes", first.name) as held:
    held.write(b"held", 0)
    with pool("volumes") as ioctx, refused(rbd.ImageBusy, "a volume that is open elsewhere cannot be removed"):
        rbd.RBD().remove(ioctx, first.name)
    volumes.delete_volume(first)
    with pool("volumes") as ioctx:
        (entry,) = list(rbd.RBD().trash_list(ioctx))
        same(entry["name"], first.name, "so the driver moves it to the trash, which librbd 16.2 allows")
        with refused(rbd.ImageBusy, "where it stays while it is open"):
            rbd.RBD().trash_remove(ioctx, entry["id"])
with pool("volumes") as ioctx:
    rbd.RBD().trash_remove(ioctx, entry["id"])
volumes.delete_volume(first)
same(names("volumes"), [], "a volume that is gone is deleted without complaint")
with refused(exception.VolumeBackendAPIException, "a pool that does not exist is refused"):
    backend("rbd", rbd_pool="missing")
with refused(exception.VolumeBackendAPIException, "a user without a key is refused"):
    backend("rbd", rbd_user="nobody")
