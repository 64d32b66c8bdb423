// snap ..., clone.
import {Fields, List, type Doc} from '../../document.js';
import {left, textTable, type Column} from '../../text-table.js';
import {bytes} from '../../units.js';
import {asData, atImage, atSnap, hidden, progress, shape, toggle, value, type RbdCommand} from '../command.js';
import {errnoOf, failure, RbdFailure, wrong} from '../errors.js';
import {countOf} from '../options.js';
import type {ImageState, OpenedImage, RbdShell, SnapState} from '../shell.js';
import {parseImageSpec, type Spec} from '../spec.js';
import {ctime} from '../times.js';
import {shapeOf} from './images.js';
import {snapsOf} from './show.js';

// The image of a snap command, opened to be changed.
async function onSnap(shell: RbdShell, work: (image: OpenedImage, snap: string, spec: Spec) => Promise<void>): Promise<void> {
  const id = shell.options.text('image-id');
  const snapId = countOf(shell.options, 'snap-id');
  const spec = shell.imageSpec({snap: snapId === undefined ? 'must' : 'may', needsImage: id === undefined});
  const place = await shell.place(spec);
  await shell.withImage(place, {readOnly: false, id}, (image) => {
    const name = snapId === undefined ? spec.snap : snapsOf(image.state).find((snap) => snap.id === snapId)?.name;
    if (name === undefined) throw failure('failed to remove snapshot', 2);
    return work(image, name, spec);
  });
}

async function attempt(shell: RbdShell, what: string, label: string|undefined, work: () => Promise<unknown>): Promise<void> {
  try {
    await (label === undefined ? work() : shell.withProgress(label, work));
  } catch (error) {
    throw error instanceof RbdFailure ? error : failure(what, errnoOf(error));
  }
}

const create = (shell: RbdShell): Promise<void> => onSnap(shell, ({handle}, name) =>
  attempt(shell, 'failed to create snapshot', 'Creating snap', () =>
    shell.ask('snap.create', {handle, name, flags: shell.options.has('skip-quiesce') ? 1 : 0})));

function remove(shell: RbdShell): Promise<void> {
  const isForced = shell.options.has('force');
  // One that is in the trash has a made-up name; it goes by its id.
  const which = (name: string, state: ImageState): object => {
    const snap = snapsOf(state).find((snap) => snap.name === name);
    return shell.options.has('snap-id') && snap ? {id: snap.id} : {name};
  };
  return onSnap(shell, async ({handle, state}, name) => {
    try {
      await shell.withProgress('Removing snap', () => shell.ask('snap.remove', {handle, ...which(name, state), flatten: isForced, unprotect: isForced}));
    } catch (error) {
      const errno = errnoOf(error);
      const isProtected = snapsOf(state).some((snap) => snap.name === name && snap.isProtected);
      if (errno === 16 && isProtected) throw new RbdFailure(16, `rbd: snapshot '${name}' is protected from removal.\n`);
      throw failure('failed to remove snapshot', errno);
    }
  });
}

const rollback = (shell: RbdShell): Promise<void> => onSnap(shell, ({handle}, name) =>
  attempt(shell, 'rollback failed', 'Rolling back to snapshot', () => shell.ask('snap.rollback', {handle, name})));

const protect = (shell: RbdShell): Promise<void> => onSnap(shell, async ({handle, state}, name) => {
  if (snapsOf(state).some((snap) => snap.name === name && snap.isProtected)) throw new RbdFailure(16, 'rbd: snap is already protected\n');
  await attempt(shell, 'protecting snap failed', undefined, () => shell.ask('snap.protect', {handle, name}));
});

const unprotect = (shell: RbdShell): Promise<void> => onSnap(shell, async ({handle, state}, name) => {
  if (snapsOf(state).some((snap) => snap.name === name && !snap.isProtected)) throw wrong('snap is already unprotected');
  await attempt(shell, 'unprotecting snap failed', undefined, () => shell.ask('snap.unprotect', {handle, name}));
});

const rename = (shell: RbdShell): Promise<void> => onSnap(shell, async ({handle}, name, spec) => {
  const to = parseImageSpec(shell.options.word(shell.behindImage));
  if (to.image === undefined && shell.options.text('dest') === undefined) throw wrong('destination image name was not specified');
  const target = to.snap ?? shell.options.text('dest-snap');
  if (target === undefined) throw wrong('destination snapshot name was not specified');
  if (to.pool !== undefined && to.pool !== (spec.pool ?? 'rbd')) throw wrong('source and destination pool must be the same');
  if (to.image !== undefined && to.image !== spec.image) throw wrong('source and destination image name must be the same');
  await attempt(shell, 'renaming snap failed', undefined, () => shell.ask('snap.rename', {handle, name, to: target}));
});

async function list(shell: RbdShell): Promise<void> {
  const id = shell.options.text('image-id');
  const place = await shell.place(shell.imageSpec({snap: 'none', needsImage: id === undefined}));
  await shell.withImage(place, {readOnly: true, id}, async ({state}) => {
    const isAll = shell.options.has('all');
    const snaps = snapsOf(state).filter((snap) => isAll || snap.namespace === 'user');
    if (shell.printed('snapshots', () => new List('snapshot', snaps.map((snap) => snapDocument(snap, isAll))))) return;
    if (snaps.length === 0) return;
    const fromRight = (head: string): Column => ({head, align: 'right', headAlign: 'left'});
    shell.print(textTable(
        [fromRight('SNAPID'), left('NAME'), fromRight('SIZE'), left('PROTECTED'), left('TIMESTAMP'), ...(isAll ? [left('NAMESPACE')] : [])],
        snaps.map((snap) => [
          String(snap.id), snap.name, bytes(snap.size), snap.isProtected ? 'yes' : '', ctime(snap.timestamp),
          ...(isAll ? [snap.namespace === 'trash' ? `trash (${snap.original ?? ''})` : snap.namespace] : [])])));
  });
}

function snapDocument(snap: SnapState, isAll: boolean): Doc {
  const namespace: Doc = snap.namespace === 'trash' ? {type: 'trash', original_name: snap.original ?? ''} : {type: snap.namespace};
  return new Fields([
    ['id', snap.id], ['name', snap.name], ['size', snap.size], ['protected', snap.isProtected ? 'true' : 'false'], ['timestamp', ctime(snap.timestamp)],
    ...(isAll ? [['namespace', namespace] as const] : []),
  ]);
}

async function purge(shell: RbdShell): Promise<void> {
  const id = shell.options.text('image-id');
  const place = await shell.place(shell.imageSpec({snap: 'none', needsImage: id === undefined}));
  await shell.withImage(place, {readOnly: false, id}, async ({handle, state}) => {
    const snaps = snapsOf(state).filter((snap) => snap.namespace === 'user');
    const kept = snaps.filter((snap) => snap.isProtected);
    // Protected ones stay, are named on standard output, and the code is 0 all the same.
    const names = kept.map((snap) => `'${snap.name}'`).join(', ');
    const about = `rbd: error removing snapshot(s) ${names}, which ${kept.length === 1 ? 'is' : 'are'} protected - these must be unprotected with \`rbd snap unprotect\`.\n`;
    if (kept.length > 0) shell.print(about);
    const work = async (): Promise<void> => {
      for (const snap of snaps.filter((snap) => !snap.isProtected)) await shell.ask('snap.remove', {handle, name: snap.name});
      if (kept.length > 0) throw new RbdFailure(0, '');
    };
    try {
      await shell.withProgress('Removing all snapshots', work);
    } catch (error) {
      if (!(error instanceof RbdFailure) || error.code !== 0) throw error instanceof RbdFailure ? error : failure('removing snaps failed', errnoOf(error));
    }
  });
}

async function limit(shell: RbdShell, change: 'set'|'clear'): Promise<void> {
  const place = await shell.place(shell.imageSpec({snap: 'none'}));
  const given = change === 'clear' ? null : countOf(shell.options, 'limit');
  if (given === undefined) throw new RbdFailure(34, 'rbd: must specify --limit <num>\n');
  // As many as nobody makes are no limit; -1 is written for that, too.
  const wanted = given === null || Number.isSafeInteger(given) ? given : null;
  await shell.withImage(place, {readOnly: false}, async ({handle}) => {
    await attempt(shell, `${change === 'set' ? 'setting' : 'clearing'} snapshot limit failed`, undefined, () => shell.ask('snap.limit.set', {handle, limit: wanted}));
  });
}

async function clone(shell: RbdShell): Promise<void> {
  const spec = shell.imageSpec({snap: 'must'});
  const to = parseImageSpec(shell.options.word(shell.behindImage));
  const name = to.image ?? shell.options.text('dest');
  if (name === undefined) throw wrong('destination image name was not specified');
  if (to.snap !== undefined) throw wrong('destination snapshot name specified for a command that doesn\'t use it');
  const format = shell.environment['RBD_DEFAULT_CLONE_FORMAT'];
  const options = {...shapeOf(shell), cloneFormat: format === '1' ? 1 : format === '2' ? 2 : 0};
  const parent = await shell.place(spec);
  // As in 16.2.15 the default pool, and no namespace, wherever the parent is.
  const pool = to.pool ?? shell.options.text('dest-pool') ?? shell.defaultPool;
  const into = {pool: await shell.pool(pool), namespace: to.namespace ?? shell.options.text('dest-namespace') ?? ''};
  const isFormer = options.cloneFormat !== 2 && parent.at.namespace !== into.namespace;
  if (isFormer) throw new RbdFailure(18, 'rbd: clone v2 required for cross-namespace clones.\n');
  await shell.require('clone error', 'clone', {at: parent.at, image: spec.image, snap: spec.snap, to: into, name, options});
}

const limitOption = value('limit');

export const snapCommands: readonly RbdCommand[] = [
  {names: ['snap create', 'snap add'], usage: '<snap-spec>', help: 'Create a snapshot.', words: 1, options: [...atSnap, toggle('skip-quiesce'), toggle('ignore-quiesce-error'), ...progress], run: create},
  {names: ['snap limit clear'], usage: '<image-spec>', help: 'Remove snapshot limit.', words: 1, options: atImage, run: (shell) => limit(shell, 'clear')},
  {names: ['snap limit set'], usage: '<image-spec>', help: 'Limit the number of snapshots.', words: 1, options: [...atImage, limitOption], run: (shell) => limit(shell, 'set')},
  {names: ['snap list', 'snap ls'], usage: '<image-spec>', help: 'List snapshots of an image.', words: 1, options: [...atImage, value('image-id'), ...asData, toggle('all', 'a')], run: list},
  {names: ['snap protect'], usage: '<snap-spec>', help: 'Keep a snapshot from being removed.', words: 1, options: atSnap, run: protect},
  {names: ['snap purge'], usage: '<image-spec>', help: 'Delete all unprotected snapshots.', words: 1, options: [...atImage, value('image-id'), ...progress], run: purge},
  {names: ['snap remove', 'snap rm'], usage: '<snap-spec>', help: 'Delete a snapshot.', words: 1, options: [...atSnap, value('image-id'), value('snap-id'), ...progress, toggle('force')], run: remove},
  {names: ['snap rename'], usage: '<source-snap-spec> <dest-snap-spec>', help: 'Rename a snapshot.', words: 2, options: [...atSnap, value('dest-pool'), value('dest-namespace'), value('dest'), value('dest-snap')], run: rename},
  {names: ['snap rollback', 'snap revert'], usage: '<snap-spec>', help: 'Roll the image back to the snapshot.', words: 1, options: [...atSnap, ...progress], run: rollback},
  {names: ['snap unprotect'], usage: '<snap-spec>', help: 'Allow a snapshot to be removed.', words: 1, options: [...atSnap, value('image-id')], run: unprotect},
  {
    names: ['clone'], usage: '<source-snap-spec> <dest-image-spec>', help: 'Clone a snapshot into a new image.', words: 2, run: clone,
    options: [...atSnap, value('dest-pool'), value('dest-namespace'), value('dest'), ...shape.map((option) => option.name.endsWith('format') ? hidden(option) : option)],
  },
];
