#!/bin/bash
# Three leases in a row through QEMU without KVM, one on the CNI plugins of Debian and one of a user
# who is not root: a real kernel and the real image, driven by the program as a user drives it. Slow
# and true: what the stand-in can't show. And the tests of the fence around a VMM, on the image's
# kernel.
#
#   BUILD=build scripts/emulated-test.sh
#
# The image is CRABBOX_FC_IMAGE_DIR, by default the one that scripts/build-image.sh makes. Runs in
# network, mount and process namespaces of its own. The last line is "N passed, N failed".
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
. scripts/emulated.sh
. scripts/emulated-guest.sh
. scripts/emulated-fence.sh

another_kernel() {
    local boot
    boot=$("$fc" run --id "$1" -q --no-sync -- cat /proc/sys/kernel/random/boot_id) || return
    [ ${#boot} -eq 36 ] && [ "$boot" != "$(cat /proc/sys/kernel/random/boot_id)" ]
}

disk_is_clean() { # no journal, so only a clean unmount leaves it so
    dumpe2fs -h "$1" 2>/dev/null | grep -q '^Filesystem state: *clean$' || return
    [ "$(dumpe2fs -h "$1" 2>/dev/null | sed -n 's/^Mount count: *//p')" -ge 1 ] || return
    e2fsck -fn "$1"
}

shown_as_emulated() {
    "$fc" status --json "$1" | jq -e '.vmm.backend == "qemu" and .vmm.accel == "tcg" and
        .vmm.emulated == true and .state == "ready"'
}

confined() { # by what the kernel says, and by what its neighbours' files say
    local pid
    pid=$("$fc" status --json "$1" | jq -e 'select(.vmm.sandbox) | .vmm.pid') || return
    grep -q '^CapEff:.0*$' "/proc/$pid/status" && grep -q '^NoNewPrivs:.1$' "/proc/$pid/status" &&
        grep -q '^Seccomp:.2$' "/proc/$pid/status" &&
        grep -q '^Seccomp_filters:.1$' "/proc/$pid/status" && # ours: it may add none
        grep -qE '^Uid:\s19000' "/proc/$pid/status" && # nobody else's
        [ ! -e "/proc/$pid/root/home" ] && [ ! -e "/proc/$pid/root/etc/passwd" ]
}

keeps_to_itself() { # no variable of the caller's is in what runs on: VMM and keeper
    local pid n=0
    for pid in $("$fc" status --json "$1" | jq .vmm.pid) $(pgrep -f "keeper $("$fc" status --json "$1" | jq -r .leaseId)"); do
        n=$((n + 1))
        tr '\0' '\n' <"/proc/$pid/environ" | grep -v -e '^PATH=/usr/sbin:' -e '^LC_ALL=C$' \
            -e '^CRABBOX_FC_STATE_DIR=' -e '^SUDO_UID=[0-9]*$' && return 1
    done
    [ "$n" -eq 2 ] || { echo "$n processes instead of 2"; return 1; }
}

export DEPLOY_TOKEN=hunter2 RUNNER_TRACKING_ID=github_1
mkdir "$work/tree"
git -C "$work/tree" init -q
printf 'int main(void) { return 9; }\n' >"$work/tree/nine.c"
printf 'nine: nine.c\n\tcc -o $@ $<\n' >"$work/tree/Makefile"
git -C "$work/tree" add -A

for n in 1 2 3; do
    slug=emulated-$n
    ok "lease $n: warmup boots a kernel to SSH" "$fc" warmup --slug "$slug"
    ok "lease $n: list, status and JSON say qemu, tcg, emulated" shown_as_emulated "$slug"
    ok "lease $n: its VMM is confined" confined "$slug"
    ok "lease $n: its VMM and its keeper have nothing of our environment" keeps_to_itself "$slug"
    ok "lease $n: it is another kernel than the host's" another_kernel "$slug"
    cd "$work/tree" || exit 1
    ok "lease $n: a synced program is built and its exit code comes back" \
        exits 9 "$fc" run --id "$slug" -q -- sh -c 'make -s nine && ./nine'
    cd "$top" || exit 1
    # shellcheck disable=SC2016 # the guest must get it as it is
    ok "lease $n: words and streams arrive as they are" says 'a  b|$HOME' \
        "$fc" run --id "$slug" -q --no-sync -- printf '%s|%s' 'a  b' '$HOME'
    ok "lease $n: the console is kept" says 1 sh -c "'$fc' logs --console '$slug' | grep -c 'crabbox-init: start'"
    [ "$n" -ne 1 ] || guest_tests "$slug"
    [ "$n" -ne 2 ] || ok 'fence: nothing gets past it on a guest'\''s kernel' fence_in_lease "$slug"
    # A second name for the disk keeps it when the lease is gone.
    ln "$CRABBOX_FC_STATE_DIR/leases/$("$fc" status --json "$slug" | jq -r .leaseId)/vmm/disk.img" \
        "$work/disk-$n.img"
    ok "lease $n: stop ends the guest by itself" \
        sh -c "'$fc' stop --json '$slug' | jq -e '.[0].result == \"stopped\" and .[0].graceful'"
    ok "lease $n: nothing is left" nothing_left
    ok "lease $n: its disk was used and is clean" disk_is_clean "$work/disk-$n.img"
done

ok 'fence: nothing gets past it on an initramfs' fence_on_initramfs

# ---- the host's own CNI plugins ----
use_cni() { # the list that docs/NETWORK.md shows, with a directory of the test's for addresses
    local dir
    for dir in /usr/lib/cni /opt/cni/bin none; do
        [ -x "$dir/ptp" ] && break
    done
    [ "$dir" = none ] && { echo 'no CNI plugins: apt-get install containernetworking-plugins'; return 1; }
    mkdir "$work/cni"
    # shellcheck disable=SC2016 # the backticks are Markdown's
    sed -n '/^```json$/,/^```$/{/^```/d;p;}' docs/NETWORK.md |
        jq ".plugins[0].ipam.dataDir = \"$work/cni-data\"" >"$work/cni/10-box.conflist"
    export CRABBOX_FIRECRACKER_NETWORK=cni CRABBOX_FIRECRACKER_CNI_CONF_DIR=$work/cni
    export CRABBOX_FIRECRACKER_CNI_BIN_DIR=$dir
    # iptables keeps its table once it has made one.
    iptables -t nat -A POSTROUTING -j RETURN && iptables -t nat -D POSTROUTING -j RETURN &&
        "$residue" --snapshot --state-dir "$CRABBOX_FC_STATE_DIR" >"$work/baseline"
}

on_the_chain() {
    "$fc" status --json cni | jq -e '.labels.network == "cni" and (.ssh.host | startswith("10.88."))'
}

chain_gave_back() {
    [ -z "$(find "$work/cni-data" -type f -name '[0-9]*')" ] && ! iptables-save -t nat | grep CNI-
}

use_cni >"$work/out" 2>&1 || { cat "$work/out"; failed=$((failed + 1)); }
ok 'cni: doctor finds list and plugins' \
    sh -c "'$fc' doctor --json | jq -e '.checks[] | select(.check == \"network\") | .status == \"ok\"'"
ok 'cni: warmup boots a kernel to SSH' "$fc" warmup --slug cni
ok 'cni: its address is the chain'\''s' on_the_chain
ok 'cni: it is another kernel than the host'\''s' another_kernel cni
ok 'cni: stop ends the guest by itself' \
    sh -c "'$fc' stop --json cni | jq -e '.[0].result == \"stopped\" and .[0].graceful'"
ok 'cni: nothing is left' nothing_left
ok 'cni: the chain has given everything back' chain_gave_back

# ---- a user who is not root ----
be_user() { # no configuration; ids, a tun device for all and a way out as on most hosts
    user=$work/user
    chmod 0711 "$work"
    mkdir "$user" "$user/tree" "$work/etc" || return
    install -m 0755 "$fc" "$user/crabbox-fc" && chown -R 65534:65534 "$user" || return
    mount -t tmpfs etc "$work/etc" && mkdir "$work/etc/upper" "$work/etc/work" &&
        mount -t overlay etc /etc -o "lowerdir=/etc,upperdir=$work/etc/upper,workdir=$work/etc/work" &&
        echo 65534:100000:65536 >/etc/subuid && cp /etc/subuid /etc/subgid || return
    mknod -m 0666 "$work/etc/tun" c 10 200 && mount --bind "$work/etc/tun" /dev/net/tun || return
    ip link add out0 type veth peer name out1 && ip link set out1 up && ip link set out0 up &&
        ip addr add 198.51.100.1/24 dev out0 && ip route add default via 198.51.100.2 || return
    "$residue" --snapshot --state-dir "$user/.local/state/crabbox-fc" >"$work/baseline"
}

as_user() {
    (cd "$user/tree" && setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
        env -i PATH="$PATH" HOME="$user" CRABBOX_FC_VMM=qemu CRABBOX_FC_QEMU_ACCEL=tcg \
        CRABBOX_FC_IMAGE_DIR="$image" CRABBOX_FC_NETWORK_DNS=192.0.2.53 \
        CRABBOX_FIRECRACKER_CPUS=2 CRABBOX_FIRECRACKER_MEMORY_MIB=512 \
        CRABBOX_FIRECRACKER_DISK_MIB=1024 CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT=4m \
        "$user/crabbox-fc" "$@")
}

fenced() { # by an id that is neither root's nor the user's
    local pid
    pid=$(as_user status --json user | jq -e 'select(.vmm.sandbox) | .vmm.pid') || return
    grep -q '^CapEff:.0*$' "/proc/$pid/status" && grep -q '^CapBnd:.0*$' "/proc/$pid/status" &&
        grep -q '^Seccomp:.2$' "/proc/$pid/status" && grep -qE '^Uid:\s100000' "/proc/$pid/status" &&
        [ ! -e "/proc/$pid/root/home" ] && [ ! -e "/proc/$pid/root/etc/passwd" ]
}

says_what_lacks() {
    as_user status --json user | jq -e '.labels.network == "pasta" and .vmm.isolation == "degraded" and
        (.vmm.lacks | contains("control group"))'
}

ended_by_itself() {
    as_user stop --json user | jq -e '.[0].result == "stopped" and .[0].graceful'
}

nothing_of_user_left() {
    "$residue" --state-dir "$user/.local/state/crabbox-fc" --baseline "$work/baseline"
}

unset CRABBOX_FIRECRACKER_NETWORK
be_user >"$work/out" 2>&1 || { cat "$work/out"; failed=$((failed + 1)); }
ok 'user: doctor is content' as_user doctor
ok 'user: warmup boots a kernel to SSH' as_user warmup --slug user
ok 'user: its VMM is fenced' fenced
ok 'user: what the fence lacks is said' says_what_lacks
echo here >"$user/tree/word"
chown -R 65534:65534 "$user/tree"
ok 'user: a synced file arrives, and an exit code comes back' \
    exits 7 as_user run --id user -q -- sh -c 'grep -qx here word && exit 7'
ok 'user: stop ends the guest by itself' ended_by_itself
ok 'user: nothing is left' nothing_of_user_left
umount /dev/net/tun /etc "$work/etc"
ip link del out0

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
