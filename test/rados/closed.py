"""Calls through a pool handle that was closed, as Cinder's RBD driver makes them. Prints one line of JSON for each: what came of it."""
import errno
import json
import rados
import rbd

cluster = rados.Rados(conffile='')
cluster.connect()
one, two = cluster.open_ioctx('rbd'), cluster.open_ioctx('rbd')
rbd.RBD().create(two, 'image', 1 << 22)
with rbd.Image(two, 'image') as image:
    image.create_snap('point')
two.write('object', b'x')
# Where the memory of a closed one were used again, another pool would answer in its place.
one.close()
others = [cluster.open_ioctx('other') for _ in range(64)]

R = rbd.RBD()
calls = {
    'remove': lambda io: R.remove(io, 'image'),
    'create': lambda io: R.create(io, 'new', 1 << 22),
    'create with an order': lambda io: R.create(io, 'new', 1 << 22, 22, old_format=False, features=61),
    'list': lambda io: list(R.list(io)),
    'list2': lambda io: list(R.list2(io)),
    'rename': lambda io: R.rename(io, 'image', 'other'),
    'clone': lambda io: R.clone(io, 'image', 'point', two, 'clone'),
    'clone into it': lambda io: R.clone(two, 'image', 'point', io, 'clone'),
    'open': lambda io: rbd.Image(io, 'image'),
    'open to read': lambda io: rbd.Image(io, 'image', read_only=True),
    'open a snapshot': lambda io: rbd.Image(io, 'image', snapshot='point'),
    'open by id': lambda io: rbd.Image(io, image_id='abc'),
    'trash_move': lambda io: R.trash_move(io, 'image', 0),
    'trash_list': lambda io: list(R.trash_list(io)),
    'trash_get': lambda io: R.trash_get(io, 'abc'),
    'trash_remove': lambda io: R.trash_remove(io, 'abc'),
    'trash_restore': lambda io: R.trash_restore(io, 'abc', 'image'),
    'trash_purge': lambda io: R.trash_purge(io),
    'namespace_create': lambda io: R.namespace_create(io, 'space'),
    'namespace_list': lambda io: list(R.namespace_list(io)),
    'namespace_exists': lambda io: R.namespace_exists(io, 'space'),
    'namespace_remove': lambda io: R.namespace_remove(io, 'space'),
    'pool_init': lambda io: R.pool_init(io, False),
    'pool_stats_get': lambda io: R.pool_stats_get(io),
    'pool_metadata_get': lambda io: R.pool_metadata_get(io, 'key'),
    'pool_metadata_set': lambda io: R.pool_metadata_set(io, 'key', 'value'),
    'pool_metadata_list': lambda io: list(R.pool_metadata_list(io)),
    'pool_metadata_remove': lambda io: R.pool_metadata_remove(io, 'key'),
    'config_list': lambda io: list(R.config_list(io)),
    'config_get': lambda io: R.config_get(io, 'rbd_cache'),
    'config_set': lambda io: R.config_set(io, 'rbd_cache', 'false'),
    'config_remove': lambda io: R.config_remove(io, 'rbd_cache'),
    'mirror_mode_get': lambda io: R.mirror_mode_get(io),
    'mirror_image_status_list': lambda io: list(R.mirror_image_status_list(io)),
    'group_create': lambda io: R.group_create(io, 'group'),
    'group_remove': lambda io: R.group_remove(io, 'group'),
    'group_list': lambda io: list(R.group_list(io)),
    'group_rename': lambda io: R.group_rename(io, 'group', 'other'),
    'group add_image': lambda io: rbd.Group(io, 'group').add_image(two, 'image'),
    'group list_images': lambda io: list(rbd.Group(io, 'group').list_images()),
    'group create_snap': lambda io: rbd.Group(io, 'group').create_snap('point'),
    'migration_prepare': lambda io: R.migration_prepare(io, 'image', two, 'moved'),
    'migration_status': lambda io: R.migration_status(io, 'image'),
    'migration_abort': lambda io: R.migration_abort(io, 'image'),
    'features_to_string': None,
}


def told(name, call, io):
    try:
        value = call(io)
        print(json.dumps({'call': name, 'gave': repr(value)}), flush=True)
    except Exception as error:
        print(json.dumps({'call': name, 'error': errno.errorcode.get(abs(getattr(error, 'errno', None) or 0)), 'kind': type(error).__name__}), flush=True)


del calls['features_to_string']
for name, call in calls.items():
    told(name, call, one)
# An image that was opened before goes on; what leads from it into the closed pool does not.
held_pool = cluster.open_ioctx('rbd')
with rbd.Image(held_pool, 'image') as held:
    held_pool.close()
    held.write(b'y' * 512, 0)
    told('copy', lambda io: held.copy(io, 'copy'), one)
    told('deep_copy', lambda io: held.deep_copy(io, 'copy'), one)
    print(json.dumps({'call': 'read of an image whose pool was closed', 'gave': repr(held.read(0, 512) == b'y' * 512)}), flush=True)
# librados' own calls are refused by python3-rados itself; C clients get there.
import ctypes
librados = ctypes.CDLL('librados.so.2')
handle = ctypes.c_void_p()
client = ctypes.c_void_p()
librados.rados_create2(ctypes.byref(client), b'ceph', b'client.admin', ctypes.c_uint64(0))
librados.rados_conf_read_file(client, None)
librados.rados_connect(client)
librados.rados_ioctx_create(client, b'rbd', ctypes.byref(handle))
librados.rados_ioctx_destroy(handle)
room = ctypes.create_string_buffer(4096)
number = ctypes.c_uint64()
nothing = ctypes.CFUNCTYPE(None)(lambda: None)
for name, arguments in {
    'rados_read': (b'object', room, ctypes.c_size_t(16), ctypes.c_uint64(0)),
    'rados_write': (b'object', b'z', ctypes.c_size_t(1), ctypes.c_uint64(0)),
    'rados_stat': (b'object', ctypes.byref(number), ctypes.byref(ctypes.c_uint64())),
    'rados_remove': (b'object',),
    'rados_ioctx_pool_stat': (room,),
    'rados_ioctx_get_pool_name': (room, ctypes.c_uint(4096)),
    'rados_application_enable': (b'rbd', ctypes.c_int(1)),
    'rados_watch2': (b'object', ctypes.byref(number), nothing, nothing, None),
    'rados_unwatch2': (ctypes.c_uint64(7),),
    'rados_notify2': (b'object', b'', ctypes.c_int(0), ctypes.c_uint64(10), None, None),
    'rados_lock_exclusive': (b'object', b'lock', b'cookie', b'', None, ctypes.c_uint8(0)),
}.items():
    code = getattr(librados, name)(handle, *arguments)
    print(json.dumps({'call': name, 'error': errno.errorcode.get(-code, str(code)), 'kind': 'code'}), flush=True)
librados.rados_ioctx_cct.restype = librados.rados_ioctx_get_cluster.restype = ctypes.c_void_p
print(json.dumps({'call': 'cct and cluster', 'gave': repr((librados.rados_ioctx_cct(handle), librados.rados_ioctx_get_cluster(handle)))}), flush=True)
librados.rados_aio_flush(handle)
librados.rados_ioctx_destroy(handle)
librados.rados_ioctx_destroy(handle)
# Many are closed in a process that runs for long; only so many of them are kept.
for _ in range(10_000):
    librados.rados_ioctx_create(client, b'rbd', ctypes.byref(handle))
    librados.rados_ioctx_destroy(handle)
grown = int(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1])
for _ in range(10_000):
    librados.rados_ioctx_create(client, b'rbd', ctypes.byref(handle))
    librados.rados_ioctx_destroy(handle)
grown = int(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1]) - grown
librados.rados_shutdown(client)
print(json.dumps({'call': 'memory', 'gave': repr(grown < 1024)}), flush=True)
print(json.dumps({'call': 'what is left', 'gave': repr((sorted(R.list(two)), [other.get_pool_name() if hasattr(other, 'get_pool_name') else 'other' for other in others[:1]]))}), flush=True)
