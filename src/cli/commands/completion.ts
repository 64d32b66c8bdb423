// `cbd2rbd completion`: a script for the shell.
import {UsageError, type Command} from '../command.js';
import {bashCompletion, hookCompletion} from '../completion.js';

/** `commands` is asked when needed, for this is among them. */
export function completionCommands(commands: () => readonly Command[]): readonly Command[] {
  return [{
    name: 'completion',
    usage: '[SHELL]',
    takes: {least: 0, most: 1},
    summary: 'Print a completion script (bash)',
    options: {hooks: {help: 'for our rbd and ceph instead'}},
    examples: ['source <(cbd2rbd completion bash)', 'cbd2rbd completion > /usr/share/bash-completion/completions/cbd2rbd', 'cbd2rbd completion --hooks'],
    run: async (invocation) => {
      const [shell = 'bash'] = invocation.args;
      if (shell !== 'bash') throw new UsageError(`there is no completion for ${JSON.stringify(shell)}: bash`, invocation.command);
      invocation.write(invocation.switches.has('hooks') ? hookCompletion : bashCompletion(commands()));
      return 0;
    },
  }];
}
