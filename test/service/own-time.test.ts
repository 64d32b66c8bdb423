// The clock by which the daemon takes a process for dead.
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { afterOwnTime } from '../../src/service/own-time.js';

/** As while it is stopped: the clock goes on, and nothing that waits for this process has its turn. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

t.test('a pause of the daemon itself is not time that others had to answer', async (t) => {
  let isOver = false;
  const over = new Promise<void>((resolve) => {
    afterOwnTime(200, () => {
      isOver = true;
      resolve();
    });
  });
  standStill(600);
  // What came meanwhile is read now.
  for (let turn = 0; turn < 3; turn++) await setImmediate();
  t.notOk(isOver);
  await over;
});

t.test('who waits no longer is not called', async (t) => {
  let wasCalled = false;
  afterOwnTime(5, () => { wasCalled = true; })();
  await new Promise<void>((resolve) => { afterOwnTime(40, resolve); });
  t.notOk(wasCalled);
});
