#!/usr/bin/env node
// The `cbd2rbd` command: all subcommands, one line each.
import {configCommands} from './commands/config.js';
import {poolCommands} from './commands/pool.js';
import {statusCommands} from './commands/status.js';
import {userCommands} from './commands/user.js';
import {run} from './run.js';

process.exitCode = await run([...statusCommands, ...poolCommands, ...userCommands, ...configCommands], process.argv.slice(2));
