// `cbd2rbd session ...`: who is connected.
import type {SessionView} from '../../rpc/admin.js';
import {table, UsageError, type Command} from '../command.js';

const list: Command = {
  name: 'session ls',
  usage: '',
  takes: {least: 0, most: 0},
  summary: 'List connected clients, the images that they have open, and which volumes that makes nebd-server have open on this host',
  examples: ['cbd2rbd session ls', 'cbd2rbd session ls --json'],
  run: async (invocation) => {
    const {sessions} = await (await invocation.daemon()).call('admin.session.list') as {sessions: SessionView[]};
    invocation.print(sessions, (sessions) => table(
        ['ID', 'USER', 'PROGRAM', 'PID', 'UID', 'IMAGES', 'VOLUMES'],
        sessions.map((session) => [String(session.id), session.entity, session.program, String(session.pid), String(session.uid), session.images.join(' '),
          session.volumes.map(({path}) => path).join(' ')])));
    return 0;
  },
};

const kill: Command = {
  name: 'session kill',
  usage: 'ID',
  takes: {least: 1, most: 1},
  summary: 'Cut a client off; its locks, watchers and ownership are free at once',
  examples: ['cbd2rbd session kill 4105'],
  run: async (invocation) => {
    const id = Number(invocation.args[0]);
    if (!Number.isSafeInteger(id)) throw new UsageError(`${JSON.stringify(invocation.args[0])} is no session\'s id`, invocation.command);
    await (await invocation.daemon()).call('admin.session.kill', {id});
    invocation.print({killed: id}, () => []);
    return 0;
  },
};

export const sessionCommands: readonly Command[] = [list, kill];
