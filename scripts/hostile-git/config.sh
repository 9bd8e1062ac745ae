# shellcheck shell=bash
# shellcheck disable=SC2016 # what is in single quotes is for the case's own shell
# config.sh: settings of git-config(1), in the repository's own .git/config. A row: the name, what is
# prepared in the tree, the command of plain git that obeys the setting, and the settings.
#
# all_settings collects them, for the cases of other files that git reads settings from.

all_settings=()

config() { # config NAME PREPARE TRIGGER KEY VALUE...
    local case=$1 prepare=$2 command=$3 i
    local settings=("${@:4}")
    for ((i = 0; i < ${#settings[@]}; i += 2)); do
        [[ ${settings[i]} =~ ^(core\.(worktree|repositoryFormatVersion)|extensions\..*|alias\..*)$ ]] ||
            all_settings+=("${settings[@]:i:2}")
    done
    begin "$case" || return
    trigger=$command
    (cd "$tree" && eval "$prepare") >/dev/null 2>&1
    for ((i = 0; i < ${#settings[@]}; i += 2)); do
        git config --file "$tree/.git/config" --add "$(place "${settings[i]}")" \
            "$(place "${settings[i + 1]}")" || echo "hostile-git: $name: not set: ${settings[i]}"
    done
    judge
}

attribute='echo "*.txt PLACEHOLDER=trap" >.gitattributes'
of() { echo "${attribute/PLACEHOLDER/$1}"; } # of filter: every file has the driver "trap"
change='echo changed >>a.txt'
touched='touch -d "2 days ago" a.txt'
conflict='git checkout -qb other; echo 1 >a.txt; git commit -qam 1; git checkout -q main
    echo 2 >a.txt; git commit -qam 2; git merge other'
tty() { echo "script -qec '$1' /dev/null"; }
ls_files='git ls-files -co --exclude-standard'

# The index and the working tree
config fsmonitor-hook '' "$ls_files" core.fsmonitor %evil
config fsmonitor-hook-v1 '' "$ls_files" core.fsmonitorHookVersion 1 core.fsmonitor '%evil #'
config fsmonitor-daemon '' 'git status' core.fsmonitor true
config hooks-path "$touched" 'git status' core.hooksPath %dir/hooks
config attributes-file '' 'git check-attr -a a.txt' core.attributesFile %canary/attributes
config excludes-file '' "$ls_files" core.excludesFile %canary/ignore
config excludes-file-fifo '' "$ls_files" core.excludesFile %canary/fifo
config work-tree '' "$ls_files" core.worktree %canary
config split-index "$touched" 'git status; ls .git/sharedindex.* && echo canary' core.splitIndex true
config untracked-cache "$touched" 'git status; grep -a UNTR .git/index && echo canary' core.untrackedCache true

# Files of settings that lead to others
config include '' "$ls_files" include.path %canary/config
config include-relative '' "$ls_files" include.path ../../canary/config
config include-fifo '' "$ls_files" include.path %canary/fifo
config include-if-gitdir '' "$ls_files" 'includeIf.gitdir:%tree/.path' x 'includeIf.gitdir:/.path' %canary/config
config include-if-gitdir-i '' "$ls_files" 'includeIf.gitdir/i:/.path' %canary/config
config include-if-branch '' "$ls_files" includeIf.onbranch:main.path %canary/config
config include-if-remote '' "$ls_files" remote.origin.url x 'includeIf.hasconfig:remote.*.url:x.path' %canary/config
config worktree-config 'printf "[core]\n\tfsmonitor = $evil\n" >.git/config.worktree' "$ls_files" \
    core.repositoryFormatVersion 1 extensions.worktreeConfig true

# Content: filters, drivers and tools
config filter-clean "$(of filter); $touched" 'git status' filter.trap.clean %evil
config filter-smudge "$(of filter)" 'rm a.txt; git checkout a.txt' filter.trap.smudge %evil
config filter-process "$(of filter); $touched" 'git status' filter.trap.process %evil filter.trap.required true
config diff-command "$(of diff)" "$change; git diff" diff.trap.command %evil
config diff-textconv "$(of diff)" "$change; git diff" diff.trap.textconv %evil
config diff-external '' "$change; git diff" diff.external %evil
config diff-order-file '' "$change; git diff" diff.orderFile %canary/secret
config merge-driver "$(of merge)" "$conflict" merge.trap.driver '%evil %%A'
config mergetool '' "$conflict; git mergetool -y" merge.tool trap mergetool.trap.cmd %evil
config mergetool-path '' "$conflict; git mergetool -y" merge.tool meld mergetool.meld.path %evil
config difftool '' "$change; git difftool -y" diff.tool trap difftool.trap.cmd %evil
config diff-filter '' "$change; export TERM=xterm; echo q | $(tty 'git add -p')" interactive.diffFilter %evil
config archive '' 'git archive --format=trap HEAD' tar.trap.command %evil
config trailer-command '' 'echo | git interpret-trailers --trailer trap=x' trailer.trap.command %evil
config trailer-cmd '' 'echo | git interpret-trailers --trailer trap=x' trailer.trap.cmd %evil
config mailmap '' 'git shortlog HEAD' mailmap.file %canary/secret
config blame-revs '' 'git blame a.txt' blame.ignoreRevsFile %canary/secret
config commit-template '' 'GIT_EDITOR=cat git commit --allow-empty' commit.template %canary/secret
config signature-file '' 'git format-patch -1 --stdout' format.signatureFile %canary/secret
config fsck-skip-list '' 'git fsck' fsck.skipList %canary/secret
config template-dir '' 'git init ../new' init.templateDir %canary/repo

# The user's programs
config editor '' 'git commit --amend' core.editor %evil
config sequence-editor '' 'git rebase -i --root' sequence.editor %evil
config pager '' "$(tty 'git log')" core.pager %evil
config pager-ls-files '' "$(tty 'git ls-files')" pager.ls-files %evil
config alias '' 'git trapped' alias.trapped '!%evil'
config alias-ls-files '' 'git ls-files' alias.ls-files '!%evil'
config alias-rev-parse '' 'git rev-parse HEAD' alias.rev-parse '!%evil'
config gpg '' 'git commit -S --allow-empty -m x' gpg.program %evil user.signingKey x
config gpg-openpgp '' 'git commit -S --allow-empty -m x' gpg.openpgp.program %evil
config gpg-x509 '' 'git commit -S --allow-empty -m x' gpg.format x509 gpg.x509.program %evil
config gpg-ssh '' 'git commit -S --allow-empty -m x' gpg.format ssh gpg.ssh.program %evil user.signingKey x
config gpg-ssh-key '' 'git commit -S --allow-empty -m x' gpg.format ssh gpg.ssh.defaultKeyCommand %evil
config sign-always '' 'git commit --allow-empty -m x' commit.gpgSign true gpg.program %evil
config browser '' 'git web--browse http://x' web.browser trap browser.trap.cmd %evil
config man-viewer '' 'git help -m status' man.viewer trap man.trap.cmd %evil
config instaweb '' 'git instaweb' instaweb.httpd %evil
config gui-tool '' 'git gui' guitool.trap.cmd %evil
config send-email '' 'git send-email -1 --to x@x --confirm never' sendemail.sendmailCmd %evil \
    sendemail.tocmd %evil sendemail.smtpServer %evil
config imap-tunnel '' 'printf "From x\nFrom: x\nDate: x\nSubject: x\n\nx\n" | git imap-send' imap.folder x imap.host x imap.tunnel %evil

# The network and its credentials
config ask-pass '' 'echo url=https://x | git credential fill' core.askPass %evil
config credential-helper '' 'echo url=https://x | git credential fill' credential.helper '!%evil'
config credential-url '' 'echo url=https://x | git credential fill' credential.https://x.helper '!%evil'
config credential-store '' 'echo url=https://x | git credential fill' credential.helper 'store --file %canary/secret'
config ssh-command '' 'git ls-remote ssh://x/y' core.sshCommand %evil
config git-proxy '' 'git ls-remote git://x/y' core.gitProxy %evil
config remote-connect '' 'git fetch' remote.origin.url http://127.0.0.1:9/x
config remote-git '' 'git fetch' remote.origin.url git://127.0.0.1:9/x
config remote-ext '' 'git fetch' remote.origin.url 'ext::%evil %%S' protocol.ext.allow always
config remote-fd '' 'git fetch' remote.origin.url 'trap::x'
config remote-vcs '' 'git fetch' remote.origin.url x remote.origin.vcs trap
config remote-upload-pack '' 'git fetch' remote.origin.url %canary/repo remote.origin.uploadpack %evil
config remote-receive-pack '' 'git push origin main' remote.origin.url %canary/repo remote.origin.receivepack %evil
config remote-proxy '' 'git fetch' remote.origin.url http://192.0.2.1/ remote.origin.proxy http://127.0.0.1:9/
config http-proxy '' 'git fetch' remote.origin.url http://192.0.2.1/ http.proxy http://127.0.0.1:9/
config http-cookies '' 'git fetch' remote.origin.url http://127.0.0.1:9/ http.cookieFile %canary/secret
config http-ca '' 'git fetch' remote.origin.url https://127.0.0.1:9/ http.sslCAInfo %canary/secret
config http-key '' 'git fetch' remote.origin.url https://127.0.0.1:9/ http.sslCert %canary/secret \
    http.sslKey %canary/secret
config instead-of '' 'git ls-remote "short: x"' url.ext::%evil.insteadOf short: protocol.ext.allow always
config push-instead-of '' 'git push "short: x" main' url.ext::%evil.pushInsteadOf short: protocol.ext.allow always
config local-hooks 'ln -s "$dir"/hooks/* .git/hooks/; '"$touched" 'git status'
config upload-pack-hook '' 'git clone -q file://%tree ../new' uploadpack.packObjectsHook %evil
config alternate-refs 'echo "$canary/repo/.git/objects" >.git/objects/info/alternates' \
    'git rev-list --alternate-refs' core.alternateRefsCommand %evil
missing='rm -f ".git/objects/$(git rev-parse HEAD:a.txt | sed "s|^..|&/|")"'
config promisor "$missing" 'git cat-file -p HEAD:a.txt' core.repositoryFormatVersion 1 extensions.partialClone origin \
    remote.origin.url 'ext::%evil' protocol.ext.allow always remote.origin.promisor true
config promisor-upload-pack "$missing" 'git cat-file -p HEAD:a.txt' core.repositoryFormatVersion 1 \
    extensions.partialClone origin remote.origin.url %canary/repo remote.origin.uploadpack %evil
config promisor-ssh "$missing" 'git cat-file -p HEAD:a.txt' remote.origin.promisor true remote.origin.url x:y \
    core.sshCommand %evil

# Targets of a trace: counted only in the system's and the user's configuration.
config trace2-normal '' "$ls_files" trace2.normalTarget %canary/trace
config trace2-perf '' "$ls_files" trace2.perfTarget %canary/trace
config trace2-event '' "$ls_files" trace2.eventTarget af_unix:%canary/socket

# What changes how git understands the repository, or has it refuse it.
understood() { # understood NAME EXPECT KEY VALUE...
    begin "$1" || return
    expect=$2
    shift 2
    while [[ $# -ge 2 ]]; do
        git config --file "$tree/.git/config" "$1" "$2"
        shift 2
    done
    trigger='git status || echo canary'
    judge
}
understood bare 'this operation must be run in a work tree' core.bare true
understood newer-format 'Expected git repo version <= 1, found 99' core.repositoryFormatVersion 99
understood unknown-extension 'unknown repository extension found: trap' core.repositoryFormatVersion 1 extensions.trap true
understood unknown-hash "invalid value for 'extensions.objectformat'" core.repositoryFormatVersion 1 extensions.objectFormat trap
understood ref-storage list core.repositoryFormatVersion 1 extensions.refStorage reftable
understood sha256-in-name list core.repositoryFormatVersion 1 extensions.objectFormat sha256
