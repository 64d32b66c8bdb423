// Bytes as people read them: "10 GiB", "1.5 MiB".
import {bytes} from '../ceph/units.js';

export const size = (count: number): string => bytes(count);
