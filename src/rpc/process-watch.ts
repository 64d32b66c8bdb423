// Whether a client's process is still there. A socket may outlive its process in a forked child that never uses it.
import { readFileSync } from 'node:fs';

/** False once the process has ended, also while nobody has collected it. Pid 0 (of another pid namespace) counts as alive. */
export function isProcessAlive(pid: number): boolean {
  if (pid <= 0) return true;
  try {
    return !['Z', 'X'].includes(stateOf(pid));
  } catch (error) {
    return !(error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'));
  }
}

/** True while all of it is stopped by a signal (SIGSTOP, SIGTSTP): it does nothing, and so answers nothing. */
export function isProcessStopped(pid: number): boolean {
  if (pid <= 0) return false;
  try {
    return stateOf(pid) === 'T';
  } catch {
    return false;
  }
}

function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // It stands behind the name, which may itself hold parentheses.
  return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
}
