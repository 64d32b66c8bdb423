# Run by move.test.ts with our libraries: `make POOL NAME MIB` an image with two snapshots between which everything happens that a
# difference must bring along; `digest POOL NAME` what it is; `hold POOL NAME` it open until standard input ends; and what else they need.
import hashlib
import json
import os
import random
import sys

import rados
import rbd

MIB = 1 << 20
api = rbd.RBD()
cluster = rados.Rados(conffile=os.environ['CEPH_CONF'], rados_id='admin')
cluster.connect()


def scribble(image, chance, count):
    for _ in range(count):
        offset = chance.randrange(image.size() - MIB) & ~511
        image.write(chance.randbytes(chance.randrange(1, 256) * 512), offset)


def make(io, name, mib):
    chance = random.Random(name)
    api.create(io, name, mib * MIB, order=22)
    with rbd.Image(io, name) as image:
        image.metadata_set('owner', 'some body')
        for offset in range(0, mib * MIB // 2, 4 * MIB):
            image.write(chance.randbytes(4 * MIB), offset)
        image.create_snap('one')
        scribble(image, chance, 20)
        image.discard(8 * MIB, 4 * MIB)
        image.resize(mib * MIB // 2 - 1000)
        image.resize(mib * MIB + 12345)
        image.create_snap('two, three')
        image.protect_snap('two, three')
        scribble(image, chance, 20)
        image.resize(mib * MIB - 777)


def sha_of(io, name, snapshot=None):
    digest = hashlib.sha256()
    with rbd.Image(io, name, snapshot=snapshot, read_only=True) as image:
        size = image.size()
        for offset in range(0, size, 4 * MIB):
            digest.update(image.read(offset, min(4 * MIB, size - offset)))
    return [size, digest.hexdigest()]


def digest_of(io, name):
    with rbd.Image(io, name, read_only=True) as image:
        snapshots = [[snap['name'], snap['size'], image.is_protected_snap(snap['name'])] for snap in image.list_snaps()]
        metadata = sorted(image.metadata_list())
        order = image.stat()['order']
    return {'content': sha_of(io, name), 'order': order, 'metadata': metadata,
            'snapshots': [snap + sha_of(io, name, snap[0]) for snap in snapshots]}


command, pool, *rest = sys.argv[1:]
with cluster.open_ioctx(pool) as io:
    if command == 'make':
        make(io, rest[0], int(rest[1]))
    elif command == 'digest':
        print(json.dumps(digest_of(io, rest[0])))
    elif command == 'write':
        with rbd.Image(io, rest[0]) as image:
            image.write(rest[2].encode(), int(rest[1]))
    elif command == 'bytes':
        with rbd.Image(io, rest[0], snapshot=rest[1], read_only=True) as image:
            print(image.read(int(rest[2]), int(rest[3])).hex())
    elif command == 'clone':
        api.clone(io, rest[0], rest[1], io, rest[2])
    elif command == 'parent':
        with rbd.Image(io, rest[0], read_only=True) as image:
            try:
                print(json.dumps(image.parent_info()))
            except rbd.ImageNotFound:
                print('null')
    elif command == 'names':
        print(json.dumps({'images': sorted(api.list(io)), 'trash': sorted(entry['name'] for entry in api.trash_list(io))}))
    else:
        with rbd.Image(io, rest[0]) as image:
            print('open', flush=True)
            sys.stdin.read()
cluster.shutdown()
