"""As Nova's workers: connect, fork eight, each works with what its parent opened, the parent goes on. Prints one line a finding."""
import json
import os
import sys
import threading
import rados

cluster = rados.Rados(conffile='', rados_id='admin')
cluster.connect()
io = cluster.open_ioctx('rbd')
io.write_full('before', b'parent')
own = cluster.get_instance_id()
stop = threading.Event()
failures = []


def busy():
    while not stop.is_set():
        if io.read('before') != b'parent':
            failures.append('a read of the parent went wrong')


# Threads that hold the session's locks at the moment of the fork.
threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads:
    thread.start()


def child(number):
    sockets = [os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd') if int(fd) > 2 and os.path.islink(f'/proc/self/fd/{fd}')]
    inherited = [link for link in sockets if link.startswith('socket:')]
    assert not inherited, f'the child has {inherited}'
    name = f'child-{number}'
    for round in range(5):
        io.write_full(name, b'%d' % round)
        assert io.read(name) == b'%d' % round
    assert io.read('before') == b'parent'
    completion = io.aio_append(name, b'!')
    completion.wait_for_complete_and_cb()
    assert io.read(name) == b'4!'
    cluster.create_pool(name)
    other = cluster.open_ioctx(name)
    other.close()
    cluster.delete_pool(name)
    assert cluster.get_instance_id() != own, 'the child is a session of its own'
    grandchild = os.fork()
    if grandchild == 0:
        io.remove_object(name)
        os._exit(0)
    assert os.waitpid(grandchild, 0)[1] == 0
    io.close()
    cluster.shutdown()


children = []
for number in range(8):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child(number)
            code = 0
        except BaseException as error:
            print(f'child {number}: {error!r}', file=sys.stderr, flush=True)
        os._exit(code)
    children.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
stop.set()
for thread in threads:
    thread.join()
result = {
    'codes': codes, 'failures': failures, 'sameSession': cluster.get_instance_id() == own,
    'objects': sorted(o.key for o in io.list_objects()), 'pools': cluster.list_pools(),
}
io.close()
cluster.shutdown()
for _ in range(100_000):  # a thread that was joined is listed until the kernel has finished with it
    if len(os.listdir('/proc/self/task')) == 1:
        break
    os.sched_yield()
result['threadsLeft'] = len(os.listdir('/proc/self/task')) - 1
print(json.dumps(result))
