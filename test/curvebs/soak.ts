// `npm run soak:curvebs`: the long form of faults.test.ts. Takes minutes.

import t from 'tap';
import { cutAndDelay, killStorage, killDaemon } from './faults.js';

t.setTimeout(3_600_000);
t.test('the storage server is killed fifty times', (test) => killStorage(test, 50));
t.test('the daemon is killed fifty times', (test) => killDaemon(test, 50));
t.test('the storage server of a clone is killed fifty times', (test) => killStorage(test, 50, 'clone'));
t.test('the daemon of a clone is killed fifty times', (test) => killDaemon(test, 50, 'clone'));
t.test('the storage server of a clone is killed fifty times while snapshots come and go', (test) => killStorage(test, 50, 'clone with snapshots'));
t.test('the daemon of a clone is killed fifty times while snapshots come and go', (test) => killDaemon(test, 50, 'clone with snapshots'));
t.test('two minutes of cut connections, delays, other orders and withheld replies', (test) => cutAndDelay(test, 120));
t.test('and two minutes on a clone', (test) => cutAndDelay(test, 120, 'clone'));
