// Points where a crash test ends the process as kill -9 would. Without CBD2RBD_FAULT in the environment they do nothing.

const setting = process.env['CBD2RBD_FAULT'];
const [wanted, count] = setting ? setting.split(':') : [];
let left = Number(count ?? 1);

/**
 * Passes a fault point. CBD2RBD_FAULT=<name>:<n> kills the process at the n-th pass of points whose name is <name>, or
 * of any point where <name> is "any".
 */
export function faultPoint(name: string): void {
  if (wanted === undefined || (wanted !== name && wanted !== 'any')) return;
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
}
