// create, rm, resize, rename, status.
import {Feature} from '../../../service/features.js';
import {List} from '../../document.js';
import {asData, atImage, hidden, progress, required, shape, toggle, value, type RbdCommand} from '../command.js';
import {errnoOf, failure, misspelt, RbdFailure, strerror, wrong} from '../errors.js';
import {bytesOf, countOf, featuresOf, orderOf, sizeOf} from '../options.js';
import type {RbdShell} from '../shell.js';
import {parseImageSpec} from '../spec.js';

/** The options that shape a new image, as image.create takes them; ends the command for a bad one. */
export function shapeOf(shell: RbdShell): Record<string, unknown> {
  const {options} = shell;
  const order = orderOf(options);
  if (options.has('order')) shell.complain('rbd: --order is deprecated, use --object-size\n');
  if (options.has('new-format')) shell.complain('rbd: --new-format is deprecated, use --image-format 2\n');
  const format = options.text('image-format')?.replace(/^\+/, '');
  if (format !== undefined && format !== '1' && format !== '2') throw misspelt('the argument for option \'--image-format\' is invalid');
  if (format === '1') shell.complain('rbd: image format 1 is deprecated\n');
  const named = options.texts('image-feature');
  const features = named.length > 0 ? featuresOf(named) : undefined;
  if (named.length > 0 && features === undefined) throw misspelt('the argument for option \'--image-feature\' is invalid');
  const stripeUnit = bytesOf(shell.options, 'stripe-unit');
  const stripeCount = countOf(shell.options, 'stripe-count');
  requireJournalShape(shell);
  const mirror = mirrorModeOf(shell);
  const dataPool = options.text('data-pool');
  return {
    ...(format === '1' ? {format: 1} : {}),
    ...(order !== undefined ? {order} : {}),
    ...(features !== undefined ? {features} : {}),
    ...(options.has('image-shared') ? {featuresClear: Feature.EXCLUSIVE_LOCK | Feature.OBJECT_MAP | Feature.FAST_DIFF | Feature.JOURNALING} : {}),
    ...(stripeUnit !== undefined ? {stripeUnit} : {}), ...(stripeCount !== undefined ? {stripeCount} : {}),
    ...(dataPool !== undefined ? {dataPool} : {}), ...(mirror !== undefined ? {mirrorImageMode: mirror} : {}),
  };
}

// How a journal would be, which no image has here: read and left, as for an image without one there.
function requireJournalShape({options}: RbdShell): void {
  countOf(options, 'journal-splay-width');
  const bytes = bytesOf(options, 'journal-object-size');
  if (bytes !== undefined && (bytes < 4096 || bytes > 64 << 20)) throw misspelt('the argument for option \'--journal-object-size\' is invalid');
}

// As librbd counts them (rbd_mirror_image_mode_t).
function mirrorModeOf({options}: RbdShell): number|undefined {
  const mode = options.text('mirror-image-mode');
  if (mode === undefined) return undefined;
  if (mode !== 'journal' && mode !== 'snapshot') throw misspelt('the argument for option \'--mirror-image-mode\' is invalid');
  return mode === 'journal' ? 0 : 1;
}

async function create(shell: RbdShell): Promise<void> {
  const spec = shell.imageSpec({snap: 'none'});
  const options = shapeOf(shell);
  const size = sizeOf(shell.options, 'size');
  if (size === undefined) throw wrong('must specify --size <M/G/T>');
  if (shell.options.has('thick-provision')) throw new RbdFailure(95, 'rbd: create error: --thick-provision is written by hooks/rbd, in the caller\'s process\n');
  const {at} = await shell.place(spec);
  await shell.require('create error', 'image.create', {at, name: spec.image, size, options});
}

// In librbd's words for what keeps an image from being removed.
function removeFailure(error: unknown): unknown {
  if (error instanceof RbdFailure) return error;
  const errno = errnoOf(error);
  if (errno === 39) return new RbdFailure(39, 'rbd: image has snapshots - these must be deleted with \'rbd snap purge\' before the image can be removed.\n');
  if (errno === 16) {
    return new RbdFailure(16, 'rbd: error: image still has watchers\nThis means the image is still open or the client using it crashed. Try again after closing/unmapping it or waiting 30s for the crashed client to timeout.\n');
  }
  return failure('delete error', errno);
}

async function remove(shell: RbdShell): Promise<void> {
  const spec = shell.imageSpec({snap: 'none'});
  const {at} = await shell.place(spec);
  try {
    await shell.withProgress('Removing image', () => shell.ask('image.remove', {at, name: spec.image}));
  } catch (error) {
    throw removeFailure(error);
  }
}

async function resize(shell: RbdShell): Promise<void> {
  const spec = shell.imageSpec({snap: 'none'});
  const size = sizeOf(shell.options, 'size');
  if (size === undefined) throw wrong('must specify --size <M/G/T>');
  const place = await shell.place(spec);
  await shell.withImage(place, {readOnly: false}, async ({handle, state}) => {
    if (size < state.size && !shell.options.has('allow-shrink')) throw wrong('shrinking an image is only allowed with the --allow-shrink flag');
    if (size === state.size) throw wrong('new size is equal to original size ');
    try {
      await shell.withProgress('Resizing image', () => shell.ask('image.resize', {handle, size, allowShrink: true}));
    } catch (error) {
      if (error instanceof RbdFailure) throw error;
      const errno = errnoOf(error);
      // So 16.2.15 words every bad size.
      if (errno === 22 && !shell.options.has('allow-shrink')) throw wrong('shrinking an image is only allowed with the --allow-shrink flag');
      throw failure('resize error', errno);
    }
  });
}

async function rename(shell: RbdShell): Promise<void> {
  const spec = shell.imageSpec({snap: 'none'});
  const to = parseImageSpec(shell.options.word(shell.behindImage));
  const name = to.image ?? shell.options.text('dest');
  if (name === undefined) throw wrong('destination image name was not specified');
  if (to.snap !== undefined) throw wrong('destination snapshot name specified for a command that doesn\'t use it');
  // What is not said of the new name is as with the old one; but a pool that is said and one that is not are two, as in 16.2.15.
  for (const part of ['pool', 'namespace'] as const) {
    const from = spec[part] ?? shell.options.text(part) ?? '';
    const into = to[part] ?? shell.options.text(`dest-${part}`) ?? from;
    if (from !== into) throw new RbdFailure(22, `rbd: mv/rename across ${part}s not supported\nsource ${part}: ${from} dest ${part}: ${into}\n`);
  }
  const {at} = await shell.place(spec);
  await shell.require('rename error', 'image.rename', {at, name: spec.image, to: name});
}

async function status(shell: RbdShell): Promise<void> {
  const id = shell.options.text('image-id');
  const spec = shell.imageSpec({snap: 'none', needsImage: id === undefined});
  const place = await shell.place(spec);
  await shell.withImage(place, {readOnly: true, id}, async ({handle}) => {
    const {watchers} = await shell.require('show status failed', 'image.watchers', {handle}) as
        {watchers: {address: string, id: number, cookie: number}[]};
    if (shell.printed('status', () => ({
          watchers: new List('watcher', watchers.map((watcher) => ({address: watcher.address, client: watcher.id, cookie: watcher.cookie}))),
        }))) return;
    shell.print(watchers.length === 0 ? 'Watchers: none\n' :
                                        `Watchers:\n${watchers.map((watcher) => `\twatcher=${watcher.address} client.${watcher.id} cookie=${watcher.cookie}\n`).join('')}`);
  });
}

async function flatten(shell: RbdShell): Promise<void> {
  const spec = shell.imageSpec({snap: 'none'});
  const place = await shell.place(spec);
  await shell.withImage(place, {readOnly: false}, async ({handle}) => {
    try {
      await shell.withProgress('Image flatten', () => shell.ask('flatten', {handle}));
    } catch (error) {
      throw error instanceof RbdFailure ? error : new RbdFailure(errnoOf(error), `rbd: flatten error: ${strerror(errnoOf(error))}\n`);
    }
  });
}

const size = required('size', 's');

export const imageCommands: readonly RbdCommand[] = [
  {
    names: ['create'], usage: '<image-spec>', help: 'Create an empty image.', words: 1, run: create,
    options: [...atImage, ...shape, toggle('thick-provision'), size, ...progress],
  },
  {names: ['remove', 'rm'], usage: '<image-spec>', help: 'Delete an image.', words: 1, options: [...atImage, ...progress], run: remove},
  {
    names: ['resize'], usage: '<image-spec>', help: 'Resize (expand or shrink) image.', words: 1, run: resize,
    options: [...atImage, size, toggle('allow-shrink'), ...progress],
  },
  {
    names: ['rename', 'mv'], usage: '<source-image-spec> <dest-image-spec>', help: 'Rename image within pool.', words: 2, run: rename,
    options: [...atImage, value('dest-pool'), value('dest-namespace'), value('dest')],
  },
  {names: ['status'], usage: '<image-spec>', help: 'Show who has the image open.', words: 1, options: [...atImage, hidden(value('image-id')), ...asData], run: status},
  {names: ['flatten'], usage: '<image-spec>', help: 'Copy what a clone has from its parent, and let the parent go.', words: 1, options: [...atImage, hidden(value('snap')), ...progress], run: flatten},
];
