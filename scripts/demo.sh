#!/usr/bin/env bash
# demo.sh: from a fresh Debian with git and a shell to a job that ran in a real microVM.
#
#   ./scripts/demo.sh [--vmm firecracker|qemu] [--accel kvm|tcg]
#
# Installs the packages it needs, builds, makes the default guest image, then leases a microVM, syncs a
# throw-away git repository into it, compiles and runs a C program there, passes its exit code through
# and removes everything again. A second run reuses what the first one built.
#
# Everything happens in network and process namespaces of the demo's own: the host's links, rules
# and forwarding are not touched, and no traffic leaves the machine once the packages are here.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD

die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

started=$SECONDS
say() {
    printf '== %s (%ds)\n' "$*" "$((SECONDS - started))"
}

vmm='' accel=''
args=("$@")
while [ $# -gt 0 ]; do
    case $1 in
        --vmm) vmm=${2:?--vmm needs a value}; shift 2 ;;
        --accel) accel=${2:?--accel needs a value}; shift 2 ;;
        *) die "unknown argument $1; usage: $0 [--vmm firecracker|qemu] [--accel kvm|tcg]" ;;
    esac
done

[ "$(id -u)" -eq 0 ] || die 'run as root: making namespaces and taps needs it'

# ---- outer part: set up, then enter a namespace of our own ----
if [ -z "${CRABBOX_DEMO_INSIDE:-}" ]; then
    say 'packages'
    scripts/deps.sh
    say 'build'
    make -j2 all build/tools/residue
    say 'guest image'
    scripts/build-image.sh
    say 'a microVM'
    CRABBOX_DEMO_INSIDE=1 exec unshare --net --mount --pid --fork --kill-child --mount-proc -- "$0" ${args[@]+"${args[@]}"}
fi

ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward

work=$(mktemp -d)
. "$top/scripts/groups.sh"
use_group "demo-${work##*.}"
trap 'remove_group; rm -rf "$work"' EXIT
export CRABBOX_FC_STATE_DIR=$work/state
export XDG_CONFIG_HOME=$work/config
fc=$top/build/crabbox-fc
residue=$top/build/tools/residue

# ---- which VMM, and why: said in one line ----
check_status() { # check_status NAME: its status in doctor's report
    jq -r --arg c "$1" '.checks[] | select(.check == $c) | .status' "$work/doctor.json"
}
check_message() {
    jq -r --arg c "$1" '.checks[] | select(.check == $c) | .message' "$work/doctor.json"
}
"$fc" doctor --provider firecracker --json >"$work/doctor.json" || true
if [ -n "$vmm" ]; then
    why='as asked'
    [ "$vmm" = firecracker ] && accel=kvm
elif [ "$(check_status kvm)" = ok ] && [ "$(check_status binary)" = ok ]; then
    vmm=firecracker accel=kvm why='KVM runs guest code and the firecracker binary is there'
elif [ "$(check_status kvm)" = ok ]; then
    vmm=qemu accel=kvm why="KVM works, but: $(check_message binary)"
else
    vmm=qemu accel=tcg why="no hardware virtualisation: $(check_message kvm)"
fi
accel=${accel:-tcg}
printf 'demo: vmm=%s accel=%s: %s\n' "$vmm" "$accel" "$why"
flags=(--vmm "$vmm" --firecracker-network nat --cpus 2 --memory 1024 --disk 4096 --network-dns 192.0.2.53)
[ "$vmm" = qemu ] && flags+=(--accel "$accel")

# ---- a small real job ----
repo=$work/hello
mkdir "$repo"
cat >"$repo/hello.c" <<'C'
#include <stdio.h>
#include <sys/utsname.h>

int main(int argc, char **argv)
{
    struct utsname u;
    uname(&u);
    printf("hello from %s, kernel %s\n", u.nodename, u.release);
    return argc > 1 ? argv[1][0] - '0' : 0;
}
C
printf 'hello: hello.c\n\tcc -O2 -Wall -o $@ $<\n' >"$repo/Makefile"
git -C "$repo" init -q
git -C "$repo" -c user.name=demo -c user.email=demo@example.invalid add -A
git -C "$repo" -c user.name=demo -c user.email=demo@example.invalid commit -q -m 'hello'

"$residue" --snapshot --state-dir "$CRABBOX_FC_STATE_DIR" >"$work/baseline"
ms() { jq -r "$1" "$2"; }

say 'warmup: boot a real kernel and wait for SSH with the pinned host key'
"$fc" warmup "${flags[@]}" --slug demo --json >"$work/warmup.json"
warmup_ms=$(ms '.timing.totalUs / 1000 | floor' "$work/warmup.json")
jq -r '"leased \(.leaseId) slug=\(.slug) vmm=\(.vmm.backend) accel=\(.vmm.accel) ssh=\(.ssh.user)@\(.ssh.host)"' \
    "$work/warmup.json"
"$fc" list

say 'run: sync the repository, compile and run it in the guest'
cd "$repo"
"$fc" run --id demo "${flags[@]}" --timing-json -- sh -c 'make -s hello && ./hello' \
    2>"$work/run.err" | tee "$work/run.out"
grep -v '^{' "$work/run.err" || true
run_ms=$(grep '^{' "$work/run.err" | jq -r '.totalMs')

say 'run: the exit code of a job comes back as it is'
code=0
"$fc" run --id demo "${flags[@]}" --quiet -- sh -c './hello 7' || code=$?
printf 'the guest said 7, crabbox-fc returned %d\n' "$code"
[ "$code" -eq 7 ] || die "exit code $code instead of 7"

guest_kernel=$("$fc" run --id demo "${flags[@]}" --quiet --no-sync -- uname -r)
host_kernel=$(uname -r)
guest_boot=$("$fc" run --id demo "${flags[@]}" --quiet --no-sync -- cat /proc/sys/kernel/random/boot_id)
[ "$guest_boot" != "$(cat /proc/sys/kernel/random/boot_id)" ] || die 'the job ran on the host'
printf 'guest kernel %s, host kernel %s, boot ids differ\n' "$guest_kernel" "$host_kernel"

say 'stop: nothing left'
cd "$top"
"$fc" stop demo "${flags[@]}" --json >"$work/stop.json"
stop_ms=$(ms '.[0].stopMs' "$work/stop.json")

"$residue" --state-dir "$CRABBOX_FC_STATE_DIR" --baseline "$work/baseline" >"$work/left" || true
left=$(sed -n 's/^residue=//p' "$work/left")
[ "$left" = 0 ] || { cat "$work/left" >&2; die "residue=$left"; }
printf 'demo: passed vmm=%s accel=%s guest_kernel=%s host_kernel=%s warmup_ms=%s run_ms=%s stop_ms=%s residue=%s\n' \
    "$vmm" "$accel" "$guest_kernel" "$host_kernel" "$warmup_ms" "$run_ms" "$stop_ms" "$left"
