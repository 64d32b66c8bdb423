// What the dead have open in a nebd-server that does not answer, by the class alone: here nobody listens at its socket.
import t from 'tap';
import { Leftovers, type Leftover } from '../../src/backend/curvebs/leftovers.js';

const of = (name: string): Leftover => ({ name, path: '/v', owner: 'o', mayWrite: true, isOwn: false });

t.test('one who dies while another one\'s volume is being fenced is fenced, too, before anybody writes', async (t) => {
  const fenced: string[] = [];
  const leftovers: Leftovers = new Leftovers({
    nebdSocket: '/nonexistent/nebd.sock', closingMs: 100, isInUse: () => false, log: () => undefined,
    fence: async (path) => {
      fenced.push(path);
      if (fenced.length === 1) leftovers.remember([of('second')]);
    },
  });
  leftovers.remember([of('first')]);
  const over = await leftovers.settle('/v');
  t.strictSame(over.map(({ name }) => name), ['first', 'second']);
  t.strictSame(fenced, ['/v', '/v']);
  t.strictSame(await leftovers.settle('/v'), [], 'and then nothing is left');
});
