# shellcheck shell=bash
# index.sh: index files that no git writes, and those with extensions.

# An entry gets another name of the same length: git does not look at the checksum of an index.
rename_entry() { # rename_entry FROM TO
    LC_ALL=C sed -i "s|$1|$2|" "$tree/.git/index"
    git -C "$tree" ls-files | grep -qxF -- "$2" || echo "hostile-git: $name: the index lacks $2"
}

entry() { # entry NAME LISTED AS: the index lists AS, which was added as LISTED
    begin "index-$1" || return
    local listed as
    listed=$(place "$2") as=$(place "$3")
    mkdir -p "$tree/$(dirname "$listed")"
    echo x >"$tree/$listed"
    git -C "$tree" add -f "$listed"
    rename_entry "$listed" "$as"
    rm "$tree/$listed"
    trigger="git ls-files | grep -qxF '$as' && echo canary"
    judge
}
entry git-config xgit/config .git/config
entry git-hook xgit/hooks/x .git/hooks/x
entry git-of-directory dir/xgit/config dir/.git/config
entry dot-dot xx/canary/secret ../canary/secret
entry dot-dot-within dir/xx/xx/canary/secret dir/../../canary/secret
entry absolute "x${work#/}/index-absolute/canary/secret" %canary/secret
entry twice-slash dir/x/etc/passwd dir///etc/passwd
entry dot x/a.txt ./a.txt

# The index of an archive names what the user keeps in another repository, cloned into the tree later.
later_clone() { # later_clone NAME DIRECTORY
    begin "index-later-clone-$1" || return
    mkdir -p "$tree/$2"
    echo secret >"$tree/$2/secret.txt"
    git -C "$tree" add "$2"
    git init -q "$tree/$2"
    echo secret.txt >"$tree/$2/.git/info/exclude"
    never=' secret.txt$|/secret.txt$'
    trigger="git ls-files | grep -qxF '$2/secret.txt' && echo canary"
    judge
}
later_clone beside clone
later_clone deep dir/of/clone

# A directory with tracked files became a link that leads out of the tree.
linked_directory() { # linked_directory NAME TARGET
    begin "index-$1" || return
    mkdir "$tree/via"
    echo x >"$tree/via/secret"
    git -C "$tree" add via
    rm -r "$tree/via"
    ln -s "$(place "$2")" "$tree/via"
    never=' via/secret$'
    want+=(via)
    trigger='cat via/secret'
    judge
}
linked_directory linked-directory %canary
linked_directory linked-relative ../canary
linked_directory linked-twice dir/../../canary

# The same in the middle of a path: only the link is listed, and nothing beyond it is looked at.
linked_middle() {
    begin index-linked-middle || return
    mkdir -p "$tree/a/b" "$canary/b"
    echo x >"$tree/a/b/secret"
    echo secret >"$canary/b/secret"
    git -C "$tree" add a
    rm -r "$tree/a"
    ln -s ../canary "$tree/a"
    never=' a/b/secret$'
    want+=(a)
    trigger='cat a/b/secret'
    judge
}
linked_middle

index() { # index NAME EXPECT TRIGGER COMMANDS
    begin "index-$1" || return
    expect=$2 trigger=${3:-$ls_files}
    (cd "$tree" && eval "$4") >/dev/null 2>&1
    judge
}
index link "symbolic link" '' "$(replaced .git/index '$canary/repo/.git/index')"
index fifo "is not a regular file" '' "$(replaced .git/index fifo)"
index device "symbolic link" 'cat ../canary/secret' "$(replaced .git/index /dev/zero)"
index directory "is not a regular file" 'git ls-files || echo canary' 'rm .git/index; mkdir .git/index'
index empty "is not a git index" 'git ls-files || echo canary' ': >.git/index'
index truncated "is damaged" 'git ls-files | grep -q b.txt || echo canary' 'truncate -s 100 .git/index'
index garbage "is not a git index" 'git ls-files || echo canary' 'head -c 200000 /dev/urandom >.git/index'
index count "is damaged" 'git ls-files || echo canary' 'printf "\377\377\377\377" | dd of=.git/index bs=1 seek=8 conv=notrunc'
index unknown-extension "which is not supported" 'git ls-files || echo canary' \
    'truncate -s -20 .git/index; printf "zzzz\0\0\0\0%020d" 0 >>.git/index'
index none list 'git status | grep -q deleted && echo canary' 'rm .git/index'

# What honest repositories have: listed as git does, to the last file.
honest() { # honest NAME COMMANDS
    begin "honest-$1" || return
    [[ $1 != own-configuration ]] || ask_git
    (cd "$tree" && eval "$2") >/dev/null 2>&1 || echo "hostile-git: $name: not prepared"
    mapfile -t want < <(cd "$tree" && HOME=$dir/home GIT_CONFIG_NOSYSTEM=1 git -c core.quotePath=false ls-files -co --exclude-standard |
        while IFS= read -r file; do [[ ! -f $file && ! -L $file ]] || echo "$file"; done | LC_ALL=C sort -u)
    [[ ${#want[@]} -ge 3 ]] || echo "hostile-git: $name: git lists too little"
    exact=1
    judge
}
honest ordinary ':'
honest version-4 'git update-index --index-version 4'
honest untracked-cache 'git update-index --untracked-cache; git status'
honest fsmonitor-extension 'git -c core.fsmonitor="$dir/hooks/fsmonitor-watchman" status; git update-index --fsmonitor-valid a.txt || :'
honest resolve-undo 'git checkout -qb o; echo 1 >a.txt; git commit -qam 1; git checkout -q main
    echo 2 >a.txt; git commit -qam 2; git merge o; :'
honest split 'git update-index --split-index'
honest skip-worktree 'git update-index --skip-worktree a.txt'
honest sha256 'rm -rf .git; git init -q --object-format=sha256; git add a.txt dir .gitignore'
honest unborn 'rm -rf .git; git init -q'
honest detached 'git checkout -q --detach'
honest own-patterns 'mkdir -p "$dir/home/.config/git"; echo "dir/*" >"$dir/home/.config/git/ignore"; touch dir/c.txt'
honest own-configuration 'touch x.own'
honest patterns 'mkdir -p "sub dir/x" y; touch "sub dir/x/a.o" "sub dir/keep.o" y/z.excluded y/!n y/#h "y/ s"
    printf "*.o\n!keep.o\n/y/\\!n\n\\#h\n**/x/\n" >"sub dir/.gitignore"; printf "\\#h\n\\!n\n" >y/.gitignore'
honest tracked-ignored 'touch t.log; git add -f t.log'
honest conflict-of-kinds 'rm -r dir; ln -s a.txt dir'
honest deleted 'rm a.txt'
honest odd-names 'touch -- -x "a b" "$(printf "\303\244")" "*" "[x]"; git add -- "*"'
honest executable 'chmod 755 a.txt'

split_linked() {
    begin index-split-linked || return
    expect='symbolic link'
    git -C "$tree" update-index --split-index
    local shared
    shared=$(basename "$tree"/.git/sharedindex.*)
    mv "$tree/.git/$shared" "$canary/shared"
    ln -s "$canary/shared" "$tree/.git/$shared"
    trigger=$ls_files
    judge
}
split_linked

# Far larger than any index, and without a byte on the disk.
index sparse-file "index" 'git ls-files || echo canary' 'truncate -s 2T .git/index'
index many-levels list '' 'at=.; for i in $(seq 120); do at=$at/d; done; mkdir -p "$at"; touch "$at/x"'
index many-submodules list '' 'at=.; for i in $(seq 40); do mkdir "$at/d"; git init -q "$at/d"
    git -C "$at/d" -c user.name=x -c user.email=x@x commit -q --allow-empty -m x; git -C "$at" add d; at=$at/d; done'
