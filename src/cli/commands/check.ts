// `cbd2rbd check`, `backup`, `restore`: the metadata as a whole.
import {closeSync, fsyncSync, openSync, readFileSync, writeSync} from 'node:fs';
import {parseBackup, restoreInto, type Page} from '../../service/admin/backup.js';
import type {Finding} from '../../service/admin/check.js';
import {openEtcdStore} from '../../store/etcd.js';
import {holdDaemonLock} from '../../store/daemon-lock.js';
import {openSqliteStore} from '../../store/sqlite.js';
import type {Store} from '../../store/store.js';
import type {Config} from '../../config/config.js';
import {exitCodes, type Command} from '../command.js';
import {lockStore} from './serve.js';

const check: Command = {
  name: 'check',
  usage: '',
  takes: {least: 0, most: 0},
  summary: 'Hold each record against each volume, and say what is wrong in one line each',
  details: ['Exits with 1 where something is wrong and has not been repaired.', 'A repair never touches data: what cannot be mended without a loss is only named.'],
  options: {repair: {help: 'mend what can be mended safely'}},
  examples: ['cbd2rbd check', 'cbd2rbd check --repair', 'cbd2rbd check --json'],
  run: async (invocation) => {
    const {findings} = await (await invocation.daemon()).call('admin.check', {repair: invocation.switches.has('repair')}) as {findings: Finding[]};
    invocation.print(findings, (findings) => findings.length === 0 ? ['nothing is wrong'] : findings.map(({about, problem, repair, isRepaired}) =>
      `${about}: ${problem}${isRepaired ? ` (repaired: ${repair ?? ''})` : repair ? ` (--repair: ${repair})` : ''}`));
    return findings.every(({isRepaired}) => isRepaired) ? exitCodes.ok : exitCodes.failed;
  },
};

const backup: Command = {
  name: 'backup',
  usage: 'FILE',
  takes: {least: 1, most: 1},
  summary: 'Write all metadata, of one moment, into a new file (mode 0600: it holds the users\' keys)',
  details: ['The daemon goes on working meanwhile. Volumes are not in it: back them up by the backend\'s own means, after the metadata.'],
  examples: ['cbd2rbd backup /var/backups/cbd2rbd-$(date +%F).jsonl'],
  run: async (invocation) => {
    const [file = ''] = invocation.args;
    const daemon = await invocation.daemon();
    const fd = openSync(file, 'wx', 0o600);
    let lines = 0;
    try {
      for (let token: string|undefined;;) {
        const page = await daemon.call('admin.backup', token === undefined ? {} : {token}) as Page;
        for (const line of page.lines) writeSync(fd, `${line}\n`);
        lines += page.lines.length;
        if (page.isLast) break;
        token = page.token;
      }
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    invocation.print({file, records: lines - 1}, ({records}) => [`${file}: ${records} records`]);
    return exitCodes.ok;
  },
};

// The store of a daemon that does not run: its lock is taken meanwhile.
async function withIdleStore(config: Config, work: (store: Store) => Promise<void>): Promise<void> {
  if (config.store.kind === 'sqlite') {
    const lock = await lockStore(config);
    const store = await openSqliteStore(config.store.path);
    try {
      await work(store);
    } finally {
      await store.close();
      if (lock !== undefined) closeSync(lock);
    }
    return;
  }
  const {endpoints, prefix} = config.store;
  const store = await openEtcdStore({endpoints, prefix: prefix.endsWith('/') ? prefix : `${prefix}/`});
  try {
    const giveUp = await holdDaemonLock(store, endpoints.join(','), () => undefined);
    try {
      await work(store);
    } finally {
      await giveUp();
    }
  } finally {
    await store.close();
  }
}

const restore: Command = {
  name: 'restore',
  usage: 'FILE',
  takes: {least: 1, most: 1},
  summary: 'Put a backup into the store of a daemon that is not running',
  details: ['The file is read whole and checked before anything is changed. Run `cbd2rbd check` once the daemon is up again.'],
  options: {replace: {help: 'remove the records that are there'}},
  examples: ['cbd2rbd restore /var/backups/cbd2rbd-2026-11-21.jsonl', 'cbd2rbd restore --replace backup.jsonl'],
  run: async (invocation) => {
    const [file = ''] = invocation.args;
    const {head, records} = parseBackup(readFileSync(file, 'utf8'));
    await withIdleStore(invocation.config(), (store) => restoreInto(store, records, {replace: invocation.switches.has('replace')}));
    invocation.print({file, ...head}, ({made, fsid}) => [`${records.length} records of ${made}, cluster ${fsid}`]);
    return exitCodes.ok;
  },
};

export const metadataCommands: readonly Command[] = [check, backup, restore];
