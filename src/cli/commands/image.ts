// `cbd2rbd image ...`: what stands behind images, and volumes that become images or cease to be.
import type {ImageView, LayerView} from '../../service/admin/images.js';
import type {Released} from '../../service/admin/release.js';
import {table, type Command} from '../command.js';
import {size} from '../size.js';

const list: Command = {
  name: 'image ls',
  usage: '[POOL]',
  takes: {least: 0, most: 1},
  summary: 'List images with their volumes and layers',
  examples: ['cbd2rbd image ls', 'cbd2rbd image ls volumes --json'],
  run: async (invocation) => {
    const [pool] = invocation.args;
    const {images} = await (await invocation.daemon()).call('admin.image.list', pool === undefined ? {} : {pool}) as {images: ImageView[]};
    invocation.print(images, (images) => table(
        ['IMAGE', 'SIZE', 'SNAPS', 'LAYERS', 'KIND', 'VOLUME', 'OPEN', ''],
        images.map((image) => [
          image.path, size(image.size), String(image.snapshots), String(image.layers), image.kind, image.volume, String(image.open), image.inTrash ? 'in the trash' : ''])));
    return 0;
  },
};

type Shown = Readonly<Record<string, unknown>>&{readonly chain: readonly LayerView[]};

const show: Command = {
  name: 'image show',
  usage: 'IMAGE',
  takes: {least: 1, most: 1},
  summary: 'Show an image\'s record, its chain of layers, and who has it open',
  details: ['IMAGE is [POOL/[NAMESPACE/]]NAME; the pool is rbd where none is named.'],
  examples: ['cbd2rbd image show volumes/vm1', 'cbd2rbd image show volumes/vm1 --json'],
  run: async (invocation) => {
    const shown = await (await invocation.daemon()).call('admin.image.show', {image: invocation.args[0]}) as Shown;
    invocation.print(shown, ({chain, ...fields}) => [
      ...Object.entries(fields).map(([name, value]) => `${name}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`),
      'chain, the newest layer first:',
      ...table(['  LAYER', 'KIND', 'SIZE', 'TAKES', 'FROZEN', 'REFS', 'VOLUME'], chain.map((layer) => [
        `  ${layer.id}`, layer.kind, size(layer.size), layer.allocated === undefined ? 'missing' : size(layer.allocated), layer.frozen ? 'yes' : 'no', String(layer.refs),
        `${layer.backend}:${layer.dir}/${layer.volume}`])),
    ]);
    return 0;
  },
};

const adopt: Command = {
  name: 'image adopt',
  usage: 'POOL VOLUME [NAME]',
  takes: {least: 2, most: 3},
  summary: 'Make an image out of a volume that is in the pool\'s directory; its bytes stay where they are',
  details: ['On CurveBS, volumes of a pool\'s directory are images under their own names already; this gives one another name.'],
  examples: ['cbd2rbd image adopt volumes disk-of-old-vm', 'cbd2rbd image adopt volumes disk.raw vm7'],
  run: async (invocation) => {
    const [pool, volume, name] = invocation.args;
    const image = await (await invocation.daemon()).call('admin.image.adopt', {pool, volume, ...(name !== undefined ? {name} : {})}) as ImageView;
    invocation.print(image, ({path, size: bytes}) => [`${path}: ${size(bytes)}`]);
    return 0;
  },
};

const release: Command = {
  name: 'image release',
  usage: 'IMAGE',
  takes: {least: 1, most: 1},
  summary: 'Hand an image back as one flat volume of its name, for the backend\'s own tools',
  details: [
    'The image must be closed and have no snapshots. A clone is flattened; several layers become one. Then the volume gets the image\'s name and our records go.',
    'On CurveBS, a volume in a pool\'s directory shows up as an image again when the pool is listed, for it is one.',
  ],
  examples: ['cbd2rbd image release volumes/vm1'],
  run: async (invocation) => {
    const released = await (await invocation.daemon()).call('admin.image.release', {image: invocation.args[0]}) as Released;
    invocation.print(released, ({backend, dir, volume, size: bytes}) => [`${backend}:${dir}/${volume}: ${size(bytes)}`]);
    return 0;
  },
};

export const imageCommands: readonly Command[] = [list, show, adopt, release];
