"""glance-api and Cinder's services over HTTP, as a user of the cloud drives them: an image's way into a volume, and the volume's life."""

import hashlib
import json
import time
import urllib.error
import urllib.request

import rbd

from checks import check, image, names, same
from libvirt_guest import Guest, virsh

PROJECT = "0123456789abcdef0123456789abcdef"  # as Keystone makes them: Cinder takes no other
GLANCE, CINDER = "http://127.0.0.1:9292/v2", "http://127.0.0.1:8776/v3/" + PROJECT
GIB, MIB = 1 << 30, 1 << 20


def ask(url, body=None, method=None, raw=None, version="3.66"):
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    headers = {"X-Auth-Token": "admin:" + PROJECT, "OpenStack-API-Version": "volume " + version,
               "Content-Type": "application/octet-stream" if raw is not None else "application/json"}
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
            return json.loads(text) if text and "json" in answer.headers.get("Content-Type", "") else text
    except urllib.error.HTTPError as error:
        raise RuntimeError("%s %s: %s %s" % (request.get_method(), url, error.code, error.read()[:500]))


def wait(url, kind, wanted="available", limit=180):
    """Asks until a thing has the status; "gone" where it must not be found any more."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        try:
            status = ask(url)[kind]["status"]
        except RuntimeError as error:
            if wanted == "gone" and ": 404" in str(error):
                return "gone"
            raise
        if status == wanted:
            return status
        if status.startswith("error"):
            return status
        time.sleep(0.1)
    return "still " + status


def make(kind, body, wanted="available"):
    made = ask("%s/%ss" % (CINDER, kind), {kind: body})[kind]
    same(wait("%s/%ss/%s" % (CINDER, kind, made["id"]), kind, wanted), wanted, "a %s becomes %s" % (kind, wanted))
    return made["id"]


def gone(kind, name, what):
    ask("%s/%ss/%s" % (CINDER, kind, name), method="DELETE")
    same(wait("%s/%ss/%s" % (CINDER, kind, name), kind, "gone"), "gone", "%s is deleted" % what)


def content(name, length, pool="volumes"):
    with image(pool, name, read_only=True) as opened:
        return opened.read(0, length)


def started():
    """Whether all services are up: both backends have told the scheduler of themselves, and the backup service of itself."""
    try:
        ask(GLANCE + "/images")
        pools = {pool["name"] for pool in ask(CINDER + "/scheduler-stats/get_pools")["pools"]}
        up = {(service["binary"], service["host"]) for service in ask(CINDER + "/os-services")["services"] if service["state"] == "up"}
        return pools >= {"node@rbd#rbd", "node@other#other"} and up >= {("cinder-backup", "node"), ("cinder-volume", "node@rbd"), ("cinder-volume", "node@other")}
    except (RuntimeError, OSError):
        return False


limit = time.monotonic() + 480
while not started():
    if time.monotonic() > limit:
        raise SystemExit("the services did not come up")
    time.sleep(0.2)

# A type for each backend; "rbd" is the default one.
for backend in ("rbd", "other"):
    ask(CINDER + "/types", {"volume_type": {"name": backend, "extra_specs": {"volume_backend_name": backend}}})

# Images: several at once, so that each of glance-api's forked workers takes some.
with open("/node/guest.img", "rb") as media:
    data = media.read()
uploaded = []
for number in range(4):
    made = ask(GLANCE + "/images", {"name": "cirros-%d" % number, "disk_format": "raw", "container_format": "bare"})
    ask("%s/images/%s/file" % (GLANCE, made["id"]), raw=data, method="PUT")
    uploaded.append(made["id"])
shown = ask("%s/images/%s" % (GLANCE, uploaded[0]))
same((shown["status"], shown["size"], shown["checksum"]), ("active", len(data), hashlib.md5(data).hexdigest()), "an image is uploaded")
check(shown["direct_url"].startswith("rbd://") and shown["direct_url"].endswith("/images/%s/snap" % uploaded[0]), "and tells where it is", shown["direct_url"])
check(all(ask("%s/images/%s/file" % (GLANCE, name)) == data for name in uploaded), "each image is downloaded as it was, whichever worker serves it")
same(names("images"), sorted(uploaded), "each is an RBD image")

# A volume of it, as a clone.
volume = make("volume", {"size": 1, "imageRef": uploaded[0], "name": "disk"})
name = "volume-" + volume
with image("volumes", name, read_only=True) as opened:
    same(tuple(opened.parent_info()), ("images", uploaded[0], "snap"), "a volume of an image is a clone of it")
    same(opened.size(), GIB, "of the size asked for")
check(content(name, len(data)) == data, "with the image's bytes")

# Attached, as Nova does, to a guest that boots from it; but by no instance: Cinder asks Nova before it lets go of one.
attachment = ask(CINDER + "/attachments", {"attachment": {"volume_uuid": volume, "mode": "rw",
                                                          "connector": {"host": "node", "ip": "127.0.0.1", "initiator": "x", "os_type": "linux2", "platform": "x86_64", "multipath": False}}})["attachment"]
connection = attachment["connection_info"]
same((connection["driver_volume_type"], connection["name"], connection["hosts"], connection["auth_username"]), ("rbd", "volumes/" + name, ["127.0.0.1"], "cinder"), "an attachment says how a guest reaches it")
guest = Guest("guest", connection)
ask("%s/attachments/%s/action" % (CINDER, attachment["id"]), {"os-complete": {}})
same(ask("%s/volumes/%s" % (CINDER, volume))["volume"]["status"], "in-use", "a guest of libvirt boots from it, and it is in use")
same(guest.run("[ $(cat /sys/block/vda/size) = %d ]" % (GIB // 512)), 0, "the guest sees exactly the size asked for")
same(guest.run("pattern write /dev/vda %d 2048 512 41 && pattern verify /dev/vda %d 2048 512 41" % (64 * MIB, 64 * MIB)), 0, "and keeps what it writes")
of_running = make("snapshot", {"volume_id": volume, "name": "running"})
same(guest.run("pattern write /dev/vda %d 2048 512 42" % (128 * MIB)), 0, "it goes on when a snapshot is taken")
ask("%s/volumes/%s/action" % (CINDER, volume), {"os-extend": {"new_size": 2}})
same(wait("%s/volumes/%s" % (CINDER, volume), "volume", "in-use"), "in-use", "its volume is extended meanwhile")
virsh("blockresize", "guest", "vda", "2G")
same(guest.run("until [ $(cat /sys/block/vda/size) = %d ]; do usleep 50000; done" % (2 * GIB // 512)), 0, "and it sees that")
same(guest.run("pattern verify /dev/vda %d 2048 512 41 && pattern verify /dev/vda %d 2048 512 42" % (64 * MIB, 128 * MIB)), 0, "with all that it wrote")
guest.end()
written = content(name, 65 * MIB)[64 * MIB:]
with image("volumes", name, snapshot="snapshot-" + of_running, read_only=True) as opened:
    check(any(written) and opened.read(64 * MIB, MIB) == written, "the snapshot has what was written before it")
    check(not any(opened.read(128 * MIB, MIB)), "and not what came after it")
gone("snapshot", of_running, "it")
ask("%s/attachments/%s" % (CINDER, attachment["id"]), method="DELETE")
same(wait("%s/volumes/%s" % (CINDER, volume), "volume"), "available", "detached, it is available")

# Snapshot, clones, growth.
snapshot = make("snapshot", {"volume_id": volume, "name": "point"})
of_snapshot = make("volume", {"size": 2, "snapshot_id": snapshot})
of_volume = make("volume", {"size": 2, "source_volid": volume})
for made in (of_snapshot, of_volume):
    with image("volumes", "volume-" + made, read_only=True) as opened:
        check(opened.read(0, len(data)) == data and opened.read(64 * MIB, MIB) == written, "it has image and guest's bytes")
ask("%s/volumes/%s/action" % (CINDER, volume), {"os-extend": {"new_size": 3}})
same(wait("%s/volumes/%s" % (CINDER, volume), "volume"), "available", "a volume is extended")
with image("volumes", name, read_only=True) as opened:
    same(opened.size(), 3 * GIB, "to the size asked for")

# Backups.
full = make("backup", {"volume_id": volume, "name": "full"})
with image("volumes", name) as opened:
    opened.write(b"later" * 1000, 0)
later = make("backup", {"volume_id": volume, "name": "later", "incremental": True})
same(len(names("backups")), 1, "an incremental backup goes into the full one's image")
for backup, begins in ((full, data[:5000]), (later, b"later" * 1000)):
    restored = ask("%s/backups/%s/restore" % (CINDER, backup), {"restore": {"name": "restored"}})["restore"]["volume_id"]
    same(wait("%s/volumes/%s" % (CINDER, restored), "volume"), "available", "a backup is restored into a new volume")
    same(wait("%s/backups/%s" % (CINDER, backup), "backup"), "available", "and can be restored again")
    with image("volumes", "volume-" + restored, read_only=True) as opened:
        check(opened.read(0, 5000) == begins and opened.read(64 * MIB, MIB) == written, "with the bytes of its time")
    gone("volume", restored, "a restored volume")

# The other backend of the same cinder-volume, which is another forked process.
elsewhere = make("volume", {"size": 1, "volume_type": "other"})
same(names("other"), ["volume-" + elsewhere], "another type's volume lies in the other backend's pool")
gone("volume", elsewhere, "it")

# Back into an image, and everything away.
made = ask("%s/volumes/%s/action" % (CINDER, of_volume), {"os-volume_upload_image": {"image_name": "back", "disk_format": "raw", "container_format": "bare", "visibility": "private", "protected": False}})
back = made["os-volume_upload_image"]["image_id"]
same(wait("%s/volumes/%s" % (CINDER, of_volume), "volume"), "available", "a volume is uploaded as an image")
check(content(back, len(data), "images") == data, "with its bytes")
gone("backup", later, "an incremental backup")
gone("backup", full, "a full backup")
gone("volume", of_snapshot, "a volume of a snapshot")
gone("volume", of_volume, "a clone")
gone("snapshot", snapshot, "a snapshot")
gone("volume", volume, "a volume")
for image_id in uploaded + [back]:
    ask("%s/images/%s" % (GLANCE, image_id), method="DELETE")
same((names("images"), names("volumes"), names("backups"), names("other")), ([], [], [], []), "nothing is left in any pool")
