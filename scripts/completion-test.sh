#!/bin/bash
# The completion of bash, zsh and fish, each as its shell calls it. The last line is
# "N passed, N failed". A shell that is not installed is skipped, and failed under CI=true.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
fc=$(realpath "${CRABBOX_BIN:-${BUILD:-build}/crabbox-fc}")
passed=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/dir/alpha-dir" "$work/home" "$work/state"
chmod 700 "$work/state"
ln -s "$fc" "$work/bin/crabbox-fc"
: >"$work/dir/alpha-file"
export PATH=$work/bin:$PATH HOME=$work/home CRABBOX_FC_STATE_DIR=$work/state XDG_STATE_HOME=$work
cd "$work/dir" || exit 1

# A lease directory whose record can't be read: it is offered by its id.
mkdir -p "$work/state/leases/cbx_0123456789ab"
stat -c '%i %W' "$work/state" >"$work/state/origin" # as if crabbox-fc had made it
chmod -R go= "$work/state"

verdict() { # verdict NAME GOT WANT
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAIL %s: got "%s", not "%s"\n' "$1" "$2" "$3"
    fi
}

printf '#!/bin/sh\necho >>RAN\n' >crabbox-fc
chmod 755 crabbox-fc
absent=$(ls RAN 2>&1)

# Each shell answers the same questions: the words behind crabbox-fc, the last one unfinished.
questions() { # questions FUNCTION
    verdict "$1: a verb" "$("$1" warm)" warmup
    verdict "$1: no hidden verb" "$("$1" keepe)" ""
    verdict "$1: an option" "$("$1" run --keep-on)" --keep-on-failure
    verdict "$1: a configuration flag" "$("$1" warmup --firecracker-memory)" --firecracker-memory-mib
    verdict "$1: no flag of another verb" "$("$1" stop --keep)" ""
    verdict "$1: a value" "$("$1" run --vmm q)" qemu
    verdict "$1: a word" "$("$1" trust rev)" revoke
    verdict "$1: a verb for help" "$("$1" help heart)" heartbeat
    verdict "$1: a lease" "$("$1" stop cbx_)" cbx_0123456789ab
    verdict "$1: a lease behind another option" "$("$1" tunnel -L 80 cbx_)" cbx_0123456789ab
    verdict "$1: a place in a lease" "$("$1" cp cbx_)" cbx_0123456789ab:
    verdict "$1: a lease as a value" "$("$1" run --id cbx_)" cbx_0123456789ab
    verdict "$1: a file of the command" "$("$1" run -- cat alpha-f)" alpha-file
    verdict "$1: options end at the command" "$("$1" run cat --keep-o)" ""
    as=./crabbox-fc "$1" warm >/dev/null 2>&1
    verdict "$1: the Tab key does not run ./crabbox-fc" "$(ls RAN 2>&1)" "$absent"
    for relative in . ./ "" ../dir; do
        relative=$relative: "$1" warm >/dev/null 2>&1
        verdict "$1: the Tab key does not run crabbox-fc by \"$relative\" in PATH" "$(ls RAN 2>&1)" "$absent"
    done
    verdict "$1: by its whole path" "$(as=$work/bin/crabbox-fc "$1" warm)" warmup
    verdict "$1: only directories" "$("$1" run --dir alpha | sed 's|/$||')" alpha-dir
}

in_bash() {
    bash --norc -c '
        source <(crabbox-fc completion bash)
        PATH=${relative:-}$PATH
        compopt() { :; }
        COMP_WORDS=("${as:-crabbox-fc}" "$@") COMP_CWORD=$# COMPREPLY=()
        _crabbox_fc
        printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}

# The helpers that zsh offers candidates by are replaced by ones that print them.
in_zsh() {
    # shellcheck disable=SC2016 # for zsh
    zsh -f -c '
        source <(crabbox-fc completion zsh)
        PATH=${relative:-}$PATH
        prefix=${@[-1]}
        _files() {
            local m=($prefix*(N))
            [[ ${1:-} == -/ ]] && m=($prefix*(N/))
            (( ${#m} )) && print -rl -- $m
        }
        _describe() { local f; for f in $found; do print -r -- ${f%%:*}; done }
        compadd() { shift 3; print -rl -- "$@" }
        words=("${as:-crabbox-fc}" "$@") CURRENT=$(($# + 1))
        _crabbox_fc' zsh "$@"
}

in_fish() {
    # shellcheck disable=SC2016 # for fish
    fish --no-config -c '
        crabbox-fc completion fish | source
        set -q relative; and set PATH (string replace -r ":\$" "" -- $relative) $PATH
        set -q as; or set -l as crabbox-fc
        complete -C "$as $argv" | string replace -r "\t.*" ""' "$@"
}

for shell in bash zsh fish; do
    if command -v "$shell" >/dev/null; then
        questions "in_$shell"
    elif [ "${CI:-}" = true ]; then
        verdict "$shell is installed" no yes
    fi
done

# Bash breaks words at "=" and ":".
verdict "bash: a value behind =" "$(in_bash run --vmm = q)" qemu
verdict "bash: all values behind =" "$(in_bash run --vmm =)" "$(printf 'firecracker\nqemu')"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
