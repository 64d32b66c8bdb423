# Run by objects.test.ts on Ceph's own librados and on ours: the object calls that python3-rados does not wrap, or wraps away, on the
# pool of the first argument. Prints what each answered as JSON.
import ctypes
import json
import os
import sys

from ctypes import byref, c_char_p, c_int, c_size_t, c_uint8, c_uint64, c_void_p

lib = ctypes.CDLL('librados.so.2')
for name in ('rados_create_write_op', 'rados_create_read_op', 'rados_object_list_begin', 'rados_object_list_end'):
    getattr(lib, name).restype = c_void_p
lib.rados_aio_get_version.restype = c_uint64
lib.rados_omap_iter_size.restype = ctypes.c_uint
lib.rados_watch_check.restype = c_int

cluster, io = c_void_p(), c_void_p()
assert lib.rados_create(byref(cluster), b'admin') == 0
assert lib.rados_conf_read_file(cluster, os.environ['CEPH_CONF'].encode()) == 0
assert lib.rados_connect(cluster) == 0
assert lib.rados_ioctx_create(cluster, sys.argv[1].encode(), byref(io)) == 0
seen = {}
ended = []
Ended = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
on_end = Ended(lambda completion, argument: ended.append(
    [argument, lib.rados_aio_get_return_value(c_void_p(completion)), lib.rados_aio_is_complete(c_void_p(completion))]))


def completion(argument):
    made = c_void_p()
    assert lib.rados_aio_create_completion2(c_void_p(argument), on_end, byref(made)) == 0
    return made


def end(made):
    lib.rados_aio_wait_for_complete_and_cb(made)
    result = lib.rados_aio_get_return_value(made)
    lib.rados_aio_release(made)
    return result


def walk(step, iterator, finish):
    out = []
    while True:
        key, value, length = c_char_p(), c_void_p(), c_size_t()
        result = step(iterator, byref(key), byref(value), byref(length))
        if result != 0 or not key.value:
            finish(iterator)
            return out + [result]
        out.append([key.value.decode(), ctypes.string_at(value, length.value).decode()])


def write_operations():
    operation = c_void_p(lib.rados_create_write_op())
    lib.rados_write_op_create(operation, 0, None)
    lib.rados_write_op_write_full(operation, b'0123456789', c_size_t(10))
    for key, value in ((b'x1', b'one'), (b'x2', b'two')):
        lib.rados_write_op_setxattr(operation, key, value, c_size_t(3))
    keys, values, lengths = (c_char_p * 3)(b'a', b'b', b'c'), (c_char_p * 3)(b'1', b'22', b'333'), (c_size_t * 3)(1, 2, 3)
    lib.rados_write_op_omap_set(operation, keys, values, lengths, c_size_t(3))
    seen['write'] = lib.rados_write_op_operate(operation, io, b'object', None, 0)
    lib.rados_release_write_op(operation)
    operation = c_void_p(lib.rados_create_write_op())
    lib.rados_write_op_cmpxattr(operation, b'x1', c_uint8(1), b'nope', c_size_t(4))
    lib.rados_write_op_remove(operation)
    seen['guarded'] = lib.rados_write_op_operate(operation, io, b'object', None, 0)
    lib.rados_release_write_op(operation)
    operation = c_void_p(lib.rados_create_write_op())
    lib.rados_write_op_append(operation, b'xyz', c_size_t(3))
    appended = completion(1)
    seen['aio write'] = [lib.rados_aio_write_op_operate(operation, io, appended, b'object', None, 0), lib.rados_aio_wait_for_complete(appended),
                         lib.rados_aio_get_version(appended) > 0, end(appended)]
    lib.rados_release_write_op(operation)


def read_operations():
    operation = c_void_p(lib.rados_create_read_op())
    size, time, text, got = c_uint64(), ctypes.c_long(), ctypes.create_string_buffer(16), c_size_t()
    results = [c_int(99) for _ in range(5)]
    attributes, entries, chosen, more = c_void_p(), c_void_p(), c_void_p(), c_uint8(9)
    lib.rados_read_op_stat(operation, byref(size), byref(time), byref(results[0]))
    lib.rados_read_op_read(operation, c_uint64(2), c_size_t(5), text, byref(got), byref(results[1]))
    lib.rados_read_op_getxattrs(operation, byref(attributes), byref(results[2]))
    lib.rados_read_op_omap_get_vals2(operation, b'', b'', c_uint64(2), byref(entries), byref(more), byref(results[3]))
    lib.rados_read_op_omap_get_vals_by_keys(operation, (c_char_p * 2)(b'c', b'zz'), c_size_t(2), byref(chosen), byref(results[4]))
    seen['read'] = [lib.rados_read_op_operate(operation, io, b'object', 0), size.value, text.raw[:got.value].decode(), more.value,
                    [result.value for result in results]]
    seen['attributes'] = walk(lib.rados_getxattrs_next, attributes, lib.rados_getxattrs_end)
    seen['entries'] = [lib.rados_omap_iter_size(entries), walk(lib.rados_omap_get_next, entries, lib.rados_omap_get_end)]
    seen['chosen'] = walk(lib.rados_omap_get_next, chosen, lib.rados_omap_get_end)
    lib.rados_release_read_op(operation)
    operation, keys, more, result = c_void_p(lib.rados_create_read_op()), c_void_p(), c_uint8(9), c_int(99)
    lib.rados_read_op_omap_get_keys2(operation, b'a', c_uint64(10), byref(keys), byref(more), byref(result))
    reading = completion(2)
    seen['aio read'] = [lib.rados_aio_read_op_operate(operation, io, reading, b'object', 0), end(reading), result.value, more.value,
                        walk(lib.rados_omap_get_next, keys, lib.rados_omap_get_end)]
    lib.rados_release_read_op(operation)


def classes():
    out = ctypes.create_string_buffer(64)
    call = [b'', c_size_t(0), out, c_size_t(64)]
    seen['exec'] = [lib.rados_exec(io, b'object', b'version', b'read', *call) > 0, lib.rados_exec(io, b'object', b'nosuch', b'm', *call)]
    running = completion(3)
    seen['aio exec'] = [lib.rados_aio_exec(io, b'object', running, b'lock', b'list_locks', *call), end(running) > 0]


def cancelling():
    out = ctypes.create_string_buffer(1 << 20)
    reading = completion(4)
    lib.rados_aio_read(io, b'object', reading, out, c_size_t(4), c_uint64(0))
    lib.rados_aio_wait_for_complete_and_cb(reading)
    seen['cancelled too late'] = [lib.rados_aio_cancel(io, reading), end(reading)]
    many = [completion(100 + at) for at in range(64)]
    started = {lib.rados_aio_write(io, b'big', one, out, c_size_t(1 << 20), c_uint64(0)) for one in many}
    cancelled = {lib.rados_aio_cancel(io, one) for one in many}
    results = {end(one) for one in many}
    # How many are cancelled depends on how fast the osd is.
    seen['cancelled'] = [started == {0}, cancelled == {0}, results <= {0, -125}, -125 in results]
    seen['each ends once'] = sorted(argument for argument, _, _ in ended if argument >= 100) == list(range(100, 164))


def watches():
    On = ctypes.CFUNCTYPE(None, c_void_p, c_uint64, c_uint64, c_uint64, c_void_p, c_size_t)
    heard, cookie = [], c_uint64()

    def notified(argument, notification, handle, notifier, data, length):
        heard.append([argument, handle == cookie.value, ctypes.string_at(data, length).decode()])
        lib.rados_notify_ack(io, b'object', c_uint64(notification), c_uint64(handle), b'heard', 5)

    on, failed = On(notified), ctypes.CFUNCTYPE(None, c_void_p, c_uint64, c_int)(lambda *_: None)
    answer, length = c_void_p(), c_size_t()
    seen['watch'] = lib.rados_watch2(io, b'object', byref(cookie), on, failed, c_void_p(55))
    seen['notify'] = [lib.rados_notify2(io, b'object', b'hello', 5, c_uint64(5000), byref(answer), byref(length)),
                      b'heard' in ctypes.string_at(answer, length.value), heard]
    lib.rados_buffer_free(answer)
    seen['alive'] = lib.rados_watch_check(io, cookie) >= 0
    flushing = completion(5)
    seen['flush'] = [lib.rados_watch_flush(cluster), lib.rados_aio_watch_flush(cluster, flushing), end(flushing), lib.rados_wait_for_latest_osdmap(cluster)]
    seen['unwatch'] = lib.rados_unwatch2(io, cookie)


class Item(ctypes.Structure):
    _fields_ = [('length', c_size_t), ('name', c_void_p), ('space_length', c_size_t), ('space', c_void_p),
                ('locator_length', c_size_t), ('locator', c_void_p)]


def cursors():
    for at in range(7):
        assert lib.rados_write_full(io, b'item-%d' % at, b'data', c_size_t(4)) == 0
    start = lambda: c_void_p(lib.rados_object_list_begin(io))
    here, last, names = start(), c_void_p(lib.rados_object_list_end(io)), []
    seen['order'] = lib.rados_object_list_cursor_cmp(io, here, last) < 0
    while not lib.rados_object_list_is_end(io, here):
        items, behind = (Item * 3)(), start()
        count = lib.rados_object_list(io, here, last, c_size_t(3), None, c_size_t(0), items, byref(behind))
        names += [ctypes.string_at(item.name, item.length).decode() for item in items[:count]]
        lib.rados_object_list_free(c_size_t(count), items)
        lib.rados_object_list_cursor_free(io, here)
        here = behind
    seen['listed'] = sorted(name for name in names if name.startswith('item-'))
    first, second = start(), start()
    lib.rados_object_list_slice(io, start(), last, c_size_t(0), c_size_t(2), byref(first), byref(second))
    seen['slice'] = lib.rados_object_list_cursor_cmp(io, first, second) < 0
    listing, key, count = c_void_p(), c_char_p(), 0
    assert lib.rados_nobjects_list_open(io, byref(listing)) == 0
    while lib.rados_nobjects_list_next(listing, byref(key), None, None) == 0:
        count += key.value.startswith(b'item-')
    lib.rados_nobjects_list_close(listing)
    seen['count'] = count
    for at in range(7):
        lib.rados_remove(io, b'item-%d' % at)


for part in (write_operations, read_operations, classes, cancelling, watches, cursors):
    part()
for name in (b'object', b'big'):
    assert lib.rados_remove(io, name) == 0
seen['ended'] = sorted(one for one in ended if one[0] < 100)
lib.rados_ioctx_destroy(io)
lib.rados_shutdown(cluster)
print(json.dumps(seen))
