#!/bin/bash
# doctor looks and changes nothing: its system calls are watched, not only what is left of them. None
# may create, change, remove, signal or mount, whatever is configured; files, links and rules are the
# same before and after. What it starts (the VMM's --version) is watched too.
#
# In a network namespace of its own. Needs root, strace and jq. The last line is "N passed, N
# failed"; exit code 77 where it can't run.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
fc=$(realpath "${CRABBOX_BIN:-${BUILD:-build}/crabbox-fc}")
[ -x "$fc" ] || { echo "doctor-readonly-test: $fc is missing: run make"; exit 1; }
if [ -z "${DOCTOR_TEST_INSIDE:-}" ]; then
    for tool in strace jq nft; do
        command -v "$tool" >/dev/null || { echo "doctor-readonly-test: $tool is not installed"; exit 77; }
    done
    if [ "$(id -u)" -ne 0 ] || ! unshare -n true 2>/dev/null; then
        echo "doctor-readonly-test: needs root"
        exit 77
    fi
    DOCTOR_TEST_INSIDE=1 exec unshare --net "scripts/$(basename "$0")"
fi
echo 1 >/proc/sys/net/ipv4/ip_forward
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# A stock image of ext4 (an empty one) and a kernel that is none: doctor reads them all the same.
mkdir -p "$work/stock" "$work/home" "$work/state/leases/cbx_0123456789ab" "$work/empty"
chmod -R 0700 "$work/state"
echo '{' >"$work/state/leases/cbx_0123456789ab/lease.json"
stat -c '%i %W' "$work/state" >"$work/state/origin" # as if crabbox-fc had made it
truncate -s 8M "$work/stock/rootfs.ext4"
mkfs.ext4 -q -F "$work/stock/rootfs.ext4" || exit 1
printf 'no kernel' >"$work/stock/vmlinux"
printf '#!/bin/sh\necho Firecracker v1.16.1\n' >"$work/firecracker"
chmod 0755 "$work/firecracker"

changing=creat,mkdir,mkdirat,mknod,mknodat,link,linkat,symlink,symlinkat,rename,renameat,renameat2
changing+=,unlink,unlinkat,rmdir,truncate,ftruncate,fallocate,chmod,fchmod,fchmodat,chown,lchown
changing+=,fchown,fchownat,utimensat,setxattr,lsetxattr,fsetxattr,removexattr,fremovexattr,mount
changing+=,umount2,kill,tkill,tgkill,pidfd_send_signal,sethostname,setns,unshare,pivot_root
watched=open,openat,openat2,ioctl,sendto,sendmsg,fsmount,clone,$changing

# What no line of the trace may have. Opening for writing is for devices only; an nft or rtnetlink
# message asks, and neither makes nor removes. Prints the lines; true if there are any.
forbidden() {
    guilty "$1" >"$work/bad"
    [ -s "$work/bad" ]
}
# The program that is asked for its version gets a root directory: a filesystem that is attached
# nowhere, or in a mount namespace of the program's own. What is done in there is no change.
outside() {
    awk '{ pid = ($1 ~ /^[0-9]+$/) ? $1 : 0; n = $NF }
        /fsmount\(/ { jail[n] = 1 }
        /openat2?\(|open\(/ { delete jail[n] }
        /clone\(.*CLONE_NEWNS/ { own[n] = 1 }
        match($0, /(mkdir|mknod|fchown|symlink)at\(/) {
            split(substr($0, RSTART + RLENGTH), a, ", ")
            if (a[1] in jail || (/symlinkat\(/ && a[2] in jail)) next
        }
        pid in own && / (mount|umount2|pivot_root|sethostname)\(/ { next }
        { print }' "$1"
}
guilty() {
    outside "$1" | grep -E "^([0-9]+ +)?(${changing//,/|})\("
    grep -E '^([0-9]+ +)?open(at2?)?\(' "$1" | grep -E 'O_(WRONLY|RDWR|CREAT|TRUNC|TMPFILE)' |
        grep -vE '"/dev/(null|kvm|net/tun|sgx_vepc)"'
    grep -E '^([0-9]+ +)?ioctl\(' "$1" | grep -E 'TUN|SIOCS|SIOCBR|FICLONE|FS_IOC_SET|LOOP_'
    # Rules that are tried out are a batch without an end: the kernel judges it and commits nothing.
    grep -E '^([0-9]+ +)?send(to|msg)\(' "$1" | grep -E 'RTM_(NEW|DEL|SET)|NFT_MSG_(NEW|DEL)|\|NLM_F_CREATE' |
        grep -E 'NFNL_MSG_BATCH_END|RTM_' | cut -c1-500
}

# Everything there is to change, with the times that a change leaves behind.
snapshot() {
    find "$work/stock" "$work/home" "$work/state" "$work/empty" -printf '%p %i %s %m %T@ %C@\n' | sort
    ip -o link
    ip -o addr
    ip route
    nft list ruleset
    ls /run/netns 2>/dev/null
}

look() { # look NAME STATE FLAG...
    local name=$1 state=$2 code=0
    shift 2
    snapshot >"$work/before"
    (cd "$work/empty" && env -i PATH="$PATH" HOME="$work/home" CRABBOX_FC_STATE_DIR="$work/$state" \
        strace -f -qq -v -e signal=none -e trace="$watched" -o "$work/trace" \
        "$fc" doctor --json "$@" >"$work/report" 2>"$work/err") || code=$?
    snapshot >"$work/after"
    if [ "$code" -le 1 ] && jq -e '.checks | length > 10' "$work/report" >/dev/null; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name: exit code $code: $(head -n 3 "$work/err")"
    fi
    # The trace is worth something: doctor opened what it should have looked at.
    if grep -q "$work/stock/rootfs.ext4\|$work/home" "$work/trace" && ! forbidden "$work/trace"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name: system calls that change something, or no trace"
        head -n 10 "$work/bad" 2>/dev/null | sed 's/^/    | /'
    fi
    if diff "$work/before" "$work/after" >"$work/diff"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name: something is not as it was"
        sed 's/^/    | /' "$work/diff" | head -n 10
    fi
}

stock=(--firecracker-kernel "$work/stock/vmlinux" --firecracker-rootfs "$work/stock/rootfs.ext4")
look "Firecracker, nothing there yet" absent --provider firecracker --firecracker-binary "$work/firecracker"
look "Firecracker, stock image" state --provider firecracker --firecracker-binary "$work/firecracker" "${stock[@]}"
look "QEMU with KVM, stock image" state --vmm qemu --accel kvm "${stock[@]}"
look "emulation" state --vmm qemu --accel tcg
look "emulation, no state yet, stock image" absent/below/it --vmm qemu --accel tcg "${stock[@]}"
look "CNI" state --firecracker-network cni --firecracker-cni-conf-dir "$work/stock" "${stock[@]}"

# The watch itself works: the same trace of something that writes is found guilty.
strace -f -qq -e signal=none -e trace="$watched" -o "$work/trace" mkdir "$work/empty/x"
if forbidden "$work/trace"; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
    echo "FAIL the watch sees nothing"
fi
strace -f -qq -v -e signal=none -e trace="$watched" -o "$work/trace" nft add table inet crabbox_control
nft delete table inet crabbox_control
if guilty "$work/trace" | grep -q sendmsg; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
    echo "FAIL the watch sees no rules that are committed"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
