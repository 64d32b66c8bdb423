// Verified load on CurveBS while the storage server and the daemon are killed and connections are cut: no error, no mismatch.

import t from 'tap';
import { cutAndDelay, killStorage, killDaemon } from './faults.js';

t.setTimeout(120_000);
t.test('the storage server is killed again and again', (test) => killStorage(test, 4));
t.test('the daemon is killed again and again', (test) => killDaemon(test, 4));
t.test('connections are cut at random bytes, requests and replies delayed and reordered', (test) => cutAndDelay(test, 4));
