// image-meta ..., feature ...: notes and features of an image.
import {Fields} from '../../document.js';
import {left, textTable} from '../../text-table.js';
import {asData, atImage, hidden, value, type RbdCommand} from '../command.js';
import {errnoOf, failure, misspelt, RbdFailure, strerror, wrong} from '../errors.js';
import {featuresOf} from '../options.js';
import type {RbdShell} from '../shell.js';

interface Entry {
  readonly name: string;
  readonly value: string;
}

async function list(shell: RbdShell): Promise<void> {
  const id = shell.options.text('image-id');
  const place = await shell.place(shell.imageSpec({snap: 'none', needsImage: id === undefined}));
  await shell.withImage(place, {readOnly: true, id}, async ({handle}) => {
    const {entries} = await shell.require('listing metadata failed', 'image.metadata.list', {handle}) as {entries: Entry[]};
    // As the real one: an empty list as data is no text at all.
    if (shell.format && entries.length === 0) return;
    if (shell.printed('metadatas', () => new Fields(entries.map((entry) => [entry.name, entry.value])))) return;
    if (entries.length !== 1) shell.print(`There are ${entries.length} metadata on this image${entries.length === 0 ? '.' : ':\n'}\n`);
    else shell.print('There is 1 metadatum on this image:\n\n');
    if (entries.length > 0) shell.print(textTable(['Key', 'Value'].map(left), entries.map((entry) => [entry.name, entry.value])));
  });
}

async function withKey(shell: RbdShell, how: {readOnly: boolean}, work: (handle: number, key: string) => Promise<void>): Promise<void> {
  const spec = shell.imageSpec({snap: 'none'});
  const key = shell.options.word(shell.behindImage);
  if (key === undefined) throw wrong('metadata key was not specified');
  await shell.withImage(await shell.place(spec), how, ({handle}) => work(handle, key));
}

const get = (shell: RbdShell): Promise<void> => withKey(shell, {readOnly: true}, async (handle, key) => {
  try {
    const {value} = await shell.ask('image.metadata.get', {handle, key}) as {value: string};
    shell.print(`${value}\n`);
  } catch (error) {
    const errno = errnoOf(error);
    throw new RbdFailure(errno, `failed to get metadata ${key} of image : ${strerror(errno)}\nrbd: getting metadata failed: ${strerror(errno)}\n`);
  }
});

async function set(shell: RbdShell): Promise<void> {
  const spec = shell.imageSpec({snap: 'none'});
  const first = shell.behindImage;
  const [key, text] = [shell.options.word(first), shell.options.word(first + 1)];
  if (key === undefined) throw wrong('metadata key was not specified');
  if (text === undefined) throw wrong('metadata value was not specified');
  await shell.withImage(await shell.place(spec), {readOnly: false}, async ({handle}) => {
    try {
      await shell.ask('image.metadata.set', {handle, key, value: text});
    } catch (error) {
      const why = strerror(errnoOf(error));
      throw new RbdFailure(errnoOf(error), `failed to set metadata ${key} of image : ${why}\nrbd: setting metadata failed: ${why}\n`);
    }
  });
}

const remove = (shell: RbdShell): Promise<void> => withKey(shell, {readOnly: false}, async (handle, key) => {
  try {
    await shell.ask('image.metadata.remove', {handle, key});
  } catch (error) {
    const errno = errnoOf(error);
    const about = `${errno === 2 ? 'rbd: no existing' : 'failed to remove'} metadata ${errno === 2 ? 'key ' : ''}${key} of image : ${strerror(errno)}\n`;
    throw new RbdFailure(errno, `${about}rbd: removing metadata failed: ${strerror(errno)}\n`);
  }
});

async function changeFeatures(shell: RbdShell, enabled: boolean): Promise<void> {
  const spec = shell.imageSpec({snap: 'none'});
  const names = shell.options.words.slice(shell.behindImage);
  if (names.length === 0) throw wrong('at least one feature name must be specified');
  const features = featuresOf(names);
  if (features === undefined) throw misspelt('the argument for option is invalid');
  await shell.withImage(await shell.place(spec), {readOnly: false}, async ({handle}) => {
    try {
      await shell.ask('image.features', {handle, features, enabled});
    } catch (error) {
      throw failure('failed to update image features', errnoOf(error));
    }
  });
}

const journal = [value('journal-splay-width'), value('journal-object-size'), value('journal-pool')];

export const metadataCommands: readonly RbdCommand[] = [
  {names: ['image-meta get'], usage: '<image-spec> <key>', help: 'Show the value of a note.', words: 2, options: atImage, run: get},
  {names: ['image-meta list', 'image-meta ls'], usage: '<image-spec>', help: 'List notes with their values.', words: 1, options: [...atImage, hidden(value('image-id')), ...asData], run: list},
  {names: ['image-meta remove', 'image-meta rm'], usage: '<image-spec> <key>', help: 'Remove a note.', words: 2, options: atImage, run: remove},
  {names: ['image-meta set'], usage: '<image-spec> <key> <value>', help: 'Set a note.', words: 3, options: atImage, run: set},
  {names: ['feature disable'], usage: '<image-spec> <features> [<features> ...]', help: 'Disable features of an image.', words: 99, options: atImage, run: (shell) => changeFeatures(shell, false)},
  {names: ['feature enable'], usage: '<image-spec> <features> [<features> ...]', help: 'Enable features of an image.', words: 99, options: [...atImage, ...journal], run: (shell) => changeFeatures(shell, true)},
];
