/* cmd_completion.c: scripts for three shells. They know nothing: they hand the words to the hidden
 * verb complete, which answers from the tables of verbs, options and keys and from the leases.
 *
 * They start the program that is being typed, but not by a relative path, be it typed or an element
 * of PATH: the Tab key in a tree would run what lies there under our name. */
#include <stdio.h>

#include "base/str.h"
#include "cmd.h"

/* Bash takes "--vmm=qemu" and "lease:path" for several words; they are put together again, and only
 * what follows the last such place is offered back. */
static const char bash_script[] =
    "# crabbox-fc completion for bash; load it with: source <(crabbox-fc completion bash)\n"
    "_crabbox_fc() {\n"
    "    local program\n"
    "    program=$(type -P -- \"${COMP_WORDS[0]}\") && [[ $program == /* ]] || return\n"
    "    local words=() word line head i joined=0\n"
    "    for ((i = 1; i <= COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        if [[ $word == [=:] && ${#words[@]} -gt 0 ]]; then\n"
    "            words[-1]+=$word joined=1\n"
    "        elif [[ $joined == 1 ]]; then\n"
    "            words[-1]+=$word joined=0\n"
    "        else\n"
    "            words+=(\"$word\")\n"
    "        fi\n"
    "    done\n"
    "    word=${words[-1]} head=\n"
    "    [[ $word == --*=* ]] && head=${word%%=*}=\n"
    "    [[ $word == *:* ]] && head=${word%:*}:\n"
    "    [[ $COMP_WORDBREAKS == *[=:]* ]] || head=\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        case $line in\n"
    "        :files) mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY "
    "< <(compgen -f -- \"${word#\"$head\"}\") ;;\n"
    "        :dirs) mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY "
    "< <(compgen -d -- \"${word#\"$head\"}\") ;;\n"
    "        *)\n"
    "            line=${line%%$'\\t'*}\n"
    "            COMPREPLY+=(\"${line#\"$head\"}\")\n"
    "            [[ $line == *: ]] && compopt -o nospace\n"
    "            ;;\n"
    "        esac\n"
    "    done < <(\"$program\" complete -- \"${words[@]}\" 2>/dev/null)\n"
    "    compopt -o filenames 2>/dev/null\n"
    "}\n"
    "complete -F _crabbox_fc crabbox-fc\n";

static const char zsh_script[] =
    "#compdef crabbox-fc\n"
    "# crabbox-fc completion for zsh; load it with: source <(crabbox-fc completion zsh)\n"
    "_crabbox_fc() {\n"
    "    local line word program\n"
    "    program=$(whence -p -- \"${(Q)words[1]}\") && [[ $program == /* ]] || return 1\n"
    "    local -a found leases\n"
    "    while IFS= read -r line; do\n"
    "        word=${line%%$'\\t'*}\n"
    "        case $line in\n"
    "        :files) _files ;;\n"
    "        :dirs) _files -/ ;;\n"
    "        *:$'\\t'*) leases+=(\"$word\") ;;\n"
    "        *$'\\t') found+=(\"${word//:/\\\\:}\") ;;\n"
    "        *) found+=(\"${word//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
    "        esac\n"
    "    done < <(\"$program\" complete -- \"${(@Q)words[2,CURRENT]}\" 2>/dev/null)\n"
    "    (( ${#leases} )) && compadd -S '' -- \"${leases[@]}\"\n"
    "    (( ${#found} )) && _describe -t words 'crabbox-fc' found\n"
    "    return 0\n"
    "}\n"
    "if [[ ${funcstack[1]:-} == _crabbox_fc ]]; then\n"
    "    _crabbox_fc \"$@\"\n"
    "elif (( ${+functions[compdef]} )); then\n"
    "    compdef _crabbox_fc crabbox-fc\n"
    "fi\n";

static const char fish_script[] =
    "# crabbox-fc completion for fish; load it with: crabbox-fc completion fish | source\n"
    "function __crabbox_fc\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    set -l program (command -s -- $words[1])\n"
    "    string match -qr '^/' -- $program; or return\n"
    "    for line in ($program complete -- $words[2..-1] 2>/dev/null)\n"
    "        switch $line\n"
    "            case ':files'\n"
    "                __fish_complete_path (commandline -ct)\n"
    "            case ':dirs'\n"
    "                __fish_complete_directories (commandline -ct)\n"
    "            case '*'\n"
    "                echo $line\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c crabbox-fc -f -a '(__crabbox_fc)'\n";

int cmd_completion(struct invocation *in, struct error *err)
{
    const char *shell = in->args[0];
    return out_text(str_eq(shell, "bash")  ? bash_script
                    : str_eq(shell, "zsh") ? zsh_script
                                           : fish_script,
                    err);
}
