// Where hooks/rbd answers otherwise than the real rbd did when it moved data, and why. The list may only shrink.
import type {Difference} from './ceph-differences.js';

export const rbdDataDifferences: readonly Difference[] = [
  {command: /^cp rb p1\/cp3/, code: 0, reason: 'the recorded pool p1 was not prepared for images; ours are from the start'},
  {command: /^cp rb cp4 --object-size 1M/, code: 0, reason: 'the real one takes the source\'s objects of 4 MiB for the stripe unit'},
  {command: /^du im9/, code: 0, reason: 'what is at 8 MiB in our file covers two objects of 1 MiB'},
  {command: /^du im8/, code: 0, reason: 'the real one aborts on an image of size 0'},
];

/** Besides those, on CurveBS. */
export const rbdDataDifferencesOnCurvebs: readonly Difference[] = [
  {command: /^du im10?\b/, code: 0, reason: 'of a plain image CurveBS knows by whole GiB what was written'},
  {command: /^sparsify k$/, code: 95, reason: 'of a plain volume CurveBS can give back whole GiB alone, and some time later'},
  {command: /^diff im1(@d1)?( --whole-object)?( --format|$)/, code: 0, reason: 'of a plain image CurveBS knows by whole GiB what was written'},
];
