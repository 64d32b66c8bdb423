#!/usr/bin/env node
// The `cbd2rbd` command.
import {commands} from './commands.js';
import {run} from './run.js';

process.exitCode = await run(commands, process.argv.slice(2));
