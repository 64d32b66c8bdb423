// A process of its own that gives a real Ceph's monitors one command and ends: what Ceph's librados does to its process, it does not do
// to the daemon. Arguments: the mapping and the command, both JSON. Prints a CephAnswer or {error}. It must know nothing of our pools.
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import koffi from 'koffi';
import {cephLibraryFolders} from '../install/ceph-libraries.js';
import type {CephAnswer} from './ceph-command.js';

/** Seconds that a cluster has for each answer. */
const patience = '3';

function bindLibrary() {
  const folder = cephLibraryFolders().find((folder) => existsSync(join(folder, 'ceprados.so.2')));
  if (folder === undefined) throw new Error('the copies of Ceph\'s libraries are missing: run `cbd2rbd ceph libraries`');
  const lib = koffi.load(join(folder, 'ceprados.so.2'));
  return {
    create: lib.func('int rados_create(_Out_ void **cluster, const char *id)'),
    readConf: lib.func('int rados_conf_read_file(void *cluster, const char *path)'),
    set: lib.func('int rados_conf_set(void *cluster, const char *option, const char *value)'),
    connect: lib.func('int rados_connect(void *cluster)'),
    fsid: lib.func('int rados_cluster_fsid(void *cluster, _Out_ uint8_t *buffer, size_t length)'),
    command: lib.func('int rados_mon_command(void *cluster, const char **command, size_t count, const char *input, size_t inputLength, ' +
                      '_Out_ void **output, _Out_ size_t *outputLength, _Out_ void **status, _Out_ size_t *statusLength)'),
  };
}

function must(what: string, result: number): void {
  if (result < 0) throw new Error(`${what}: errno ${-result}`);
}

function text(pointer: unknown, length: number): string {
  return pointer === null ? '' : koffi.decode(pointer, 'char', length) as string;
}

function ask({conf, user, keyring}: Readonly<Record<string, string>>, command: string): CephAnswer {
  const rados = bindLibrary();
  const made: [unknown] = [null];
  must(`user ${user ?? 'admin'}`, rados.create(made, user ?? 'admin') as number);
  const [cluster] = made;
  must(`reading ${conf ?? 'ceph.conf'}`, rados.readConf(cluster, conf ?? null) as number);
  const options = {...(keyring !== undefined ? {keyring} : {}), client_mount_timeout: patience, rados_mon_op_timeout: patience};
  for (const [option, value] of Object.entries(options)) must(option, rados.set(cluster, option, value) as number);
  must('connecting', rados.connect(cluster) as number);
  const fsid = Buffer.alloc(40);
  must('the cluster\'s id', rados.fsid(cluster, fsid, fsid.length) as number);
  const [output, status]: [unknown][] = [[null], [null]];
  const [length, statusLength]: [number][] = [[0], [0]];
  const rc = rados.command(cluster, [command], 1, null, 0, output, length, status, statusLength) as number;
  return {fsid: fsid.toString('latin1').replace(/\0.*/s, ''), rc, out: text(output![0], length![0]), outs: text(status![0], statusLength![0])};
}

const [mapping = '{}', command = '{}'] = process.argv.slice(2);
try {
  process.stdout.write(JSON.stringify(ask(JSON.parse(mapping) as Record<string, string>, command)), () => process.exit(0));
} catch (error) {
  process.stdout.write(JSON.stringify({error: (error as Error).message}), () => process.exit(0));
}
