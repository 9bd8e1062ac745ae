#!/bin/bash
# Hostile git repositories, and what listing their files starts, connects to and opens. There is one
# repository for each way in which git's documentation lets configuration, attributes, hooks, the
# environment or the layout start a program, open a connection or read elsewhere. Each is listed by
# `crabbox-fc run --sync-plan` under strace:
#
#   - nothing is executed but crabbox-fc and git, and nothing is connected to;
#   - nothing is opened but the tree, the system's libraries and locales, and crabbox-fc's own
#     places; git itself opens no configuration file;
#   - no trap is sprung, nothing in the tree has changed, no temporary file is left;
#   - the ordinary files are listed, or the tree is refused with exit code 6 and the documented words.
#
# Then the same repository is shown to plain git, to see that the trap was live. A trap that no
# command of this git springs is counted apart, as inert: it proves nothing here.
#
#   scripts/hostile-git-test.sh             every case
#   scripts/hostile-git-test.sh NAME...     only these; their directories are kept and named
#
# CRABBOX_BIN  another program than $BUILD/crabbox-fc
# VERBOSE=1    a line for each case
#
# The cases are in scripts/hostile-git/. In a network namespace of its own. Needs root, git and
# strace; exit code 77 where it can't run. The last lines are "N passed, N failed" and a summary.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
fc=$(realpath "${CRABBOX_BIN:-${BUILD:-build}/crabbox-fc}")
[[ -x $fc ]] || { echo "hostile-git-test: $fc is missing: run make"; exit 1; }
if [[ -z ${HOSTILE_GIT_INSIDE:-} ]]; then
    for tool in strace git script; do
        command -v "$tool" >/dev/null || { echo "hostile-git-test: $tool is not installed"; exit 77; }
    done
    if [[ $(id -u) -ne 0 ]] || ! unshare -n true 2>/dev/null; then
        echo "hostile-git-test: needs root"
        exit 77
    fi
    HOSTILE_GIT_INSIDE=1 exec unshare --net "scripts/$(basename "$0")" "$@"
fi
only=("$@")
work=$(mktemp -d) || exit 1
trap '[[ ${#only[@]} -gt 0 ]] || rm -rf "$work"' EXIT
chmod 755 "$work"
umask 022
unset "${!GIT_@}"
system_path=/usr/local/bin:/usr/bin:/bin

# shellcheck source=scripts/hostile-git/watch.sh
. scripts/hostile-git/watch.sh
# shellcheck source=scripts/hostile-git/build.sh
. scripts/hostile-git/build.sh


# One shard of the cases. They mostly wait, hence two shards per core.
run_shard() {
    passed=0 failed=0 inert=() failures=() begun=0
    # shellcheck source=scripts/hostile-git/control.sh
    . scripts/hostile-git/control.sh
    # shellcheck source=scripts/hostile-git/config.sh
    . scripts/hostile-git/config.sh
    # shellcheck source=scripts/hostile-git/environment.sh
    . scripts/hostile-git/environment.sh
    # shellcheck source=scripts/hostile-git/nested.sh
    . scripts/hostile-git/nested.sh
    # shellcheck source=scripts/hostile-git/layout.sh
    . scripts/hostile-git/layout.sh
    # shellcheck source=scripts/hostile-git/index.sh
    . scripts/hostile-git/index.sh
    # shellcheck source=scripts/hostile-git/owner.sh
    . scripts/hostile-git/owner.sh
    echo "$passed $failed ${#inert[@]}" >"$work/count.$shard"
    printf '%s\n' "${inert[@]}" >"$work/inert.$shard"
}

make_base
shards=$(($(nproc) * 2))
for ((shard = 0; shard < shards; shard++)); do
    run_shard >"$work/report.$shard" 2>&1 &
done
wait
cat "$work"/report.*
[[ ${#only[@]} -eq 0 ]] || echo "kept: $work"
no_proof=$(sort "$work"/inert.* | tr '\n' ' ')
[[ -z ${no_proof// /} ]] || echo "inert with $(git --version):$no_proof"
read -r passed failed n_inert < <(awk '{ p += $1; f += $2; i += $3 } END { print p, f, i }' "$work"/count.*)
echo "$passed passed, $failed failed"
[[ $(cat "$work"/count.* | wc -l) -eq $shards && $passed -gt 0 && $failed -eq 0 ]] || exit 1
echo "hostile-git: ok, $passed cases, $n_inert of them inert with this git"
