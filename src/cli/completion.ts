// Completion scripts, made from the same table as --help.
import {commonOptions, type Command} from './command.js';

/** A script for bash: source it, or put it into bash_completion.d. */
export function bashCompletion(commands: readonly Command[]): string {
  const words = new Map<string, Set<string>>();
  const add = (before: string, word: string): void => void words.set(before, (words.get(before) ?? new Set<string>()).add(word));
  for (const {name} of commands) name.split(' ').forEach((word, at, parts) => add(parts.slice(0, at).join(' '), word));
  add('', 'help');
  const common = Object.keys(commonOptions).map((name) => `--${name}`);
  const options = commands.map(({name, options}) => [name, [...new Set([...Object.keys(options ?? {}).map((option) => `--${option}`), ...common])].join(' ')] as const);
  return [
    '# bash completion of cbd2rbd, made by `cbd2rbd completion bash`', '_cbd2rbd() {', '  local current=${COMP_WORDS[COMP_CWORD]} words="" word at', '  COMPREPLY=()',
    '  for ((at = 1; at < COMP_CWORD; at++)); do', '    word=${COMP_WORDS[at]}', `    case $word in`,
    `      ${Object.entries(commonOptions).filter(([, option]) => option.value).map(([name]) => `--${name}`).join('|')}) ((at++));;`, '      -*) ;;', '      help) ;;',
    '      *) words+="${words:+ }$word";;', '    esac', '  done', '  local list=""', '  case $current in', '    -*)', '      case $words in',
    ...options.map(([name, list]) => `        "${name}"*) list="${list}";;`), `        *) list="${common.join(' ')}";;`, '      esac;;', '    *)', '      case $words in',
    ...[...words].map(([before, next]) => `        "${before}") list="${[...next].sort().join(' ')}";;`), '      esac;;', '  esac',
    '  COMPREPLY=($(compgen -W "$list" -- "$current"))', '  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))', '}', 'complete -F _cbd2rbd cbd2rbd', '',
  ].join('\n');
}

/** The same for `rbd` and `ceph` of hooks/: they are asked for their words. */
export const hookCompletion = [
  '# bash completion of cbd2rbd\'s rbd and ceph', '_cbd2rbd_rbd() {', '  local current=${COMP_WORDS[COMP_CWORD]} words=() at',
  '  for ((at = 1; at < COMP_CWORD; at++)); do [[ ${COMP_WORDS[at]} == -* ]] || words+=("${COMP_WORDS[at]}"); done', '  local IFS=\'|\' list',
  '  list=$(rbd bash-completion "${words[@]}" 2>/dev/null)', '  local all=($list) one rest found=()', '  rest="${words[*]}"; rest=${rest//|/ }',
  '  for one in "${all[@]}"; do', '    if [[ $one == -* ]]; then [[ $current == -* ]] && found+=("$one")', '    elif [[ -z $rest ]]; then found+=("${one%% *}")',
  '    elif [[ $one == "$rest "* ]]; then one=${one#"$rest "}; found+=("${one%% *}"); fi', '  done', '  IFS=$\' \\t\\n\'', '  COMPREPLY=($(compgen -W "${found[*]}" -- "$current"))', '}',
  'complete -F _cbd2rbd_rbd rbd', '_cbd2rbd_ceph() {', '  local current=${COMP_WORDS[COMP_CWORD]}', '  local before=("${COMP_WORDS[@]:1:COMP_CWORD-1}")',
  '  COMPREPLY=($(compgen -W "$(ceph --help "${before[@]}" 2>/dev/null | awk -v skip=${#before[@]} \'/^ =====/ {on = 1; next} on && /^[a-z]/ {print $(skip + 1)}\' | sort -u)" -- "$current"))',
  '}', 'complete -F _cbd2rbd_ceph ceph', '',
].join('\n');

