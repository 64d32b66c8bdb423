// Runs every test program and sums up: the tap files (dist/test/**/*.test.js) and the native ones (build*/bin/native_*).
// With --long, those that are too long for every day (dist/test/**/*.long.js). Each is a process that prints TAP; what counts is its outermost test points. Knows nothing of what is tested.

import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

interface Program {
  name: string;
  command: string;
  args: string[];
}

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
  output: string;
}

/** A test program that says nothing for this long is stopped and counts as failed. */
const SILENCE_LIMIT_MS = 5 * 60 * 1000;
/** tap's own limit is for a whole file, and too short for some of ours; ours is for silence. */
const TEST_ENVIRONMENT = {
  TAP: '1', TAP_TIMEOUT: String(30 * 60), ASAN_OPTIONS: 'detect_leaks=1', TSAN_OPTIONS: 'halt_on_error=0 exitcode=66',
};
/** How many programs run at a time; the tests are written for two cores. */
const PARALLEL = Number(process.env['CBD2RBD_TEST_JOBS'] ?? '2');

function tapFiles(ending: string): Program[] {
  return readdirSync('dist/test', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending))
    .sort()
    .map((file) => ({
      name: join('test', file.replace(/\.js$/, '.ts')),
      command: process.execPath,
      args: ['--enable-source-maps', join('dist/test', file)],
    }));
}

function nativePrograms(): Program[] {
  const kinds: Array<[string, string]> = [
    ['build', ''],
    ['build-asan', ' (ASan, UBSan)'],
    ['build-tsan', ' (TSan)'],
  ];
  return kinds.flatMap(([folder, suffix]) => {
    const bin = join(folder, 'bin');
    if (!existsSync(bin)) return [];
    return readdirSync(bin)
      .filter((file) => file.startsWith('native_'))
      .sort()
      .map((file) => ({ name: `test/native/${file}${suffix}`, command: join(bin, file), args: [] }));
  });
}

/** Counts the outermost `ok` and `not ok` lines of a TAP stream. */
function count(output: string): { passed: number; failed: number; skipped: number } {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const line of output.split('\n')) {
    const point = /^(not )?ok\b(.*)$/.exec(line);
    if (!point) continue;
    if (/ # skip\b/i.test(point[2] ?? '')) skipped++;
    else if (point[1]) failed++;
    else passed++;
  }
  return { passed, failed, skipped };
}

function run(program: Program): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(program.command, program.args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...TEST_ENVIRONMENT },
      detached: true,
    });
    let output = '';
    let problem = '';
    const stopGroup = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // The group is gone already.
      }
    };
    const giveUp = setTimeout(() => {
      problem = `said nothing for ${SILENCE_LIMIT_MS / 1000} s`;
      stopGroup();
    }, SILENCE_LIMIT_MS);
    const take = (chunk: Buffer): void => {
      output += chunk.toString();
      giveUp.refresh();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', (error) => {
      problem = error.message;
    });
    child.on('close', (code, signal) => {
      clearTimeout(giveUp);
      stopGroup();
      const counts = count(output);
      if (!problem && counts.passed + counts.failed + counts.skipped === 0) problem = 'ran no test';
      if (!problem && counts.failed === 0 && code !== 0) problem = signal ? `died of ${signal}` : `ended with exit code ${code}`;
      if (problem) {
        counts.failed++;
        output += `\n# ${program.name} ${problem}\n`;
      }
      resolve({ ...counts, output });
    });
  });
}

/** What is worth showing of a failing program's output: all but the points that passed, and of very much the beginning and the end. */
function excerpt(output: string): string {
  const limit = 20_000;
  const isWorthless = (line: string): boolean => /^\s*(ok \d+\b.*|1\.\.\d+|)$/.test(line);
  const rest = output.split('\n').filter((line) => !isWorthless(line)).join('\n');
  return rest.length <= limit ? rest : `${rest.slice(0, limit / 2)}\n[...]\n${rest.slice(-limit / 2)}`;
}

async function main(): Promise<number> {
  const isLong = process.argv[2] === '--long';
  const wanted = process.argv.slice(isLong ? 3 : 2);
  const all = isLong ? tapFiles('.long.js') : [...tapFiles('.test.js'), ...nativePrograms()];
  const chosen = wanted.length === 0 ? all : all.filter((program) => wanted.some((part) => program.name.includes(part)));
  if (chosen.length === 0) {
    console.error(`run-tests: no test file's name contains ${wanted.map((part) => `'${part}'`).join(' or ')}`);
    return 2;
  }
  const total = { passed: 0, failed: 0, skipped: 0 };
  const failing: string[] = [];
  const queue = [...chosen];
  const worker = async (): Promise<void> => {
    for (let program = queue.shift(); program !== undefined; program = queue.shift()) {
      const started = Date.now();
      const outcome = await run(program);
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      const verdict = outcome.failed > 0 ? 'FAIL' : 'ok  ';
      const skips = outcome.skipped > 0 ? `, ${outcome.skipped} skipped` : '';
      console.log(`${verdict} ${program.name}: ${outcome.passed} passed, ${outcome.failed} failed${skips} (${seconds} s)`);
      if (outcome.failed > 0) {
        failing.push(program.name);
        console.log(excerpt(outcome.output));
      }
      total.passed += outcome.passed;
      total.failed += outcome.failed;
      total.skipped += outcome.skipped;
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  for (const name of failing) console.log(`failed: ${name}`);
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed > 0 ? 1 : 0;
}

process.exitCode = await main();
