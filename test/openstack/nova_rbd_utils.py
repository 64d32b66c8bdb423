"""Nova's rbd_utils, unmodified, and the qemu-img commands that nova-compute runs beside it, under its limits."""

import eventlet
eventlet.monkey_patch()

import os
import tempfile

import rbd

import nova.conf
from nova import config, exception, objects
from nova.privsep import qemu
from nova.storage import rbd_utils
from oslo_concurrency import processutils
from checks import check, image, names, pattern, pool, quiet, refused, same

CONF = nova.conf.CONF
MIB = 1 << 20
FOLDER = tempfile.mkdtemp(prefix="nova-")
CONF([], project="nova", default_config_files=[])
for option, value in {
    "images_rbd_pool": "vms", "images_rbd_ceph_conf": "/etc/ceph/ceph.conf", "rbd_user": "nova", "images_type": "rbd",
    "rbd_destroy_volume_retry_interval": 0, "rbd_destroy_volume_retries": 2,
}.items():
    CONF.set_override(option, value, group="libvirt")
quiet()
driver = rbd_utils.RBDDriver()
data = pattern(3 * MIB + 512, 30)

same(driver.get_mon_addrs(), (["127.0.0.1"], ["6789"]), "the monitors are found for the guest's XML")
info = driver.get_pool_info()
check(info["total"] > 0 and info["free"] > 0 and info["used"] == 0, "the pool's space is told", info)
with refused(exception.NotFound, "a pool that is not there is not found"):
    rbd_utils.RBDDriver(pool="missing").get_pool_info()

with pool("images") as ioctx:
    rbd.RBD().create(ioctx, "cirros", 64 * MIB, 23, old_format=False, features=61)
    with rbd.Image(ioctx, "cirros") as opened:
        opened.write(data, 0)
        opened.create_snap("snap")
        opened.protect_snap("snap")
url = "rbd://%s/images/cirros/snap" % driver.get_fsid()
check(driver.is_cloneable({"url": url}, {"disk_format": "raw"}), "a raw image in the same cluster can be cloned")
for location, disk_format, what in ((url, "qcow2", "in another format"), (url.replace(driver.get_fsid(), "other"), "raw", "in another cluster"),
                                    (url.replace("cirros", "gone"), "raw", "that is not there"), (url.replace("snap", "none"), "raw", "without that snapshot"),
                                    ("http://x", "raw", "elsewhere")):
    check(not driver.is_cloneable({"url": location}, {"disk_format": disk_format}), "an image %s cannot" % what)
driver.clone({"url": url}, "guest_disk", dest_pool="vms")
check(driver.exists("guest_disk") and not driver.exists("gone"), "a guest's disk is a clone in another pool")
same(tuple(driver.parent_info("guest_disk")), ("images", "cirros", "snap"), "it names its parent")
driver.resize("guest_disk", 1 << 30)
same(driver.size("guest_disk"), 1 << 30, "it is made as large as the flavor says")
with refused(exception.Forbidden, "a pool without rights to write is forbidden"):
    driver.clone({"url": url}, "never", dest_pool="images")

# What nova-compute asks qemu-img, under 1 GiB of address space and 30 s of processor time.
disk = "rbd:vms/guest_disk:id=nova:conf=/etc/ceph/ceph.conf"
out = qemu.unprivileged_qemu_img_info(disk)
check('"virtual-size": 1073741824' in out, "qemu-img tells its size under nova's limits", out)
copy = os.path.join(FOLDER, "copy")
qemu.unprivileged_convert_image(disk, copy, "raw", "qcow2", FOLDER, False)
with open(copy, "rb") as opened:
    same(opened.read(4), b"QFI\xfb", "qemu-img extracts it")
processutils.execute("qemu-img", "compare", "-f", "qcow2", "-F", "raw", copy, disk)
check(True, "with the same bytes")

driver.create_snap("guest_disk", "before", protect=True)
with image("vms", "guest_disk") as opened:
    opened.write(b"changed" * 1000, 0)
    check(opened.is_protected_snap("before"), "a snapshot is taken and protected")
exported = os.path.join(FOLDER, "exported")
driver.export_image(exported, "guest_disk", "before", pool="vms")
with open(exported, "rb") as opened:
    same((os.path.getsize(exported), opened.read(len(data))), (1 << 30, data), "it is exported as it was")
driver.rollback_to_snap("guest_disk", "before")
with image("vms", "guest_disk") as opened:
    same(opened.read(0, len(data)), data, "the disk is rolled back to it")
with refused(exception.SnapshotNotFound, "a snapshot that is not there is not found"):
    driver.rollback_to_snap("guest_disk", "none")
driver.remove_snap("guest_disk", "before")
with image("vms", "guest_disk") as opened:
    same([snap["name"] for snap in opened.list_snaps()], ["before"], "a protected snapshot is left alone")
driver.remove_snap("guest_disk", "before", force=True)
driver.remove_snap("guest_disk", "none")
with image("vms", "guest_disk") as opened:
    same([snap for snap in opened.list_snaps()], [], "unless forced")

driver.flatten("guest_disk")
with refused(exception.ImageUnacceptable, "flattened, it has no parent any more"):
    driver.parent_info("guest_disk")
with image("vms", "guest_disk") as opened:
    same(opened.read(0, len(data)), data, "and the same bytes")

driver.import_image(exported, "imported")
with image("vms", "imported") as opened:
    same((opened.size(), opened.read(0, len(data))), (1 << 30, data), "a file is imported")
driver.create_snap("imported", "nova-resize")
driver.remove_image("imported")
check(driver.exists("imported"), "a disk with a snapshot is not removed")
driver.cleanup_volumes(lambda name: name == "imported")
check(not driver.exists("imported"), "unless it is nova's own for a resize")
with image("vms", "guest_disk") as held:
    held.write(b"held", 0)
    driver.destroy_volume("guest_disk")
    check(driver.exists("guest_disk"), "a disk that is open elsewhere is busy, and stays")
driver.destroy_volume("guest_disk")
driver.remove_image("guest_disk")
same(names("vms"), [], "a disk is destroyed")
with pool("images") as ioctx:
    with rbd.Image(ioctx, "cirros") as opened:
        opened.unprotect_snap("snap")
        opened.remove_snap("snap")
    rbd.RBD().remove(ioctx, "cirros")
