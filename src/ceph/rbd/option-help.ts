// What each option and each positional word of rbd is, in a few words; one source for help, completion and the manual page.

const options: Readonly<Record<string, string>> = {
  'pool': 'the pool', 'namespace': 'the namespace in the pool', 'image': 'the image', 'snap': 'the snapshot', 'path': 'the file ("-": standard input or output)',
  'dest-pool': 'the pool to make it in', 'dest-namespace': 'the namespace to make it in', 'dest': 'the name of the new image', 'dest-snap': 'the new name of the snapshot',
  'image-id': 'the image, by its id', 'snap-id': 'the snapshot, by its id', 'format': 'plain, json or xml [default: plain]', 'pretty-format': 'lines and blanks in json and xml',
  'no-progress': 'show no progress', 'size': 'how large (M, G, T; a plain number is MiB)', 'allow-shrink': 'let it become smaller',
  'thick-provision': 'write zeroes all over, so that all space is taken at once', 'image-format': '2, the only one that is kept', 'new-format': 'has no effect any more',
  'order': 'the object size as a power of two; use --object-size', 'object-size': 'how large its objects are [4K to 32M]',
  'image-feature': 'what the image can do: layering, striping, exclusive-lock, object-map, fast-diff, deep-flatten, journaling',
  'image-shared': 'for many writers at once: no exclusive lock', 'stripe-unit': 'bytes a stripe (B, K, M)', 'stripe-count': 'how many objects take turns',
  'data-pool': 'the pool that takes its data', 'mirror-image-mode': 'not used here', 'journal-splay-width': 'not used here', 'journal-object-size': 'not used here',
  'journal-pool': 'not used here', 'sparse-size': 'runs of zeroes of this length take no space [default: 4K]',
  'export-format': '1: the bytes; 2: all snapshots and notes too [default: 1]', 'from-snap': 'only what changed since this snapshot',
  'whole-object': 'in whole objects', 'exact': 'to the byte, not in whole objects', 'merge-snapshots': 'snapshots counted with their image', 'flatten': 'the copy of a clone has no parent',
  'io-size': 'bytes a request [default: 4K]', 'io-threads': 'requests at a time [default: 16]', 'io-total': 'bytes in all [default: 1G]',
  'io-pattern': 'rand, seq or full-seq [default: seq]', 'rw-mix-read': 'percent of reads with readwrite [default: 50]', 'io-type': 'read, write or readwrite (rw)',
  'all': 'those in the trash too', 'descendants': 'children of children too', 'long': 'with sizes, parents and locks', 'shared': 'a lock that all share who give this tag',
  'limit': 'how many snapshots at most', 'force': 'also where something speaks against it', 'skip-quiesce': 'without asking clients to pause',
  'ignore-quiesce-error': 'also where a client cannot pause', 'expires-at': 'when it may be removed for good', 'expired-before': 'only what expired before this time',
  'threshold': 'until the pool is filled less than this (0 to 1)', 'iterations': 'how often, then end', 'sort-by': 'write-ops, read-ops, write-bytes, read-bytes, write-latency or read-latency',
  'device-type': 'krbd, nbd or ggate: none of them is used here', 'device': 'the device', 'options': 'not used here',
};

const words: Readonly<Record<string, string>> = {
  'image-spec': '[POOL/[NAMESPACE/]]IMAGE', 'snap-spec': '[POOL/[NAMESPACE/]]IMAGE@SNAP', 'image-or-snap-spec': '[POOL/[NAMESPACE/]]IMAGE[@SNAP]',
  'source-image-or-snap-spec': '[POOL/[NAMESPACE/]]IMAGE[@SNAP]', 'dest-image-spec': '[POOL/[NAMESPACE/]]IMAGE', 'source-image-spec': '[POOL/[NAMESPACE/]]IMAGE',
  'source-snap-spec': '[POOL/[NAMESPACE/]]IMAGE@SNAP', 'dest-snap-spec': '[POOL/[NAMESPACE/]]IMAGE@SNAP', 'pool-spec': 'POOL[/NAMESPACE]', 'pool-name': 'the pool', 'path-name': 'the file; "-" for standard input or output',
  'diff1-path': 'the first difference; "-" for standard input', 'diff2-path': 'the one that follows it', 'key': 'the name', 'value': 'the value', 'features': 'features, by name',
  'config-entity': 'global, client or client.ID', 'lock-id': 'the lock\'s name', 'locker': 'who has it (client.N)', 'image-id': 'the image\'s id',
};

export function optionHelp(name: string): string {
  return options[name] ?? '';
}

export function wordHelp(name: string): string {
  return words[name] ?? '';
}
