// `cbd2rbd doctor`: finds what keeps a client of this environment from working.
import {checkDaemon, checkSocket, clientView} from '../../doctor/clients.js';
import type {Finding} from '../../doctor/findings.js';
import {findKey} from '../../doctor/keys.js';
import {checkCommands, checkLibraries, checkPreload} from '../../doctor/libraries.js';
import {exitCodes, type Command} from '../command.js';

const doctor: Command = {
  name: 'doctor',
  usage: '',
  takes: {least: 0, most: 0},
  summary: 'Find what keeps a client from working: library, configuration, socket, key, pools, preload, commands',
  details: [
    'Looks at this environment as a client would: run it as the user, and with the variables, of the program that does not work.',
    'Exits with 1 where something is bad. Lines that begin with "note" may be as you want them.',
  ],
  options: {conf: {value: 'FILE', help: 'the client\'s ceph.conf (by default where librados looks)'}},
  examples: ['cbd2rbd doctor', 'sudo -u libvirt-qemu cbd2rbd doctor --user cinder', 'cbd2rbd doctor --conf /etc/ceph/ceph.conf --json'],
  run: async (invocation) => {
    const user = invocation.values.get('user') ?? 'client.admin';
    const entity = user.includes('.') ? user : `client.${user}`;
    const {view: found, findings} = clientView(process.env, {conf: invocation.values.get('conf'), entity});
    const keyring = invocation.values.get('keyring');
    const view = {...found, socket: invocation.values.get('socket') ?? found.socket, keys: keyring === undefined ? found.keys : {keyrings: [keyring]}};
    const key = findKey(entity, view.keys);
    const all: Finding[] = [
      ...checkLibraries(process.env), ...checkPreload(process.env), ...checkCommands(process.env), ...findings, ...checkSocket(view.socket),
      key.finding, ...await checkDaemon(view, {entity, found: key.found}),
    ];
    invocation.print(all, (all) => all.map(({about, grade, text, advice}) => `${grade.padEnd(4)} ${about.padEnd(8)} ${text}${advice === undefined ? '' : `\n              -> ${advice}`}`));
    return all.some(({grade}) => grade === 'bad') ? exitCodes.failed : exitCodes.ok;
  },
};

export const doctorCommands: readonly Command[] = [doctor];
