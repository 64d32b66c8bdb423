// `rbd help`: for each command that both have, the usage paragraph is the real one's, wrapped alike; the sentences are our own. It needs
// neither a daemon nor a configuration.
import {spawnSync} from 'node:child_process';
import t from 'tap';
import {refused} from '../../src/ceph/rbd/rbd.js';
import {goldenRuns} from '../lib/golden.js';
import {root} from '../lib/root.js';

t.setTimeout(60_000);

const program = root('build/bin/hooks/rbd');

function rbd(argv: readonly string[]): {rc: number|null, stdout: string, stderr: string} {
  const {status, stdout, stderr} = spawnSync(program, argv, {encoding: 'utf8', env: {PATH: '/usr/bin:/bin', CEPH_CONF: '/nonexistent', CBD2RBD_SOCKET: '/nonexistent'}});
  return {rc: status, stdout, stderr};
}

const isRefused = (line: string): boolean => refused.some(([name]) => line === name || line.startsWith(`${name} `));

t.test('rbd help shows the same usage as the real one', async (t) => {
  const usage = (text: string): string => text.split('\n\n')[0] ?? '';
  let same = 0;
  for (const run of goldenRuns(['rbd-help']).filter((run) => run.argv.join(' ') !== 'rbd create --nonesuch')) {
    const words = run.argv.slice(1);
    const line = words.join(' ');
    const ours = rbd(words);
    if (line === 'create --help') {
      t.match(ours, {rc: 0, stdout: /^usage: rbd create /}, 'help of the command itself, where the real one shows the list of all');
      continue;
    }
    if (words[0] === 'help' && isRefused(words.slice(1).join(' '))) {
      t.match(ours, {rc: 0, stdout: / is refused: ./, stderr: ''}, `rbd ${line} says why there is none`);
      continue;
    }
    t.equal(ours.rc, run.rc, `rbd ${line}: exit code`);
    t.equal(ours.stderr, run.stderr, `rbd ${line}: standard error`);
    t.equal(usage(ours.stdout), usage(run.stdout), `rbd ${line}: usage`);
    if (usage(ours.stdout) === usage(run.stdout)) same++;
  }
  t.ok(same > 70, `${same} usages are the same`);
});

t.test('every option and word that help shows is explained', async (t) => {
  const names = rbd(['bash-completion']).stdout.trim().split('|').filter((name) => name !== '' && name !== 'help' && !name.startsWith('-'));
  t.ok(names.length > 60);
  for (const name of names) t.notMatch(rbd(['help', ...name.split(' ')]).stdout, /^ {2}(-\S.*arg|--\S+|<\S+>) *$(?!\n {10})/m, name);
});

t.test('help is found wherever it is asked for', async (t) => {
  for (const words of [['info', '--help'], ['--pool', 'p', 'info', '-h'], ['info', 'image', '--help']]) t.match(rbd(words), {rc: 0, stdout: /^usage: rbd info /}, words.join(' '));
  for (const words of [[], ['--help'], ['help'], ['-h']]) t.match(rbd(words), {rc: 0, stdout: /^usage: rbd <command>/, stderr: ''}, words.join(' '));
  t.match(rbd(['help', 'nonsense']), {rc: 1, stdout: /^usage: rbd <command>/, stderr: 'error: unknown option \'nonsense\'\n\n'});
  t.match(rbd(['help', 'snap']), {rc: 1, stdout: /^usage: rbd <command>[^]*\n {4}snap create /, stderr: 'error: unknown option \'snap\'\n\n'}, 'a group shows what is in it');
  t.match(rbd(['bash-completion', 'snap', 'ls']), {rc: 0, stdout: /\|--pretty-format\|/});
});

t.test('so does ceph', async (t) => {
  const ceph = (...argv: string[]): string => spawnSync(root('build/bin/hooks/ceph'), argv, {encoding: 'utf8', env: {PATH: '/usr/bin:/bin', CEPH_CONF: '/nonexistent'}}).stdout;
  t.match(ceph('--help'), / General usage: [^]*Monitor commands:[^]*^osd pool create /m);
  t.match(ceph('osd', 'pool', 'create', '--help'), /^\n Monitor commands: \n =+\nosd pool create [^\n]*\n? *[^\n]*\n$/);
  t.match(ceph('osd', 'pool', 'create', 'name', '-h'), /\nosd pool create /);
});
