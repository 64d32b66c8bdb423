// `rbd help`: for each command that both have, the usage paragraph is the real one's, wrapped alike; the sentences are our own.
import t from 'tap';
import {startTestDaemon} from '../lib/daemon.js';
import {goldenRuns} from '../lib/golden.js';

t.setTimeout(60_000);

// Not offered: refused by name, so there is no help for them.
const refused = /^(device (attach|detach|map|unmap)|encryption|group|journal|migration|mirror|object-map|persistent-cache|trash purge schedule)/;

t.test('rbd help shows the same usage as the real one', async (t) => {
  const daemon = await startTestDaemon();
  t.teardown(() => daemon.stop());
  const client = await daemon.client();
  const rbd = async (argv: readonly string[]): Promise<{rc: number, stdout: string, stderr: string}> => {
    const {rc, outbuf, outs} = await client.call('mon.command', {cmd: [JSON.stringify({prefix: 'cbd2rbd cli', program: 'rbd', argv, env: {}})]}) as
        {rc: number, outbuf: string, outs: string};
    return {rc: -rc, stdout: Buffer.from(outbuf, 'base64').toString(), stderr: outs};
  };
  const usage = (text: string): string => text.split('\n\n')[0] ?? '';
  let same = 0;
  for (const run of goldenRuns(['rbd-help'])) {
    const words = run.argv.slice(1);
    const line = words.join(' ');
    const ours = await rbd(words);
    if (line === 'create --help') {
      t.match(ours, {rc: 0, stdout: /^usage: rbd create /}, 'help of the command itself, where the real one shows the list of all');
      continue;
    }
    if (words[0] === 'help' && refused.test(words.slice(1).join(' '))) continue;
    t.equal(ours.rc, run.rc, `rbd ${line}: exit code`);
    t.equal(ours.stderr, run.stderr, `rbd ${line}: standard error`);
    t.equal(usage(ours.stdout), usage(run.stdout), `rbd ${line}: usage`);
    if (usage(ours.stdout) === usage(run.stdout)) same++;
  }
  t.ok(same > 70, `${same} usages are the same`);
});

t.test('every option and word that help shows is explained', async (t) => {
  const daemon = await startTestDaemon();
  t.teardown(() => daemon.stop());
  const client = await daemon.client();
  const {outbuf} = await client.call('mon.command', {cmd: [JSON.stringify({prefix: 'cbd2rbd cli', program: 'rbd', argv: ['bash-completion'], env: {}})]}) as {outbuf: string};
  const names = Buffer.from(outbuf, 'base64').toString().trim().split('|').filter((name) => name !== '' && name !== 'help' && !name.startsWith('-'));
  t.ok(names.length > 60);
  for (const name of names) {
    const {outbuf} = await client.call('mon.command', {cmd: [JSON.stringify({prefix: 'cbd2rbd cli', program: 'rbd', argv: ['help', ...name.split(' ')], env: {}})]}) as {outbuf: string};
    const help = Buffer.from(outbuf, 'base64').toString();
    t.notMatch(help, /^ {2}(-\S.*arg|--\S+|<\S+>) *$(?!\n {10})/m, name);
  }
});
