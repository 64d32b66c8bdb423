// All commands of `cbd2rbd`, in the order in which help shows them.
import type {Command} from './command.js';
import {cephCommands} from './commands/ceph.js';
import {configCommands} from './commands/config.js';
import {poolCommands} from './commands/pool.js';
import {serve} from './commands/serve.js';
import {sessionCommands} from './commands/session.js';
import {statusCommands} from './commands/status.js';
import {userCommands} from './commands/user.js';

export const commands: readonly Command[] = [serve, ...statusCommands, ...poolCommands, ...userCommands, ...sessionCommands, ...cephCommands, ...configCommands];
