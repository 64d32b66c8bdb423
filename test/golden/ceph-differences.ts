// Where our `ceph` answers otherwise than the real one did, and why. The list may only shrink.

export interface Difference {
  /** Matches the words behind "ceph". */
  readonly command: RegExp;
  readonly reason: string;
  /** Our exit code there, where it is always the same. */
  readonly code?: number;
  /** Only from this run on, or up to it. */
  readonly from?: number;
  readonly to?: number;
  /** The answers may be the same by chance. */
  readonly isChance?: true;
}

const notOffered = 'no counterpart here, and no client of RBD needs it: "no valid command found", code 22';
const noDaemons = 'there are no Ceph daemons to speak to: refused by name, code 95';

export const cephDifferences: readonly Difference[] = [
  {command: /^osd (perf|utilization|find|metadata|numa-status)\b/, code: 22, reason: notOffered},
  {command: /^pg dump(_pools_json)?\b/, code: 22, reason: notOffered},
  {command: /^mgr (dump|module ls)\b/, code: 22, reason: notOffered},
  {command: /^(balancer|mds|device|crash|progress|telemetry|orch|config-key|report)\b/, code: 22, reason: notOffered},
  {command: /^(tell|ping)\b/, code: 95, reason: noDaemons},
  {command: /^osd pool (mksnap|rmsnap)\b/, code: 22, reason: 'snapshots of whole pools are not supported; RBD never uses them'},
  {command: /^osd pool ls detail/, from: 459, code: 0, reason: 'shows the flag that the pool got from mksnap above'},
  {command: /^osd dump/, code: 0, reason: 'new_purged_snaps holds what the recorded OSD had just purged'},
  {command: /^auth (ls|list)/, code: 0, reason: 'a Ceph has keys of its own daemons and bootstrap keys besides'},
  {command: /^df -f nonesuch/, code: 2, reason: 'the usage text names the options that are here'},
  {command: /^(osd )?nonesuch$/, code: 22, reason: 'the closest matches are other commands, for there are fewer'},
];
