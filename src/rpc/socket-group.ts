// Who may connect to the socket: everybody, or a group. It knows nothing of users and keys, which decide afterwards.
import { chmodSync, chownSync, readFileSync } from 'node:fs';

/** The number of a group, given by its name or as a number. Throws where there is none of that name on this machine. */
export function groupId(group: string, file = '/etc/group'): number {
  if (/^\d{1,10}$/.test(group)) return Number(group);
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [name, , id] = line.split(':');
    if (name === group && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  throw new Error(`listen_group = ${JSON.stringify(group)}: there is no such group in ${file} (groupadd --system ${group}, or leave it empty)`);
}

/**
 * Lets those connect who shall: "" is everybody. Until then only the daemon's own user may. The daemon needs no privilege for that
 * where it is a member of the group itself.
 */
export function openToGroup(socket: string, group: string): void {
  if (group === '') return chmodSync(socket, 0o666);
  chownSync(socket, process.getuid?.() ?? 0, groupId(group));
  chmodSync(socket, 0o660);
}
