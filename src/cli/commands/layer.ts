// `cbd2rbd layer ...`: the volumes below images.
import type {LayerRow, Orphan} from '../../service/admin/layers.js';
import {table, type Command} from '../command.js';
import {size} from '../size.js';

const list: Command = {
  name: 'layer ls',
  usage: '',
  takes: {least: 0, most: 0},
  summary: 'List layers: whose they are, what is below, and what they take',
  examples: ['cbd2rbd layer ls', 'cbd2rbd layer ls --json'],
  run: async (invocation) => {
    const {layers} = await (await invocation.daemon()).call('admin.layer.list') as {layers: LayerRow[]};
    invocation.print(layers, (layers) => table(
        ['LAYER', 'IMAGE', 'KIND', 'SIZE', 'TAKES', 'FROZEN', 'REFS', 'BELOW', 'VOLUME'],
        layers.map((layer) => [
          layer.id, layer.image, layer.kind, size(layer.size), layer.allocated === undefined ? 'missing' : size(layer.allocated), layer.frozen ? 'yes' : 'no',
          String(layer.refs), layer.parent ?? '-', `${layer.backend}:${layer.dir}/${layer.volume}`])));
    return 0;
  },
};

const collect: Command = {
  name: 'layer gc',
  usage: '',
  takes: {least: 0, most: 0},
  summary: 'Remove volumes of ours that no record knows, and those that wait for their removal',
  options: {'dry-run': {help: 'only say which'}},
  examples: ['cbd2rbd layer gc --dry-run', 'cbd2rbd layer gc'],
  run: async (invocation) => {
    const dryRun = invocation.switches.has('dry-run');
    const result = await (await invocation.daemon()).call('admin.layer.gc', {dryRun}) as {removed: Orphan[], waiting: string[]};
    invocation.print(result, ({removed, waiting}) => [
      ...removed.map(({pool, volume, size: bytes}) => `${dryRun ? 'would remove' : 'removed'} ${pool}: ${volume} (${size(bytes)})`),
      ...waiting.map((volume) => `${volume} waits for its removal`),
    ]);
    return 0;
  },
};

const merge: Command = {
  name: 'layer merge',
  usage: '',
  takes: {least: 0, most: 0},
  summary: 'Merge now what is merged in the background otherwise, and wait for it',
  examples: ['cbd2rbd layer merge'],
  run: async (invocation) => {
    const counts = await (await invocation.daemon()).call('admin.layer.merge') as {before: number, after: number};
    invocation.print(counts, ({before, after}) => [`${before} layers before, ${after} now`]);
    return 0;
  },
};

export const layerCommands: readonly Command[] = [list, collect, merge];
