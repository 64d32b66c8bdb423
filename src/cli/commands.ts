// All commands of `cbd2rbd`, in the order in which help shows them.
import type {Command} from './command.js';
import {cephCommands} from './commands/ceph.js';
import {metadataCommands} from './commands/check.js';
import {completionCommands} from './commands/completion.js';
import {configCommands} from './commands/config.js';
import {doctorCommands} from './commands/doctor.js';
import {imageCommands} from './commands/image.js';
import {layerCommands} from './commands/layer.js';
import {moveCommands} from './commands/move.js';
import {poolCommands} from './commands/pool.js';
import {serve} from './commands/serve.js';
import {sessionCommands} from './commands/session.js';
import {snapCommands} from './commands/snap.js';
import {statusCommands} from './commands/status.js';
import {userCommands} from './commands/user.js';

export const commands: readonly Command[] = [
  serve, ...statusCommands, ...poolCommands, ...userCommands, ...imageCommands, ...moveCommands, ...sessionCommands, ...snapCommands, ...layerCommands, ...metadataCommands, ...cephCommands,
  ...configCommands, ...doctorCommands, ...completionCommands(() => commands),
];
