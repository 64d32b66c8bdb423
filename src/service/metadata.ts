// An image's metadata, and which conf_ keys are options. Behind: rbd_metadata_get/set/remove/list.
import { changed } from './state.js';
import type { Context } from './context.js';
import { ServiceError } from './errors.js';
import { isConfigOption, isConfigValue, type OptionScope } from './image-options.js';
import { checkNoNul } from './names.js';
import { keys, type ImageRecord, type ImageRef } from './records.js';
import { limitImage } from './qos.js';
import { readRecord, transact } from './transact.js';

const configPrefix = 'conf_';

/** EINVAL for a conf_ key that is no option of an image (or pool), or whose value does not fit the option. */
export function checkConfigMetadata(scope: OptionScope, key: string, value: string): void {
  if (!key.startsWith(configPrefix) || key === configPrefix) return;
  const option = key.slice(configPrefix.length);
  if (!isConfigOption(option, scope)) throw new ServiceError('EINVAL', `${option} is not an option of a ${scope}`);
  if (!isConfigValue(option, value)) throw new ServiceError('EINVAL', `${JSON.stringify(value)} is not a value for ${option}`);
}

/** ENOENT where it is not set. */
export async function getMetadata(ctx: Context, image: ImageRef, key: string): Promise<string> {
  const value = await readRecord<string>(ctx.store, keys.metadata(image, key));
  if (value === undefined) throw new ServiceError('ENOENT', `metadata ${key} is not set`);
  return value;
}

export async function setMetadata(ctx: Context, image: ImageRef, key: string, value: string): Promise<void> {
  checkNoNul('metadata key', key);
  checkConfigMetadata('image', key, value);
  await transact(ctx.store, async (tx) => {
    if (!await tx.get<ImageRecord>(keys.image(image))) throw new ServiceError('ENOENT', `there is no image with id ${image.id}`);
    tx.put(keys.metadata(image, key), value);
  });
  if (key.startsWith(configPrefix)) await configChanged(ctx, image, key);
}

/** ENOENT where it is not set. */
export async function removeMetadata(ctx: Context, image: ImageRef, key: string): Promise<void> {
  await transact(ctx.store, async (tx) => {
    if ((await tx.get(keys.metadata(image, key))) === undefined) throw new ServiceError('ENOENT', `metadata ${key} is not set`);
    tx.remove(keys.metadata(image, key));
  });
  if (key.startsWith(configPrefix)) await configChanged(ctx, image, key);
}

/** Open images take it at once, and a backend that keeps the limits is told of them. */
async function configChanged(ctx: Context, image: ImageRef, key: string): Promise<void> {
  if (key.startsWith(`${configPrefix}rbd_qos_`)) await limitImage(ctx, image);
  await changed(ctx, image);
}

/** Entries behind `start`, at most `max` (0: all), sorted. */
export async function listMetadata(ctx: Context, image: ImageRef, range: { start?: string; max?: number } = {}): Promise<{ name: string; value: string }[]> {
  const prefix = keys.metadata(image, '');
  const entries = await ctx.store.list({ prefix, after: prefix + (range.start ?? ''), ...(range.max ? { limit: range.max } : {}) });
  return entries.map(({ key, value }) => ({ name: key.slice(prefix.length), value: JSON.parse(value) as string }));
}

/** The conf_ entries alone: {"conf_...": value}. */
export async function configMetadata(ctx: Context, image: ImageRef): Promise<Record<string, string>> {
  const prefix = keys.metadata(image, '');
  const entries = await ctx.store.list({ prefix: prefix + configPrefix });
  return Object.fromEntries(entries.map(({ key, value }) => [key.slice(prefix.length), JSON.parse(value) as string]));
}
