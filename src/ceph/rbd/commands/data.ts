// Commands that read or move data, or touch the caller's files: hooks/rbd runs them in the caller's process, over librbd. Here is what
// help, completion and the manual page say of them.
import {asData, atImage, atSnap, progress, required, shape, toggle, value, type RbdCommand} from '../command.js';
import {RbdFailure} from '../errors.js';

const elsewhere = async (): Promise<void> => {
  throw new RbdFailure(95, 'rbd: this command runs in the caller\'s own process; call hooks/rbd\n');
};

const destination = [value('dest-pool'), value('dest-namespace'), value('dest')] as const;
const newShape = shape.filter((option) => option.name !== 'image-format' && option.name !== 'new-format');
const io = [value('io-size'), value('io-threads'), value('io-total'), value('io-pattern'), value('rw-mix-read')] as const;
const ends = '<source-image-or-snap-spec> <dest-image-spec>';

const table: readonly Omit<RbdCommand, 'run'|'words'>[] = [
  {names: ['bench'], usage: '<image-spec>', help: 'Measure how fast an image is.', options: [...atImage, ...io, required('io-type')]},
  {names: ['bench-write'], usage: '<image-spec>', help: 'The old form of bench --io-type write.', options: [...atImage, ...io], isHidden: true},
  {names: ['copy', 'cp'], usage: ends, help: 'Copy what an image holds now into a new one.', options: [...atSnap, ...destination, ...newShape, value('sparse-size'), ...progress]},
  {names: ['deep copy', 'deep cp'], usage: ends, help: 'Copy an image with its snapshots.', options: [...atSnap, ...destination, ...newShape, toggle('flatten'), ...progress]},
  {names: ['diff'], usage: '<image-or-snap-spec>', help: 'Show what holds data, or changed since a snapshot.', options: [...atSnap, value('from-snap'), toggle('whole-object'), ...asData]},
  {
    names: ['disk-usage', 'du'], usage: '<image-or-snap-spec>', help: 'Show the space that images and snapshots take.',
    options: [...atSnap, ...asData, value('from-snap'), toggle('exact'), toggle('merge-snapshots')],
  },
  {names: ['export'], usage: '<source-image-or-snap-spec> <path-name>', help: 'Write an image into a file.', options: [...atSnap, value('path'), ...progress, value('export-format')]},
  {
    names: ['export-diff'], usage: '<source-image-or-snap-spec> <path-name>', help: 'Write what changed into a file.',
    options: [...atSnap, value('path'), value('from-snap'), toggle('whole-object'), ...progress],
  },
  {
    names: ['import'], usage: '<path-name> <dest-image-spec>', help: 'Make an image out of a file.',
    options: [value('path'), ...destination, ...shape, value('sparse-size'), ...progress, value('export-format'), value('pool', 'p'), value('image')],
  },
  {names: ['import-diff'], usage: '<path-name> <image-spec>', help: 'Carry what changed into an image.', options: [value('path'), ...atImage, value('sparse-size'), ...progress]},
  {names: ['merge-diff'], usage: '<diff1-path> <diff2-path> <path-name>', help: 'Make one difference out of two.', options: [value('path'), ...progress]},
  {names: ['sparsify'], usage: '<image-spec>', help: 'Give back the space of zeroes.', options: [...atImage, ...progress, value('sparse-size')]},
  {names: ['watch'], usage: '<image-spec>', help: 'Say when an image changes.', options: atImage},
];

export const dataCommands: readonly RbdCommand[] = table.map((command) => ({...command, words: 3, run: elsewhere}));
