"""Prints how librados takes options, files, command lines and the environment, one line a call: run on the real library and on ours.

No cluster is needed. conf.py FOLDER (an empty one)
"""
import os
import sys
import rados

folder = sys.argv[1]
for name in ('CEPH_ARGS', 'CEPH_CONF', 'CEPH_KEYRING'):
    os.environ.pop(name, None)
os.environ['HOME'] = '/nowhere'


def handle(**options):
    return rados.Rados(rados_id='admin', conffile='/dev/null', **options)


def outcome(call, *arguments):
    try:
        return call(*arguments)
    except Exception as error:
        return f'{type(error).__name__} {getattr(error, "errno", "")}'


def attempt(name, *values):
    cluster = handle()
    for value in values:
        result = outcome(cluster.conf_set, name, value)
        print(f'{name} = {value!r}: {result} -> {cluster.conf_get(name)!r}')


def parse(text, *names, **options):
    path = folder + '/east.conf'
    with open(path, 'w') as file:
        file.write(text)
    cluster = outcome(lambda: rados.Rados(conffile=path, **options))
    values = cluster if isinstance(cluster, str) else [cluster.conf_get(name) for name in names or ('mon_host', 'log_file')]
    print(f'{text!r} {options}: {values}')


def words(*argv):
    cluster = handle()
    left = outcome(cluster.conf_parse_argv, list(argv))
    names = ('mon_host', 'log_file', 'rbd_cache', 'debug_rbd', 'keyfile', 'log_to_stderr', 'err_to_stderr', 'public_addr', 'client_mount_timeout')
    print(f'{argv}: {left} {[cluster.conf_get(name) for name in names]}')


# One option of each type, with what it takes and what it does not.
attempt('rbd_cache', 'false', 'TRUE', '0', 'True', 'yes', 'no', 'on', '2', '-1', '', '  true', 't', 'true ', '1 ', '0x1', ' 1', '99999999999')
attempt('rbd_default_format', '5', '-1', '0x10', '1k', '1K', '1Ki', '5B', '+5', '5 ', ' 7', '1.5', '', '3M', '1E', '100E', '9223372036854775808', '5-', '1KB')
attempt('log_max_new', '1K', '-5', '+5', '3M', '5-', '-1K')
attempt('rbd_cache_size', '5', '0x10', '1k', '1K', '1Ki', '1M', '1G', '1T', '4MB', '4MiB', '-1', '1.5', '1 M', '1kB', '1B', '1KiB', '+5', 'BB', 'B', '9E', '16E', '1P')
attempt('rbd_cache_max_dirty_age', '1.5', '1e3', 'abc', '', '0', '1.5s', '-1')
attempt('client_mount_timeout', '5', '5s', '5 s', '5m', '1h', '1d', '1w', '5 minutes', '5sec', '5mo', '1y', '2 hours 3 minutes', '1d2h', '5 M', '1H', '+5', '5 5', 's', '1.5', '-1', 'abc', '90ms', ' 7', '7 ', '')
attempt('rbd_default_features', '61', 'layering,exclusive-lock', '0x3d', 'foo', '', '0', '255', '1024', 'layering,', 'layering exclusive-lock', '-1', '61 ')
attempt('rbd_discard_granularity_bytes', '64K', '65536', '4096', '2', '33554432', '67108864', '0')
attempt('rbd_read_from_replica_policy', 'default', 'balance', 'foo', '')
attempt('osd_pool_default_size', '11', '0', '10')
attempt('public_addr', '127.0.0.1:3300', '1.2.3.4', '[::1]:5', 'foo', '', '-', 'v1:1.2.3.4:5/6')
attempt('fsid', '0a90403a-0153-4638-b8e9-357c5363bd1e', 'abc', '')
attempt('debug_rbd', '1/5', '5', '0/0', 'x', '', '21', '99', '100', '-1', '1/200', '5/', '/5', '5a')
attempt('log_file', '$name', '$cluster-$type.$id', '${name}x', '$rbd_cache', '$nosuch', 'a$$b', '$', ' a b ')
attempt('mon_host', '127.0.0.1:1,', '')
for name in ('rbd cache', 'RBD_CACHE', 'rbd-cache', ' rbd_cache', 'rbd__cache', 'rbd cache ', 'no_such_option', 'name', 'cluster', ''):
    print(f'{name!r}: {outcome(handle().conf_set, name, "true")} {outcome(handle().conf_get, name)!r}')

# Every default that a client of block devices may ask for.
cluster = handle()
for name in sys.argv[2].split(',') if len(sys.argv) > 2 else ():
    print(f'{name} is {cluster.conf_get(name)!r}')

# Files
parse('[global]\nmon host = a\n[client]\nmon_host=b\n[client.admin]\nmon-host=c\n')
parse('[client.admin]\nmon_host=c\n[client]\nmon_host=b\n[global]\nmon_host=a\n', rados_id='admin')
parse('[client.admin]\nmon_host=c\n[client]\nmon_host=b\n', rados_id='other')
parse('mon host = a\n')
parse('[global]\nmon host = a # c\nlog file = b ; d\n')
parse('[global]\nmon_host=a#c\nlog_file=a;c\n')
parse("[global]\nmon host = 'a b'\nlog file = a\\#b\n")
parse('[global]\nmon host = a\\\n b\nlog file = x\n')
parse('[global]\nmon host = a\nmon host = b\n')
parse('[global]\nmon   host = a\n MON_HOST = b\n')
parse('[global]\nmon\thost=a\n')
parse('[global]\nmon__host=a\nmon_ host=b\n')
for bad in ('[global]\nmon_host a\n', '[global\nmon_host=a\n', '[global]\nmon_host=a\nlog file=x', '  [global]\nmon_host=a\n', '[global]\nmon_host="a\n',
            '[global]\nmon_host="a" b\n', '[global]\n=x\nmon_host=a\n', '[]\nmon_host=a\n', '[global] mon_host=a\n', '[global]\nmon_host: c\n',
            '[global]\nmon_host="b ; d"\n', '[global]\nmon_host=a # c \\\n b\nlog file=q\n'):
    parse(bad)
parse('[global]  # hi\n\n;c\n#d\n  # e\n  mon_host= a  b  \n  \n\t\n')
parse('[ global ]\nmon_host=a\n')
parse('[global]\nmon_host=\nlog file= \n')
parse('[global]\nmon_host="b"  \nlog_file=\'a"b\'\n')
parse('[global]\nmon_host="a\\"b"\nlog_file=a\\;b\\ c\\q\n')
parse('[global]\nmon_host=a"b"c\nlog_file=""\n')
parse('[global]\r\nmon_host=a\r\n')
parse('[global]\n[client.foo]\nmon_host=a\n[osd]\nlog file=x\n', rados_id='foo')
parse('[client.a/b]\nmon_host=a\n', rados_id='a/b')
parse('[global]\nlog_file=${cluster}x$$y-$name\nmon_host = [x]\n')
parse('[global]\nrbd_cache = notabool\nfoo bar = x\nmon_host = a=b\n')
parse('[global]\ndebug_rbd = 5\n[client]\ndebug rbd = 7/8\n', 'debug_rbd')
parse('')
print('a missing file:', outcome(lambda: rados.Rados(conffile='/nonexistent')))
print('a folder:', outcome(lambda: rados.Rados(conffile=folder)))
print('a name of no kind:', outcome(lambda: rados.Rados(name='bar')))

# What is set wins over the file, whichever comes first.
with open(folder + '/east.conf', 'w') as file:
    file.write('[global]\nmon_host = file\nlog_file = file\n')
cluster = handle()
cluster.conf_set('mon_host', 'set')
cluster.conf_read_file(folder + '/east.conf')
print('set, then read:', cluster.conf_get('mon_host'), cluster.conf_get('log_file'))

# Command lines
words('p', '-m', 'h', 'left', '--rbd-cache', '--foo', '-K', 'kf')
words('p', '--no-rbd-cache', 'x')
words('p', '--no_rbd_cache', '--rbd_cache=true', '--no-log-file')
words('p', '--rbd_cache', '--', '--rbd_cache', 'false')
words('p', '-d', '--foreground', '--nodaemon', '-f')
words('p', '--rbd_cache', 'bad')
words('p', '--rbd_cache', 'false', 'more')
words('p', '--log_file')
words('p', '--debug_rbd', '5', '--client-mount-timeout', '7', 'more')
words('p', '--client_mount_timeout', 'abc')
words('p', '--rbd_cache_size', 'abc', 'z')
words('p', '-c', '/x', '-n', 'client.foo', '-i', 'b', '--name', 'client.x', '--cluster', 'z', '--conf', 'y', '--id', 'u', '--user', 'v')
words('p', '--rbd-cache=0', '-m=x', '--mon-host=q')
words('p', '--public-addr', '1.2.3.4', '--no-mon-config', '--version', '-v', '-l', 'x')

# The environment
os.environ['CEPH_ARGS'] = '--mon-host x --log_file=/a/$cluster --rbd_cache false --debug-rbd 3 --unknown y --id bob'
os.environ['CEPH_KEYRING'] = 'ring'
cluster = handle()
print('at creation:', [cluster.conf_get(name) for name in ('mon_host', 'log_file', 'rbd_cache', 'debug_rbd', 'keyring')])
