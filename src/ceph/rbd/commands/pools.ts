// pool init|stats, namespace ...: what is a pool's.
import {List} from '../../document.js';
import {left, textTable} from '../../text-table.js';
import {bytes} from '../../units.js';
import {asData, atPool, hidden, toggle, value, type RbdCommand} from '../command.js';
import {errnoOf, failure, RbdFailure, wrong} from '../errors.js';
import type {Place, RbdShell} from '../shell.js';
import {parsePoolSpec} from '../spec.js';

async function init(shell: RbdShell): Promise<void> {
  const {at} = await shell.poolPlace();
  const {apps} = await shell.ask('pool.app.list', {pool: at.pool}) as {apps: string[]};
  if (apps.includes('rbd')) return;
  await shell.require('error registered application', 'pool.app.enable', {pool: at.pool, app: 'rbd', force: shell.options.has('force')});
}

interface Totals {
  readonly images: number;
  readonly provisionedBytes: number;
  readonly snapshots: number;
  readonly trashImages: number;
  readonly trashProvisionedBytes: number;
  readonly trashSnapshots: number;
}

async function stats(shell: RbdShell): Promise<void> {
  const {at} = await shell.poolPlace();
  const totals = await shell.require('error fetching pool stats', 'pool.images', {at}) as unknown as Totals;
  if (shell.printed('stats', () => ({
        images: {count: totals.images, provisioned_bytes: totals.provisionedBytes, snap_count: totals.snapshots},
        trash: {count: totals.trashImages, provisioned_bytes: totals.trashProvisionedBytes, snap_count: totals.trashSnapshots},
      }))) return;
  shell.print(`Total Images: ${totals.images}`);
  if (totals.trashImages > 0) shell.print(` (${totals.trashImages} in trash)`);
  shell.print(`\nTotal Snapshots: ${totals.snapshots}`);
  if (totals.trashImages > 0) shell.print(` (${totals.trashSnapshots} in trash)`);
  shell.print(`\nProvisioned Size: ${bytes(totals.provisionedBytes)}`);
  if (totals.trashImages > 0) shell.print(` (${bytes(totals.trashProvisionedBytes)} in trash)`);
  shell.print('\n');
}

// The namespace that a command makes or removes: it need not exist.
async function namespacePlace(shell: RbdShell): Promise<{place: Place, name: string}> {
  const spec = parsePoolSpec(shell.options.word(0));
  const name = spec.namespace ?? shell.options.text('namespace');
  if (name === undefined || name === '') throw wrong('namespace name was not specified');
  const poolName = spec.pool ?? shell.options.text('pool') ?? 'rbd';
  return {place: {at: {pool: await shell.pool(poolName), namespace: ''}, poolName, spec}, name};
}

async function create(shell: RbdShell): Promise<void> {
  const {place, name} = await namespacePlace(shell);
  await shell.require('failed to created namespace', 'namespace.create', {pool: place.at.pool, name});
}

async function remove(shell: RbdShell): Promise<void> {
  const {place, name} = await namespacePlace(shell);
  try {
    await shell.ask('namespace.remove', {pool: place.at.pool, name});
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 16) throw new RbdFailure(16, 'rbd: namespace contains images which must be deleted first.\n');
    if (errno === 2) throw new RbdFailure(2, 'rbd: namespace does not exist.\n');
    throw failure('failed to remove namespace', errno);
  }
}

async function list(shell: RbdShell): Promise<void> {
  const {at} = await shell.poolPlace();
  const {names} = await shell.require('failed to list namespaces', 'namespace.list', {pool: at.pool}) as {names: string[]};
  if (shell.printed('namespaces', () => new List('namespace', names.map((name) => ({name}))))) return;
  if (names.length > 0) shell.print(textTable([left('NAME')], names.map((name) => [name])));
}

export const poolCommands: readonly RbdCommand[] = [
  {names: ['pool init'], usage: '<pool-name>', help: 'Prepare a pool for use by RBD.', words: 1, options: [value('pool', 'p'), hidden(value('namespace')), toggle('force')], run: init},
  {names: ['pool stats'], usage: '<pool-spec>', help: 'Show how many images and bytes a pool has.', words: 1, options: [...atPool, ...asData], run: stats},
  {names: ['namespace create'], usage: '<pool-spec>', help: 'Create a namespace.', words: 1, options: atPool, run: create},
  {names: ['namespace list', 'namespace ls'], usage: '<pool-name>', help: 'List namespaces.', words: 1, options: [value('pool', 'p'), hidden(value('namespace')), ...asData], run: list},
  {names: ['namespace remove', 'namespace rm'], usage: '<pool-spec>', help: 'Remove a namespace.', words: 1, options: atPool, run: remove},
];
