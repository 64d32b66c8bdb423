// The `admin.*` methods about images, layers and records. Thin: the rules are src/service/admin's.
import {adoptVolume, imageViews, showImage} from '../service/admin/images.js';
import {backupPage} from '../service/admin/backup.js';
import {checkRecords} from '../service/admin/check.js';
import {collectGarbage, layerRows, mergeNow} from '../service/admin/layers.js';
import {releaseImage} from '../service/admin/release.js';
import type {Context} from '../service/context.js';
import {optionalText, text, type AdminParams} from './admin.js';

const flag = (params: AdminParams, name: string): boolean => params[name] === true;

export function maintenanceMethods(ctx: Context): Readonly<Record<string, (params: AdminParams) => Promise<unknown>>> {
  return {
    'admin.image.list': async (params) => ({images: await imageViews(ctx, optionalText(params, 'pool'))}),
    'admin.image.show': (params) => showImage(ctx, text(params, 'image')),
    'admin.image.adopt': (params) => {
      const name = optionalText(params, 'name');
      return adoptVolume(ctx, {pool: text(params, 'pool'), volume: text(params, 'volume'), ...(name !== undefined ? {name} : {})});
    },
    'admin.image.release': (params) => releaseImage(ctx, text(params, 'image')),
    'admin.layer.list': async () => ({layers: await layerRows(ctx)}),
    'admin.layer.gc': (params) => collectGarbage(ctx, {dryRun: flag(params, 'dryRun')}),
    'admin.layer.merge': () => mergeNow(ctx),
    'admin.check': async (params) => ({findings: await checkRecords(ctx, {repair: flag(params, 'repair')})}),
    'admin.backup': (params) => backupPage(ctx, optionalText(params, 'token')),
  };
}
