# shellcheck shell=bash
# layout.sh: gitrepository-layout(5): what lies in a repository, as a link, a fifo, a device or another
# repository's; where .git itself leads.

layout() { # layout NAME EXPECT TRIGGER COMMANDS: as they are, in the tree
    begin "$1" || return
    expect=$(place "$2") trigger=${3:-$ls_files}
    (cd "$tree" && eval "$4") || echo "hostile-git: $name: not prepared"
    judge
}
replaced() { # replaced FILE KIND: the commands that make FILE a link or a fifo
    case $2 in
    fifo) echo "rm -rf $1; mkfifo $1" ;;
    *) echo "rm -rf $1; ln -s $2 $1" ;;
    esac
}

# Files of patterns and attributes, in the tree and in .git/info
layout exclude-link "symbolic link" '' "$(replaced .git/info/exclude '$canary/ignore')"
layout exclude-fifo "is not a regular file" '' "$(replaced .git/info/exclude fifo)"
layout exclude-device "symbolic link" '' "$(replaced .git/info/exclude /dev/zero)"
layout info-link "symbolic link" '' \
    'rm -rf .git/info; mkdir ../canary/info; cp ../canary/ignore ../canary/info/exclude
    ln -s "$canary/info" .git/info'
layout ignore-link list '' "$(replaced .gitignore '$canary/ignore')"
layout ignore-fifo list '' "$(replaced dir/.gitignore fifo)"
layout ignore-large "larger than" '' 'head -c 3000000 /dev/zero | tr "\0" "\n" >dir/.gitignore'
layout ignore-long-line "has a line of more than" '' 'head -c 9000 /dev/zero | tr "\0" x >dir/.gitignore'
layout ignore-costly "ignore patterns of" '' \
    'L=$(printf "*a%.0s" $(seq 2000))Z; for i in $(seq 250); do echo "$L"; done >.gitignore
    N=$(printf "a%.0s" $(seq 240)); for i in $(seq 1200); do : >$N$i; done'
layout crabboxignore-costly "ignore patterns of" '' \
    'yes "**a*b" | head -n 170000 >.crabboxignore; N=$(printf "a%.0s" $(seq 240)); D=.
    for i in $(seq 15); do D=$D/$N; done; mkdir -p $D; for i in $(seq 300); do : >$D/$i; done'
layout ignore-device list '' "$(replaced dir/.gitignore /dev/zero)"
layout attributes-link list 'git check-attr -a a.txt' "$(replaced .gitattributes '$canary/attributes')"
layout attributes-fifo list 'git check-attr -a a.txt' "$(replaced .gitattributes fifo)"
layout info-attributes-link list 'git check-attr -a a.txt' \
    "$(replaced .git/info/attributes '$canary/attributes')"
layout info-attributes-fifo list 'git check-attr -a a.txt' "$(replaced .git/info/attributes fifo)"
layout modules-link list 'git submodule status' "$(replaced .gitmodules '$canary/config')"
layout modules-fifo list 'git submodule status' "$(replaced .gitmodules fifo)"
layout mailmap-link list 'git shortlog HEAD' "$(replaced .mailmap '$canary/secret')"
layout crabboxignore-link .crabboxignore 'cat .crabboxignore' "$(replaced .crabboxignore '$canary/secret')"
layout crabboxignore-fifo .crabboxignore 'cat .crabboxignore' "$(replaced .crabboxignore fifo)"
layout crabboxignore-device .crabboxignore 'head -c 9 .crabboxignore; cat ../canary/secret' \
    "$(replaced .crabboxignore /dev/zero)"

# The repository's own files
shares='it has a commondir'
layout config-link 'config is reached by a symbolic link' '' "cp .git/config ../canary/own; $(replaced .git/config '$canary/own')"
layout worktree-config-link 'config.worktree is reached by a symbolic link' '' \
    'git config core.repositoryFormatVersion 1; git config extensions.worktreeConfig true
    ln -s "$canary/config" .git/config.worktree'
layout config-fifo 'config is not a regular file' '' "$(replaced .git/config fifo)"
layout head-link 'its HEAD is a link that leads to no ref' '' "echo 'ref: refs/heads/main' >../canary/head; $(replaced .git/HEAD '$canary/head')"
layout head-fifo 'its HEAD is not a file' '' "$(replaced .git/HEAD fifo)"
layout head-device 'its HEAD is a link that leads to no ref' '' "$(replaced .git/HEAD /dev/zero)"
layout refs-link list 'git log' "$(replaced .git/refs '$canary/repo/.git/refs')"
layout objects-link list 'git log' "$(replaced .git/objects '$canary/repo/.git/objects')"
layout pack-link list 'git fsck' "$(replaced .git/objects/pack '$canary')"
layout packed-refs-fifo list 'git log main' "$(replaced .git/packed-refs fifo)"
layout alternates list 'git fsck' 'echo "$canary/repo/.git/objects" >.git/objects/info/alternates'
layout alternates-fifo list 'git fsck' "$(replaced .git/objects/info/alternates fifo)"
layout alternates-link list 'git fsck' "$(replaced .git/objects/info/alternates '$canary/secret')"
layout shallow-fifo list 'git log' "$(replaced .git/shallow fifo)"
layout grafts-link list 'git log' "$(replaced .git/info/grafts '$canary/secret')"
layout sparse-link list 'git -c core.sparseCheckout=true status; git -c core.sparseCheckout=true checkout main' \
    "$(replaced .git/info/sparse-checkout '$canary/ignore')"
layout common-directory "$shares" '' 'echo "$canary/repo/.git" >.git/commondir'
layout common-directory-fifo "$shares" '' 'mkfifo .git/commondir'
layout common-directory-config "$shares" '' 'echo "$canary/repo/.git" >.git/commondir
    git config --file "$canary/repo/.git/config" core.fsmonitor "$evil"'

# .git leads elsewhere
layout gitfile-elsewhere "$stray" '' 'rm -rf .git; echo "gitdir: $canary/repo/.git" >.git'
layout gitfile-relative "$stray" '' 'rm -rf .git; echo "gitdir: ../canary/repo/.git" >.git'
layout gitfile-to-fifo "$stray" '' 'rm -rf .git; echo "gitdir: $canary/fifo" >.git'
layout gitfile-to-device "$stray" 'cat .git ../canary/secret' \
    'rm -rf .git; echo "gitdir: /dev/zero" >.git'
layout gitfile-to-worktree-link "which is reached by a symbolic link" '' \
    'mkdir ../canary/worktrees; mv .git ../canary/worktrees/x; ln -s ../canary way
    echo "gitdir: way/worktrees/x" >.git'
layout gitfile-fifo "neither a directory nor a file" '' "$(replaced .git fifo)"
layout gitfile-device "symbolic link" '' "$(replaced .git /dev/zero)"
layout gitfile-large ".git" '' 'rm -rf .git; head -c 3000000 /dev/zero | tr "\0" x >.git'
layout gitfile-within "$stray" 'git status' 'mv .git store; echo "gitdir: store" >.git
    git config --file store/config core.fsmonitor "$evil"'
layout git-link "symbolic link" '' "$(replaced .git '$canary/repo/.git')"
layout git-link-within "symbolic link" 'git status' 'mv .git store; ln -s store .git
    git config --file store/config core.fsmonitor "$evil"'
layout git-link-to-file "symbolic link" '' \
    'rm -rf .git; echo "gitdir: $canary/repo/.git" >../canary/file; ln -s "$canary/file" .git'
layout git-empty "not a git repository: it has no HEAD" 'cat ../canary/secret' 'rm -rf .git; mkdir .git'

# A bare repository in the tree, whose settings say that it is none.
bare='git init -q --bare inner.git; printf "[core]\n\trepositoryFormatVersion = 0\n\tbare = false\n\tworktree = ..\n\tfsmonitor = %s\n" "$evil" >inner.git/config
    cp .git/index inner.git/index'
bare_case() { # bare_case NAME CWD WANT PREPARE
    begin "bare-$1" || return
    (cd "$tree" && eval "$bare; $4")
    cwd=$tree/$2 trigger="cd $tree/inner.git && git status"
    read -r -a want <<<"$3"
    judge
}
bare_case below . 'a.txt dir/b.txt inner.git/HEAD inner.git/config' ''
bare_case within inner.git 'a.txt dir/b.txt inner.git/HEAD inner.git/config' ''
bare_case alone inner.git 'HEAD config' 'rm -rf .git'
bare_case alone-objects inner.git/objects '' 'rm -rf .git; rmdir inner.git/objects/*'

# Linked worktrees: a true one of a repository with every hostile setting, and forgeries.
linked() { # linked: the tree becomes a linked worktree of $dir/main
    mv "$tree" "$dir/main"
    git -C "$dir/main" worktree add -q "$tree" -b linked
    echo untracked >"$tree/untracked.txt"
    places="$dir/main/.git"
}
worktree_true() {
    begin worktree-true || return
    linked
    hostile_settings "$dir/main/.git/config"
    git -C "$dir/main" config --file "$dir/main/.git/config" extensions.worktreeConfig true
    hostile_settings "$dir/main/.git/worktrees/tree/config.worktree"
    trigger=$ls_files
    judge
}
worktree_of_other() { # The administration that it names is that of another worktree.
    begin worktree-of-other || return
    expect='which belongs to a worktree elsewhere'
    git -C "$canary/repo" worktree add -q "$canary/other"
    rm -rf "$tree/.git"
    cp "$canary/other/.git" "$tree/.git"
    allowed=$looked_up trigger=$ls_files
    judge
}
# The tree has the administration of a worktree in itself, which names it; the rest is elsewhere.
worktree_forged() { # worktree_forged NAME COMMONDIR GITDIR EXPECT
    begin "worktree-forged-$1" || return
    expect=$4
    mkdir -p "$tree/store/worktrees/x"
    mv "$tree/.git/"{index,HEAD} "$tree/store/worktrees/x/"
    mv "$tree/.git/"* "$tree/store/"
    rm -rf "$tree/.git"
    echo "gitdir: $tree/store/worktrees/x" >"$tree/.git"
    place "$2" >"$tree/store/worktrees/x/commondir"
    case $3 in
    fifo) mkfifo "$tree/store/worktrees/x/gitdir" ;;
    link) ln -s "$canary/fifo" "$tree/store/worktrees/x/gitdir" ;;
    *) place "$3" >"$tree/store/worktrees/x/gitdir" ;;
    esac
    git config --file "$tree/store/config" core.fsmonitor "$evil"
    trigger="$ls_files; cat $tree/store/worktrees/x/gitdir"
    judge
}
worktree_forged elsewhere %canary/repo/.git %tree/.git 'whose commondir is not the repository around it'
worktree_forged within ../.. %tree/.git list
worktree_forged other-place ../.. %canary/.git 'which belongs to a worktree elsewhere'
worktree_forged fifo ../.. fifo 'is not a regular file'
worktree_forged link ../.. link 'symbolic link'
worktree_true
worktree_of_other
