#!/bin/bash
# Side-by-side measurements, printed as a table: median, 95th percentile, samples, substrate.
#
#   scripts/bench.sh               everything (about five minutes on two cores)
#   scripts/bench.sh SECTION...    only these: start list leases crowd sync network sandbox clone emulated
#
# BUILD           where the programs are (default build)
# BENCH_QUICK=1   few samples: to see that it works, not for figures
# CRABBOX_FC_IMAGE_DIR   the guest image for the emulated rows
#
# Runs in network, mount and process namespaces of its own; needs root for all but start. No figure
# is judged here: the exit code says only whether everything could be measured. The last line is
# "bench: done ..." with the residue left. docs/PERFORMANCE.md says what each row means.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
top=$PWD
build=${BUILD:-build}
case $build in /*) ;; *) build=$top/$build ;; esac
image=${CRABBOX_FC_IMAGE_DIR:-/var/lib/crabbox-fc/images/default}
bench=$build/tools/bench
residue=$build/tools/residue
all=(start list leases crowd sync network sandbox clone emulated)

for section in "$@"; do
    case " ${all[*]} " in
    *" $section "*) ;;
    *)
        echo "bench: no section \"$section\"; there are: ${all[*]}" >&2
        exit 2
        ;;
    esac
done
sections=("$@")
[ $# -gt 0 ] || sections=("${all[@]}")
for program in "$build/crabbox-fc" "$bench" "$residue" "$build/tools/standin-firecracker"; do
    [ -x "$program" ] || { echo "bench: $program is missing: run make all tools" >&2; exit 1; }
done
[ "$(id -u)" -eq 0 ] || { echo "bench: needs root, to make namespaces" >&2; exit 1; }

if [ -z "${CRABBOX_BENCH_INSIDE:-}" ]; then
    # Without --propagation it is private: no mount made here is seen outside.
    CRABBOX_BENCH_INSIDE=1 exec unshare --net --mount --pid --fork --kill-child --mount-proc \
        "$top/scripts/bench.sh" "$@"
fi
for name in ${!CRABBOX_*}; do
    unset "$name"
done
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward

work=$(mktemp -d "${TMPDIR:-/tmp}/crabbox-bench.XXXXXX")
. "$top/scripts/groups.sh"
use_group "bench-${work##*.}"
# A loop device detaches by itself when what is mounted from it goes.
trap 'umount "$work"/fs-* 2>/dev/null; remove_group; rm -rf "$work"' EXIT
export HOME=$work CRABBOX_FC_NETWORK_DNS=192.0.2.53 CRABBOX_FC_STATE_DIR=$work/state
mkdir -m 0700 "$work/state"
mkdir "$work/here" # where the programs run: no state may be below that
args=(--build "$build" --work "$work")
[ -n "${BENCH_QUICK:-}" ] && args+=(--quick)
failed=0

measure() { # measure SECTION [ARG]
    "$bench" "${args[@]}" "$@" || failed=$((failed + 1))
}

skip() { # skip FIGURE WHY
    printf '%-46s %12s %12s %5s  %s\n' "$1" - - 0 "skipped: $2"
}

bench_clone() {
    local fs options
    mkdir "$work/plain"
    measure clone "$work/plain=$(findmnt -n -o FSTYPE -T "$work"), the machine's own disk"
    rm -rf "$work/plain"
    for fs in btrfs xfs; do
        if ! command -v "mkfs.$fs" >/dev/null; then
            skip "clone of 2 GiB: $fs" "mkfs.$fs is not installed"
            continue
        fi
        options=(-q -f)
        [ "$fs" = xfs ] && options+=(-m reflink=1)
        mkdir "$work/fs-$fs"
        truncate -s 8G "$work/$fs.img"
        if "mkfs.$fs" "${options[@]}" "$work/$fs.img" >"$work/log" 2>&1 &&
            mount -o loop "$work/$fs.img" "$work/fs-$fs" >>"$work/log" 2>&1; then
            measure clone "$work/fs-$fs=$fs on a loop device"
            umount "$work/fs-$fs"
        else
            skip "clone of 2 GiB: $fs" "$(tail -n 1 "$work/log")"
        fi
        rm -f "$work/$fs.img"
    done
}

bench_emulated() {
    if [ ! -s "$image/image.json" ]; then
        skip 'emulated guest' "no image in $image: run scripts/build-image.sh"
    elif ! command -v qemu-system-x86_64 >/dev/null; then
        skip 'emulated guest' 'qemu-system-x86_64 is not installed'
    else
        CRABBOX_FC_IMAGE_DIR=$image measure emulated
    fi
}

"$residue" --snapshot --state-dir "$work/state" >"$work/baseline"
printf '%s%s, %s\n' "$("$build/crabbox-fc" version | head -n 1)" \
    "$(git describe --always --dirty 2>/dev/null | sed 's/^/, commit /')" "$(date -u +%Y-%m-%d)"
printf 'host: %s cores, %s, %s MiB, kernel %s, load before: %s\n\n' "$(nproc)" \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
    "$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)" "$(uname -r)" \
    "$(cut -d' ' -f1-3 /proc/loadavg)"
printf '%-46s %12s %12s %5s  %s\n' figure median p95 n substrate
for section in "${sections[@]}"; do
    printf -- '-- %s\n' "$section"
    case $section in
    clone | emulated) "bench_$section" ;;
    *) measure "$section" ;;
    esac
done

"$residue" --state-dir "$work/state" --baseline "$work/baseline" >"$work/left" || cat "$work/left" >&2
printf '\nload after: %s\nbench: done failed=%d %s\n' "$(cut -d' ' -f1-3 /proc/loadavg)" "$failed" \
    "$(tail -n 1 "$work/left")"
[ "$failed" -eq 0 ]
