# shellcheck shell=bash
# build.sh: a fresh repository for each case, and the judgement on it.
#
# A case: begin NAME || return; change what there is; declare what is expected; judge. What it may
# declare, with what begin sets:
#
#   cwd      where the program is started                                      ($tree)
#   expect   "list", "list or WORDS", or the words of the refusal               (list)
#   want     files that the plan must have, where there is one                  (the ordinary ones)
#   exact    1: and nothing else                                                (0)
#   extra    VAR=VALUE of the environment                                       (none)
#   path     PATH                                                               (the system's)
#   places   further places that may be opened                                  (none)
#   allowed  a regular expression: lines of the trace that are no fault         (none)
#   never    a regular expression: lines that the plan may not have             (.git, .., /)
#   git_uid  as whom git may run, to read the user's own configuration          (not at all)
#   trigger  the shell command with which plain git springs the trap; an output with "canary" is a
#            sign of it too. Empty where there is no trap                       (none)

every_hook='applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit
prepare-commit-msg commit-msg post-commit pre-rebase post-checkout post-merge pre-push pre-receive
update proc-receive post-receive post-update reference-transaction push-to-checkout pre-auto-gc
post-rewrite sendemail-validate fsmonitor-watchman p4-changelist p4-prepare-changelist
p4-post-changelist p4-pre-submit post-index-change'

# The ordinary repository, made once and copied: tracked, untracked and ignored files. Beside it a
# directory that no listing has any business with; every name below it has the word canary.
make_base() {
    local base=$work/base hook
    mkdir -p "$base"/{home,tmp,marks,bin,hooks,canary} "$base/tree/dir"
    chmod 1777 "$base/marks" "$base/tmp"
    for hook in $every_hook; do
        ln -s ../evil "$base/hooks/$hook"
    done
    ln -s ../evil "$base/bin/git-remote-trap"
    ln -s ../evil "$base/bin/git-trap"
    mkdir -p "$base/tree"
    echo '*.log' >"$base/tree/.gitignore"
    make_tree "$base/tree" a.txt dir/b.txt .gitignore
    echo untracked >"$base/tree/untracked.txt"
    echo ignored >"$base/tree/ignored.log"
    # Were it obeyed as a list of patterns, the untracked file would be missing in the plan.
    echo 'untracked.txt' >"$base/canary/ignore"
    echo 'canary-secret' >"$base/canary/secret"
    echo '* text' >"$base/canary/attributes"
    printf '[core]\n\texcludesFile = /dev/null\n' >"$base/canary/config"
    mkfifo "$base/canary/fifo"
    mkdir "$base/canary/repo"
    make_tree "$base/canary/repo" canary.txt canary/secret
}

make_tree() { # make_tree DIRECTORY FILE...: a repository with these files committed
    local at=$1 file
    shift
    git init -q -b main --template= "$at"
    mkdir -p "$at/.git/info" "$at/.git/hooks"
    echo '*.excluded' >"$at/.git/info/exclude"
    for file in "$@"; do
        mkdir -p "$at/$(dirname "$file")"
        [[ -e $at/$file ]] || echo "$file" >"$at/$file"
    done
    git -C "$at" config user.name x
    git -C "$at" config user.email x@x.invalid
    git -C "$at" add -- "$@"
    git -C "$at" commit -qm first
}

begin() { # begin NAME: 1 if the case is not ours: another shard's, or not one of those asked for
    name=$1 dir=$work/$1
    begun=$((begun + 1))
    ((begun % shards == shard)) || return 1
    [[ ${#only[@]} -eq 0 || " ${only[*]} " == *" $name "* ]] || return 1
    [[ ! -e $dir ]] || { echo "hostile-git: two cases are named $name"; exit 1; }
    cp -a "$work/base" "$dir"
    tree=$dir/tree canary=$dir/canary evil=$dir/evil
    # What ran, and as whom. What it prints serves a hook of any kind badly, which is the point.
    printf '#!/bin/sh\necho "uid $(id -u): $0 $*" >>"%s/marks/ran"\nexit 0\n' "$dir" >"$evil"
    chmod 755 "$evil"
    cwd=$tree expect=list exact=0 path=$system_path places='' allowed='' git_uid=''
    never='^ *[0-9]+ (/|(.*/)?(\.git|\.\.)(/|$))'
    want=(a.txt dir/b.txt untracked.txt .gitignore)
    extra=()
    own="$dir/home/.config/crabbox-fc $dir/home/.config/git $dir/home/.gitconfig"
    trigger=
}

place() { # place TEXT: with the case's paths instead of %evil, %canary, %tree and %dir
    local text=$1
    text=${text//%evil/$evil} text=${text//%canary/$canary} text=${text//%tree/$tree}
    printf '%s\n' "${text//%dir/$dir}"
}

# All that must not change: names, kinds, sizes, owners, times.
tree_state() { find "$dir/tree" "$dir/canary" -printf '%p %y %s %m %U %T@ %C@ %l\n' | LC_ALL=C sort; }

# Prints what is wrong with this run of the program. $1 is its exit code.
faults() {
    local code=$1 file
    sed 's/^ *[0-9]* //' "$dir/out" >"$dir/listed"
    sprung "$dir/trace" | sed 's/^/sprung: /'
    strict "$dir/trace"
    grep -hE "canary|$never" "$dir/out" | sed 's/^/the plan has: /'
    grep -hF canary-secret "$dir/err" | sed 's/^/a secret is told: /'
    diff "$dir/before" "$dir/after" | sed -n 's/^[<>]/changed: /p'
    find "$dir/tmp" -mindepth 1 -printf 'left behind: %p\n'
    if [[ $code -eq 124 || $code -eq 137 ]]; then
        echo "it hung, and was cut off after $limit s"
    elif [[ $code -eq 0 && $expect =~ ^list ]]; then
        for file in "${want[@]}"; do
            grep -qxF -- "$file" "$dir/listed" || echo "the plan lacks $file"
        done
        if ((exact)); then
            diff <(printf '%s\n' "${want[@]}" | LC_ALL=C sort) "$dir/listed" |
                sed -n 's/^>/not wanted in the plan:/p'
        fi
    elif [[ $code =~ ^[16]$ && $expect != list ]]; then
        grep -qF -- "${expect#list or }" "$dir/err" || echo "refused without the words \"$expect\""
        [[ ! -s $dir/out ]] || echo "refused, but something was listed"
    else
        echo "exit code $code, where \"$expect\" was expected"
    fi
}

# Whether plain git springs the trap. First without strace, which is quicker; not where it is a fifo,
# which shows as an open that had no end when the time was up.
live() {
    local path="$path:$dir/bin" limit=20 allowed=''
    rm -rf "$dir/marks"/*
    if [[ $name == *fifo* ]]; then
        limit=2
    else
        (cd "$cwd" && "$timeout" -k 1 "$limit" env -i PATH="$path" HOME="$dir/home" "${extra[@]}" \
            bash -c "$trigger") </dev/null >"$dir/trigger.out" 2>&1
        [[ -n $(ls -A "$dir/marks") ]] && return
        grep -q canary "$dir/trigger.out" && return
    fi
    (cd "$cwd" && watched_run "$dir/trigger" bash -c "$trigger") </dev/null >>"$dir/trigger.out" 2>&1
    grep -qE '^open(at)?\(.* = \?' "$dir"/trigger/t.* || [[ -n $(sprung "$dir/trigger") ]]
}

judge() {
    local code=0 wrong state=plain
    rm -rf "$dir/marks"/*
    tree_state >"$dir/before"
    (cd "$cwd" && watched_run "$dir/trace" "$fc" run --sync-plan) </dev/null >"$dir/out" 2>"$dir/err" ||
        code=$?
    tree_state >"$dir/after"
    wrong=$(faults "$code")
    if [[ -n $trigger ]]; then
        state=inert
        live && state=live
    fi
    verdict "$state" "$wrong" "$code"
}

verdict() { # verdict STATE WRONG CODE
    if [[ -z $2 ]]; then
        passed=$((passed + 1))
        [[ $1 != inert ]] || inert+=("$name")
        [[ -z ${VERBOSE:-} ]] || echo "ok   $name ($1, exit code $3)"
    else
        failed=$((failed + 1))
        failures+=("$name")
        echo "FAIL $name ($1, exit code $3)"
        head -n 6 <<<"$2" | cut -c1-240 | sed "s|$dir/||g; s/^/    /"
        head -n 2 "$dir/err" | sed "s|$dir/||g; s/^/    | /"
    fi
    [[ ${#only[@]} -gt 0 ]] || rm -rf "$dir"
}
