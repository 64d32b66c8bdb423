// `config ...`: options for clients, kept by the daemon and handed to each client when it connects.
import {MonRefusal, type MonCommand, type Reply, type Request} from '../command.js';
import {Fields, List} from '../document.js';
import {cephOption, valueComplaint, type CephOption} from '../option-table.js';
import {flag, optional, text} from '../signature.js';
import type {StoredOption} from '../stored-options.js';
import {left, textTable} from '../text-table.js';

function sectionOf(request: Request): string {
  const who = request.values.text('who');
  if (!/^(global|(mon|osd|mgr|mds|client)(\.[^\s/]+)?)$/.test(who)) throw new MonRefusal('EINVAL', `unrecognized entity '${who}'`);
  return who;
}

const optionName = (given: string): string => given.replaceAll(/[\s-]/g, '_');

function known(name: string, refusal: (name: string) => MonRefusal): CephOption {
  const option = cephOption(optionName(name));
  if (!option) throw refusal(name);
  return option;
}

async function set({cluster, values}: Request, section: string): Promise<Reply> {
  const option = known(values.text('name'), (name) => new MonRefusal('EINVAL', `unrecognized config option '${name}'`));
  const value = values.text('value');
  const wrong = valueComplaint(option, value);
  if (wrong) throw new MonRefusal('EINVAL', `error parsing value: ${wrong}`);
  await cluster.options.set({section, name: option.name, value});
  return {};
}

const isRuntime = (name: string): boolean => cephOption(name)?.isRuntime ?? false;
const columns = ['WHO', 'MASK', 'LEVEL', 'OPTION', 'VALUE', 'RO'].map(left);
const row = (option: StoredOption, who: string): string[] => [who, '', 'advanced', option.name, option.value, isRuntime(option.name) ? '' : '*'];

function dump({cluster}: Request): Reply {
  const options = cluster.options.list();
  const indent = (section: string): string => section === 'global' ? '' : section.includes('.') ? '    ' : '  ';
  return {
    root: 'config',
    doc: new List('option', options.map(({section, name, value}) => ({section, name, value, level: 'advanced', can_update_at_runtime: isRuntime(name), mask: ''}))),
    plain: textTable(columns, options.map((option) => row(option, indent(option.section) + option.section))),
  };
}

function get(request: Request): Reply {
  const who = sectionOf(request);
  const found = request.cluster.options.for(who);
  if (request.values.has('key')) {
    const option = known(request.values.text('key'), (name) => new MonRefusal('ENOENT', `unrecognized key '${name}'`));
    return {plain: `${found.get(option.name)?.value ?? option.byDefault}\n`};
  }
  return {
    root: 'config',
    doc: new Fields([...found.values()].map(({section, name, value}) => [name, {value, section, mask: {}, can_update_at_runtime: isRuntime(name)}])),
    plain: textTable(columns, [...found.values()].map((option) => row(option, option.section))),
  };
}

export const configCommands: readonly MonCommand[] = [
  {
    name: 'config set', args: [text('who'), text('name'), text('value'), flag('force')], module: 'config', rights: 'rw',
    help: 'set an option for clients', run: (request) => set(request, sectionOf(request)),
  },
  {
    name: 'config rm', args: [text('who'), text('name')], module: 'config', rights: 'rw', help: 'remove an option for clients',
    run: async (request) => {
      await request.cluster.options.remove(sectionOf(request), optionName(request.values.text('name')));
      return {};
    },
  },
  {name: 'config get', args: [text('who'), optional(text('key'))], module: 'config', rights: 'r', help: 'show what holds for an entity', run: get},
  {name: 'config dump', args: [], module: 'mon', rights: 'r', help: 'show all options that are set', run: dump},
];
