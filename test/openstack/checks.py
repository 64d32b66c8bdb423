"""What the driver tests share: each check prints one line of JSON, which driver.ts turns into a test point."""

import contextlib
import json
import os

import rados
import rbd


def check(fact, sentence, saw=None):
    print(json.dumps({"ok": bool(fact), "says": sentence, "saw": repr(saw)}), flush=True)


def same(saw, wanted, sentence):
    check(saw == wanted, sentence, {"saw": saw, "wanted": wanted})


def sparse(extents, at_most, whole, sentence):
    """What takes space, by diff_iterate. CurveBS tells it by whole GiB, which makes `whole` (docs/curvebs.md)."""
    if os.environ["TEST_BACKEND"] == "curvebs":
        same(sum(extents), whole, sentence + ", as far as CurveBS can tell: by GiB")
    else:
        check(sum(extents) <= at_most, sentence, extents)


@contextlib.contextmanager
def refused(kind, sentence):
    """The block must raise `kind`."""
    try:
        yield
    except kind as error:
        check(True, sentence, error)
    except Exception as error:  # the wrong one is shown
        check(False, sentence, error)
    else:
        check(False, sentence, "nothing was raised")


@contextlib.contextmanager
def pool(name, user="admin"):
    """An ioctx of our own, beside the driver's."""
    with rados.Rados(conffile="/etc/ceph/ceph.conf", rados_id=user) as cluster, cluster.open_ioctx(name) as ioctx:
        yield ioctx


@contextlib.contextmanager
def image(pool_name, name, **options):
    with pool(pool_name) as ioctx, rbd.Image(ioctx, name, **options) as opened:
        yield opened


def names(pool_name):
    with pool(pool_name) as ioctx:
        return sorted(rbd.RBD().list(ioctx))


def quiet():
    """The services log what they refuse; that is not what is tested."""
    import logging
    logging.disable(logging.CRITICAL)


def pattern(length, seed):
    """Bytes that repeat nowhere near and are no zeroes."""
    import hashlib
    made = bytearray()
    block = 0
    while len(made) < length:
        made += hashlib.sha512(b"%d %d" % (seed, block)).digest() * 64
        block += 1
    return bytes(made[:length])
