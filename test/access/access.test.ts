// Handshakes: who gets in, with which error the others are turned away, and what the log says of it.
import {execFileSync} from 'node:child_process';
import t from 'tap';
import {Access} from '../../src/access/access.js';
import {isKey, newKey, proofOf, secretOf} from '../../src/access/key.js';
import type {User} from '../../src/access/user.js';

const me = process.getuid?.() ?? 0;
const client = 'ab'.repeat(16);
const denied = {name: 'ServiceError', errno: 'EACCES'};

function fixture(options: {trustOwnUid?: boolean} = {}) {
  const key = newKey();
  const users = new Map<string, User>();
  const add = (entity: string, caps: Record<string, string>): void => void users.set(entity, {entity, key, caps, owner: 'o'});
  add('client.admin', {mon: 'allow *', osd: 'allow *'});
  add('client.cinder', {mon: 'profile rbd', osd: 'profile rbd pool=volumes'});
  add('client.nobody', {});
  const lines: string[] = [];
  const access = new Access({
    users: {
      read: async (entity) => users.get(entity),
      list: async () => [...users.values()],
      write: async (user) => void users.set(user.entity, user),
      remove: async (entity) => users.delete(entity),
    },
    trustOwnUid: options.trustOwnUid ?? true,
    log: (line) => lines.push(line),
  });
  const enter = async (entity: string, how: {uid?: number, key?: string, nonce?: string} = {}) => {
    const challenge = access.challenge({entity, peer: {pid: 77, uid: how.uid ?? me, gid: 0}});
    if (how.key === undefined) return access.authenticate(challenge, {});
    const nonce = how.nonce ?? client;
    const proof = proofOf({secret: secretOf(how.key), nonces: {daemon: challenge.nonce, client: nonce}, entity});
    return access.authenticate(challenge, {nonce, proof});
  };
  return {key, access, enter, lines};
}

t.test('the daemon\'s own uid needs no key, where that is on', async (t) => {
  const identity = await fixture().enter('client.admin');
  t.ok(identity.isAdmin);
  t.ok(identity.isTrusted);
  await t.rejects(fixture({trustOwnUid: false}).enter('client.admin'), denied);
});

t.test('another uid proves its key', async (t) => {
  const {enter, key} = fixture();
  const identity = await enter('client.cinder', {uid: me + 1, key});
  t.notOk(identity.isAdmin);
  t.notOk(identity.isTrusted);
  identity.require('rwx', {pool: 'volumes'});
  t.throws(() => identity.require('r', {pool: 'images'}), {errno: 'EPERM', message: /client.cinder.*images/});
  t.throws(() => identity.requireMon('rw', 'osd pool create'), denied);
  await t.rejects(enter('client.cinder', {uid: me + 1}), denied);
});

t.test('a wrong key is refused even to the daemon\'s own uid, and the log names the reason but no key', async (t) => {
  const {enter, lines, key} = fixture();
  const wrong = newKey();
  await t.rejects(enter('client.cinder', {key: wrong}), denied);
  t.match(lines[0], `refused "client.cinder" (pid 77, uid ${me}): wrong key`);
  t.notOk(lines.some((line) => line.includes(wrong) || line.includes(key)));
});

t.test('an unknown user, and one without mon caps, are refused with EACCES', async (t) => {
  const {enter, lines, key} = fixture();
  await t.rejects(enter('client.ghost', {key}), denied);
  await t.rejects(enter('client.nobody', {key}), denied);
  t.match(lines, [/no such user/, /caps/]);
});

t.test('a proof is worth nothing for another challenge, another entity, or without a nonce of the client', async (t) => {
  const {access, enter, key} = fixture();
  const first = access.challenge({entity: 'client.cinder', peer: {pid: 1, uid: me + 1, gid: 0}});
  const second = access.challenge({entity: 'client.cinder', peer: {pid: 1, uid: me + 1, gid: 0}});
  const other = access.challenge({entity: 'client.admin', peer: {pid: 1, uid: me + 1, gid: 0}});
  const proof = proofOf({secret: secretOf(key), nonces: {daemon: first.nonce, client}, entity: 'client.cinder'});
  await t.rejects(access.authenticate(second, {nonce: client, proof}), denied);
  await t.rejects(access.authenticate(other, {nonce: client, proof}), denied);
  await t.rejects(access.authenticate(first, {nonce: client, proof: proof.slice(2)}), denied);
  await t.rejects(access.authenticate(first, {nonce: client, proof: ''}), denied);
  await t.rejects(enter('client.cinder', {key, nonce: ''}), denied);
  t.equal((await access.authenticate(first, {nonce: client, proof})).entity, 'client.cinder');
});

t.test('keys are of the shape that Ceph\'s own tools make and take', async (t) => {
  const made = execFileSync('ceph-authtool', ['--gen-print-key']).toString().trim();
  t.ok(isKey(made));
  t.ok(isKey(newKey()));
  t.equal(secretOf(made).length, 16);
  t.notOk(isKey('notakey'));
  t.notOk(isKey(Buffer.alloc(28).toString('base64')));
  t.strictSame(secretOf(Buffer.from('whole').toString('base64')), Buffer.from('whole'));
});
