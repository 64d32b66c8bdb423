// `osd blocklist ...`: addresses of clients that are shut out. Entries end by themselves. What is added and taken away here is so on the
// real Cephs behind mapped pools too: who shuts a client out means all that he can reach.
import {addToBlocklist, blocklist, clearBlocklist, removeFromBlocklist} from '../../service/blocklist.js';
import {commandRealClusters} from '../../service/real-clusters.js';
import {MonRefusal, type MonCommand, type Reply, type Request} from '../command.js';
import {isFormat, List, render, type Doc} from '../document.js';
import {atLeast, choice, float, optional} from '../signature.js';
import {timestamp} from '../units.js';

const time = (seconds: number): string => timestamp({sec: Math.floor(seconds), nsec: Math.floor((seconds % 1) * 1e9)});

async function list({cluster, values}: Request): Promise<Reply> {
  const found = await blocklist(cluster.ctx);
  const outs = `listed ${found.length} entries`;
  const format = values.text('format');
  const doc: Doc = new List('entry', found.map((entry) => ({addr: entry.address, until: time(entry.until)})));
  // The real answer is two documents behind one another, ranges being the second.
  if (isFormat(format)) return {outs, plain: render('blocklist', doc, format) + render('range_blocklist', new List('entry', []), format)};
  return {outs, plain: found.map((entry) => `${entry.address} ${time(entry.until)}\n`).join('')};
}

/** `reply`, where the real clusters do the same; else the refusal of the first that does not, and who they are. */
async function everywhere({cluster}: Request, command: Readonly<Record<string, string | number>>, reply: Reply): Promise<Reply> {
  const refusals = await commandRealClusters(cluster.ctx, {prefix: 'osd blocklist', ...command});
  if (refusals.length === 0) return reply;
  const who = refusals.map(({pool, why}) => `the real Ceph of pool '${pool}' did not do it (${why})`).join('; ');
  return {...reply, errno: refusals[0]!.errno, outs: `${reply.outs ?? ''}, but ${who}`};
}

async function change(request: Request, operation: string): Promise<Reply> {
  const {cluster, values} = request;
  const given = values.text('addr');
  if (!/^(v[12]:)?(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:]+\])(:\d+)?(\/\d+)?$/.test(given)) throw new MonRefusal('EINVAL', `unable to parse address ${given}`);
  const address = given.replace(/^v[12]:/, '').replace(/^([^/:]+|\[.*\])(?!.*:)(\/|$)/, '$1:0$2').replace(/^([^/]*)$/, '$1/0');
  if (operation === 'rm') {
    const was = await removeFromBlocklist(cluster.ctx, address);
    return everywhere(request, {blocklistop: 'rm', addr: address}, {outs: was ? `un-blocklisting ${address}` : `${address} isn't blocklisted`});
  }
  if (operation !== 'add') throw new MonRefusal('EINVAL', `unknown blocklist operation '${operation}'`);
  const seconds = values.number('expire') || 3600;
  const {until} = await addToBlocklist(cluster.ctx, address, seconds);
  return everywhere(request, {blocklistop: 'add', addr: address, expire: seconds}, {outs: `blocklisting ${address} until ${time(until)} (${seconds} sec)`});
}

// A real Ceph keeps those that others put on its list.
async function clear(request: Request): Promise<Reply> {
  const {ctx} = request.cluster;
  const entries = await blocklist(ctx);
  await clearBlocklist(ctx);
  let reply: Reply = {outs: ' removed all blocklist entries'};
  for (const {address} of entries) reply = reply.errno ? reply : await everywhere(request, {blocklistop: 'rm', addr: address}, reply);
  return reply;
}

const expire = optional(atLeast(0, float('expire')));

// "blacklist" is the old name of the same commands.
function named(word: 'blocklist'|'blacklist'): MonCommand[] {
  const old = word === 'blacklist' ? {isDeprecated: true} as const : {};
  return [
    {name: `osd ${word} ls`, args: [], module: 'osd', rights: 'r', help: 'list addresses that are locked out', run: list, ...old},
    {
      name: `osd ${word} clear`, args: [], module: 'osd', rights: 'rw', help: 'let everybody in again', ...old,
      run: clear,
    },
    {
      name: `osd ${word}`, args: [choice(`${word}op`, ['add', 'rm']), {name: 'addr', kind: 'address'}, expire], module: 'osd', rights: 'rw',
      help: 'lock an address out (for <expire> seconds), or let it in again', ...old,
      run: (request) => change(request, request.values.text(`${word}op`)),
    },
  ];
}

export const blocklistCommands: readonly MonCommand[] = [...named('blocklist'), ...named('blacklist')];
