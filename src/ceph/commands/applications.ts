// `osd pool application ...`: what a pool is used for, and the notes that applications keep at it.
import {changePool} from '../../service/pools.js';
import type {PoolRecord} from '../../service/records.js';
import {MonRefusal, type MonCommand, type Reply, type Request} from '../command.js';
import {Fields, type Doc} from '../document.js';
import {poolNamed, readPools} from '../facts.js';
import {flag, optional, pool, text} from '../signature.js';

type Notes = Readonly<Record<string, string>>;

const notesOf = (record: PoolRecord, app: string): Notes|undefined => Object.hasOwn(record.apps, app) ? record.apps[app] : undefined;
const asDocument = (record: PoolRecord): Doc => new Fields(Object.entries(record.apps).map(([app, notes]) => [app, new Fields(Object.entries(notes))]));

async function enable({cluster, values}: Request): Promise<Reply> {
  const record = await poolNamed(cluster, values.text('pool'));
  const app = values.text('app');
  if (!/^[A-Za-z0-9-_.]+$/.test(app)) throw new MonRefusal('EINVAL', `invalid chars in application name '${app}'`);
  if (!notesOf(record, app) && Object.keys(record.apps).length > 0 && !values.flag('yes_i_really_mean_it')) {
    throw new MonRefusal('EPERM', `Are you SURE? Pool '${record.name}' already has an enabled application; pass --yes-i-really-mean-it to proceed anyway`);
  }
  await changePool(cluster.ctx, record.id, (now) => notesOf(now, app) ? now : {...now, apps: {...now.apps, [app]: {}}});
  return {outs: `enabled application '${app}' on pool '${record.name}'`};
}

async function disable({cluster, values}: Request): Promise<Reply> {
  const record = await poolNamed(cluster, values.text('pool'));
  const app = values.text('app');
  if (!notesOf(record, app)) return {outs: `application '${app}' is not enabled on pool '${record.name}'`};
  if (!values.flag('yes_i_really_mean_it')) {
    throw new MonRefusal('EPERM', 'Are you SURE? Disabling an application within a pool might result in loss of application functionality; pass --yes-i-really-mean-it to proceed anyway');
  }
  await changePool(cluster.ctx, record.id, (now) => ({...now, apps: Object.fromEntries(Object.entries(now.apps).filter(([name]) => name !== app))}));
  return {outs: `disable application '${app}' on pool '${record.name}'`};
}

async function get({cluster, values}: Request): Promise<Reply> {
  const [name, app, key] = [values.text('pool'), values.text('app'), values.text('key')];
  if (name === '') {
    const pools = await readPools(cluster);
    return {root: 'pools', doc: new Fields(pools.map(({record}) => [record.name, asDocument(record)]))};
  }
  const record = await poolNamed(cluster, name);
  if (app === '') return {root: record.name, doc: asDocument(record)};
  const notes = notesOf(record, app);
  if (!notes) throw new MonRefusal('ENOENT', `pool '${name}' has no application '${app}'`);
  if (key === '') return {root: app, doc: new Fields(Object.entries(notes))};
  const value = notes[key];
  if (value === undefined) throw new MonRefusal('ENOENT', `application '${app}' on pool '${name}' does not have key '${key}'`);
  return {plain: `${value}\n`};
}

async function change({cluster, values}: Request, value: string|undefined): Promise<string> {
  const record = await poolNamed(cluster, values.text('pool'));
  const [app, key] = [values.text('app'), values.text('key')];
  const notes = notesOf(record, app);
  if (!notes) throw new MonRefusal('ENOENT', `application '${app}' is not enabled on pool '${record.name}'`);
  if (value === undefined && !Object.hasOwn(notes, key)) return `application '${app}' on pool '${record.name}' does not have key '${key}'`;
  await changePool(cluster.ctx, record.id, (now) => {
    const rest = Object.entries(notesOf(now, app) ?? {}).filter(([name]) => name !== key);
    return {...now, apps: {...now.apps, [app]: Object.fromEntries(value === undefined ? rest : [...rest, [key, value]])}};
  });
  return value === undefined ? `removed application '${app}' key '${key}' on pool '${record.name}'` :
                               `set application '${app}' key '${key}' to '${value}' on pool '${record.name}'`;
}

const osd = {module: 'osd'} as const;

export const applicationCommands: readonly MonCommand[] = [
  {
    name: 'osd pool application enable', args: [pool(), text('app'), flag('yes_i_really_mean_it')], ...osd, rights: 'rw',
    help: 'say that a pool is used for <app> (rbd)', run: enable,
  },
  {
    name: 'osd pool application disable', args: [pool(), text('app'), flag('yes_i_really_mean_it')], ...osd, rights: 'rw',
    help: 'say that a pool is no longer used for <app>', run: disable,
  },
  {
    name: 'osd pool application set', args: [pool(), text('app'), text('key'), text('value')], ...osd, rights: 'rw',
    help: 'set a note of an application', run: async (request) => ({outs: await change(request, request.values.text('value'))}),
  },
  {
    name: 'osd pool application rm', args: [pool(), text('app'), text('key')], ...osd, rights: 'rw',
    help: 'remove a note of an application', run: async (request) => ({outs: await change(request, undefined)}),
  },
  {
    name: 'osd pool application get', args: [optional(pool()), optional(text('app')), optional(text('key'))], ...osd, rights: 'r',
    help: 'show applications and their notes', run: get,
  },
];
