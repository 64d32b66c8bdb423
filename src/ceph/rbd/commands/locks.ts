// lock ...: advisory locks.
import {List} from '../../document.js';
import {left, textTable} from '../../text-table.js';
import {asData, atImage, value, type RbdCommand} from '../command.js';
import {errnoOf, failure, RbdFailure, wrong} from '../errors.js';
import type {RbdShell} from '../shell.js';

interface Lock {
  readonly tag: string;
  readonly exclusive: boolean;
  readonly lockers: readonly {readonly client: string, readonly cookie: string, readonly address: string}[];
}

async function add(shell: RbdShell): Promise<void> {
  const spec = shell.imageSpec({snap: 'none'});
  const cookie = shell.options.word(shell.behindImage);
  if (cookie === undefined) throw wrong('lock id was not specified');
  const tag = shell.options.text('shared');
  await shell.withImage(await shell.place(spec), {readOnly: false}, async ({handle}) => {
    try {
      await shell.ask('image.lock.add', {handle, cookie, tag: tag ?? '', exclusive: tag === undefined});
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 16 || errno === 17) {
        throw new RbdFailure(16, `rbd: lock is already held by someone else${tag === undefined ? '' : ' with a different tag'}\n`);
      }
      throw failure('taking lock failed', errno);
    }
  });
}

async function list(shell: RbdShell): Promise<void> {
  const place = await shell.place(shell.imageSpec({snap: 'none'}));
  await shell.withImage(place, {readOnly: true}, async ({handle}) => {
    const lock = await shell.require('listing locks failed', 'image.lock.list', {handle}) as unknown as Lock;
    if (shell.printed('locks', () => new List('lock', lock.lockers.map((locker) => ({id: locker.cookie, locker: locker.client, address: locker.address}))))) return;
    if (lock.lockers.length === 0) return;
    const [is, plural] = lock.lockers.length === 1 ? ['is', ''] : ['are', 's'];
    shell.print(`There ${is} ${lock.lockers.length} ${lock.exclusive ? 'exclusive' : 'shared'} lock${plural} on this image.\n`);
    if (!lock.exclusive) shell.print(`Lock tag: ${lock.tag}\n`);
    shell.print(textTable(['Locker', 'ID', 'Address'].map(left), lock.lockers.map((locker) => [locker.client, locker.cookie, locker.address])));
  });
}

async function remove(shell: RbdShell): Promise<void> {
  const spec = shell.imageSpec({snap: 'none'});
  const first = shell.behindImage;
  const [cookie, client] = [shell.options.word(first), shell.options.word(first + 1)];
  if (cookie === undefined) throw wrong('lock id was not specified');
  if (client === undefined) throw wrong('locker was not specified');
  await shell.withImage(await shell.place(spec), {readOnly: false}, async ({handle}) => {
    await shell.require('releasing lock failed', 'image.lock.break', {handle, client, cookie});
  });
}

export const lockCommands: readonly RbdCommand[] = [
  {names: ['lock add'], usage: '<image-spec> <lock-id>', help: 'Take a lock on an image.', words: 2, options: [...atImage, value('shared')], run: add},
  {names: ['lock list', 'lock ls'], usage: '<image-spec>', help: 'Show locks held on an image.', words: 1, options: [...atImage, ...asData], run: list},
  {names: ['lock remove', 'lock rm'], usage: '<image-spec> <lock-id> <locker>', help: 'Release a lock on an image.', words: 3, options: atImage, run: remove},
];
