"""glance_store's RBD driver, unmodified, through glance_store's own calls: one store, then several."""

import io

import rados
import rbd
from oslo_config import cfg

import glance_store
from glance_store import exceptions, multi_backend
from checks import check, image, names, pattern, pool, quiet, refused, same

MIB = 1 << 20
quiet()


glance_store.register_opts(cfg.CONF)
cfg.CONF([], default_config_files=[])


def configured(user="glance", pool_name="images"):
    conf = cfg.CONF
    for option, value in {
        "stores": ["rbd"], "default_store": "rbd", "rbd_store_user": user, "rbd_store_pool": pool_name,
        "rbd_store_ceph_conf": "/etc/ceph/ceph.conf", "rbd_thin_provisioning": True,
    }.items():
        conf.set_override(option, value, group="glance_store")
    glance_store.create_stores(conf)
    glance_store.verify_default_store()
    return conf


def add(conf, name, data, size):
    return glance_store.add_to_backend_with_multihash(conf, name, io.BytesIO(data), size, "sha512", "rbd")


def content(location):
    chunks, size = glance_store.get_from_backend(location)
    return b"".join(chunks), size


conf = configured()
data = pattern(9 * MIB, 1) + bytes(8 * MIB) + pattern(MIB + 512, 2)
location, size, md5, sha512, metadata = add(conf, "ubuntu", data, len(data))
with rados.Rados(conffile="/etc/ceph/ceph.conf", rados_id="glance") as cluster:
    fsid = cluster.get_fsid()
same(location, "rbd://%s/images/ubuntu/snap" % fsid, "an image's location names cluster, pool, image and snapshot")
same(size, len(data), "its size is what was written")
check(content(location) == (data, len(data)), "what was added is read back")
same(glance_store.get_size_from_backend(location), len(data), "its size is told without reading it")
with image("images", "ubuntu") as opened:
    same(opened.stat()["order"], 23, "its objects have 8 MiB, as the store asks")
    same(opened.features(), 61, "it has the default features")
    same([(snap["name"], opened.is_protected_snap(snap["name"])) for snap in opened.list_snaps()], [("snap", True)], "it has one protected snapshot")
    touched = []
    opened.diff_iterate(8 * MIB, 16 * MIB, None, lambda offset, length, exists: touched.append((offset, length)) if exists else None)
    same([part for part in touched if 9 * MIB <= part[0] < 16 * MIB], [], "chunks of zeroes are left out")

with refused(exceptions.Duplicate, "a name that is taken is refused as a duplicate"):
    add(conf, "ubuntu", b"x", 1)
check(content(location)[0] == data, "and the image that has it stays as it was")

grown = pattern(33 * MIB + 4097, 3)
location2, size2 = add(conf, "streamed", grown, 0)[:2]
same(size2, len(grown), "an image of unknown size grows while it is written, and is trimmed to the byte")
check(content(location2) == (grown, len(grown)), "and is read back")
location3 = add(conf, "empty", b"", 0)[0]
same(content(location3), (b"", 0), "an empty image can be stored")


class Breaks(io.BytesIO):
    def read(self, length=-1):
        if self.tell() >= 8 * MIB:
            raise IOError("the sender went away")
        return super().read(length)


with refused(IOError, "a sender that breaks off ends the upload"):
    glance_store.add_to_backend_with_multihash(conf, "broken", Breaks(data), len(data), "sha512", "rbd")
check("broken" not in names("images"), "and nothing of it is left")

with pool("images") as images, pool("volumes") as volumes:
    rbd.RBD().clone(images, "ubuntu", "snap", volumes, "root-disk", features=61)
with refused(exceptions.InUseByStore, "an image with a clone is in use"):
    glance_store.delete_from_backend(location)
check(content(location)[0] == data, "and is still whole")
with pool("volumes") as volumes:
    rbd.RBD().remove(volumes, "root-disk")
with image("images", "ubuntu") as opened:
    opened.create_snap("another")
with refused(exceptions.HasSnapshot, "an image with a further snapshot is refused for that"):
    glance_store.delete_from_backend(location)
with image("images", "ubuntu") as opened:
    opened.remove_snap("another")
glance_store.delete_from_backend(location.rsplit("/", 1)[0] + "/gone")
for stored in (location2, location3):
    glance_store.delete_from_backend(stored)
same(names("images"), [], "deleted images are gone")
for call, what in ((glance_store.get_from_backend, "reading"), (glance_store.get_size_from_backend, "asking for the size of"), (glance_store.delete_from_backend, "deleting")):
    with refused(exceptions.NotFound, "%s an image that is not there is refused as not found" % what):
        call(location)

for user, pool_name, what in (("nobody", "images", "a user without a key"), ("glance", "missing", "a pool that does not exist")):
    conf = configured(user, pool_name)
    with refused((exceptions.BackendException, rados.ObjectNotFound), "a store with %s is refused" % what):
        add(conf, "never", b"x", 1)

several = cfg.CONF
several.register_opts([cfg.DictOpt("enabled_backends")])
several.set_override("enabled_backends", {"fast": "rbd", "slow": "rbd"})
multi_backend.register_store_opts(several)
several.set_override("default_backend", "fast", group="glance_store")
for backend, pool_name in (("fast", "images"), ("slow", "volumes")):
    several.set_override("rbd_store_user", "glance", group=backend)
    several.set_override("rbd_store_pool", pool_name, group=backend)
    several.set_override("rbd_store_ceph_conf", "/etc/ceph/ceph.conf", group=backend)
multi_backend.create_multi_stores(several)
multi_backend.verify_store()
stored = {backend: multi_backend.add_with_multihash(several, "twice", io.BytesIO(data), len(data), backend, "sha512") for backend in ("fast", "slow")}
same([stored[backend][0] for backend in ("fast", "slow")], ["rbd://%s/%s/twice/snap" % (fsid, name) for name in ("images", "volumes")],
     "with several stores each keeps to its own pool")
for backend in ("fast", "slow"):
    chunks, _ = multi_backend.get(stored[backend][0], backend)
    check(b"".join(chunks) == data, "the %s store gives back what it got" % backend)
    multi_backend.delete(stored[backend][0], backend)
same((names("images"), names("volumes")), ([], []), "and deletes it")
