# shellcheck shell=bash
# nested.sh: repositories within the repository: submodules, strays and partial clones; and every
# hostile setting at once, in each file that git takes settings from.

# Every setting of config.sh that can stand beside the others.
hostile_settings() { # hostile_settings FILE
    local i
    for ((i = 0; i < ${#all_settings[@]}; i += 2)); do
        printf '%s\t%s\n' "$(place "${all_settings[i]}")" "$(place "${all_settings[i + 1]}")"
    done | awk -F '\t' '
    {
        section = substr($1, 1, index($1, ".") - 1)
        rest = substr($1, index($1, ".") + 1)
        sub_name = ""
        if (match(rest, /.*\./)) {
            sub_name = substr(rest, 1, RLENGTH - 1)
            rest = substr(rest, RLENGTH + 1)
        }
        gsub(/\\|"/, "\\\\&", $2)
        if ($2 !~ /fifo/)
            printf "[%s%s]\n\t%s = \"%s\"\n", section, sub_name == "" ? "" : " \"" sub_name "\"", rest, $2
    }' >>"$1"
    printf '[core]\n\tfsmonitor = "%s"\n' "$evil" >>"$1"
    git config --file "$1" --list >/dev/null || echo "hostile-git: $name: not a configuration: $1"
}

settings_in() { # settings_in NAME FILE
    begin "all-settings-$1" || return
    hostile_settings "$tree/$2"
    trigger=$ls_files
    judge
}
settings_in repository .git/config

nested() { # nested NAME WANT TRIGGER COMMANDS: inner is a repository with every hostile setting
    begin "nested-$1" || return
    make_tree "$tree/inner" i.txt
    (cd "$tree" && eval "$4") >/dev/null 2>&1
    if [[ -f $tree/inner/.git/config ]]; then
        hostile_settings "$tree/inner/.git/config"
    else
        hostile_settings "$tree/.git/modules/inner/config"
    fi
    read -r -a words <<<"$2"
    want+=("${words[@]}")
    trigger=${3:-cd inner && $ls_files}
    judge
}
absorbed='git add inner; git config --file .gitmodules submodule.inner.path inner
    git config --file .gitmodules submodule.inner.url ./inner; git add .gitmodules
    git commit -qm sub; git submodule -q init; git submodule absorbgitdirs'
nested untracked '' '' ''
nested gitlink inner/i.txt '' 'git add inner'
nested submodule inner/i.txt '' "$absorbed"
nested status inner/i.txt 'git status' 'git add inner'
nested recurse inner/i.txt "git ls-files --recurse-submodules; $ls_files" 'git config submodule.recurse true; git add inner'

# A directory that is no repository, with hostile ones in it: their rules hold, nothing else does.
plain() { # plain NAME EXPECT COMMANDS
    begin "plain-$1" || return
    expect=$2
    rm -rf "$tree/.git"
    make_tree "$tree/inner" i.txt
    hostile_settings "$tree/inner/.git/config"
    touch "$tree/inner/x.excluded"
    never='x.excluded'
    (cd "$tree" && eval "$3")
    want+=(inner/i.txt)
    trigger="cd inner && $ls_files"
    judge
}
plain settings list ''
plain gitfile-elsewhere "$stray" 'rm -rf inner/.git; echo "gitdir: $canary/repo/.git" >inner/.git'
plain git-link "symbolic link" 'rm -rf inner/.git; ln -s "$canary/repo/.git" inner/.git'
plain gitfile-within "$stray" 'mv inner/.git store; echo "gitdir: ../store" >inner/.git'
plain index-link "symbolic link" 'rm inner/.git/index; ln -s "$canary/repo/.git/index" inner/.git/index'

# The superproject's settings for a submodule, and .gitmodules
update() { # update NAME COMMANDS
    begin "submodule-$1" || return
    make_tree "$tree/inner" i.txt
    (cd "$tree" && eval "$absorbed; $2") >/dev/null 2>&1
    want+=(inner/i.txt)
    trigger='git submodule update --force; git submodule update --remote; git submodule status'
    judge
}
update command 'git config submodule.inner.update "!$evil"; git -C inner commit --allow-empty -m x'
update modules-command 'git config --file .gitmodules submodule.inner.update "!$evil"'
update modules-url 'git config --file .gitmodules submodule.inner.url "ext::$evil"; git submodule sync'
update modules-path 'git config --file .gitmodules submodule.x.path ../canary/repo
    git config --file .gitmodules submodule.x.url ./x'
update modules-name 'git config --file .gitmodules submodule.../../../canary/repo.path inner'

# A gitlink in the index where something else than a submodule is
link() { # link NAME EXPECT TRIGGER COMMANDS: inner is in the index as a submodule
    begin "gitlink-$1" || return
    expect=$2
    shift
    make_tree "$tree/inner" i.txt
    (cd "$tree" && git add inner && eval "$3") >/dev/null 2>&1
    trigger=${2:-cd inner && $ls_files}
    judge
}
link to-link list '' 'rm -rf inner; ln -s "$canary/repo" inner'
link git-link "symbolic link" '' 'rm -rf inner/.git; ln -s "$canary/repo/.git" inner/.git'
link gitfile-elsewhere "$stray" '' 'rm -rf inner/.git; echo "gitdir: $canary/repo/.git" >inner/.git'
link gitfile-parent "$stray" 'cd inner && git status' 'rm -rf inner/.git; echo "gitdir: ../.git" >inner/.git
    git config core.fsmonitor "$evil"'
link gitfile-fifo "neither a directory nor a file" '' 'rm -rf inner/.git; mkfifo inner/.git'
link gitfile-modules-link "which is reached by a symbolic link" '' \
    'rm -rf inner/.git; mkdir .git/modules; ln -s "$canary/repo/.git" .git/modules/inner
    echo "gitdir: ../.git/modules/inner" >inner/.git'
link gitfile-dotdot "$stray" '' 'rm -rf inner/.git; mkdir .git/modules
    echo "gitdir: ../.git/modules/../../../canary/repo/.git" >inner/.git'
link common-directory 'it has a commondir' '' 'echo "$canary/repo/.git" >inner/.git/commondir'
link index-link "symbolic link" '' 'rm inner/.git/index; ln -s "$canary/repo/.git/index" inner/.git/index'
link exclude-fifo "is not a regular file" '' 'rm inner/.git/info/exclude; mkfifo inner/.git/info/exclude'
link bare list 'cd inner && git status' 'mv inner/.git x; rm -rf inner; mv x inner
    git config --file inner/config core.bare false; git config --file inner/config core.worktree ..
    git config --file inner/config core.fsmonitor "$evil"'

# Started in a submodule, whose repository lies in that of its superproject.
within_submodule() {
    begin within-submodule || return
    make_tree "$tree/inner" i.txt
    (cd "$tree" && eval "$absorbed") >/dev/null 2>&1
    hostile_settings "$tree/.git/modules/inner/config"
    hostile_settings "$tree/.git/config"
    cwd=$tree/inner want=(i.txt)
    # Compared as text: a repository goes to the guest only from the place that it names.
    allowed='^openat[(].*/tree/[.]git/modules/inner/config>$'
    trigger=$ls_files
    judge
}
within_submodule

# A linked worktree within the tree, with settings of its own
nested_worktree() {
    begin nested-worktree || return
    git -C "$tree" worktree add -q "$tree/inner"
    git -C "$tree" config extensions.worktreeConfig true
    hostile_settings "$tree/.git/worktrees/inner/config.worktree"
    trigger="cd inner && $ls_files"
    judge
}
nested_worktree

# A sparse index, whose missing directory is to be fetched by a program of the repository's choice
sparse() { # sparse NAME COMMANDS
    begin "sparse-$1" || return
    (cd "$tree" && mkdir other && echo o >other/o.txt && git add other && git commit -qm other &&
        git sparse-checkout set --cone --sparse-index other && eval "$2") >/dev/null 2>&1
    want=(a.txt other/o.txt untracked.txt)
    [[ -z $2 ]] || trigger=$ls_files
    judge
}
gone='rm -f ".git/objects/$(git rev-parse HEAD:dir | sed "s|^..|&/|")"
    git config core.repositoryFormatVersion 1; git config extensions.partialClone origin
    git config remote.origin.promisor true'
sparse ordinary ''
sparse promisor-ext "$gone; "'git config remote.origin.url "ext::$evil"; git config protocol.ext.allow always'
sparse promisor-upload-pack "$gone; "'git config remote.origin.url "$canary/repo"
    git config remote.origin.uploadpack "$evil"'
sparse promisor-ssh "$gone; "'git config remote.origin.url x:y; git config core.sshCommand "$evil"'
sparse promisor-http "$gone; "'git config remote.origin.url http://127.0.0.1:9/'
