// Points where a crash test ends the process as kill -9 would. Without CBD2RBD_FAULT in the environment they do nothing.

let armed: string | undefined;
let left = 0;

/**
 * Passes a fault point. CBD2RBD_FAULT=<name>:<n> kills the process at the n-th pass, from when it was set, of points whose
 * name is <name>, or of any point where <name> is "any".
 */
export function faultPoint(name: string): void {
  const setting = process.env['CBD2RBD_FAULT'];
  if (setting === undefined) return;
  const [wanted, count] = setting.split(':');
  if (setting !== armed) {
    armed = setting;
    left = Number(count ?? 1);
  }
  if (wanted !== name && wanted !== 'any') return;
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
}
