# shellcheck shell=bash
# emulated.sh: what the emulated tests share; sourced, after `set -u -o pipefail` and a cd to the top.
#
# Enters network, mount and process namespaces of the test's own, sets the environment in which
# crabbox-fc uses QEMU without KVM and the default image, and counts: ok, exits, says, nothing_left.
build=${BUILD:-build}
top=$PWD
fc=$top/$build/crabbox-fc
residue=$top/$build/tools/residue
image=${CRABBOX_FC_IMAGE_DIR:-/var/lib/crabbox-fc/images/default}

lacks() {
    echo "emulated: $1"
    [ "${CI:-}" = true ] && { echo "0 passed, 1 failed"; exit 1; }
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
[ "$(id -u)" -eq 0 ] || lacks "needs root"
for program in "$fc" "$residue"; do
    [ -x "$program" ] || lacks "$program is missing: run make all tools"
done
[ -s "$image/image.json" ] || lacks "no image in $image: run scripts/build-image.sh"
command -v qemu-system-x86_64 >/dev/null || lacks "qemu-system-x86_64 is not installed"

if [ -z "${CRABBOX_EMULATED_INSIDE:-}" ]; then
    CRABBOX_EMULATED_INSIDE=1 exec unshare --net --mount --pid --fork --kill-child --mount-proc \
        "$top/scripts/$(basename "$0")" "$@"
fi
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward

work=$(mktemp -d)
. "$top/scripts/groups.sh"
use_group "test-${work##*.}"
trap 'remove_group; rm -rf "$work"' EXIT
export CRABBOX_FC_STATE_DIR=$work/state CRABBOX_FC_IMAGE_DIR=$image HOME=$work
export CRABBOX_FC_VMM=qemu CRABBOX_FC_QEMU_ACCEL=tcg CRABBOX_FC_NETWORK_DNS=192.0.2.53
export CRABBOX_FIRECRACKER_NETWORK=nat CRABBOX_FIRECRACKER_CPUS=2 CRABBOX_FIRECRACKER_MEMORY_MIB=512
export CRABBOX_FIRECRACKER_DISK_MIB=1024 CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT=4m
passed=0 failed=0

ok() { # ok NAME COMMAND...: one line, the output only of a failure
    local name=$1 t=$SECONDS
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
        printf 'ok   %s (%ds)\n' "$name" "$((SECONDS - t))"
    else
        failed=$((failed + 1))
        printf 'FAIL %s (%ds)\n' "$name" "$((SECONDS - t))"
        tail -n 30 "$work/out" | sed 's/^/    | /'
    fi
}

exits() { # exits CODE COMMAND...
    local want=$1 code=0
    shift
    "$@" || code=$?
    [ "$code" -eq "$want" ] || { echo "exit code $code instead of $want"; return 1; }
}

says() { # says TEXT COMMAND...: stdout is exactly the text
    local want=$1 got
    shift
    got=$("$@") || return
    [ "$got" = "$want" ] || { echo "said \"$got\" instead of \"$want\""; return 1; }
}

nothing_left() {
    "$residue" --state-dir "$CRABBOX_FC_STATE_DIR" --baseline "$work/baseline"
}

mkdir -p "$CRABBOX_FC_STATE_DIR"
chmod 0700 "$CRABBOX_FC_STATE_DIR"
"$residue" --snapshot --state-dir "$CRABBOX_FC_STATE_DIR" >"$work/baseline"
