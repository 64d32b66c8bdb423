// The table of monitor commands.
import type {MonCommand} from './command.js';
import {applicationCommands} from './commands/applications.js';
import {authCommands} from './commands/auth.js';
import {blocklistCommands} from './commands/blocklist.js';
import {configCommands} from './commands/config.js';
import {dfCommands} from './commands/df.js';
import {osdCommands} from './commands/osd.js';
import {poolSettingCommands} from './commands/pool-settings.js';
import {poolCommands} from './commands/pools.js';
import {statusCommands} from './commands/status.js';

export const monCommands: readonly MonCommand[] = [
  ...statusCommands, ...dfCommands, ...osdCommands, ...poolCommands, ...poolSettingCommands, ...applicationCommands, ...blocklistCommands,
  ...authCommands, ...configCommands,
];
