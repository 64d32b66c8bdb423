// `npm run soak:curvebs`: the long form of faults.test.ts. Takes minutes.

import t from 'tap';
import { cutAndDelay, killStorage, killDaemon } from './faults.js';

t.setTimeout(3_600_000);
t.test('the storage server is killed fifty times', (test) => killStorage(test, 50));
t.test('the daemon is killed fifty times', (test) => killDaemon(test, 50));
t.test('five minutes of cut connections, delays and other orders', (test) => cutAndDelay(test, 300));
