# Run by pass-through.test.ts with our libraries in LD_LIBRARY_PATH: each command works on the pools `far` (a real Ceph) and `near`
# (ours) of one process and prints what it saw as JSON.
import ctypes
import hashlib
import itertools
import json
import os
import sys
import threading

import rados
import rbd

MIB = 1 << 20
api = rbd.RBD()


def connect(**options):
    cluster = rados.Rados(conffile=os.environ['CEPH_CONF'], rados_id='admin')
    for name, value in options.items():
        cluster.conf_set(name, value)
    cluster.connect()
    return cluster


def errno_of(call, *arguments, **named):
    try:
        call(*arguments, **named)
        return 0
    except (rbd.Error, rados.Error) as error:
        return error.errno


def side_by_side():
    cluster = connect()
    far, near = cluster.open_ioctx('far'), cluster.open_ioctx('near')
    bytes_of = {pool: os.urandom(3 * MIB) for pool in (far, near)}
    for pool, data in bytes_of.items():
        api.create(pool, 'a', 32 * MIB)
    seen = {}
    with rbd.Image(far, 'a') as there, rbd.Image(near, 'a') as here:
        for image, pool in ((there, far), (here, near)):
            image.write(bytes_of[pool], 5 * MIB + 512)
            image.metadata_set('who', pool.name)
        seen['read back'] = [image.read(5 * MIB + 512, 3 * MIB) == bytes_of[pool]
                             for image, pool in ((there, far), (here, near))]
        there.copy(near, 'from-far')
        here.copy(far, 'from-near')
        for pool, name, source in ((near, 'from-far', there), (far, 'from-near', here)):
            with rbd.Image(pool, name) as copy:
                seen[name] = [copy.size(), copy.read(0, 32 * MIB) == source.read(0, 32 * MIB), list(copy.metadata_list())]
        there.create_snap('s')
        there.protect_snap('s')
        seen['clone'] = errno_of(api.clone, far, 'a', 's', near, 'child', rbd.RBD_FEATURE_LAYERING)
        seen['copy over what is there'] = errno_of(there.copy, near, 'a')
    seen['lists'] = [api.list(far), api.list(near)]
    seen['name and id'] = [far.get_pool_id(), far.name]
    seen['no such image'] = [errno_of(rbd.Image, pool, 'none') for pool in (far, near)]
    cluster.shutdown()
    return seen


def digest(pool, name, snapshot=None):
    with rbd.Image(pool, name, snapshot=snapshot, read_only=True) as image:
        return [image.size(), hashlib.sha256(image.read(0, image.size())).hexdigest()]


def deep_copies():
    # A copy with snapshots goes each way, to a real Ceph, to local files and to CurveBS, and back.
    cluster = connect()
    pools = {name: cluster.open_ioctx(name) for name in ('far', 'near', 'cbs')}
    api.create(pools['far'], 'deep', 16 * MIB)
    with rbd.Image(pools['far'], 'deep') as image:
        image.metadata_set('who', 'far')
        image.write(os.urandom(5 * MIB), 3 * MIB)
        image.create_snap('one')
        image.protect_snap('one')
        image.write(os.urandom(MIB), 4 * MIB - 700)
        image.discard(6 * MIB, 2 * MIB)
        image.resize(20 * MIB + 512)
        image.write(os.urandom(512), 20 * MIB)
        image.create_snap('two')
        image.resize(12 * MIB)
        image.write(b'head', 0)
    moments = (None, 'one', 'two')
    first = [digest(pools['far'], 'deep', moment) for moment in moments]
    seen = {}
    at = 'far'
    for to in ('near', 'far', 'cbs', 'far'):
        name = 'deep' if to != 'far' else 'back-from-' + at
        with rbd.Image(pools[at], 'deep' if at != 'far' or to == 'near' else 'back-from-near') as image:
            image.deep_copy(pools[to], name)
        with rbd.Image(pools[to], name) as image:
            seen[at + ' to ' + to] = [[digest(pools[to], name, moment) for moment in moments] == first,
                                      [[snap['name'], image.is_protected_snap(snap['name'])] for snap in image.list_snaps()],
                                      list(image.metadata_list())]
        at = to
    with rbd.Image(pools['far'], 'deep', snapshot='one') as image:
        image.deep_copy(pools['near'], 'up-to-one')
        seen['taken'] = errno_of(image.deep_copy, pools['near'], 'deep')
    with rbd.Image(pools['near'], 'up-to-one') as image:
        seen['from a snapshot'] = [[snap['name'] for snap in image.list_snaps()], digest(pools['near'], 'up-to-one') == first[1]]
    cluster.shutdown()
    return seen


def both_open():
    # One process, an image on Ceph and one on CurveBS open at once: I/O on both at the same time, a copy, a comparison.
    cluster = connect()
    far, cbs = cluster.open_ioctx('far'), cluster.open_ioctx('cbs')
    for pool in (far, cbs):
        api.create(pool, 'both', 32 * MIB)
    with rbd.Image(far, 'both') as there, rbd.Image(cbs, 'both') as here:
        chunks = [os.urandom(64 << 10) for _ in range(256)]
        ended = []
        pending = [image.aio_write(chunk, index * (128 << 10) + 512, lambda c: ended.append(c.get_return_value()))
                   for index, chunk in enumerate(chunks) for image in (there, here)]
        for completion in pending:
            completion.wait_for_complete_and_cb()
        same = there.read(0, 32 * MIB) == here.read(0, 32 * MIB)
        right = all(there.read(index * (128 << 10) + 512, 64 << 10) == chunk for index, chunk in enumerate(chunks))
        there.copy(cbs, 'both-copied')
        with rbd.Image(cbs, 'both-copied') as copy:
            copied = copy.read(0, 32 * MIB) == there.read(0, 32 * MIB)
    cluster.shutdown()
    return {'ended': [len(ended), set(ended) == {0}], 'same': same, 'right': right, 'copied': copied}


def callbacks():
    cluster = connect()
    far = cluster.open_ioctx('far')
    api.create(far, 'calls', 16 * MIB)
    seen = {'aio': [], 'progress': []}
    with rbd.Image(far, 'calls') as image:
        def note(completion, data=None):
            inside = completion.is_complete()
            seen['aio'].append([completion.get_return_value(), inside, None if data is None else data == b'x' * MIB])
        for start in (lambda: image.aio_write(b'x' * MIB, MIB, note), lambda: image.aio_read(MIB, MIB, note),
                      lambda: image.aio_discard(0, 64 << 10, note), lambda: image.aio_flush(note)):
            start().wait_for_complete_and_cb()
        failed = image.aio_read(17 * MIB, 512, lambda completion, data: note(completion))
        failed.wait_for_complete_and_cb()
        extents = []
        image.diff_iterate(0, 16 * MIB, None, lambda offset, length, exists: extents.append([offset, length, exists]))
        seen['extents cover the write'] = any(o <= MIB and o + n >= 2 * MIB and e for o, n, e in extents)
        image.resize(8 * MIB)
        seen['size'] = image.size()
    api.remove(far, 'calls', on_progress=lambda done, total: seen['progress'].append([done, total]) or 0)
    seen['progress'] = [len(seen['progress']) > 0, all(done <= total for done, total in seen['progress'])]
    cluster.shutdown()
    return seen


def events():
    # What python3-rbd does not wrap: polling for completions, update watches, an asynchronous open and close.
    library = ctypes.CDLL('librbd.so.1')
    handles = ctypes.CDLL('librados.so.2')
    cluster, io, image = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    seen = {}
    assert handles.rados_create(ctypes.byref(cluster), b'admin') == 0
    assert handles.rados_conf_read_file(cluster, os.environ['CEPH_CONF'].encode()) == 0
    assert handles.rados_connect(cluster) == 0
    assert handles.rados_ioctx_create(cluster, b'far', ctypes.byref(io)) == 0
    order = ctypes.c_int(0)
    assert library.rbd_create(io, b'events', ctypes.c_uint64(16 * MIB), ctypes.byref(order)) == 0
    ended = threading.Semaphore(0)
    on_end = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(lambda completion, argument: ended.release())
    library.rbd_aio_get_return_value.restype = ctypes.c_ssize_t
    library.rbd_aio_get_arg.restype = ctypes.c_void_p

    def completion(argument=None):
        made = ctypes.c_void_p()
        assert library.rbd_aio_create_completion(ctypes.c_void_p(argument), on_end, ctypes.byref(made)) == 0
        return made

    opening = completion()
    assert library.rbd_aio_open(io, b'events', ctypes.byref(image), None, opening) == 0
    assert library.rbd_aio_wait_for_complete(opening) == 0
    seen['open'] = library.rbd_aio_get_return_value(opening)
    library.rbd_aio_release(opening)
    missing, nothing = completion(), ctypes.c_void_p()
    library.rbd_aio_open(io, b'none', ctypes.byref(nothing), None, missing)
    library.rbd_aio_wait_for_complete(missing)
    seen['open what is not there'] = library.rbd_aio_get_return_value(missing)
    library.rbd_aio_release(missing)
    for _ in range(2):
        ended.acquire()

    bell = os.eventfd(0)
    assert library.rbd_set_image_notification(image, bell, 2) == 0
    data = ctypes.create_string_buffer(b'y' * 4096)
    started = {completion(number).value: number for number in range(1, 9)}
    for handle, number in started.items():
        assert library.rbd_aio_write(image, ctypes.c_uint64(number * 8192), ctypes.c_size_t(4096), data, ctypes.c_void_p(handle)) == 0
    polled = {}
    while len(polled) < len(started):
        os.eventfd_read(bell)
        found = (ctypes.c_void_p * 16)()
        for handle in found[:library.rbd_poll_io_events(image, found, 16)]:
            polled[handle] = [library.rbd_aio_get_arg(ctypes.c_void_p(handle)),
                              library.rbd_aio_get_return_value(ctypes.c_void_p(handle))]
            assert ended.acquire(blocking=False), 'the callback had run'
            library.rbd_aio_release(ctypes.c_void_p(handle))
    seen['polled'] = sorted(polled.values()) == [[number, 0] for number in range(1, 9)] and set(polled) == set(started)

    updated = threading.Event()
    on_update = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda argument: updated.set() if argument == 77 else None)
    watch = ctypes.c_uint64()
    assert library.rbd_update_watch(image, ctypes.byref(watch), on_update, ctypes.c_void_p(77)) == 0
    assert library.rbd_resize(image, ctypes.c_uint64(32 * MIB)) == 0
    seen['told of the resize'] = updated.wait(30)
    assert library.rbd_update_unwatch(image, watch) == 0
    # The context goes first: what it came from stays connected.
    handles.rados_ioctx_destroy(io)
    closing = completion()
    assert library.rbd_aio_close(image, closing) == 0
    library.rbd_aio_wait_for_complete(closing)
    seen['close'] = library.rbd_aio_get_return_value(closing)
    library.rbd_aio_release(closing)
    assert handles.rados_ioctx_create(cluster, b'far', ctypes.byref(io)) == 0
    seen['removed'] = library.rbd_remove(io, b'events')
    handles.rados_ioctx_destroy(io)
    handles.rados_shutdown(cluster)
    return seen


def lists():
    # What the real library allocates and our cleanup functions free.
    cluster = connect(rbd_cache='false')
    far = cluster.open_ioctx('far')
    api.create(far, 'listed', 16 * MIB)
    seen = {'trash': [], 'option': None}
    with rbd.Image(far, 'listed') as image:
        image.create_snap('one')
        image.create_snap('two')
        seen['snapshots'] = [snap['name'] for snap in image.list_snaps()]
        seen['watchers'] = len(list(image.watchers_list()))
        seen['owners'] = len(list(image.lock_get_owners()))
        seen['option'] = [entry['value'] for entry in image.config_list() if entry['name'] == 'rbd_cache']
        image.remove_snap('one')
        image.remove_snap('two')
    api.create(far, 'locked', MIB, old_format=False, features=rbd.RBD_FEATURE_LAYERING)
    with rbd.Image(far, 'locked') as image:
        image.lock_exclusive('cookie')
        seen['lockers'] = [cookie for _, cookie, _ in image.list_lockers()['lockers']]
        image.unlock('cookie')
    api.remove(far, 'locked')
    api.trash_move(far, 'listed')
    seen['trash'] = [entry['name'] for entry in api.trash_list(far)]
    for entry in list(api.trash_list(far)):
        api.trash_remove(far, entry['id'])
    api.group_create(far, 'together')
    seen['groups'] = list(api.group_list(far))
    api.group_remove(far, 'together')
    api.namespace_create(far, 'apart')
    seen['namespaces'] = list(api.namespace_list(far))
    far.set_namespace('apart')
    api.create(far, 'inside', MIB)
    seen['in the namespace'] = api.list(far)
    api.remove(far, 'inside')
    far.set_namespace('')
    api.namespace_remove(far, 'apart')
    seen['images'] = api.pool_stats_get(far)['image_count'] == len(api.list(far))
    cluster.shutdown()
    return seen


def objects():
    cluster = connect()
    far, near = cluster.open_ioctx('far'), cluster.open_ioctx('near')
    seen = {}
    far.write_full('object', b'bytes')
    seen['read'] = far.read('object').decode()
    done = []
    far.aio_read('object', 5, 0, lambda completion, data: done.append(data.decode())).wait_for_complete_and_cb()
    seen['aio'] = done
    far.set_xattr('object', 'key', b'value')
    seen['attributes'] = [[name, value.decode()] for name, value in far.get_xattrs('object')]
    with rados.WriteOpCtx() as operation:
        far.set_omap(operation, ('k1', 'k2'), (b'v1', b'v2'))
        far.operate_write_op(operation, 'object')
    with rados.ReadOpCtx() as operation:
        entries, _ = far.get_omap_vals(operation, '', '', 10)
        far.operate_read_op(operation, 'object')
        seen['omap'] = [[key, value.decode()] for key, value in entries]
    seen['listed'] = 'object' in [item.key for item in far.list_objects()]
    seen['pool'] = far.get_stats()['num_objects'] > 0
    seen['a missing object'] = errno_of(far.read, 'none')
    far.remove_object('object')
    cluster.shutdown()
    return seen


def fork():
    cluster = connect()
    far = cluster.open_ioctx('far')
    api.create(far, 'parent', MIB)
    image = rbd.Image(far, 'parent')
    image.write(b'before', 0)
    image.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with rbd.Image(far, 'parent', read_only=True) as own:
            os.write(writing, own.read(0, 6) + b' in the child, %d' % errno_of(image.read, 0, 6))
        image.close()
        os.write(writing, b', closed')
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    status = os.waitpid(child, 0)[1]
    image.write(b'after!', 0)
    after = image.read(0, 6).decode()
    image.close()
    api.remove(far, 'parent')
    cluster.shutdown()
    return {'child': told, 'status': status, 'parent': after}


def unreachable():
    cluster = connect(client_mount_timeout='1')
    answer = {pool: errno_of(cluster.open_ioctx, pool) for pool in sys.argv[2:]}
    cluster.shutdown()
    return answer


def orders():
    # Two contexts and two images of one handle, one on either side, which go in every order.
    seen = []
    for at, order in enumerate(itertools.permutations(('far io', 'near io', 'far image', 'near image', 'cluster'))):
        if at % 5 != 0:
            continue
        cluster = connect()
        far, near = cluster.open_ioctx('far'), cluster.open_ioctx('near')
        for pool in (far, near):
            if at == 0:
                api.create(pool, 'order', MIB)
        parts = {'far io': far, 'near io': near, 'far image': rbd.Image(far, 'order'), 'near image': rbd.Image(near, 'order')}
        for part in order:
            for name in ('far image', 'near image'):
                # Once its rados_t is shut down, the real library answers no request any more.
                if name in parts and 'gone' not in parts:
                    parts[name].write(b'%03d' % at, 0)
                    assert parts[name].read(0, 3) == b'%03d' % at
            if part == 'cluster':
                parts['gone'] = cluster
                cluster.shutdown()
            else:
                parts.pop(part).close()
        seen.append(0)
    last = last_of_all()
    cluster = connect()
    addresses = set()
    for _ in range(3):
        with cluster.open_ioctx('far') as far, rbd.Image(far, 'order') as image:
            addresses.add(list(image.watchers_list())[0]['addr'])
    cluster.shutdown()
    return [len(seen), len(addresses), last]


def last_of_all():
    # An image that outlives its context and its rados_t takes the connection with it when it is closed in the background: not on
    # a thread that the connection waits for.
    library, handles = ctypes.CDLL('librbd.so.1'), ctypes.CDLL('librados.so.2')
    cluster, io, image, closing = (ctypes.c_void_p() for _ in range(4))
    assert handles.rados_create(ctypes.byref(cluster), b'admin') == 0
    assert handles.rados_conf_read_file(cluster, os.environ['CEPH_CONF'].encode()) == 0
    assert handles.rados_connect(cluster) == 0
    assert handles.rados_ioctx_create(cluster, b'far', ctypes.byref(io)) == 0
    assert library.rbd_open(io, b'order', ctypes.byref(image), None) == 0
    handles.rados_ioctx_destroy(io)
    handles.rados_shutdown(cluster)
    assert library.rbd_aio_create_completion(None, None, ctypes.byref(closing)) == 0
    assert library.rbd_aio_close(image, closing) == 0
    assert library.rbd_aio_wait_for_complete(closing) == 0
    result = library.rbd_aio_get_return_value(closing)
    library.rbd_aio_release(closing)
    return result


def outage():
    # The real cluster falls silent and comes back, while this process uses it and, where a second pool is named, ours. The test tells
    # us when, through standard input.
    timeouts = {'rados_osd_op_timeout': '2', 'rados_mon_op_timeout': '2', 'client_mount_timeout': '2'}
    cluster = connect(**timeouts)
    far, *near = [cluster.open_ioctx(pool) for pool in sys.argv[2:]]
    for pool in (far, *near):
        api.create(pool, 'outage-%d' % len(near), 8 * MIB, features=rbd.RBD_FEATURE_LAYERING)
    there, *here = [rbd.Image(pool, 'outage-%d' % len(near)) for pool in (far, *near)]
    for image in (there, *here):
        image.write(b'before', 0)
        image.flush()
    print('ready', flush=True)
    assert sys.stdin.readline() == 'silent\n'
    seen = {'ours': []}
    ended = []
    waiting = there.aio_write(b'waiting', 4096, lambda completion: ended.append(completion.get_return_value()))
    for image, pool in zip(here, near):
        image.write(b'during', 0)
        seen['ours'] = [image.read(0, 6).decode(), 'outage-1' in api.list(pool), rbd.Image(pool, 'outage-1').size()]
    seen['read'] = errno_of(there.read, 0, 6)
    seen['write'] = errno_of(there.write, b'during', 0)
    waiting.wait_for_complete_and_cb()
    seen['aio'] = ended
    seen['list'] = errno_of(api.list, far)
    seen['stat'] = errno_of(far.stat, 'rbd_directory')

    def anew():
        other = connect(**timeouts)
        try:
            other.open_ioctx(sys.argv[2])
        finally:
            other.shutdown()

    seen['connecting anew'] = errno_of(anew)
    print(json.dumps(seen), flush=True)
    assert sys.stdin.readline() == 'back\n'
    there.write(b'after!', 0)
    after = there.read(0, 6).decode()
    for image in (there, *here):
        image.close()
    cluster.shutdown()
    return after


print(json.dumps({'orders': orders, 'outage': outage, 'side-by-side': side_by_side, 'deep-copies': deep_copies, 'both-open': both_open, 'callbacks': callbacks, 'events': events, 'lists': lists, 'objects': objects,
                  'fork': fork, 'unreachable': unreachable}[sys.argv[1]]()))
