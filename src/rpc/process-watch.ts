// Whether a client's process is still there. A socket may outlive its process in a forked child that never uses it.
import { readFileSync } from 'node:fs';

/** False once the process has ended, also while nobody has collected it. Pid 0 (of another pid namespace) counts as alive. */
export function isProcessAlive(pid: number): boolean {
  if (pid <= 0) return true;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The state stands behind the name, which may itself hold parentheses.
    const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
    return state !== 'Z' && state !== 'X';
  } catch (error) {
    return !(error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'));
  }
}
