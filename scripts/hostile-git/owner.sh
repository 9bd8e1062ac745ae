# shellcheck shell=bash
# owner.sh: trees of another user, listed by root: nothing that only root may read is read for the
# tree's sake, and nothing runs at all; the user's own configuration is read as that user.

other=65533 third=65532

owned() { # owned NAME EXPECT COMMANDS VAR=VALUE...: the tree belongs to another user
    begin "owner-$1" || return
    expect=$2
    (cd "$tree" && eval "$3") >/dev/null 2>&1 || echo "hostile-git: $name: not prepared"
    shift 3
    extra=("$@")
    chown -Rh "$other:$other" "$tree"
    chmod 600 "$canary"/{ignore,secret,config}
    trigger="$ls_files; git -c safe.directory='*' status"
    after_chown
    judge
}
after_chown() { :; }

fsmonitor='git config core.fsmonitor "$evil"'
owned ordinary list "$fsmonitor"
owned sudo list "$fsmonitor" SUDO_UID=$other SUDO_GID=$other
owned sudo-of-third list "$fsmonitor" SUDO_UID=$third SUDO_GID=$third
owned sudo-of-root list "$fsmonitor" SUDO_UID=0 SUDO_GID=0
owned sudo-strange list "$fsmonitor" SUDO_UID=-1 SUDO_GID=x
owned exclude-of-root "symbolic link" 'rm .git/info/exclude; ln -s "$canary/ignore" .git/info/exclude'
owned index-of-root "symbolic link" 'rm .git/index; ln -s "$canary/secret" .git/index'
owned ignore-of-root list 'rm .gitignore; ln -s "$canary/secret" .gitignore'
owned crabboxignore-of-root .crabboxignore 'ln -s "$canary/secret" .crabboxignore'
owned submodule list 'git init -q inner; echo i >inner/i.txt; cd inner; git add i.txt
    git -c user.name=x -c user.email=x@x commit -qm i; cd ..; git add inner
    git config --file inner/.git/config core.fsmonitor "$evil"'

# Who owns .git is not who owns the tree: a repository that was planted in somebody's directory.
after_chown() { chown -Rh "$third:$third" "$tree/.git"; }
owned planted list "$fsmonitor"
owned planted-sudo list "$fsmonitor" SUDO_UID=$third SUDO_GID=$third
after_chown() { chown -h "$third:$third" "$tree/inner" "$tree/inner/.git"; }
owned planted-submodule list 'git init -q inner; cd inner; git -c user.name=x -c user.email=x@x commit -q --allow-empty -m i
    cd ..; git add inner; git config --file inner/.git/config core.fsmonitor "$evil"'
after_chown() { :; }

# A repository of another user above our own directory, as anybody can make one in /tmp.
above() { # above NAME EXPECT VAR=VALUE...
    begin "owner-above-$1" || return
    extra=("${@:3}")
    expect=$2
    git -C "$tree" config core.fsmonitor "$evil"
    chown -Rh "$other:$other" "$tree/.git"
    chmod 1777 "$tree"
    cwd=$tree/dir
    trigger="git -c safe.directory='*' status"
    judge
}
above of-other 'is in a directory that others share'
above of-other-sudo 'is in a directory that others share' SUDO_UID=$other SUDO_GID=$other
above of-other-sudo-third 'is in a directory that others share' SUDO_UID=$third SUDO_GID=$third

# HOME is another user's: root reads the configuration there as that user.
home_of() { # home_of NAME UID
    begin "owner-home-$1" || return
    ask_git
    git_uid=$2
    chown -R "$2:$2" "$dir/home"
    judge
}
home_of root 0
home_of other $other
