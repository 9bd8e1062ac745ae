#!/bin/bash
# Three leases in a row through QEMU without KVM: a real kernel and the real image, driven by the
# program as a user drives it. Slow and true: what the stand-in can't show.
#
#   BUILD=build scripts/emulated-test.sh
#
# The image is CRABBOX_FC_IMAGE_DIR, by default the one that scripts/build-image.sh makes. Runs in
# network, mount and process namespaces of its own. The last line is "N passed, N failed".
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
top=$PWD
fc=$top/$build/crabbox-fc
residue=$top/$build/testutil/residue
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
        "$top/scripts/emulated-test.sh" "$@"
fi
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CRABBOX_FC_STATE_DIR=$work/state CRABBOX_FC_IMAGE_DIR=$image HOME=$work
export CRABBOX_FC_VMM=qemu CRABBOX_FC_QEMU_ACCEL=tcg CRABBOX_FC_NETWORK_DNS=192.0.2.53
export CRABBOX_FIRECRACKER_CPUS=2 CRABBOX_FIRECRACKER_MEMORY_MIB=512
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

another_kernel() {
    local boot
    boot=$("$fc" run --id "$1" -q --no-sync -- cat /proc/sys/kernel/random/boot_id) || return
    [ ${#boot} -eq 36 ] && [ "$boot" != "$(cat /proc/sys/kernel/random/boot_id)" ]
}

shown_as_emulated() {
    "$fc" status --json "$1" | jq -e '.vmm.backend == "qemu" and .vmm.accel == "tcg" and
        .vmm.emulated == true and .state == "ready"'
}

nothing_left() {
    "$residue" --state-dir "$CRABBOX_FC_STATE_DIR" --baseline "$work/baseline"
}

mkdir "$work/tree"
git -C "$work/tree" init -q
printf 'int main(void) { return 9; }\n' >"$work/tree/nine.c"
printf 'nine: nine.c\n\tcc -o $@ $<\n' >"$work/tree/Makefile"
git -C "$work/tree" add -A

mkdir -p "$CRABBOX_FC_STATE_DIR"
chmod 0700 "$CRABBOX_FC_STATE_DIR"
"$residue" --snapshot --state-dir "$CRABBOX_FC_STATE_DIR" >"$work/baseline"
for n in 1 2 3; do
    slug=emulated-$n
    ok "lease $n: warmup boots a kernel to SSH" "$fc" warmup --slug "$slug"
    ok "lease $n: list, status and JSON say qemu, tcg, emulated" shown_as_emulated "$slug"
    ok "lease $n: it is another kernel than the host's" another_kernel "$slug"
    cd "$work/tree" || exit 1
    ok "lease $n: a synced program is built and its exit code comes back" \
        exits 9 "$fc" run --id "$slug" -q -- sh -c 'make -s nine && ./nine'
    cd "$top" || exit 1
    # shellcheck disable=SC2016 # the guest must get it as it is
    ok "lease $n: words and streams arrive as they are" says 'a  b|$HOME' \
        "$fc" run --id "$slug" -q --no-sync -- printf '%s|%s' 'a  b' '$HOME'
    ok "lease $n: the console is kept" says 1 sh -c "'$fc' logs --console '$slug' | grep -c 'crabbox-init: start'"
    ok "lease $n: stop ends the guest by itself" \
        sh -c "'$fc' stop --json '$slug' | jq -e '.[0].result == \"stopped\" and .[0].graceful'"
    ok "lease $n: nothing is left" nothing_left
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
