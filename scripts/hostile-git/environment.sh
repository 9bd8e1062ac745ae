# shellcheck shell=bash
# environment.sh: variables of git(1) and those that its code knows besides, as a hook, a CI job or
# another tool leaves them to whatever it starts. A row: the name, the command of plain git that obeys
# the variable, the variables. The user's own configuration names a file of patterns, so that git is
# run, to read that: with none of these.

ask_git() { # The user has patterns for all repositories, by git's configuration.
    printf '[core]\n\texcludesFile = ~/patterns\n' >"$dir/home/.gitconfig"
    echo '*.own' >"$dir/home/patterns"
    own="$own $dir/home/patterns" git_uid=0
}

environment() { # environment NAME TRIGGER VAR=VALUE...
    begin "env-$1" || return
    trigger=${2:-false}
    shift 2
    ask_git
    local assignment
    for assignment in "$@"; do
        extra+=("$(place "$assignment")")
    done
    judge
}

environment git-dir "$ls_files" GIT_DIR=%canary/repo/.git
environment work-tree "$ls_files" GIT_DIR=%tree/.git GIT_WORK_TREE=%canary
environment index-file 'git ls-files' GIT_INDEX_FILE=%canary/repo/.git/index
environment common-dir "$ls_files" GIT_DIR=%tree/.git GIT_COMMON_DIR=%canary/repo/.git
environment object-directory 'git fsck' GIT_OBJECT_DIRECTORY=%canary/repo/.git/objects
environment alternates 'git fsck' GIT_ALTERNATE_OBJECT_DIRECTORIES=%canary/repo/.git/objects
environment ceiling 'git status || echo canary' GIT_CEILING_DIRECTORIES=%dir GIT_DISCOVERY_ACROSS_FILESYSTEM=1
environment namespace '' GIT_NAMESPACE=../../canary
environment prefix '' GIT_PREFIX=dir/ GIT_INTERNAL_SUPER_PREFIX=../canary/
environment config-count "$ls_files" GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.fsmonitor GIT_CONFIG_VALUE_0=%evil
environment config-parameters "$ls_files" "GIT_CONFIG_PARAMETERS='core.fsmonitor'='%evil'"
environment config-parameters-old "$ls_files" "GIT_CONFIG_PARAMETERS='core.fsmonitor=%evil'"
# What these variables set of core.excludesFile is the user's own: internal/sync/gituser_test.c.
environment config-system "$ls_files" GIT_CONFIG_SYSTEM=%canary/config
environment config-file 'git config --list' GIT_CONFIG=%canary/config
# (home: see home_in_tree)
environment external-diff "$change; git diff" GIT_EXTERNAL_DIFF=%evil
environment ssh-command 'git ls-remote ssh://x/y' GIT_SSH_COMMAND=%evil
environment ssh 'git ls-remote ssh://x/y' GIT_SSH=%evil
environment proxy-command 'git ls-remote git://x/y' GIT_PROXY_COMMAND=%evil
environment askpass 'echo url=https://x | git credential fill' GIT_ASKPASS=%evil
environment ssh-askpass 'echo url=https://x | git credential fill' SSH_ASKPASS=%evil
environment editor 'git commit --amend' GIT_EDITOR=%evil VISUAL=%evil EDITOR=%evil
environment sequence-editor 'git rebase -i --root' GIT_SEQUENCE_EDITOR=%evil
environment pager "$(tty 'git log')" GIT_PAGER=%evil
environment exec-path 'git trap' GIT_EXEC_PATH=%dir/bin
environment template 'git init ../new' GIT_TEMPLATE_DIR=%canary/repo
environment text-domain "$ls_files" GIT_TEXTDOMAINDIR=%canary LANGUAGE=xx LC_ALL=C.UTF-8
environment attr-source 'git check-attr -a a.txt' GIT_ATTR_SOURCE=HEAD GIT_ATTR_NOSYSTEM=0
environment trace "$ls_files" GIT_TRACE=%canary/trace
environment trace-setup "$ls_files" GIT_TRACE_SETUP=%canary/trace
environment trace-performance "$ls_files" GIT_TRACE_PERFORMANCE=%canary/trace GIT_TRACE_REFS=%canary/trace \
    GIT_TRACE_PACK_ACCESS=%canary/trace GIT_TRACE_FSMONITOR=%canary/trace GIT_TRACE_SHALLOW=%canary/trace
environment trace2 "$ls_files" GIT_TRACE2=%canary/trace
environment trace2-event "$ls_files" GIT_TRACE2_EVENT=%canary/trace
environment trace2-perf "$ls_files" GIT_TRACE2_PERF=%canary/trace
environment trace2-directory "$ls_files" GIT_TRACE2_EVENT=%canary GIT_TRACE2_PARENT_SID=../x
environment trace2-socket "$ls_files" GIT_TRACE2_EVENT=af_unix:%canary/socket
environment test-fsmonitor "$ls_files" GIT_TEST_FSMONITOR=%evil
environment test-split-index 'git status' GIT_TEST_SPLIT_INDEX=1 GIT_TEST_SPARSE_INDEX=1
environment test-owner "$ls_files" GIT_TEST_ASSUME_DIFFERENT_OWNER=1
environment shallow-file "git log" GIT_SHALLOW_FILE=%canary/secret
environment graft-file "git log" GIT_GRAFT_FILE=%canary/secret
environment pathspecs '' GIT_LITERAL_PATHSPECS=1 GIT_NOGLOB_PATHSPECS=0 GIT_GLOB_PATHSPECS=0
environment default-hash '' GIT_DEFAULT_HASH=sha256 GIT_DEFAULT_REF_FORMAT=reftable
environment optional-locks "$touched; git status" GIT_OPTIONAL_LOCKS=1 GIT_FORCE_UNTRACKED_CACHE=1
environment limits "$ls_files || echo canary" GIT_ALLOC_LIMIT=1k GIT_MMAP_LIMIT=1

# Where git is looked for. A relative component of PATH would be a place in the tree.
program() { # program NAME DIRECTORY PATH: the tree has a git of its own there
    begin "path-$1" || return
    mkdir -p "$tree/$2"
    cp "$evil" "$tree/$2/git"
    ln -s "$tree/bin" "$dir/link"
    want+=("${2#./}/git")
    want=("${want[@]/#.\/git/git}")
    path=$(place "$3") expect='list or git'
    trigger=$ls_files
    ask_git
    judge
}
program dot . ".:$system_path"
program empty . ":$system_path"
program empty-last . "$system_path:"
program relative bin "./bin:$system_path"
program bare-relative bin "bin:$system_path"
program absolute bin "%tree/bin:$system_path"
program absolute-link bin "%dir/link:$system_path"
program parent dir "../tree/dir:$system_path"

# The user's own configuration lies in the tree, as in a container whose HOME is the work directory.
home_in_tree() {
    begin home-in-tree || return
    printf '[core]\n\tfsmonitor = %s\n\texcludesFile = %s\n' "$evil" "$canary/ignore" >"$tree/.gitconfig"
    mkdir -p "$tree/.config/git"
    echo untracked.txt >"$tree/.config/git/ignore"
    extra=(HOME="$tree")
    # The user's own, wherever it lies: that file counts, and nothing else in it.
    git_uid=0 allowed='canary/ignore'
    want=(a.txt dir/b.txt .gitignore)
    trigger=$ls_files
    judge
}
home_in_tree
