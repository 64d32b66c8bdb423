// trash ...: images that were put aside.
import {execFile} from 'node:child_process';
import {promisify} from 'node:util';
import {ServiceError} from '../../../service/errors.js';
import {Fields, List} from '../../document.js';
import {left, textTable} from '../../text-table.js';
import {asData, atImage, atPool, progress, toggle, value, type RbdCommand} from '../command.js';
import {errnoOf, failure, RbdFailure, strerror, wrong} from '../errors.js';
import type {Place, RbdShell} from '../shell.js';
import {parseImageSpec} from '../spec.js';
import {ctime} from '../times.js';

const run = promisify(execFile);

interface Entry {
  readonly id: string;
  readonly name: string;
  readonly source: string;
  readonly deletionTime: {readonly sec: number};
  readonly deferUntil: {readonly sec: number};
}

/** Seconds from now of what date(1) takes ("tomorrow", "+5 days", "2030-01-01 12:00"), in the caller's time zone; ends the command for another text. */
async function delayOf(shell: RbdShell, text: string): Promise<number> {
  const zone = shell.environment['TZ'];
  try {
    const {stdout} = await run('/bin/date', [`--date=${text}`, '+%s'], {env: zone === undefined ? {} : {TZ: zone}});
    return Math.max(0, Number(stdout) - Math.floor(Date.now() / 1000));
  } catch {
    throw new RbdFailure(22, `/bin/date: invalid date '${text}'\nrbd: error calling /bin/date: ${strerror(22)}\n`);
  }
}

async function move(shell: RbdShell): Promise<void> {
  const spec = shell.imageSpec({snap: 'none'});
  const expires = shell.options.text('expires-at');
  const delay = expires === undefined ? 0 : await delayOf(shell, expires);
  const {at} = await shell.place(spec);
  await shell.require('deferred delete error', 'trash.move', {at, name: spec.image, delay});
}

// The image id stands where other commands have a name.
async function idPlace(shell: RbdShell): Promise<{place: Place, id: string}> {
  const spec = parseImageSpec(shell.options.word(0));
  const id = spec.image ?? shell.options.text('image-id');
  if (id === undefined) throw wrong('image id was not specified');
  return {place: await shell.place(spec), id};
}

async function remove(shell: RbdShell): Promise<void> {
  const {place, id} = await idPlace(shell);
  // Here the reason stands before the progress, as the real command has it.
  await shell.withProgress('Removing image', async () => {
    try {
      await shell.ask('trash.remove', {at: place.at, id, force: shell.options.has('force')});
    } catch (error) {
      const {code, text} = removeFailure(errnoOf(error));
      shell.complain(text);
      throw new RbdFailure(code, '');
    }
  });
}

function removeFailure(errno: number): RbdFailure {
  if (errno === 39) return new RbdFailure(39, 'rbd: image has snapshots - these must be deleted with \'rbd snap purge\' before the image can be removed.\n');
  if (errno === 1) return new RbdFailure(1, 'Deferment time has not expired, please use --force if you really want to remove the image\n');
  return failure('remove error', errno);
}

async function restore(shell: RbdShell): Promise<void> {
  const {place, id} = await idPlace(shell);
  try {
    await shell.ask('trash.restore', {at: place.at, id, to: shell.options.text('image') ?? ''});
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 2) throw new RbdFailure(2, 'rbd: error: image does not exist in trash\n');
    if (errno === 17) throw new RbdFailure(17, 'rbd: error: an image with the same name already exists, try again with a different name\n');
    throw failure('restore error', errno);
  }
}

function statusOf(entry: Entry): string {
  const isOver = entry.deferUntil.sec <= Date.now() / 1000;
  return isOver ? `expired at ${ctime(entry.deferUntil)}` : `protected until ${ctime(entry.deferUntil)}`;
}

async function list(shell: RbdShell): Promise<void> {
  const {at} = await shell.poolPlace();
  const {entries} = await shell.require('trash list', 'trash.list', {at}) as {entries: Entry[]};
  const isAll = shell.options.has('all');
  const shown = entries.filter((entry) => isAll || entry.source.toUpperCase() === 'USER').sort((a, b) => a.id < b.id ? -1 : 1);
  const isLong = shell.options.has('long');
  if (shell.printed('trash', () => new List('image', shown.map((entry) => new Fields([
        ['id', entry.id], ['name', entry.name],
        ...(isLong ? [['source', entry.source.toUpperCase()], ['deleted_at', ctime(entry.deletionTime)], ['status', statusOf(entry)]] as const : []),
      ]))))) return;
  if (!isLong) {
    shell.print(shown.map((entry) => `${entry.id} ${entry.name}\n`).join(''));
  } else if (shown.length > 0) {
    shell.print(textTable(
        ['ID', 'NAME', 'SOURCE', 'DELETED_AT', 'STATUS', 'PARENT'].map(left),
        shown.map((entry) => [entry.id, entry.name, entry.source.toUpperCase(), ctime(entry.deletionTime), statusOf(entry), ''])));
  }
}

async function purge(shell: RbdShell): Promise<void> {
  const {at} = await shell.poolPlace();
  const before = shell.options.text('expired-before');
  const threshold = shell.options.text('threshold');
  if (threshold !== undefined && Number.isNaN(Number(threshold))) throw new RbdFailure(1, `rbd: the argument ('${threshold}') for option '--threshold' is invalid\n`);
  const isWrong = threshold !== undefined && !(Number(threshold) >= 0 && Number(threshold) <= 1);
  if (isWrong) {
    shell.complain('\rRemoving images: 0% complete...failed.\n');
    throw new RbdFailure(22, '');
  }
  const expireTs = Math.ceil(Date.now() / 1000) + (before === undefined ? 0 : await delayOf(shell, before));
  const params = {at, expireTs, threshold: threshold === undefined ? -1 : Number(threshold)};
  try {
    await shell.withProgress('Removing images', async () => {
      await shell.ask('trash.purge', params);
      if (threshold === undefined && await isAnyLeft(shell, params)) throw new ServiceError('ENOTEMPTY', 'some expired images could not be removed');
    });
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== 39 && errno !== 16) throw failure('removing images failed', errno);
    throw new RbdFailure(errno, 'rbd: some expired images could not be removed\nEnsure that they are closed/unmapped, do not have snapshots (including trashed snapshots with linked clones), are not in a group and were moved to the trash successfully.\n');
  }
}

// What has expired and is still there could not be removed: it has snapshots, or is open.
async function isAnyLeft(shell: RbdShell, {at, expireTs}: {at: Place['at'], expireTs: number}): Promise<boolean> {
  const {entries} = await shell.ask('trash.list', {at}) as {entries: Entry[]};
  return entries.some((entry) => entry.deferUntil.sec < expireTs);
}

export const trashCommands: readonly RbdCommand[] = [
  {names: ['trash list', 'trash ls'], usage: '<pool-spec>', help: 'List trash images.', words: 1, options: [...atPool, toggle('all', 'a'), toggle('long', 'l'), ...asData], run: list},
  {names: ['trash move', 'trash mv'], usage: '<image-spec>', help: 'Move an image to the trash.', words: 1, options: [...atImage, value('expires-at')], run: move},
  {
    names: ['trash purge'], usage: '<pool-spec>', help: 'Remove all expired images from trash.', words: 1, run: purge,
    options: [...atPool, ...progress, value('expired-before'), value('threshold')],
  },
  {names: ['trash remove', 'trash rm'], usage: '<image-id>', help: 'Remove an image from trash.', words: 1, options: [...atPool, value('image-id'), ...progress, toggle('force')], run: remove},
  {names: ['trash restore'], usage: '<image-id>', help: 'Restore an image from trash.', words: 1, options: [...atPool, value('image-id'), value('image')], run: restore},
];
