#!/bin/bash
# Configuration as the whole program sees it: every key from every source, in the order of their
# strength, with the system's file at its real place; and the floor against what a user can type.
#
# Runs in a mount namespace of its own, with another /etc. Needs root and jq. The last line is
# "N passed, N failed"; exit code 77 where it can't run.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
fc=$(realpath "${CRABBOX_BIN:-${BUILD:-build}/crabbox-fc}")
[ -x "$fc" ] || { echo "config-test: $fc is missing: run make"; exit 1; }
if [ -z "${CONFIG_TEST_INSIDE:-}" ]; then
    if [ "$(id -u)" -ne 0 ] || ! unshare -m true 2>/dev/null; then
        echo "config-test: needs root"
        exit 77
    fi
    CONFIG_TEST_INSIDE=1 exec unshare --mount --net "scripts/$(basename "$0")"
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# Another /etc, with what finds awk.
mkdir "$work/etc"
mount -t tmpfs -o mode=0755 none "$work/etc" && cp -a /etc/alternatives "$work/etc" &&
    mount --bind "$work/etc" /etc && umount "$work/etc" || exit 1
system=/etc/crabbox-fc/config.yaml
user=$work/home/.config/crabbox-fc/config.yaml
repo=$work/repo/.crabbox-fc.yaml
mkdir -p "$(dirname "$system")" "$(dirname "$user")" "$work/repo/.git"
passed=0 failed=0

ok() { # ok NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        sed 's/^/    | /' "$work/said" | head -n 5
    fi
}

run() { # run [NAME=VALUE...] -- ARG...: the program, in the repository, with nothing else set
    local env=()
    while [ "$1" != -- ]; do
        env+=("$1")
        shift
    done
    shift
    (cd "$work/repo" && env -i PATH=/usr/bin:/bin HOME="$work/home" \
        CRABBOX_FC_STATE_DIR="$work/state" ${env[@]+"${env[@]}"} timeout 20 "$fc" "$@" </dev/null)
}

# shows KEY VALUE SOURCE [NAME=VALUE...] -- [FLAG...]: the key has this value, in JSON, from a source
# that starts like this.
shows() {
    local key=$1 value=$2 source=$3 words=()
    shift 3
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    shift
    run ${words[@]+"${words[@]}"} -- config show --json "$@" |
        jq -e --arg key "$key" --argjson value "$value" --arg source "$source" \
            '.keys[] | select(.key == $key) | if .value == $value and (.source | startswith($source))
                then true else error("\(.value) from \(.source)") end'
}

refused() { # refused WORDS [NAME=VALUE...] -- ARG...: exit code 2, with these words
    local want=$1 code=0
    shift
    run "$@" >"$work/out" 2>"$work/err" || code=$?
    cat "$work/err"
    [ "$code" -eq 2 ] && grep -qF -- "$want" "$work/err"
}

# A block with one key, or a key at the top.
yaml() { # yaml KEY VALUE
    case $1 in
    *.*) printf '%s:\n  %s: %s\n' "${1%%.*}" "${1#*.}" "$2" ;;
    *) printf '%s: %s\n' "$1" "$2" ;;
    esac
}

# ---- every key from every source ----

# Five values a type, as JSON; where there are only two choices they alternate, and the default
# is in between.
values() { # values KEY TYPE
    case $1 in
    provider) echo '"crabbox-fc" "firecracker" "crabbox-fc" "firecracker" "crabbox-fc"' ;;
    target) echo '"linux" "linux" "linux" "linux" "linux"' ;;
    firecracker.network) echo '"cni" "nat" "cni" "nat" "cni"' ;;
    sandboxUids) echo '"70000-70001" "70000-70002" "70000-70003" "70000-70004" "70000-70005"' ;;
    isolation) echo '"degraded" "strict" "degraded" "strict" "degraded"' ;;
    vmm) echo '"qemu" "firecracker" "qemu" "firecracker" "qemu"' ;;
    sync.git) echo '"full" "none" "full" "none" "full"' ;;
    qemu.accel) echo '"kvm" "tcg" "kvm" "tcg" "kvm"' ;;
    firecracker.workRoot) echo '"/w/1" "/w/2" "/w/3" "/w/4" "/w/5"' ;;
    network.dns) echo '["192.0.2.1"] ["192.0.2.2"] ["192.0.2.3"] ["192.0.2.4"] ["192.0.2.5"]' ;;
    pin.*) for n in a b c d e; do printf '"%s" ' "$(printf "%064d" 0 | tr 0 "$n")"; done ;;
    *) case $2 in
        integer) echo '11 12 13 14 15' ;;
        size) echo '101 102 103 104 105' ;;
        duration) echo '"11s" "12s" "13s" "14s" "15s"' ;;
        boolean) echo 'false true false true false' ;;
        list) echo '["A1"] ["A2"] ["A3"] ["A4"] ["A5"]' ;;
        range) echo '"10.1.0.0/16" "10.2.0.0/16" "10.3.0.0/16" "10.4.0.0/16" "10.5.0.0/16"' ;;
        string) echo '"a1" "a2" "a3" "a4" "a5"' ;;
        path) echo '"/p/1" "/p/2" "/p/3" "/p/4" "/p/5"' ;;
        esac ;;
    esac
}
plain() { jq -r 'if type == "array" then join(",") else tostring end' <<<"$1"; }

# The names of variable and flag as docs/CONFIG.md has them.
names() { # names KEY: "VARIABLE FLAG"
    awk -v want="$1" '/^### / { gsub(/[`:]/, ""); block = /top level/ ? "" : $2 "." }
        /^\| `/ { split($0, c, "|"); gsub(/[` ]/, "", c[2]); gsub(/[` ]/, "", c[5]); gsub(/[` ]/, "", c[6])
            if (block c[2] == want) print c[5], c[6] }' docs/CONFIG.md
}

one_key() { # one_key KEY TYPE
    local key=$1 v variable flag
    read -ra v <<<"$(values "$1" "$2")"
    read -r variable flag <<<"$(names "$key")"
    ok "$key: docs/CONFIG.md names variable and flag" test -n "$flag"
    yaml "$key" "${v[0]}" >"$system"
    ok "$key: the system's file" shows "$key" "${v[0]}" "system:$system:" --
    yaml "$key" "${v[1]}" >"$user"
    ok "$key: the user's file beats it" shows "$key" "${v[1]}" "user:$user:" --
    yaml "$key" "${v[2]}" >"$repo"
    run -- trust add >/dev/null
    ok "$key: the repository's beats that, once trusted" shows "$key" "${v[2]}" "repo:$repo:" --
    ok "$key: a variable beats that" shows "$key" "${v[3]}" "env:$variable" \
        "$variable=$(plain "${v[3]}")" --
    ok "$key: an empty variable does not" shows "$key" "${v[2]}" "repo:" "$variable=" --
    ok "$key: a flag beats all" shows "$key" "${v[4]}" "flag:$flag" \
        "$variable=$(plain "${v[3]}")" -- "$flag=$(plain "${v[4]}")"
    rm -f "$system" "$user" "$repo"
}

while read -r key type; do
    one_key "$key" "$type"
done < <(run -- config show --json | jq -r '.keys[] | "\(.key) \(.type)"')
[ "$passed" -ge 100 ] || { failed=$((failed + 1)); echo "FAIL hardly any key was tried"; }

# ---- the command line ----

many=()
for _ in $(seq 64); do many+=(--cpus 2); done
ok "64 flags are read" run -- parse -- list "${many[@]}"
ok "one more is an error" refused "more than 64 configuration flags" -- parse -- list "${many[@]}" --cpus 2
ok "also where it has an option of its own" \
    refused "more than 64 configuration flags" -- parse -- warmup "${many[@]}" --ttl bogus
ok "a list that is given again grows" shows sync.exclude '["a","b"]' flag:--sync-exclude -- \
    --sync-exclude a --sync-exclude b
ok "of a value the last counts" shows firecracker.cpus 3 flag:--cpus -- --cpus 2 --cpus=3
printf 'firecracker: {deleteOnRelease: false}\n' >"$user"
ok "a boolean flag may stand alone" shows firecracker.deleteOnRelease true flag: -- \
    --firecracker-delete-on-release
ok "or before a word that is none of its own" shows firecracker.deleteOnRelease true flag: -- \
    --firecracker-delete-on-release --cpus 2
ok "or have its word" shows firecracker.deleteOnRelease false flag: -- \
    --firecracker-delete-on-release true --firecracker-delete-on-release false
ok "or the same with =" shows firecracker.deleteOnRelease true flag: -- \
    --firecracker-delete-on-release=true
ok "but nothing else" refused "neither true nor false" -- config show --firecracker-delete-on-release=yes
ok "nor another word" refused "unexpected argument" -- config show --firecracker-delete-on-release yes
ok "of two words, the one that is no order is named" refused 'unknown word "get"; there are: show|path' -- \
    config get vmm
rm -f "$user"
ok "a misspelt prefix is no silence" refused "did you mean CRABBOX_FIRECRACKER_CPUS?" \
    CRABBOX_FIRECRAKER_CPUS=2 -- config show

# ---- trust ----

grants() { run -- trust add --json "$@" | jq -e '.grants ==
    ["firecracker.binary = /bin/true (line 1)", "firecracker.cpus = 2 (line 1)"]'; }
printf 'firecracker: {binary: /bin/true, cpus: 2}\n' >"$repo"
ok "trust add refuses another content than the one that was read" \
    refused "not the one you gave" -- trust add --sha256 "$(printf x | sha256sum | cut -d' ' -f1)"
ok "and trusts nothing then" refused "concerns the host" -- config show
ok "trust add says what it grants" grants --sha256 "$(sha256sum <"$repo" | cut -d' ' -f1)"
cp "$repo" "$work/kept"
long() { # a long value scrolls no other away, and it shows that it is cut
    printf 'sandbox: false\nsync: {exclude: [a%s]}\n' "$(printf ', abcdefghijklmnopqrst%.0s' {1..900})" >"$repo"
    [ "$(run -- trust add | wc -c)" -lt 2000 ] && run -- trust add | grep -q '^ *sandbox = false' &&
        run -- trust add | grep -qF '... (19801 bytes in all: read the file) (line 2)'
}
ok "trust add cuts a long value" long
cp "$work/kept" "$repo"
run -- trust add >/dev/null
ok "then it counts" shows firecracker.binary '"/bin/true"' "repo:" --
ok "--sha256 goes with nothing else" refused "goes with" -- trust list --sha256 x
ok "list takes no file" refused "takes no file" -- trust list .
rm -f "$repo"

# ---- a home that is a repository ----

known=$work/known
printf 'root:x:0:0::%s:/bin/sh\n' "$known" >/etc/passwd
mkdir -p "$known/dotfiles/.git" "$known/dotfiles/crabbox-fc" "$known/job/.git" "$known/job/crabbox-fc" "$known/.git"
ln -s dotfiles "$known/.config"
printf 'firecracker: {cpus: 3, rootfs: ~/disk}\n' >"$known/.config/crabbox-fc/config.yaml"
printf 'firecracker: {cpus: 32}\n' >"$known/job/crabbox-fc/config.yaml"
ok "the home that the system knows may be one, and hold one with dotfiles" \
    shows firecracker.cpus 3 user: HOME="$known" --
ok "and ~ stands for it" shows firecracker.rootfs "\"$known/disk\"" user: HOME="$known" --
ok "also by XDG_CONFIG_HOME" shows firecracker.cpus 3 user: HOME="$known" XDG_CONFIG_HOME="$known/.config" --
ok "a repository in it is none" refused "XDG_CONFIG_HOME leads into the tree $known/job" \
    HOME="$known" XDG_CONFIG_HOME="$known/job" -- config show
printf 'root:x:0:0::/nowhere:/bin/sh\n' >/etc/passwd
ok "and any other home that is one is refused" refused "HOME leads into the tree $known" HOME="$known" -- config show
rm -f /etc/passwd

# ---- the floor ----

printf 'floor:\n  locked: [vmm]\n  max: {lease.ttl: 4h, firecracker.cpus: 4}\n' >"$system"
ok "a lock holds against a flag" refused 'vmm is locked to "firecracker" by the system' -- config show --vmm qemu
ok "a lock holds against a variable" refused 'vmm is locked' CRABBOX_FC_VMM=qemu -- config show
ok "a ceiling holds against a flag" refused 'more than 4h' -- config show --ttl 5h
ok "--keep does not get round the ttl's ceiling" refused 'a kept lease never expires' -- warmup --keep
ok "nor does --sync-only" refused 'a kept lease never expires' -- run --sync-only
printf 'vmm: qemu\n' >"$repo"
run -- trust add >/dev/null
ok "a lock holds against a trusted repository" refused 'vmm is locked' -- config show

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
