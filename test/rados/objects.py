"""Prints what librados answers about objects, one line a call, so that the same script can be run on the real library and on ours.

Run with Debian's python3-rados in PATH's /usr/bin/python3:  objects.py POOL   (CEPH_CONF names the cluster)
Versions, times and addresses are printed only as far as they must agree.
"""
import ctypes
import sys
import rados

cluster = rados.Rados(conffile='', rados_id='admin')
cluster.connect()
io = cluster.open_ioctx(sys.argv[1])
lib = ctypes.CDLL('librados.so.2', use_errno=True)
handle = ctypes.c_void_p()
lib.rados_create(ctypes.byref(handle), b'admin')
lib.rados_conf_read_file(handle, None)
assert lib.rados_connect(handle) == 0
cio = ctypes.c_void_p()
assert lib.rados_ioctx_create(handle, sys.argv[1].encode(), ctypes.byref(cio)) == 0
lib.rados_create_write_op.restype = lib.rados_create_read_op.restype = ctypes.c_void_p
lib.rados_get_last_version.restype = ctypes.c_uint64
size_t, u64, u8, cint = ctypes.c_size_t, ctypes.c_uint64, ctypes.c_uint8, ctypes.c_int


def show(label, value):
    print(f'{label}: {value!r}', flush=True)


def attempt(label, call, *arguments):
    try:
        show(label, call(*arguments))
    except Exception as error:  # what is printed is the class that python3-rados makes of the errno
        show(label, f'{type(error).__name__} {getattr(error, "errno", "")}')


def c(label, name, *arguments):
    value = getattr(lib, name)(cio, *arguments)
    show(label, value)
    return value


def write_op(label, obj, *steps):
    op = ctypes.c_void_p(lib.rados_create_write_op())
    codes = []
    for name, *arguments in steps:
        code = None
        if arguments and arguments[-1] == 'code':
            code = cint(7777)
            codes.append(code)
            arguments[-1] = ctypes.byref(code)
        getattr(lib, 'rados_write_op_' + name)(op, *arguments)
    rc = lib.rados_write_op_operate(op, cio, obj, None, 0)
    show(label, (rc, [code.value for code in codes]))
    lib.rados_release_write_op(op)


def drop(*names):
    for name in names:
        lib.rados_remove(cio, name)


def keys(values):
    return (ctypes.c_char_p * len(values))(*values)


def lengths(values):
    return (size_t * len(values))(*[len(value) for value in values])


def omap(label, obj, start=b'', prefix=b'', count=100):
    op = ctypes.c_void_p(lib.rados_create_read_op())
    iterator, more, code = ctypes.c_void_p(), ctypes.c_ubyte(9), cint(7777)
    lib.rados_read_op_omap_get_vals2(op, start, prefix, u64(count), ctypes.byref(iterator), ctypes.byref(more), ctypes.byref(code))
    rc = lib.rados_read_op_operate(op, cio, obj, 0)
    found = []
    while iterator:
        key, value, length = ctypes.c_char_p(), ctypes.c_void_p(), size_t()
        lib.rados_omap_get_next(iterator, ctypes.byref(key), ctypes.byref(value), ctypes.byref(length))
        if key.value is None:
            break
        found.append((key.value, ctypes.string_at(value, length.value) if length.value else b''))
    show(label, (rc, found, more.value if rc == 0 else None))
    lib.rados_release_read_op(op)


drop(b'a', b'b', b'c', b'd', b'e', b'f', b'g')

# Data
attempt('stat of a missing object', io.stat, 'a')
attempt('read of a missing object', io.read, 'a')
attempt('remove of a missing object', io.remove_object, 'a')
attempt('truncate of a missing object', io.trunc, 'a', 10)
attempt('and it is still missing', lambda: io.stat('a')[0])
attempt('write', io.write, 'a', b'hello')
attempt('write at an offset', io.write, 'a', b'W', 10)
attempt('read', io.read, 'a')
attempt('read a part', io.read, 'a', 3, 1)
attempt('read behind the end', io.read, 'a', 3, 100)
attempt('read of length 0', io.read, 'a', 0, 0)
attempt('size', lambda: io.stat('a')[0])
attempt('write_full', io.write_full, 'a', b'xyz')
attempt('append', io.append, 'a', b'123')
attempt('read', io.read, 'a')
attempt('truncate', io.trunc, 'a', 4)
attempt('read', io.read, 'a')
attempt('truncate to more', io.trunc, 'a', 6)
attempt('read', io.read, 'a')
attempt('append makes an object', io.append, 'b', b'1')
attempt('write of nothing makes an object', io.write, 'c', b'')
attempt('size', lambda: io.stat('c')[0])
big = bytes(range(256)) * 1024
attempt('256 KiB', io.write_full, 'd', big)
attempt('are there', lambda: io.read('d', len(big) + 5) == big)
attempt('a write over a chunk border', io.write, 'd', b'#' * 10, 65530)
attempt('is there', io.read, 'd', 14, 65528)
attempt('write far behind', io.write, 'c', b'Z', 200000)
attempt('zeroes before it', lambda: io.read('c', 200001) == bytes(200000) + b'Z')
attempt('truncate in a chunk', io.trunc, 'd', 70000)
attempt('extend again', io.trunc, 'd', 80000)
attempt('reads zeroes', lambda: io.read('d', 10001, 69999) == big[69999:70000] + bytes(10000))
attempt('too large an offset', io.write, 'a', b'x', 1 << 40)
attempt('too large a truncate', io.trunc, 'a', 1 << 40)
attempt('a long name', io.write, 'n' * 3000, b'x')
attempt('the longest name', io.write, 'n' * 2048, b'x')
drop(b'n' * 2048)
c('an empty name', 'rados_write', b'', b'x', size_t(1), u64(0))
c('2 GiB', 'rados_write', b'a', b'x', size_t(1 << 31), u64(0))
attempt('writesame', lambda: io.writesame('e', b'ab', 6))
attempt('read', io.read, 'e')
c('writesame with a rest', 'rados_writesame', b'e', b'ab', size_t(2), size_t(5), u64(0))
c('writesame of nothing', 'rados_writesame', b'e', b'', size_t(0), size_t(4), u64(0))
c('cmpext that holds', 'rados_cmpext', b'e', b'abab', size_t(4), u64(0))
c('cmpext that does not', 'rados_cmpext', b'e', b'abXb', size_t(4), u64(0))
c('cmpext at an offset', 'rados_cmpext', b'e', b'aXab', size_t(4), u64(2))
c('cmpext over the end', 'rados_cmpext', b'e', b'ab\0\0', size_t(4), u64(4))
c('cmpext of a missing object', 'rados_cmpext', b'zz', b'ab', size_t(2), u64(0))
c('exec', 'rados_exec', b'e', b'nosuch', b'method', None, size_t(0), None, size_t(0))

# xattrs
attempt('xattr of a missing object', io.get_xattr, 'zz', 'k')
attempt('xattr that is not set', io.get_xattr, 'e', 'k')
attempt('set', io.set_xattr, 'e', 'k', b'v\0w')
attempt('get', io.get_xattr, 'e', 'k')
attempt('set an empty one', io.set_xattr, 'e', 'empty', b'')
attempt('get', io.get_xattr, 'e', 'empty')
attempt('list', lambda: sorted(io.get_xattrs('e')))
attempt('list of a missing object', lambda: list(io.get_xattrs('zz')))
attempt('remove', io.rm_xattr, 'e', 'k')
attempt('remove again', io.rm_xattr, 'e', 'k')
attempt('remove from a missing object', io.rm_xattr, 'zz', 'k')
attempt('setting one makes an object', io.set_xattr, 'f', 'k', b'value')
attempt('size', lambda: io.stat('f')[0])
small = ctypes.create_string_buffer(2)
c('a small buffer', 'rados_getxattr', b'f', b'k', small, size_t(2))
c('a long xattr name', 'rados_setxattr', b'f', b'n' * 300, b'x', size_t(1))
attempt('write_full keeps xattrs', io.write_full, 'f', b'1')
attempt('get', io.get_xattr, 'f', 'k')

# Atomic operations
write_op('create', b'g', ('create', 1, None))
write_op('create exclusively again', b'g', ('create', 1, None))
write_op('create again', b'g', ('create', 0, None))
write_op('assert_exists of a missing object', b'zz', ('assert_exists',), ('write_full', b'x', size_t(1)))
attempt('and nothing was made', lambda: io.stat('zz')[0])
write_op('all or none', b'g', ('write_full', b'data', size_t(4)), ('create', 1, None))
attempt('none', io.read, 'g')
write_op('a failure that is allowed', b'g', ('create', 1, None), ('set_flags', 3), ('write_full', b'data', size_t(4)))
attempt('all', io.read, 'g')
write_op('cmpxattr of what is not set', b'g', ('cmpxattr', b'k', u8(1), b'v', size_t(1)), ('append', b'!', size_t(1)))
write_op('set', b'g', ('setxattr', b'k', b'v', size_t(1)))
for operator in range(0, 8):
    write_op(f'cmpxattr {operator} with less', b'g', ('cmpxattr', b'k', u8(operator), b'u', size_t(1)), ('set_alloc_hint', u64(0), u64(0)))
    write_op(f'cmpxattr {operator} with the same', b'g', ('cmpxattr', b'k', u8(operator), b'v', size_t(1)), ('set_alloc_hint', u64(0), u64(0)))
    write_op(f'cmpxattr {operator} with more', b'g', ('cmpxattr', b'k', u8(operator), b'w', size_t(1)), ('set_alloc_hint', u64(0), u64(0)))
write_op('cmpext in an operation', b'g', ('cmpext', b'dXta', size_t(4), u64(0), 'code'), ('append', b'!', size_t(1)))
write_op('cmpext that holds', b'g', ('cmpext', b'data', size_t(4), u64(0), 'code'), ('append', b'!', size_t(1)))
attempt('read', io.read, 'g')
write_op('zero', b'g', ('zero', u64(1), u64(2)))
attempt('read', io.read, 'g')
write_op('zero over the end', b'g', ('zero', u64(4), u64(100)))
attempt('read', io.read, 'g')
write_op('zero of a missing object', b'zz', ('zero', u64(0), u64(10)))
attempt('still missing', lambda: io.stat('zz')[0])
write_op('truncate', b'g', ('truncate', u64(2)))
write_op('remove and make anew', b'g', ('remove',), ('write', b'new', size_t(3), u64(0)))
attempt('read', io.read, 'g')
attempt('no xattrs', lambda: list(io.get_xattrs('g')))
write_op('a hint makes an object', b'zz', ('set_alloc_hint', u64(0), u64(0)))
attempt('size', lambda: io.stat('zz')[0])
drop(b'zz')
write_op('an empty operation', b'zz')
attempt('makes none', lambda: io.stat('zz')[0])
write_op('exec', b'g', ('exec', b'nosuch', b'method', None, size_t(0), 'code'))

# Versions
before = lib.rados_get_last_version(cio)
lib.rados_write_full(cio, b'g', b'1', size_t(1))
first = lib.rados_get_last_version(cio)
lib.rados_write_full(cio, b'g', b'2', size_t(1))
second = lib.rados_get_last_version(cio)
show('versions grow', 0 < first < second)
write_op('assert_version of now', b'g', ('assert_version', u64(second)), ('append', b'x', size_t(1)))
write_op('assert_version of before', b'g', ('assert_version', u64(first)), ('append', b'x', size_t(1)))
write_op('assert_version of later', b'g', ('assert_version', u64(second + 1000)), ('append', b'x', size_t(1)))
write_op('assert_version 0', b'g', ('assert_version', u64(0)), ('append', b'x', size_t(1)))
attempt('read', io.read, 'g')

# omap
omap('omap of a missing object', b'zz')
omap('an empty omap', b'g')
names, values = [b'k1', b'k3', b'k2', b'x1', b'\xc3\xa9'], [b'v1', b'v\0003', b'', b'w', b'u']
write_op('set', b'g', ('omap_set', keys(names), keys(values), lengths(values), size_t(len(names))))
omap('all', b'g')
omap('by prefix', b'g', b'', b'k')
omap('after', b'g', b'k2')
omap('at most two', b'g', b'', b'', 2)
omap('at most none', b'g', b'', b'', 0)
omap('after, with a prefix that was before', b'g', b'x', b'k')
for operator in (1, 2, 3, 4, 5, 6):
    write_op(f'omap_cmp {operator}', b'g', ('omap_cmp', b'k1', u8(operator), b'v0', size_t(2), 'code'), ('set_alloc_hint', u64(0), u64(0)))
write_op('omap_cmp of a key that is not there', b'g', ('omap_cmp', b'none', u8(1), b'v', size_t(1), 'code'), ('set_alloc_hint', u64(0), u64(0)))
write_op('omap_cmp of a missing object', b'zz', ('omap_cmp', b'none', u8(1), b'v', size_t(1), 'code'), ('set_alloc_hint', u64(0), u64(0)))
write_op('remove keys, some not there', b'g', ('omap_rm_keys', keys([b'k1', b'none']), size_t(2)))
omap('the rest', b'g')
write_op('remove a range', b'g', ('omap_rm_range2', b'k', size_t(1), b'l', size_t(1)))
omap('the rest', b'g')
write_op('clear and set', b'g', ('omap_clear',), ('omap_set', keys([b'n']), keys([b'1']), lengths([b'1']), size_t(1)))
omap('the new one', b'g')
write_op('clear', b'g', ('omap_clear',))
omap('nothing', b'g')
write_op('remove keys of a missing object', b'zz', ('omap_rm_keys', keys([b'k1']), size_t(1)))
write_op('clear of a missing object', b'zz', ('omap_clear',))
write_op('set makes an object', b'zz', ('omap_set', keys([b'n']), keys([b'1']), lengths([b'1']), size_t(1)))
omap('it', b'zz')
attempt('removing the object removes it', io.remove_object, 'zz')
attempt('written again', io.write_full, 'zz', b'')
omap('it is empty', b'zz')
drop(b'zz')
with rados.ReadOpCtx() as op:
    iterator, code = io.get_omap_vals_by_keys(op, ('n', 'none'))
    attempt('by keys of a missing object', lambda: io.operate_read_op(op, 'zz'))

# Listing and namespaces
io.set_namespace('one')
attempt('another namespace is empty', lambda: sorted(o.key for o in io.list_objects()))
attempt('the same name there', io.write_full, 'a', b'in one')
attempt('is another object', io.read, 'a')
attempt('listed', lambda: sorted((o.nspace, o.key) for o in io.list_objects()))
io.set_namespace(rados.LIBRADOS_ALL_NSPACES)
attempt('all namespaces', lambda: sorted((o.nspace, o.key) for o in io.list_objects()))
io.set_namespace('one')
io.remove_object('a')
io.set_namespace('')
attempt('the default one', lambda: sorted((o.nspace, o.key) for o in io.list_objects()))

# Locks
attempt('lock', io.lock_exclusive, 'a', 'L', 'cookie', 'what for')
attempt('lock again', io.lock_exclusive, 'a', 'L', 'cookie')
attempt('another cookie', io.lock_exclusive, 'a', 'L', 'other')
attempt('renewed', io.lock_exclusive, 'a', 'L', 'cookie', 'what for', None, 1)
c('by another client', 'rados_lock_exclusive', b'a', b'L', b'cookie', b'', None, u8(0))
c('shared by another client', 'rados_lock_shared', b'a', b'L', b'cookie', b'tag', b'', None, u8(0))
c('unlock by another client', 'rados_unlock', b'a', b'L', b'cookie')
attempt('unlock', io.unlock, 'a', 'L', 'cookie')
attempt('unlock again', io.unlock, 'a', 'L', 'cookie')
attempt('shared', io.lock_shared, 'a', 'L', 'one', 'tag')
c('shared by another client', 'rados_lock_shared', b'a', b'L', b'two', b'tag', b'', None, u8(0))
c('with another tag', 'rados_lock_shared', b'a', b'L', b'three', b'other', b'', None, u8(0))
c('exclusive while shared', 'rados_lock_exclusive', b'a', b'L', b'four', b'', None, u8(0))


def lockers(label, obj, name, room=200):
    exclusive = cint(9)
    texts = [ctypes.create_string_buffer(room) for _ in range(4)]
    sizes = [size_t(room) for _ in range(4)]
    arguments = [item for text, size in zip(texts, sizes) for item in (text, ctypes.byref(size))]
    lib.rados_list_lockers.restype = ctypes.c_ssize_t
    count = lib.rados_list_lockers(cio, obj, name, ctypes.byref(exclusive), *arguments)
    cookies = [word for word in texts[2].raw[:sizes[2].value].split(b'\0') if word] if count > 0 else []
    show(label, (count, exclusive.value if count > 0 else None, texts[0].value if count > 0 else None, cookies))
    return texts


texts = lockers('lockers', b'a', b'L')
lockers('a small buffer', b'a', b'L', 3)
client = texts[1].value
c('break what nobody holds', 'rados_break_lock', b'a', b'L', client, b'nobody')
c('break', 'rados_break_lock', b'a', b'L', b'client.%d' % cluster.get_instance_id(), b'one')
lockers('the other is left', b'a', b'L')
lockers('no such lock', b'a', b'none')
lockers('of a missing object', b'zz', b'L')
c('break with a bad name', 'rados_break_lock', b'a', b'L', b'nonsense', b'one')
c('a lock makes an object', 'rados_lock_exclusive', b'zz', b'L', b'cookie', b'', None, u8(0))
attempt('size', lambda: io.stat('zz')[0])
c('unlock', 'rados_unlock', b'zz', b'L', b'cookie')
attempt('it stays', lambda: io.stat('zz')[0])
drop(b'zz')

# Asynchronous
done = []
completion = io.aio_write_full('h', b'later', lambda comp: done.append('complete'))
completion.wait_for_complete_and_cb()
show('aio write', (completion.get_return_value(), done))
got = []
completion = io.aio_read('h', 10, 0, lambda comp, data: got.append(data))
completion.wait_for_complete_and_cb()
show('aio read', (completion.get_return_value(), got))
completion = io.aio_read('zz', 10, 0, lambda comp, data: got.append(data))
completion.wait_for_complete_and_cb()
show('aio read of a missing object', (completion.get_return_value(), got))
many = [io.aio_append('i', b'x') for _ in range(50)]
io.aio_flush()
show('after a flush all are complete', all(one.is_complete() for one in many))
attempt('and there', lambda: io.stat('i')[0])
completion = io.aio_remove('i')
completion.wait_for_complete_and_cb()
show('aio remove', completion.get_return_value())
drop(b'h', b'a', b'b', b'c', b'd', b'e', b'f', b'g')
attempt('nothing is left', lambda: sorted(o.key for o in io.list_objects()))
lib.rados_ioctx_destroy(cio)
lib.rados_shutdown(handle)
io.close()
cluster.shutdown()
