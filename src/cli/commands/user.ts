// `cbd2rbd user ...`: users, their keys and caps.
import {writeFileSync} from 'node:fs';
import {formatKeyring} from '../../access/keyring.js';
import type {User} from '../../access/user.js';
import {table, UsageError, type Command, type Invocation} from '../command.js';

function pairs(invocation: Invocation, from: number): Record<string, string> {
  const given = invocation.args.slice(from);
  if (given.length % 2 !== 0) throw new UsageError(`caps come in pairs of KIND and TEXT; ${JSON.stringify(given.at(-1))} has no text`, invocation.command);
  const caps: Record<string, string> = {};
  for (let at = 0; at < given.length; at += 2) caps[given[at] ?? ''] = given[at + 1] ?? '';
  return caps;
}

const capsLines = (caps: Readonly<Record<string, string>>): string[] =>
    Object.entries(caps).map(([kind, text]) => `    ${kind}: ${text}`);

const add: Command = {
  name: 'user add',
  usage: 'USER [KIND CAPS]...',
  takes: {least: 1, most: 9},
  summary: 'Add a user with a new key, and print his keyring',
  details: ['Without caps he gets: mon "profile rbd", osd "profile rbd" (every pool).'],
  options: {
    owner: {value: 'NAME', help: 'the CurveBS owner of his volumes (default: his name)'},
    key: {value: 'KEY', help: 'a cephx key that he has already'},
    output: {value: 'FILE', help: 'write the keyring to FILE (mode 0600)'},
  },
  examples: [
    'cbd2rbd user add cinder mon "profile rbd" osd "profile rbd pool=volumes, profile rbd-read-only pool=images"',
    'cbd2rbd user add client.nova --owner nova --output /etc/ceph/ceph.client.nova.keyring',
  ],
  run: async (invocation) => {
    const given = pairs(invocation, 1);
    const caps = Object.keys(given).length > 0 ? given : {mon: 'profile rbd', osd: 'profile rbd'};
    const owner = invocation.values.get('owner');
    const key = invocation.values.get('key');
    const daemon = await invocation.daemon();
    const user = await daemon.call('admin.user.add', {
      entity: invocation.args[0], caps, ...(owner !== undefined ? {owner} : {}), ...(key !== undefined ? {key} : {}),
    }) as User;
    return deliver(invocation, user);
  },
};

function deliver(invocation: Invocation, user: User): number {
  const output = invocation.values.get('output');
  if (output !== undefined) {
    writeFileSync(output, formatKeyring(user), {mode: 0o600});
    invocation.print({entity: user.entity, keyring: output}, () => [`${user.entity}: keyring written to ${output}`]);
  } else {
    invocation.print(user, () => formatKeyring(user).trimEnd().split('\n'));
  }
  return 0;
}

const list: Command = {
  name: 'user ls',
  usage: '',
  takes: {least: 0, most: 0},
  summary: 'List users, their owners and caps (no keys)',
  examples: ['cbd2rbd user ls', 'cbd2rbd user ls --json'],
  run: async (invocation) => {
    const {users} = await (await invocation.daemon()).call('admin.user.list') as {users: Omit<User, 'key'>[]};
    invocation.print(users, (users) => table(['USER', 'OWNER', 'CAPS'], users.map((user) => [
      user.entity, user.owner, Object.entries(user.caps).map(([kind, text]) => `${kind} "${text}"`).join('  ')])));
    return 0;
  },
};

const remove: Command = {
  name: 'user rm',
  usage: 'USER',
  takes: {least: 1, most: 1},
  summary: 'Remove a user; his open sessions go on until they end',
  examples: ['cbd2rbd user rm client.cinder'],
  run: async (invocation) => {
    await (await invocation.daemon()).call('admin.user.remove', {entity: invocation.args[0]});
    invocation.print({removed: invocation.args[0]}, () => []);
    return 0;
  },
};

const caps: Command = {
  name: 'user caps',
  usage: 'USER KIND CAPS [KIND CAPS]...',
  takes: {least: 3, most: 9},
  summary: 'Replace all caps of a user',
  examples: ['cbd2rbd user caps cinder mon "profile rbd" osd "profile rbd pool=volumes"'],
  run: async (invocation) => {
    const user = await (await invocation.daemon()).call('admin.user.caps', {
      entity: invocation.args[0], caps: pairs(invocation, 1),
    }) as Omit<User, 'key'>;
    invocation.print(user, (user) => [user.entity, ...capsLines(user.caps)]);
    return 0;
  },
};

const keyring: Command = {
  name: 'user keyring',
  usage: 'USER',
  takes: {least: 1, most: 1},
  summary: 'Print a user\'s keyring, as `ceph auth get` does',
  options: {output: {value: 'FILE', help: 'write it to FILE (mode 0600)'}},
  examples: ['cbd2rbd user keyring cinder --output /etc/ceph/ceph.client.cinder.keyring'],
  run: async (invocation) => {
    const user = await (await invocation.daemon()).call('admin.user.show', {entity: invocation.args[0]}) as User;
    return deliver(invocation, user);
  },
};

export const userCommands: readonly Command[] = [add, list, remove, caps, keyring];
