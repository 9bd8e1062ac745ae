#!/bin/bash
# Does the real cloud-init accept our seed drives, and does an independent reader find the files?
#
# cloud-init itself is unpacked into build/cloud-init and never installed: on a machine that
# boots with systemd it would reconfigure that machine. Only its Python libraries are installed
# (as root, where they are missing). One line at the end; exit 1 if anything is refused, 77 if
# the tools can't be had and this is not CI.
set -eu -o pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
tool=$BUILD/tools/seedwrite
unpacked=$BUILD/cloud-init
packages='genisoimage python3-configobj python3-jinja2 python3-jsonpatch python3-jsonschema
python3-netifaces python3-oauthlib python3-requests python3-serial python3-yaml'

cannot() {
    echo "check-seed: $1"
    [[ ${CI:-} == true ]] && exit 1
    exit 77
}

install_libraries() {
    local missing=()
    for p in $packages; do
        dpkg -s "$p" >/dev/null 2>&1 || missing+=("$p")
    done
    [[ ${#missing[@]} -eq 0 ]] && return 0
    [[ $(id -u) -eq 0 ]] || cannot "not root, and these are missing: ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        "${missing[@]}" >"$BUILD/check-seed.log" 2>&1 ||
        cannot "could not install ${missing[*]}: see $BUILD/check-seed.log"
}

unpack_cloud_init() {
    [[ -d $unpacked/cloudinit ]] && return 0
    local dir
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    (cd "$dir" && apt-get download -q cloud-init >log 2>&1) ||
        cannot "could not download cloud-init: $(tail -1 "$dir/log")"
    dpkg-deb -x "$dir"/cloud-init_*.deb "$dir/all"
    # Its library only: the rest has nothing to do in a build directory.
    rm -rf "$unpacked"
    mkdir -p "$unpacked"
    mv "$dir/all/usr/lib/python3/dist-packages"/cloud* "$unpacked/"
}

cloud_init() {
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$unpacked \
        /usr/bin/python3 -m cloudinit.cmd.main "$@"
}

# fail MESSAGE FILE: with what the tool said.
fail() {
    echo "check-seed: FAIL: $1"
    sed 's/^/    /' "$2"
    exit 1
}

# One drive: recognised, readable, accepted.
check_drive() {
    local drive=$1 f
    blkid -p -o export "$drive" >"$tmp/blkid" || fail "blkid does not know $drive" "$tmp/blkid"
    grep -qx 'LABEL=cidata' "$tmp/blkid" || fail "label of $drive" "$tmp/blkid"
    grep -qx 'TYPE=iso9660' "$tmp/blkid" || fail "type of $drive" "$tmp/blkid"
    for f in user-data meta-data network-config; do
        isoinfo -R -x "/$f" -i "$drive" >"$tmp/$f" 2>"$tmp/log"
        [[ -s $tmp/$f ]] || fail "no Rock Ridge name $f on $drive" "$tmp/log"
    done
    cloud_init schema --config-file "$tmp/user-data" >"$tmp/log" 2>&1 ||
        fail "cloud-init schema refuses the user-data of $drive" "$tmp/log"
    rm -rf "$tmp/net"
    cloud_init devel net-convert -p "$tmp/network-config" -k yaml -d "$tmp/net" -D debian \
        -O eni >"$tmp/log" 2>&1 ||
        fail "cloud-init can't render the network-config of $drive" "$tmp/log"
    grep -rqE '^ +address 192\.0\.2\.2/30$' "$tmp/net" || fail "the rendered network" "$tmp/log"
}

mkdir -p "$BUILD"
[[ -x $tool ]] || make --no-print-directory BUILD="$BUILD" "$tool"
install_libraries
unpack_cloud_init
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

"$tool" "$tmp/ours.img"
"$tool" --stock "$tmp/stock.img"
check_drive "$tmp/ours.img"
check_drive "$tmp/stock.img"

# The check itself can fail: an entry without its path is refused.
printf '#cloud-config\n{"write_files":[{"content":"x"}]}\n' >"$tmp/bad"
if cloud_init schema --config-file "$tmp/bad" >"$tmp/log" 2>&1; then
    fail 'cloud-init schema accepts anything' "$tmp/log"
fi
version=$(sed -n 's/^Version: //p' "$unpacked"/cloud_init-*.egg-info/PKG-INFO \
    2>/dev/null || true)
echo "check-seed: ok: cloud-init ${version:-of this release} accepts both drives, blkid and isoinfo read them"
