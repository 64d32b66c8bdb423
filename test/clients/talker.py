"""A python3-rbd client that does one thing a line of its standard input and answers with one line of JSON each.

It knows nothing of cbd2rbd: it is what any program is that uses Ceph's Python bindings.
"""
import json
import os
import sys

import rados
import rbd

cluster = rados.Rados(conffile=os.environ["CEPH_CONF"])
cluster.connect()
pool = cluster.open_ioctx("rbd")
images = {}


def create(name, size):
    rbd.RBD().create(pool, name, size)


def remove(name):
    rbd.RBD().remove(pool, name)


def open_image(name):
    images[name] = rbd.Image(pool, name)


def close(name):
    images.pop(name).close()


def lock(name, cookie):
    images[name].lock_exclusive(cookie)


def acquire(name):
    images[name].lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)


def is_owner(name):
    return images[name].is_exclusive_lock_owner()


def holders(name):
    """How many hold advisory locks, watch, and own the managed lock."""
    image = images[name]
    lockers = image.list_lockers()
    return {
        "lockers": len(lockers["lockers"]) if lockers else 0,
        "watchers": len(list(image.watchers_list())),
        "owners": len(list(image.lock_get_owners())),
    }


def patterns(name, first, count):
    """Writes `count` blocks of 4 KiB, each filled with its own number, and reads each back at once."""
    image = images[name]
    for block in range(first, first + count):
        data = block.to_bytes(4, "little") * 1024
        image.write(data, block * 4096)
        if image.read(block * 4096, 4096) != data:
            raise AssertionError(f"block {block} is not what was written")
    image.flush()
    return count


def verify(name, first, count):
    image = images[name]
    for block in range(first, first + count):
        if image.read(block * 4096, 4096) != block.to_bytes(4, "little") * 1024:
            raise AssertionError(f"block {block} is not what was written")
    return count


def resize(name, size):
    images[name].resize(size)
    return images[name].size()


def size(name):
    return images[name].size()


def metadata(name, key, value):
    images[name].metadata_set(key, value)
    return images[name].metadata_get(key)


def names():
    return rbd.RBD().list(pool)


def worker(number):
    """What a forked worker does with its parent's handles; its exit code says whether all of it worked."""
    name = f"worker-{number}"
    rbd.RBD().create(pool, name, 8 << 20)
    with rbd.Image(pool, name) as image:
        image.write(bytes([number + 1]) * 70000, 1000)
        if image.read(1000, 70000) != bytes([number + 1]) * 70000:
            return 2
    shared = images["shared"]
    shared.write(bytes([number + 1]) * 4096, number * 4096)
    if shared.read(number * 4096, 4096) != bytes([number + 1]) * 4096:
        return 3
    if shared.size() != 16 << 20:
        return 4
    rbd.RBD().remove(pool, name)
    return 0


def run_worker(number):
    code = 9
    try:
        code = worker(number)
    except BaseException as error:  # the exit code is all that the parent sees
        sys.stderr.write(f"worker {number}: {error!r}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def fork_workers(count):
    """Forks `count` workers at once; the parent does I/O on the same image meanwhile. Returns their exit codes."""
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            run_worker(number)
        pids.append(pid)
    patterns("shared", 1024, 64)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    shared = images["shared"]
    seen = [shared.read(number * 4096, 1)[0] for number in range(count)]
    return {"codes": codes, "seen": seen, "names": names()}


COMMANDS = {f.__name__: f for f in (create, remove, open_image, close, lock, acquire, is_owner, holders, patterns, verify, resize, size,
                                    metadata, names, fork_workers)}

print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    command, *arguments = json.loads(line)
    try:
        answer = {"result": COMMANDS[command](*arguments)}
    except (rbd.Error, rados.Error, AssertionError) as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
