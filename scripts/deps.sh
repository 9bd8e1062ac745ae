#!/bin/bash
# Installs the Debian or Ubuntu packages that this project needs; does nothing where all are there.
#
#   scripts/deps.sh          to build, to make the guest image and to run it (what demo.sh needs)
#   scripts/deps.sh --test   also what lint, tests and fuzzers need
#   scripts/deps.sh --list   only print the names (with --test: all of them)
set -euo pipefail

build='gcc libc6-dev make pkg-config libssh-dev libcjson-dev libnl-3-dev libnl-route-3-dev
libnl-genl-3-dev libcurl4-openssl-dev libyaml-dev libarchive-dev libnftables-dev libext2fs-dev
comerr-dev libssl-dev libexpat1-dev libjansson-dev libcmocka-dev'
image='mmdebstrap e2fsprogs lz4 zstd xz-utils gzip kmod cpio util-linux ca-certificates'
run='qemu-system-x86 openssh-client openssh-sftp-server rsync git jq iproute2 nftables procps
passt uidmap'
test='dropbear-bin openssh-server libarchive-tools genisoimage btrfs-progs xfsprogs
curl zsh fish mandoc containernetworking-plugins iptables strace clang clang-tidy clang-format
libclang-rt-dev llvm cppcheck shellcheck universal-ctags'

wanted="$build $image $run"
list=0
for arg in "$@"; do
    case $arg in
    --test) wanted="$wanted $test" ;;
    --list) list=1 ;;
    *)
        echo "usage: scripts/deps.sh [--test] [--list]" >&2
        exit 2
        ;;
    esac
done

# shellcheck disable=SC2086 # lists of words
set -- $wanted
if [ "$list" = 1 ]; then
    printf '%s\n' "$@"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "deps: this script knows only apt-get; install what corresponds to: $*" >&2
    exit 1
fi

missing=()
for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
        missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "deps: all $# packages are installed"
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "deps: not root; run: sudo apt-get install ${missing[*]}" >&2
    exit 1
fi

echo "deps: installing ${#missing[@]} of $# packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# No service is started: an SSH server of the host is not ours to run.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
fi
install() {
    apt-get -y -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 --no-install-recommends install \
        "${missing[@]}"
}
# Package lists may be absent or old: fetched once, and only if the first try fails.
install || { apt-get -q -o Acquire::Retries=3 update && install; }
