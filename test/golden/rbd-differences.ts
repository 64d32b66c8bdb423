// Where our `rbd` answers otherwise than the real one did, and why. The list may only shrink.
import type {Difference} from './ceph-differences.js';

const data = 'runs in the caller\'s process (hooks/), for it reads or moves data; tested there';
const state = 'shows images that recorded runs outside this replay made';

export const rbdDifferences: readonly Difference[] = [
  {command: /^du\b/, reason: data},
  {command: /^bench\b/, code: 95, reason: data},
  {command: /^(group|mirror|journal|object-map)\b/, code: 95, reason: 'refused by name: not supported'},
  {command: /^trash purge schedule/, code: 95, reason: 'refused by name: schedules are not supported'},
  {command: /^device list -t nbd/, code: 0, reason: 'rbd-nbd is not asked: nothing is ever mapped'},
  {command: /^info g\b/, code: 0, reason: 'the recorded image had a journal'},
  {command: /^feature (enable|disable) a journaling/, reason: 'no journals'},
  {command: /^ls( -l| --format|$)/, from: 1143, code: 0, reason: state},
  {command: /^info a\b/, from: 1233, code: 0, reason: state},
  {command: /^pool stats( rbd)?( --|$)/, from: 1345, code: 0, reason: state},
  {command: /^config global ls/, code: 0, reason: 'a Ceph notes here when a pool\'s options changed; ours tells open images itself'},
  {command: /^trash ls/, from: 1240, to: 1255, code: 0, isChance: true, reason: 'sorted by id, and ids are random'},
  {command: /^pool init p1/, code: 0, reason: 'the recorded pool had a snapshot of its own'},
];
