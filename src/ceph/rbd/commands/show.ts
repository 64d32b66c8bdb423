// ls, info, children: what there is.
import {Fields, List, type Doc} from '../../document.js';
import {left, right, textTable} from '../../text-table.js';
import {bytes} from '../../units.js';
import {asData, atImage, atPool, atSnap, hidden, toggle, value, type RbdCommand} from '../command.js';
import {errnoOf, RbdFailure, strerror} from '../errors.js';
import {featureNames} from '../options.js';
import type {ImageState, OpenedImage, Place, RbdShell, SnapState} from '../shell.js';
import {ctime} from '../times.js';

/** An image's snapshots out of its state, in the order of their ids. */
export function snapsOf(state: ImageState): SnapState[] {
  return state.snaps.map((snap) => {
    const namespace = snap['namespace'] as {type?: string, originalName?: string}|undefined;
    return {
      id: snap['id'] as number, name: snap['name'] as string, size: snap['size'] as number, isProtected: snap['protected'] === true,
      namespace: namespace?.type ?? 'user', original: namespace?.originalName, timestamp: snap['timestamp'] as {sec: number, nsec: number},
    };
  }).sort((a, b) => a.id - b.id);
}

interface Parent {
  readonly pool: string;
  readonly namespace: string;
  readonly image: string;
  readonly id: string;
  readonly snap: string;
  readonly overlap: number;
  readonly isTrash: boolean;
}

function parentOf(state: ImageState): Parent|undefined {
  const parent = state.parent as Record<string, string|number|boolean>|null|undefined;
  if (!parent) return undefined;
  return {
    pool: String(parent['poolName']), namespace: String(parent['namespace'] ?? ''), image: String(parent['name']), id: String(parent['id']),
    snap: String(parent['snapName']), overlap: Number(parent['overlap']), isTrash: parent['trash'] === true,
  };
}

function parentText(parent: Parent|undefined): string {
  return parent ? `${parent.pool}/${parent.namespace ? `${parent.namespace}/` : ''}${parent.image}@${parent.snap}` : '';
}

function parentDocument(parent: Parent): Doc {
  return {pool: parent.pool, pool_namespace: parent.namespace, image: parent.image, snapshot: parent.snap};
}

function detailedParent(parent: Parent): Doc {
  return {
    pool: parent.pool, pool_namespace: parent.namespace, image: parent.image, id: parent.id, snapshot: parent.snap, trash: parent.isTrash,
    overlap: parent.overlap,
  };
}

// --- ls

interface Row {
  readonly name: string;
  readonly size: string;
  readonly parent: string;
  readonly prot: string;
  readonly lock: string;
  readonly doc: Doc;
}

async function lockOf(shell: RbdShell, handle: number): Promise<'shared'|'exclusive'|''> {
  const lock = await shell.ask('image.lock.list', {handle}) as {exclusive: boolean, lockers: unknown[]};
  return lock.lockers.length === 0 ? '' : lock.exclusive ? 'exclusive' : 'shared';
}

async function rowsOf(shell: RbdShell, {handle, state}: OpenedImage): Promise<Row[]> {
  const lock = await lockOf(shell, handle);
  const parent = parentOf(state);
  const head: (readonly [string, Doc])[] = [['image', state.name], ['id', state.id]];
  const withParent: (readonly [string, Doc])[] = parent ? [['parent', parentDocument(parent)]] : [];
  const own: Row = {
    name: state.name, size: bytes(state.size), parent: parentText(parent), prot: '', lock: lock === 'exclusive' ? 'excl' : lock === 'shared' ? 'shr' : '',
    doc: new Fields([...head, ['size', state.size], ...withParent, ['format', 2], ...(lock ? [['lock_type', lock] as const] : [])]),
  };
  const snaps = snapsOf(state).filter((snap) => snap.namespace === 'user').map((snap): Row => ({
    name: `${state.name}@${snap.name}`, size: bytes(snap.size), parent: parentText(parent), prot: snap.isProtected ? 'yes' : '', lock: '',
    doc: new Fields([
      ...head, ['snapshot', snap.name], ['snapshot_id', snap.id], ['size', snap.size], ...withParent, ['format', 2],
      ['protected', snap.isProtected ? 'true' : 'false']]),
  }));
  return [own, ...snaps];
}

async function list(shell: RbdShell): Promise<void> {
  let place: Place;
  let images: {id: string, name: string}[];
  try {
    place = await shell.poolPlace();
    ({images} = await shell.ask('image.list', {at: place.at}) as {images: {id: string, name: string}[]});
  } catch (error) {
    const [code, text] = error instanceof RbdFailure ? [error.code, error.text] : [errnoOf(error), ''];
    throw new RbdFailure(code, `${text}rbd: listing images failed: ${strerror(code)}\n`);
  }
  if (!shell.options.has('long')) {
    if (!shell.printed('images', () => new List('name', images.map((image) => image.name)))) shell.print(images.map((image) => `${image.name}\n`).join(''));
    return;
  }
  const rows: Row[] = [];
  for (const image of images) {
    const spec = {...place.spec, image: image.name};
    rows.push(...await shell.withImage({...place, spec}, {readOnly: true}, (opened) => rowsOf(shell, opened)));
  }
  if (shell.printed('images', () => new List('image', rows.map((row) => row.doc), rows.map((row) => row.name.includes('@') ? 'snapshot' : 'image')))) return;
  if (rows.length === 0) return;
  shell.print(textTable(
      [left('NAME'), {head: 'SIZE', align: 'right', headAlign: 'left'}, left('PARENT'), right('FMT'), left('PROT'), left('LOCK')],
      rows.map((row) => [row.name, row.size, row.parent, '2', row.prot, row.lock])));
}

// --- info

const opFeatures: readonly (readonly [number, string])[] = [[1, 'clone-parent'], [2, 'clone-child'], [4, 'group'], [8, 'snap-trash']];
const flagNames: readonly (readonly [number, string])[] = [[1, 'object map invalid'], [2, 'fast diff invalid']];
const named = (table: readonly (readonly [number, string])[], bits: number): string[] => table.filter(([bit]) => bits & bit).map(([, name]) => name);

async function info(shell: RbdShell): Promise<void> {
  const id = shell.options.text('image-id');
  const spec = shell.imageSpec({snap: 'may', needsImage: id === undefined});
  const place = await shell.place(spec);
  await shell.withImage(place, {readOnly: true, id}, async ({state}) => {
    const snap = spec.snap === undefined ? undefined : snapsOf(state).find((snap) => snap.name === spec.snap);
    if (spec.snap !== undefined && !snap) throw new RbdFailure(2, `error setting snapshot context: ${strerror(2)}\n`);
    await printInfo(shell, state, snap);
  });
}

async function printInfo(shell: RbdShell, state: ImageState, snap: SnapState|undefined): Promise<void> {
  const size = snap?.size ?? state.size;
  const objectSize = 2 ** state.order;
  const objects = objectCount(size, state);
  const features = featureNames(state.features);
  const hasStriping = features.includes('striping') && (state.stripeUnit !== objectSize || state.stripeCount !== 1);
  const parent = parentOf(state);
  const dataPool = state.dataPool === null ? undefined : await shell.poolName(state.dataPool);
  const times = {create_timestamp: ctime(state.createTime), access_timestamp: ctime(state.accessTime), modify_timestamp: ctime(state.modifyTime)};
  const ops = named(opFeatures, state.opFeatures);
  const flags = named(flagNames, state.flags);
  const count = state.snaps.length;
  if (shell.printed('image', () => new Fields([
        ['name', state.name], ['id', state.id], ['size', size], ['objects', objects], ['order', state.order], ['object_size', objectSize],
        ...(dataPool !== undefined ? [['data_pool', dataPool] as const] : []),
        ['snapshot_count', count], ['block_name_prefix', state.prefix], ['format', 2], ['features', new List('feature', features)],
        ['op_features', new List('op_feature', ops)], ['flags', new List('flag', flags)], ...Object.entries(times),
        ...(snap ? [['protected', snap.isProtected ? 'true' : 'false'] as const] : []), ...(state.snapLimit === null ? [] : [['snapshot_limit', state.snapLimit] as const]),
        ...(parent ? [['parent', detailedParent(parent)] as const] : []),
        ...(hasStriping ? [['stripe_unit', state.stripeUnit] as const, ['stripe_count', state.stripeCount] as const] : []),
      ]))) return;
  const lines = [
    `rbd image '${state.name}':`, `\tsize ${bytes(size)} in ${objects} objects`, `\torder ${state.order} (${bytes(objectSize)} objects)`,
    `\tsnapshot_count: ${count}`, `\tid: ${state.id}`, ...(dataPool !== undefined ? [`\tdata_pool: ${dataPool}`] : []),
    `\tblock_name_prefix: ${state.prefix}`, '\tformat: 2', `\tfeatures: ${features.join(', ')}`, `\top_features: ${ops.join(', ')}`,
    `\tflags: ${flags.join(', ')}`, ...Object.entries(times).map(([name, time]) => `\t${name}: ${time}`),
    ...(snap ? [`\tprotected: ${snap.isProtected ? 'True' : 'False'}`] : []), ...(state.snapLimit === null ? [] : [`\tsnapshot_limit: ${state.snapLimit}`]),
    ...(parent ? [`\tparent: ${parentText(parent)}${parent.isTrash ? ` (trash ${parent.id})` : ''}`, `\toverlap: ${bytes(parent.overlap)}`] : []),
    ...(hasStriping ? [`\tstripe unit: ${bytes(state.stripeUnit)}`, `\tstripe count: ${state.stripeCount}`] : []),
  ];
  shell.print(`${lines.join('\n')}\n`);
}

// With striping an image has whole sets of objects, or as many as the last stripes touch.
function objectCount(size: number, state: ImageState): number {
  const objectSize = 2 ** state.order;
  if (state.stripeCount <= 1) return Math.ceil(size / objectSize);
  const period = objectSize * state.stripeCount;
  const rest = size % period;
  const extra = rest > 0 && rest < state.stripeUnit * state.stripeCount ? Math.ceil(rest / state.stripeUnit) : rest > 0 ? state.stripeCount : 0;
  return Math.floor(size / period) * state.stripeCount + extra;
}

// --- children

async function children(shell: RbdShell): Promise<void> {
  const spec = shell.imageSpec({snap: 'may'});
  const place = await shell.place(spec);
  await shell.withImage(place, {readOnly: true}, async ({handle, state}) => {
    const id = shell.options.text('snap-id');
    const snap = spec.snap === undefined ? undefined : snapsOf(state).find((snap) => snap.name === spec.snap);
    if (spec.snap !== undefined && !snap) throw new RbdFailure(2, 'rbd: snapshot does not exist.\n');
    if (id !== undefined && !state.snaps.some((one) => one['id'] === Number(id))) throw new RbdFailure(2, 'rbd: snapshot does not exist.\n');
    const snapId = id !== undefined ? Number(id) : snap?.id;
    const {children} = await shell.require('listing children failed', 'snap.children', {
      handle, descendants: shell.options.has('descendants'), ...(snapId !== undefined ? {snapId} : {}),
    }) as {children: {poolName: string, namespace: string, id: string, name: string, trash: boolean}[]};
    const isAll = shell.options.has('all');
    const wanted = children.filter((child) => isAll || !child.trash);
    if (shell.printed('children', () => new List('child', wanted.map((child) => ({
          pool: child.poolName, pool_namespace: child.namespace, image: child.name, ...(isAll ? {id: child.id, trash: child.trash} : {}),
        }))))) return;
    shell.print(wanted.map((child) => `${child.poolName}/${child.namespace ? `${child.namespace}/` : ''}${child.name}${child.trash ? ` (trash ${child.id})` : ''}\n`).join(''));
  });
}

export const showCommands: readonly RbdCommand[] = [
  {names: ['list', 'ls'], usage: '<pool-spec>', help: 'List rbd images.', words: 1, options: [toggle('long', 'l'), ...atPool, ...asData], run: list},
  {names: ['info'], usage: '<image-or-snap-spec>', help: 'Show information about an image or snapshot.', words: 1, options: [...atSnap, value('image-id'), ...asData], run: info},
  {
    names: ['children'], usage: '<image-or-snap-spec>', help: 'Show the clones of an image or snapshot.', words: 1, run: children,
    options: [...atImage, value('snap'), value('snap-id'), hidden(value('image-id')), toggle('all', 'a'), toggle('descendants'), ...asData],
  },
];
