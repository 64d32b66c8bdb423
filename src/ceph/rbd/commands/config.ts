// config image|pool|global ...: options of images, by level.
import {cephOption, valueComplaint} from '../../option-table.js';
import type {StoredOptions} from '../../stored-options.js';
import {List} from '../../document.js';
import {left, textTable} from '../../text-table.js';
import {configOptions, isConfigOption} from '../../../service/image-options.js';
import {asData, atImage, hidden, value, type RbdCommand} from '../command.js';
import {errnoOf, failure, RbdFailure, wrong} from '../errors.js';
import type {RbdShell} from '../shell.js';

interface Entry {
  readonly name: string;
  readonly value: string;
  readonly source: string;
}

function keyAt(shell: RbdShell, index: number): string {
  const key = shell.options.word(index);
  if (key === undefined) throw wrong('config key was not specified');
  if (!/^rbd_/.test(key)) throw wrong(`not rbd option: ${key}`);
  return key;
}

function imageOption(shell: RbdShell, index: number): string {
  const key = shell.options.word(index);
  if (key === undefined) throw wrong('config key was not specified');
  if (!Object.hasOwn(configOptions, key)) throw wrong(`not rbd option: ${key}`);
  return key;
}

function valueAt(shell: RbdShell, index: number): string {
  const text = shell.options.word(index);
  if (text === undefined) throw wrong('config value was not specified');
  return text;
}

async function attempt(what: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw error instanceof RbdFailure ? error : failure(what, errnoOf(error));
  }
}

function show(shell: RbdShell, entries: readonly Entry[], how: {counted: boolean}): void {
  if (shell.printed('config', () => new List('option', entries.map((entry) => ({name: entry.name, value: entry.value, source: entry.source}))))) return;
  if (how.counted) shell.print(entries.length === 1 ? 'There is 1 value:\n' : `There are ${entries.length} values:\n`);
  shell.print(textTable(['Name', 'Value', 'Source'].map(left), entries.map((entry) => [entry.name, entry.value, entry.source])));
}

async function poolEntries(shell: RbdShell, pool: number): Promise<Entry[]> {
  const {entries} = await shell.require('failed to list config', 'pool.config.list', {pool}) as {entries: Entry[]};
  return entries;
}

async function imageEntries(shell: RbdShell, pool: number, handle: number): Promise<Entry[]> {
  const {entries} = await shell.ask('image.metadata.list', {handle}) as {entries: {name: string, value: string}[]};
  const own = new Map(entries.filter((entry) => entry.name.startsWith('conf_')).map((entry) => [entry.name.slice(5), entry.value]));
  return (await poolEntries(shell, pool)).filter((entry) => isConfigOption(entry.name, 'image')).map((entry) => {
    const value = own.get(entry.name);
    return value === undefined ? entry : {name: entry.name, value, source: 'image'};
  });
}

async function onImage(shell: RbdShell, how: {readOnly: boolean}, work: (handle: number, pool: number) => Promise<void>): Promise<void> {
  const place = await shell.place(shell.imageSpec({snap: 'none'}));
  await shell.withImage(place, how, ({handle}) => work(handle, place.at.pool));
}

// What is set at just this level, and not what holds there.
function setAt(level: string, key: string, entry: Entry|undefined): string {
  if (entry?.source !== level) throw new RbdFailure(2, `rbd: ${key} is not set\n`);
  return entry.value;
}

async function imageGet(shell: RbdShell): Promise<void> {
  const key = imageOption(shell, shell.behindImage);
  await onImage(shell, {readOnly: true}, async (handle, pool) => {
    const entry = (await imageEntries(shell, pool, handle)).find((entry) => entry.name === key);
    shell.print(`${setAt('image', key, entry)}\n`);
  });
}

async function imageSet(shell: RbdShell): Promise<void> {
  const key = imageOption(shell, shell.behindImage);
  const text = valueAt(shell, shell.behindImage + 1);
  await onImage(shell, {readOnly: false}, (handle) =>
    attempt(`failed to set ${key}`, () => shell.ask('image.metadata.set', {handle, key: `conf_${key}`, value: text})));
}

async function imageRemove(shell: RbdShell): Promise<void> {
  const key = imageOption(shell, shell.behindImage);
  await onImage(shell, {readOnly: false}, (handle) =>
    attempt(`failed to remove ${key}`, () => shell.ask('image.metadata.remove', {handle, key: `conf_${key}`})));
}

async function poolOf(shell: RbdShell): Promise<number> {
  const name = shell.options.word(0);
  if (name === undefined) throw wrong('pool name was not specified');
  return shell.pool(name);
}

async function poolGet(shell: RbdShell): Promise<void> {
  const key = imageOption(shell, 1);
  const entry = (await poolEntries(shell, await poolOf(shell))).find((entry) => entry.name === key);
  shell.print(`${setAt('pool', key, entry)}\n`);
}

async function poolSet(shell: RbdShell): Promise<void> {
  const key = imageOption(shell, 1);
  const text = valueAt(shell, 2);
  const pool = await poolOf(shell);
  await attempt(`failed to set ${key}`, () => shell.ask('pool.metadata.set', {pool, key: `conf_${key}`, value: text}));
}

async function poolRemove(shell: RbdShell): Promise<void> {
  const key = imageOption(shell, 1);
  const pool = await poolOf(shell);
  await attempt(`failed to remove ${key}`, () => shell.ask('pool.metadata.remove', {pool, key: `conf_${key}`}));
}

/** config global: options by entity, as `ceph config` has them; they need the same rights. */
export interface GlobalConfig {
  readonly options: StoredOptions;
  readonly require: (rights: 'r'|'rw') => void;
}

function entityAt(shell: RbdShell): string {
  const who = shell.options.word(0);
  if (who === undefined) throw wrong('config entity was not specified');
  if (!/^(global|client(\.[^\s/]+)?)$/.test(who)) throw wrong(`invalid config entity: ${who} (must be global, client or client.<id>)`);
  return who;
}

export function globalCommands(config: () => GlobalConfig): readonly RbdCommand[] {
  return [
    {
      names: ['config global get'], usage: '<config-entity> <key>', help: 'Show an option for clients.', words: 2, options: [],
      run: async (shell) => {
        config().require('r');
        const [who, key] = [entityAt(shell), keyAt(shell, 1)];
        if (!cephOption(key)) throw new RbdFailure(22, `rbd: invalid config key: ${key}\n`);
        const own = config().options.list().find((option) => option.section === who && option.name === key);
        if (!own) throw new RbdFailure(2, `rbd: ${key} is not set\n`);
        shell.print(`${own.value}\n`);
      },
    },
    {
      names: ['config global list', 'config global ls'], usage: '<config-entity>', help: 'List options for clients.', words: 1, options: [...asData],
      run: async (shell) => {
        config().require('r');
        const found = [...config().options.for(entityAt(shell)).values()].filter((option) => option.name.startsWith('rbd_'));
        if (shell.printed('config', () => new List('option', found.map(({name, value, section}) => ({name, value, section}))))) return;
        shell.print(textTable(['Name', 'Value', 'Section'].map(left), found.map((option) => [option.name, option.value, option.section])));
      },
    },
    {
      names: ['config global remove', 'config global rm'], usage: '<config-entity> <key>', help: 'Remove an option for clients.', words: 2, options: [],
      run: async (shell) => {
        config().require('rw');
        await config().options.remove(entityAt(shell), keyAt(shell, 1));
      },
    },
    {
      names: ['config global set'], usage: '<config-entity> <key> <value>', help: 'Set an option for clients.', words: 3, options: [],
      run: async (shell) => {
        config().require('rw');
        const [section, name, text] = [entityAt(shell), keyAt(shell, 1), valueAt(shell, 2)];
        const option = cephOption(name);
        if (!option) throw new RbdFailure(22, `rbd: invalid config key: ${name}\n`);
        const complaint = valueComplaint(option, text);
        if (complaint) throw new RbdFailure(22, `rbd: error setting ${name}: error parsing value: ${complaint}\n`);
        await config().options.set({section, name, value: text});
      },
    },
  ];
}

export const configCommands: readonly RbdCommand[] = [
  {names: ['config image get'], usage: '<image-spec> <key>', help: 'Show an option of an image.', words: 2, options: atImage, run: imageGet},
  {
    names: ['config image list', 'config image ls'], usage: '<image-spec>', help: 'List options of an image.', words: 1, options: [...atImage, ...asData],
    run: (shell) => onImage(shell, {readOnly: true}, async (handle, pool) => show(shell, await imageEntries(shell, pool, handle), {counted: true})),
  },
  {names: ['config image remove', 'config image rm'], usage: '<image-spec> <key>', help: 'Remove an option of an image.', words: 2, options: atImage, run: imageRemove},
  {names: ['config image set'], usage: '<image-spec> <key> <value>', help: 'Set an option of an image.', words: 3, options: atImage, run: imageSet},
  {names: ['config pool get'], usage: '<pool-name> <key>', help: 'Show an option of a pool.', words: 2, options: [], run: poolGet},
  {
    names: ['config pool list', 'config pool ls'], usage: '<pool-name>', help: 'List options of a pool.', words: 1, options: [hidden(value('pool', 'p')), ...asData],
    run: async (shell) => show(shell, await poolEntries(shell, await poolOf(shell)), {counted: false}),
  },
  {names: ['config pool remove', 'config pool rm'], usage: '<pool-name> <key>', help: 'Remove an option of a pool.', words: 2, options: [], run: poolRemove},
  {names: ['config pool set'], usage: '<pool-name> <key> <value>', help: 'Set an option of a pool.', words: 3, options: [], run: poolSet},
];
