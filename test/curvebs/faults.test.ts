// Verified load on CurveBS while the storage server and the daemon are killed and connections are cut: no error, no mismatch.

import t from 'tap';
import { cutAndDelay, killStorage, killDaemon } from './faults.js';

t.setTimeout(180_000);
t.test('the storage server is killed again and again', (test) => killStorage(test, 4));
t.test('the daemon is killed again and again', (test) => killDaemon(test, 3));
t.test('connections are cut at random bytes, requests and replies delayed, reordered and withheld', (test) => cutAndDelay(test, 4));
t.test('the storage server of a clone is killed again and again while snapshots come and go', (test) => killStorage(test, 3, 'clone with snapshots'));
t.test('the daemon of a clone is killed again and again while snapshots come and go', (test) => killDaemon(test, 2, 'clone with snapshots'));
t.test('connections of a clone are cut, its requests and replies delayed, reordered and withheld', (test) => cutAndDelay(test, 3, 'clone'));
