// `cbd2rbd config ...`: the configuration as it would hold, without a daemon.
import {defaultFile, layoutFor} from '../../config/config.js';
import {table, type Command} from '../command.js';

const show: Command = {
  name: 'config show',
  usage: '',
  takes: {least: 0, most: 0},
  summary: 'Show every option\'s value and where it comes from',
  options: {default: {help: 'print a complete, commented file with the defaults instead'}},
  examples: ['cbd2rbd config show', 'cbd2rbd config show --default > /etc/cbd2rbd/cbd2rbd.conf'],
  run: async (invocation) => {
    if (invocation.switches.has('default')) {
      invocation.write(defaultFile(layoutFor(invocation.values.get('dir'))));
      return 0;
    }
    const config = invocation.config();
    const rows = [...config.sources].map(([name, source]) => ({name, value: source.value, from: source.from}));
    for (const [section, values] of config.ceph) {
      for (const [name, value] of values) rows.push({name: `ceph ${section}: ${name}` as typeof rows[0]['name'], value, from: config.file});
    }
    invocation.print(rows, (rows) => table(['OPTION', 'VALUE', 'FROM'], rows.map((row) => [row.name, row.value, row.from])));
    return 0;
  },
};

const check: Command = {
  name: 'config check',
  usage: '[FILE]',
  takes: {least: 0, most: 1},
  summary: 'Check a configuration file; names each bad line',
  examples: ['cbd2rbd config check', 'cbd2rbd config check /etc/cbd2rbd/cbd2rbd.conf'],
  run: async (invocation) => {
    const config = invocation.config();
    invocation.print({file: config.file, ok: true}, ({file}) => [`${file}: ok`]);
    return 0;
  },
};

export const configCommands: readonly Command[] = [show, check];
