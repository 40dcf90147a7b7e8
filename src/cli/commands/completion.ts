import { Argument, type Command } from 'commander';
import type { CliContext } from '../context.ts';

const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

/** `tower completion <shell>`: a script for the shell, generated from the commands. */
export function addCompletionCommand(program: Command, context: CliContext): void {
  program
    .command('completion')
    .description('print a completion script: source <(tower completion bash)')
    .addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(shells))
    .action((shell: Shell) => context.out(scripts[shell](pathsOf(program, ''))));
}

/** Words that may follow each command; the key is the command with its parents, '' for `tower` itself. */
type Words = Map<string, { names: string[]; options: string[] }>;

function pathsOf(command: Command, path: string): Words {
  const visible = command.commands.filter((each) => each.name() !== 'help');
  const options = command.options.filter(({ hidden }) => !hidden).flatMap(({ long }) => (long ? [long] : []));
  const own: Words = new Map([[path, { names: visible.map((each) => each.name()), options: [...options, '--help'] }]]);
  for (const each of visible)
    for (const [key, words] of pathsOf(each, path === '' ? each.name() : `${path} ${each.name()}`)) own.set(key, words);
  return own;
}

const wordsOf = ({ names, options }: { names: string[]; options: string[] }): string =>
  [...names, ...options].join(' ');

/** The commands typed so far select the words: options and their values are skipped. */
const bash = (all: Words): string => `# bash completion of tower; load it with: source <(tower completion bash)
_tower() {
  local word path='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${path:+$path }\${COMP_WORDS[i]}"
    case "$word" in
      ${[...all.keys()]
        .filter((path) => path !== '')
        .map((path) => `'${path}'`)
        .join(' | ')}) path="$word" ;;
    esac
  done
  local words=''
  case "$path" in
${[...all].map(([path, words]) => `    '${path}') words='${wordsOf(words)}' ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _tower tower`;

const zsh = (all: Words): string => `# zsh completion of tower; load it with: source <(tower completion zsh)
autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
${bash(all)}`;

const fish = (all: Words): string =>
  [
    '# fish completion of tower; load it with: tower completion fish | source',
    ...[...all].flatMap(([path, { names, options }]) => {
      const parts = path === '' ? [] : path.split(' ');
      const seen = parts.map((part) => `__fish_seen_subcommand_from ${part}`).join('; and ');
      const none = names.length === 0 ? '' : `not __fish_seen_subcommand_from ${names.join(' ')}`;
      const when = [seen, none].filter((text) => text !== '').join('; and ') || 'true';
      return [
        ...names.map((name) => `complete -c tower -f -n '${when}' -a ${name}`),
        ...options.map((option) => `complete -c tower -n '${when}' -l ${option.slice(2)}`),
      ];
    }),
  ].join('\n');

const scripts: Record<Shell, (all: Words) => string> = { bash, zsh, fish };
