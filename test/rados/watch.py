# Watches objects and notifies who watches, and prints what came of it, without numbers that differ from run to run. Run on a real cluster, its
# output is test/rados/watch-16.2.15.txt. The C functions that python3-rados does not call are called through ctypes.
import ctypes
import rados
import sys
import threading

cluster = rados.Rados(conffile='')
cluster.connect()
io = cluster.open_ioctx(sys.argv[1])
other = rados.Rados(conffile='')
other.connect()
other_io = other.open_ioctx(sys.argv[1])


def attempt(what, call):
    try:
        print(what, call())
    except Exception as error:
        print(what, type(error).__name__, getattr(error, 'errno', None))


for name in ['o', 'gone']:
    try:
        io.remove_object(name)
    except rados.ObjectNotFound:
        pass
io.write_full('o', b'x')
attempt('watch of nothing', lambda: io.watch('nothing', print))
attempt('notify of nothing', lambda: io.notify('nothing', 'hello', 2000))
attempt('notify without watchers', lambda: io.notify('o', 'hello', 2000))

seen = []
arrived = threading.Event()


def note(notify_id, notifier_id, watch_id, data):
    seen.append((notify_id > 0, str(notifier_id) == str(other.get_instance_id()), data))
    arrived.set()


watch = io.watch('o', note)
print('id', watch.get_id() != 0, 'check', watch.check() is not None)
attempt('notify from another client', lambda: other_io.notify('o', 'hello', 5000))
arrived.wait(10)
print(seen)
attempt('notify with zeroes in it', lambda: other_io.notify('o', 'a\0b', 5000))
print(seen[-1])
attempt('notify with nothing in it', lambda: other_io.notify('o', '', 5000))
print(seen[-1])

two = other_io.watch('o', lambda *args: None)
done = threading.Event()


def complete(completion, result, acks, timeouts):
    print('aio', result, sorted(len(ack) for ack in acks or []), timeouts)
    print('from', sorted(str(ack[0]) == str(cluster.get_instance_id()) for ack in acks))
    done.set()


io.aio_notify('o', complete, 'both', 5000)
done.wait(10)
two.close()
watch.close()
print(len(seen))
attempt('notify after the end of the watches', lambda: other_io.notify('o', 'nobody', 2000))
print(len(seen))

# An object that is removed takes its watch with it.
io.write_full('gone', b'x')
broken = threading.Event()
third = io.watch('gone', lambda *args: None, lambda *args: broken.set())
io.remove_object('gone')
print('broken', broken.wait(30))
attempt('notify of a removed object', lambda: io.notify('gone', 'x', 2000))
third.close()

# Straight to C: a watcher that does not acknowledge.
lib = ctypes.CDLL('librados.so.2')
c_cluster = ctypes.c_void_p()
lib.rados_create2(ctypes.byref(c_cluster), None, b'client.admin', 0)
lib.rados_conf_read_file(c_cluster, None)
print('connect', lib.rados_connect(c_cluster))
c_io = ctypes.c_void_p()
print('ioctx', lib.rados_ioctx_create(c_cluster, sys.argv[1].encode(), ctypes.byref(c_io)))
called = threading.Event()
WATCH = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t)
silent = WATCH(lambda *args: called.set())
cookie = ctypes.c_uint64()
print('watch', lib.rados_watch3(c_io, b'o', ctypes.byref(cookie), silent, None, 30, None))
reply = ctypes.c_void_p()
length = ctypes.c_size_t()
print('notify', lib.rados_notify2(c_io, b'o', b'data', 4, ctypes.c_uint64(1500), ctypes.byref(reply), ctypes.byref(length)))
print('called', called.is_set(), 'answer', length.value)
acks, timeouts = ctypes.c_void_p(), ctypes.c_void_p()
n_acks, n_timeouts = ctypes.c_size_t(), ctypes.c_size_t()
print('decode', lib.rados_decode_notify_response(reply, length, ctypes.byref(acks), ctypes.byref(n_acks), ctypes.byref(timeouts), ctypes.byref(n_timeouts)))
print('acks', n_acks.value, 'timeouts', n_timeouts.value)
pair = ctypes.cast(timeouts, ctypes.POINTER(ctypes.c_uint64))
print('timed out', pair[1] == cookie.value)
lib.rados_free_notify_response(acks, n_acks, timeouts)
lib.rados_buffer_free(reply)

# One that acknowledges with words of its own. Who notified may hear of it before the acknowledging call has returned.
ACK = {}
acknowledged = threading.Event()


def answer(arg, notify_id, handle, notifier, data, size):
    ACK['data'] = ctypes.string_at(data, size)
    ACK['rc'] = lib.rados_notify_ack(c_io, b'o', ctypes.c_uint64(notify_id), ctypes.c_uint64(handle), b'words', 5)
    acknowledged.set()


answering = WATCH(answer)
print('unwatch', lib.rados_unwatch2(c_io, cookie))
print('watch', lib.rados_watch2(c_io, b'o', ctypes.byref(cookie), answering, None, None))
print('notify', lib.rados_notify2(c_io, b'o', b'data', 4, ctypes.c_uint64(5000), ctypes.byref(reply), ctypes.byref(length)))
acknowledged.wait(10)
print(ACK)
print('decode', lib.rados_decode_notify_response(reply, length, ctypes.byref(acks), ctypes.byref(n_acks), ctypes.byref(timeouts), ctypes.byref(n_timeouts)))


class Answer(ctypes.Structure):
    _fields_ = [('client', ctypes.c_uint64), ('cookie', ctypes.c_uint64), ('payload', ctypes.c_void_p), ('length', ctypes.c_uint64)]


one = ctypes.cast(acks, ctypes.POINTER(Answer))[0]
print('acks', n_acks.value, one.cookie == cookie.value, ctypes.string_at(one.payload, one.length), 'timeouts', n_timeouts.value)
lib.rados_free_notify_response(acks, n_acks, timeouts)
lib.rados_buffer_free(reply)
print('check', lib.rados_watch_check(c_io, cookie) >= 0)
print('flush', lib.rados_watch_flush(c_cluster))

# The old form acknowledges by itself.
OLD = ctypes.CFUNCTYPE(None, ctypes.c_uint8, ctypes.c_uint64, ctypes.c_void_p)
counted = []
old = OLD(lambda opcode, version, arg: counted.append(opcode))
old_cookie = ctypes.c_uint64()
print('old watch', lib.rados_watch(c_io, b'o', ctypes.c_uint64(0), ctypes.byref(old_cookie), old, None))
print('old notify', lib.rados_notify(c_io, b'o', ctypes.c_uint64(0), b'', 0), len(counted))
print('old unwatch', lib.rados_unwatch(c_io, b'o', old_cookie))
print('unwatch', lib.rados_unwatch2(c_io, cookie))
lib.rados_ioctx_destroy(c_io)
lib.rados_shutdown(c_cluster)
io.remove_object('o')
io.close()
other_io.close()
cluster.shutdown()
other.shutdown()
