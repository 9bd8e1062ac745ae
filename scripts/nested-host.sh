#!/usr/bin/env bash
# A host with working KVM on a machine that has none: boots a Linux with nested virtualisation under
# emulation and runs a command there. The CPU is emulated (QEMU TCG with SVM), the KVM is the real
# kernel module: what crabbox-fc does with `accel: kvm` can be tried, its speed can not.
#
#   scripts/nested-host.sh [--cpus N] [--memory MIB] [--timeout SECONDS] -- COMMAND [ARG]...
#
# The nested host sees this machine's files read-only, with writes in memory that go with it, and no
# network but its own loopback; IPv4 forwarding is on and the modules that crabbox-fc needs are
# loaded. The current directory, CRABBOX_* and CI are handed on. The exit code is the command's; 125
# when the nested host itself failed. Example, about three minutes:
#
#   CRABBOX_FC_NETWORK_DNS=192.0.2.53 CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT=15m \
#     scripts/nested-host.sh -- scripts/live-smoke.sh --vmm qemu --accel kvm -- --cpus 1 --memory 512
#
# Needs root or read access to what the command reads, apt-get for the kernel package (kept in
# CRABBOX_NESTED_DIR, default /var/cache/crabbox-fc/nested-host), qemu-system-x86_64, cpio, kmod.
set -u -o pipefail

die() {
    echo "nested-host: $1" >&2
    exit "${2:-125}"
}

cpus=2 memory=6144 limit=1800
while [[ $# -gt 0 ]]; do
    case $1 in
        --cpus | --memory | --timeout)
            [[ ${2:-} =~ ^[0-9]+$ ]] || die "$1 needs a number" 2
            case $1 in
                --cpus) cpus=$2 ;;
                --memory) memory=$2 ;;
                *) limit=$2 ;;
            esac
            shift
            ;;
        --)
            shift
            break
            ;;
        -h | --help)
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
            exit 0
            ;;
        *) die "unknown argument: $1" 2 ;;
    esac
    shift
done
[[ $# -gt 0 ]] || die "no command; see --help" 2
for tool in qemu-system-x86_64 cpio modprobe ldd; do
    command -v "$tool" >/dev/null || die "missing required tool: $tool"
done

cache=${CRABBOX_NESTED_DIR:-/var/cache/crabbox-fc/nested-host}
work=$(mktemp -d "${TMPDIR:-/tmp}/crabbox-nested.XXXXXX") || exit 125
trap 'rm -rf -- "$work"' EXIT

# ---- kernel: Debian's own, with 9p and KVM as modules ----

fetch_kernel() {
    local package
    package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ {print $2; exit}')
    [[ -n $package ]] || die "no package linux-image-amd64: run apt-get update"
    kernel_dir=$cache/$package
    [[ -e $kernel_dir/done ]] && return
    mkdir -p "$kernel_dir" || exit 125
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package") || die "cannot download $package"
    dpkg-deb -x "$work/$package"_*.deb "$kernel_dir" || die "cannot unpack $package"
    rm -f "$work"/*.deb
    depmod -b "$kernel_dir" "$(ls "$kernel_dir/lib/modules")" || die "depmod failed"
    : >"$kernel_dir/done"
}
fetch_kernel
release=$(ls "$kernel_dir/lib/modules")

# ---- initrd: a shell that mounts the machine's root and goes on there ----

add_program() {
    local file lib
    file=$(command -v "$1") || die "missing required tool: $1"
    install -D "$file" "$work/initrd/bin/$1"
    while read -r lib; do
        [[ -e $work/initrd$lib ]] || install -D "$lib" "$work/initrd$lib"
    done < <(ldd "$file" | grep -o '/[^ ]*')
}

mkdir -p "$work/initrd"/{bin,dev,proc,sys,run,lower,rw,new,modules}
for program in bash mount insmod switch_root mkdir cp; do
    add_program "$program"
done
for module in virtio_pci 9pnet_virtio 9p overlay; do
    modprobe -d "$kernel_dir" -S "$release" --show-depends "$module" | awk '$1 == "insmod" {print $2}'
done | awk '!seen[$0]++' >"$work/order"
: >"$work/initrd/modules/order"
while read -r file; do
    cp "$file" "$work/initrd/modules/" || exit 125
    basename "$file" >>"$work/initrd/modules/order"
done <"$work/order"

cat >"$work/initrd/init" <<'INIT'
#!/bin/bash
export PATH=/bin
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
while read -r name; do insmod "/modules/$name"; done </modules/order
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 root /lower
mount -t tmpfs -o size=80% rw /rw
mkdir /rw/upper /rw/work
cp /second-stage /rw/upper/.nested-host
mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work root /new
exec switch_root /new /bin/bash /.nested-host
INIT

{
    cat <<SECOND
release=$(printf %q "$release") modules=$(printf %q "$kernel_dir/lib/modules/$release")
directory=$(printf %q "$PWD") command=($(printf '%q ' "$@"))
SECOND
    for name in ${!CRABBOX_*} CI TMPDIR; do
        [[ -n ${!name:-} ]] && printf 'export %s=%q\n' "$name" "${!name}"
    done
    cat <<'SECOND'
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
ln -sn /proc/self/fd /dev/fd
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
for dir in /dev/shm /run "${TMPDIR:-/tmp}/.nested-host"; do
    mkdir -p "$dir"
    mount -t tmpfs -o mode=1777 tmp "$dir"
done
export TMPDIR=${TMPDIR:-/tmp}/.nested-host
mkdir -p /lib/modules
ln -sfn "$modules" "/lib/modules/$release"
for module in kvm_amd tun veth nf_tables nft_nat nft_masq nft_chain_nat nft_ct; do
    modprobe "$module" || echo "nested-host: no module $module"
done
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
stty -F /dev/ttyS0 -onlcr
cd "$directory" && "${command[@]}"
echo "$?" >/dev/ttyS1
sync
echo o >/proc/sysrq-trigger
while :; do read -r -t 60 _ <>/dev/ttyS1; done
SECOND
} >"$work/initrd/second-stage"
chmod +x "$work/initrd/init"
(cd "$work/initrd" && find . | cpio --quiet -o -H newc) >"$work/initrd.cpio" || die "cpio failed"

# ---- run ----

timeout -k 10 "$limit" qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max,+svm,+npt \
    -smp "$cpus" -m "$memory" -display none -monitor none -no-reboot -nic none \
    -kernel "$kernel_dir/boot/vmlinuz-$release" -initrd "$work/initrd.cpio" \
    -append "console=ttyS0 quiet loglevel=2 panic=-1" \
    -fsdev local,id=root,path=/,security_model=passthrough,readonly=on,multidevs=remap \
    -device virtio-9p-pci,fsdev=root,mount_tag=root \
    -serial stdio -serial "file:$work/exit" </dev/null || die "the nested host ended with an error or after $limit s"
code=$(tr -dc 0-9 <"$work/exit")
[[ -n $code ]] || die "the nested host ended without running the command"
exit "$code"
