#!/bin/bash
# Builds the default guest image: kernel, initrd with crabbox-init, read-only root.
#
#   scripts/build-image.sh [--out DIR] [--init FILE] [--name NAME] [--force]
#
# DIR (default $CRABBOX_FC_IMAGE_DIR, else /var/lib/crabbox-fc/images/default) receives
#   vmlinux      the ELF kernel inside the distribution's cloud kernel package
#   initrd.cpio  crabbox-init and the few modules it loads, uncompressed
#   rootfs.ext4  Debian or Ubuntu packages of this host's release, read-only
#   image.json   the manifest with the sha256 of each, written last
# Parts whose inputs have not changed are reused. Packages come through this host's own
# apt sources. No loop device and no mount of ours is used. Run as root.
#
# Environment: CRABBOX_FC_KERNEL_PACKAGE (default by distribution),
# CRABBOX_FC_EXTRA_PACKAGES (comma-separated, added to the root).
set -euo pipefail
umask 022
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
out=${CRABBOX_FC_IMAGE_DIR:-/var/lib/crabbox-fc/images/default}
init=$repo/build/crabbox-init
name=default
force=0

packages=bash,coreutils,git,rsync,tar,gzip,xz-utils,curl,ca-certificates,python3
packages+=,gcc,libc6-dev,make,openssh-server,sudo,procps,iproute2,less
packages+=,ncurses-term,kitty-terminfo,foot-terminfo
packages+=${CRABBOX_FC_EXTRA_PACKAGES:+,$CRABBOX_FC_EXTRA_PACKAGES}

# Modules by the stage in which crabbox-init loads them; a kernel may have some built in.
# "early" runs beside "bus", then "net" beside "disk": a stage may rely only on those named
# under stage_after.
declare -A stage_modules=(
    [early]="overlay"
    [bus]="virtio_pci virtio_mmio"
    [disk]="virtio_blk"
    [net]="virtio_net"
    [late]="button virtio_rng"
    [clock]="ptp_kvm"
)
declare -A stage_after=([early]="" [bus]="" [disk]="bus" [net]="bus" [late]="early|bus|disk|net"
    [clock]="early|bus|disk|net|late")

usage() {
    sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p;}' "$0"
}

step=0
say() {
    step=$((step + 1))
    printf 'build-image: [%d/5] %s\n' "$step" "$*" >&2
}

note() {
    printf 'build-image:       %s\n' "$*" >&2
}

die() {
    printf 'build-image: %s\n' "$*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --out | --init | --name)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --out) out=$2 ;;
        --init) init=$2 ;;
        --name) name=$2 ;;
        esac
        shift 2
        ;;
    --force)
        force=1
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
done

case $name in
*[!a-zA-Z0-9._-]* | '') die "image name '$name' has other characters than letters, digits, . _ -" ;;
esac
[ "$(id -u)" = 0 ] || die "run as root: a root filesystem needs files owned by root"
for tool in mmdebstrap mke2fs resize2fs dpkg-deb apt-get modprobe depmod cpio lz4 tic sha256sum flock; do
    command -v "$tool" >/dev/null || die "$tool is missing; run scripts/deps.sh, or install its package"
done
if [ ! -x "$init" ] && [ "$init" = "$repo/build/crabbox-init" ]; then
    make -C "$repo" build/crabbox-init >&2
fi
[ -x "$init" ] || die "guest init $init is missing; run make"

# shellcheck source=/dev/null
. /etc/os-release
suite=${VERSION_CODENAME:?no release codename in /etc/os-release}
case $ID in
ubuntu) kernel_package=linux-image-virtual ;;
*) kernel_package=linux-image-cloud-$(dpkg --print-architecture) ;;
esac
kernel_package=${CRABBOX_FC_KERNEL_PACKAGE:-$kernel_package}

mkdir -p "$out"
exec 9>"$out/.lock"
flock -n 9 || {
    note "waiting for another build in $out"
    flock 9
}
work=$(mktemp -d "$out/.work-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# What an earlier build that was killed left behind: we hold the lock.
find "$out" -maxdepth 1 -name '.work-*' ! -path "$work" -exec rm -rf {} +

# reuse PART HASH: true if the part was made from the same inputs.
reuse() {
    [ "$force" = 0 ] && [ -s "$out/$1" ] && [ "$(cat "$out/.$1.inputs" 2>/dev/null)" = "$2" ]
}

# publish PART HASH: the new file takes its place in one step.
publish() {
    chmod 0444 "$work/$1"
    rm -f "$out/.$1.inputs"
    mv -f "$work/$1" "$out/$1"
    printf '%s\n' "$2" >"$out/.$1.inputs"
}

# The inputs of a part: words, and the text of the functions that make it.
hash_of() {
    printf '%s\n' "$@" | sha256sum | cut -d' ' -f1
}

# ---- kernel ---------------------------------------------------------------------------

# Follows a meta package to the one that has the kernel file.
kernel_real_package() {
    local real
    real=$(apt-cache depends --no-recommends --no-suggests "$1" 2>/dev/null |
        awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ {print $2; exit}')
    printf '%s\n' "${real:-$1}"
}

u32_at() {
    od -An -tu4 -j"$(($2))" -N4 "$1" | tr -d ' '
}

# The compressed ELF inside a bzImage: its place is in the setup header (payload_offset).
extract_vmlinux() {
    local bz=$1 to=$2 sectors offset length magic
    [ "$(od -An -c -j514 -N4 "$bz" | tr -d ' ')" = HdrS ] || die "$bz is no bzImage"
    sectors=$(od -An -tu1 -j497 -N1 "$bz" | tr -d ' ')
    offset=$(((sectors + 1) * 512 + $(u32_at "$bz" 0x248)))
    length=$(u32_at "$bz" 0x24c)
    magic=$(od -An -tx1 -j"$offset" -N4 "$bz" | tr -d ' ')
    # All but gzip are followed by four bytes with the unpacked size, which is not theirs.
    [ "${magic#1f8b}" = "$magic" ] && length=$((length - 4))
    tail -c "+$((offset + 1))" "$bz" | head -c "$length" >"$work/payload" || true
    case $magic in
    02214c18) lz4 -dc "$work/payload" >"$to" ;;
    28b52ffd) zstd -dqc "$work/payload" >"$to" ;;
    1f8b*) gzip -dc "$work/payload" >"$to" ;;
    fd377a58) xz -dc "$work/payload" >"$to" ;;
    7f454c46) cp "$work/payload" "$to" ;;
    *) die "$bz: unknown kernel compression (magic $magic)" ;;
    esac
    rm -f "$work/payload"
    [ "$(od -An -tx1 -N4 "$to" | tr -d ' ')" = 7f454c46 ] || die "$bz holds no ELF kernel"
}

# Downloads the kernel's packages and unpacks them to $work/kernel.
fetch_kernel() {
    local real=$1 modules
    mkdir -p "$work/debs" "$work/kernel"
    chmod 0755 "$work" "$work/debs"
    modules=$(apt-cache depends --no-recommends --no-suggests "$real" |
        awk '$1 == "Depends:" && $2 ~ /^linux-modules-/ {print $2}')
    # shellcheck disable=SC2086 # a list of package names
    (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download "$real" $modules) >&2
    for deb in "$work"/debs/*.deb; do
        dpkg-deb -x "$deb" "$work/kernel"
    done
    rm -rf "$work/debs"
}

# ---- initrd ---------------------------------------------------------------------------

# Paths of a module and what it needs, in load order; nothing for one that is built in.
module_paths() {
    local lines
    lines=$(modprobe -d "$work/kernel" -S "$release" --show-depends "$1" 2>&1) ||
        die "kernel $release has no module $1 and has it not built in either: $lines"
    awk '$1 == "insmod" {print $2}' <<<"$lines"
}

unpack_module() {
    case $1 in
    *.ko.xz) xz -dc "$1" ;;
    *.ko.zst) zstd -dqc "$1" ;;
    *.ko.gz) gzip -dc "$1" ;;
    *) cat "$1" ;;
    esac
}

# Collects the modules of all stages and writes modules.list. One that two concurrent stages
# need is in the list of both: the kernel loads it once.
collect_modules() {
    local stage module path base before
    mkdir -p "$work/modules"
    : >"$work/modules/modules.list"
    for stage in early bus disk net late clock; do
        before="$stage${stage_after[$stage]:+|${stage_after[$stage]}}"
        for module in ${stage_modules[$stage]}; do
            module_paths "$module" >"$work/paths"
            while read -r path; do
                base=${path##*/}
                base=${base%%.ko*}.ko
                grep -qE "^($before) $base\$" "$work/modules/modules.list" && continue
                [ -e "$work/modules/$base" ] || unpack_module "$path" >"$work/modules/$base"
                printf '%s %s\n' "$stage" "$base" >>"$work/modules/modules.list"
            done <"$work/paths"
        done
    done
    rm -f "$work/paths"
}

# The same bytes each time: fixed order, owner, time and inode numbers.
make_initrd() {
    local tree=$work/initrd
    mkdir "$tree" "$tree/dev" "$tree/proc"
    mv "$work/modules" "$tree/modules"
    chmod 0444 "$tree"/modules/*
    install -m 0755 "$init" "$tree/init"
    find "$tree" -exec touch -d @0 {} +
    (cd "$tree" && printf '%s\n' dev proc modules modules/* init |
        cpio --quiet --reproducible -o -H newc -R +0:+0) >"$work/initrd.cpio"
}

# ---- root -----------------------------------------------------------------------------

# This host's apt sources, reduced to the distribution's own suites of component main, with
# universe on Ubuntu (the terminal kinds of kitty and foot are there).
host_sources() {
    local file parts=main
    [ "$ID" = ubuntu ] && parts="main|universe"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] && awk -v suite="$suite" -v parts_wanted="$parts" '
            $1 == "deb" {
                line = $0
                sub(/^deb[ \t]+(\[[^]]*\][ \t]*)?/, "", line)
                n = split(line, f, /[ \t]+/)
                if (f[2] !~ "^" suite "(-updates|-security)?/?$") next
                parts = ""
                for (i = 3; i <= n; i++) if (f[i] ~ "^(" parts_wanted ")$") parts = parts " " f[i]
                if (parts !~ / main/) next
                options = match($0, /\[[^]]*\]/) ? substr($0, RSTART, RLENGTH) " " : ""
                print "deb " options f[1] " " f[2] parts
            }' "$file"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] && awk -v suite="$suite" -v parts_wanted="$parts" 'BEGIN { RS = ""; FS = "\n" } {
            types = uris = suites = keys = parts = ""; enabled = 1
            for (i = 1; i <= NF; i++) {
                key = tolower($i); sub(/:.*/, "", key)
                value = $i; sub(/^[^:]*:[ \t]*/, "", value)
                if (key == "types") types = value
                if (key == "uris") uris = value
                if (key == "suites") suites = value
                if (key == "components") {
                    n = split(value, c, /[ \t]+/)
                    for (j = 1; j <= n; j++)
                        if (c[j] ~ "^(" parts_wanted ")$") parts = parts " " c[j]
                }
                if (key == "signed-by" && value ~ /^\//) keys = "[signed-by=" value "] "
                if (key == "enabled" && tolower(value) == "no") enabled = 0
            }
            if (parts !~ / main/ || !enabled || (" " types " ") !~ / deb /) next
            n = split(suites, s, /[ \t]+/); m = split(uris, u, /[ \t]+/)
            for (j = 1; j <= m; j++)
                for (i = 1; i <= n; i++)
                    if (s[i] ~ "^" suite "(-updates|-security)?$")
                        print "deb " keys u[j] " " s[i] parts
        }' "$file"
    done
    return 0
}

# Proxy settings of this host's apt, for the build only.
host_apt_options() {
    apt-config dump --format '%f "%v";%n' Acquire::http::Proxy Acquire::https::Proxy 2>/dev/null |
        grep -v '""' || true
}

# Terminals of today by path pattern; of the others only what ncurses-base has.
terminals="a/alacritty* A/Apple_Terminal f/foot* g/gnome* i/iterm* k/kitty* k/konsole* m/mintty*
n/nsterm* p/putty* r/rxvt* s/screen* s/st-* t/tmux* v/vte* x/xterm-*"

terminal_options() {
    printf '%s\n' '--dpkgopt=path-exclude=/usr/share/terminfo/?/*'
    # shellcheck disable=SC2086 # a list of patterns, for which the caller has switched globbing off
    printf -- '--dpkgopt=path-include=/usr/share/terminfo/%s\n' $terminals
}

# Kinds that no package of the release has; each can do more than the entry says.
add_terminals() {
    tic -x -o "$1/usr/share/terminfo" - <<'EOF'
xterm-ghostty|ghostty|Ghostty terminal,
	Tc, use=xterm-256color,
wezterm|WezTerm terminal,
	Tc, use=xterm-256color,
rio|xterm-rio|Rio terminal,
	Tc, use=xterm-256color,
contour|contour-latest|Contour terminal,
	Tc, use=xterm-256color,
EOF
}

# The end of a guest is the end of its lease, so all four do the same.
add_power_commands() {
    local name
    cat >"$1/usr/sbin/poweroff" <<'EOF'
#!/bin/sh
# poweroff, reboot, halt, shutdown: crabbox-init ends this guest, and its lease with it.
me=${0##*/}
for word in "$@"; do
    case $word in
    -* | now | +0) ;;
    *)
        echo "$me: only now: $word is not supported here; next: $me" >&2
        exit 1
        ;;
    esac
done
[ "$(id -u)" = 0 ] || exec sudo -n -- "$0" "$@"
kill -TERM 1
EOF
    chmod 0755 "$1/usr/sbin/poweroff"
    for name in reboot halt shutdown; do
        ln -s poweroff "$1/usr/sbin/$name"
    done
}

# What systemd-tmpfiles and a login by PAM would add, and needs no boot: docs/GUEST.md has the table.
add_boot_files() {
    local root=$1
    install -m 0664 -g 43 /dev/null "$root/var/log/wtmp"
    install -d -m 1777 "$root/tmp/.X11-unix" "$root/tmp/.ICE-unix"
    ln -sfn ../proc/self/mounts "$root/etc/mtab"
    printf 'LANG=C.UTF-8\n' >"$root/etc/default/locale"
    cat >"$root/etc/profile.d/crabbox-fc.sh" <<'EOF'
# The directory that crabbox-init made for this user, as a login through PAM would name it.
if [ -z "${XDG_RUNTIME_DIR:-}" ] && [ -O "/run/user/${UID:-$(id -u)}" ]; then
    export XDG_RUNTIME_DIR="/run/user/${UID:-$(id -u)}"
fi
EOF
}

# Files of the finished tree that belong to the build and not to the image.
tidy_root() {
    local root=$1
    rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/hostname" "$root/etc/resolv.conf"
    # The keys that the SSH server's package makes would be the same in every lease.
    rm -f "$root"/etc/ssh/ssh_host_*
    find "$root"/var/cache/apt "$root"/var/lib/apt/lists "$root"/var/log ! -type d -delete
    rm -rf "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old "$root"/run/* "$root"/tmp/*
    # A mirror's password has no place in an image.
    sed -i 's#://[^/@ ]*@#://#' "$root/etc/apt/sources.list" 2>/dev/null || true
    find "$root/usr/share/locale" -mindepth 1 -maxdepth 1 ! -name 'C*' ! -name locale.alias \
        -exec rm -rf {} + 2>/dev/null || true
    mkdir -p "$root/etc/sudoers.d" "$root/work"
    add_terminals "$root"
    add_power_commands "$root"
    add_boot_files "$root"
    # Made by every lease for itself.
    : >"$root/etc/machine-id"
}

make_root() {
    local root=$work/root options=() option
    host_sources | sort -u >"$work/sources"
    [ -s "$work/sources" ] || die "no apt source of this host offers '$suite main'"
    set -f
    mapfile -t options < <(terminal_options)
    set +f
    while read -r option; do
        options+=("--aptopt=$option")
    done < <(host_apt_options)
    mmdebstrap --variant=minbase --format=directory --include="$packages" --quiet \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/lintian/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        "${options[@]}" "$suite" "$root" "$work/sources" >&2
    tidy_root "$root"
    [ -x "$root/usr/sbin/sshd" ] || die "the root has no /usr/sbin/sshd"
    note "filesystem of $(du -sm "$root" | cut -f1) MiB"
    # Generous first, then shrunk to what it needs: writes go to the overlay.
    mke2fs -q -t ext4 -L crabbox-root -m 0 -b 4096 -I 256 \
        -O ^has_journal,^resize_inode,^metadata_csum_seed -E root_owner=0:0 \
        -d "$root" "$work/rootfs.ext4" "$(($(du -sm "$root" | cut -f1) * 5 / 4 + 128))M" >/dev/null
    resize2fs -M "$work/rootfs.ext4" >/dev/null 2>&1 || note "could not shrink it; kept as it is"
    rm -rf "$root" "$work/sources"
}

# ---- the parts in order ---------------------------------------------------------------

apt-cache show "$kernel_package" >/dev/null 2>&1 || {
    note "apt has no package lists yet: apt-get update"
    apt-get -qq update >&2
}
real=$(kernel_real_package "$kernel_package")
version=$(apt-cache policy "$real" | awk '$1 == "Candidate:" {print $2}')
[ -n "$version" ] || die "apt knows no kernel package $kernel_package"
kernel_inputs=$(hash_of "$real" "$version" "$(declare -f fetch_kernel extract_vmlinux)")
initrd_inputs=$(hash_of "$kernel_inputs" "$(sha256sum <"$init")" \
    "$(declare -p stage_modules stage_after)" "$(declare -f collect_modules make_initrd)")
root_inputs=$(hash_of "$suite" "$packages" "$terminals" \
    "$(declare -f make_root tidy_root terminal_options add_terminals add_power_commands add_boot_files)")

if reuse vmlinux "$kernel_inputs" && reuse initrd.cpio "$initrd_inputs"; then
    say "kernel: unchanged ($real $version)"
    say "initrd: unchanged"
    release=$(cat "$out/.release")
else
    say "kernel: $real $version"
    fetch_kernel "$real"
    release=$(find "$work/kernel" -path '*/modules/*' -name modules.order -printf '%h\n' |
        head -n 1 | sed 's,.*/,,')
    [ -n "$release" ] || die "$real has no modules"
    extract_vmlinux "$(find "$work/kernel/boot" -name 'vmlinuz-*' | head -n 1)" "$work/vmlinux"
    # Newer packages keep the modules below /usr only; modprobe looks below /lib.
    [ -d "$work/kernel/lib/modules" ] || ln -s usr/lib "$work/kernel/lib"
    depmod -b "$work/kernel" "$release"
    say "initrd: crabbox-init and modules of $release"
    collect_modules
    make_initrd
    printf '%s\n' "$release" >"$out/.release"
    publish vmlinux "$kernel_inputs"
    publish initrd.cpio "$initrd_inputs"
fi

if reuse rootfs.ext4 "$root_inputs"; then
    say "root: unchanged"
else
    say "root: packages of $suite (a minute or two)"
    make_root
    publish rootfs.ext4 "$root_inputs"
fi

say "manifest"
sha() {
    sha256sum "$out/$1" | cut -d' ' -f1
}
cat >"$work/image.json" <<EOF
{
  "schema": 1,
  "name": "$name",
  "kernel": "vmlinux",
  "initrd": "initrd.cpio",
  "rootfs": "rootfs.ext4",
  "rootfsType": "ext4",
  "kernelRelease": "$release",
  "init": "crabbox-init",
  "distribution": "$ID $suite",
  "sha256": {
    "vmlinux": "$(sha vmlinux)",
    "initrd.cpio": "$(sha initrd.cpio)",
    "rootfs.ext4": "$(sha rootfs.ext4)"
  }
}
EOF
chmod 0644 "$work/image.json"
mv -f "$work/image.json" "$out/image.json"
say "image ready in $out ($(du -sm "$out" | cut -f1) MiB)"
