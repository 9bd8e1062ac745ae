#!/bin/bash
# The documents say what is: every command that they, the help and our own messages name is read by
# the real program; every link and path leads to something; every configuration key, variable,
# option and verb exists, and every test that shows what SECURITY.md promises; the transcript in
# README.md is what really happens, by emulation.
#
#   scripts/check-docs.sh              everything
#   scripts/check-docs.sh --quick      without the transcript
#
# BUILD is where crabbox-fc is (default: build). The transcript needs root, QEMU and the image that
# scripts/build-image.sh makes (CRABBOX_FC_IMAGE_DIR); without them it is skipped, and failed under
# CI=true. The last line is "N passed, N failed".
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
top=$PWD
fc=$(realpath "${CRABBOX_BIN:-${BUILD:-build}/crabbox-fc}")
image=${CRABBOX_FC_IMAGE_DIR:-/var/lib/crabbox-fc/images/default}
[ -x "$fc" ] || { echo "check-docs: $fc is missing: run make"; exit 1; }
mapfile -t docs < <(git ls-files -- '*.md')
passed=0 failed=0 skipped=0

if [ "${1:-}" = --inside ]; then # in namespaces of its own, see replay
    work=$2
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
mkdir -p "$work/empty" "$work/home"

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    echo "FAIL $*"
}

# No file and no variable of this machine has a say in how a command line is read.
clean() { (cd "$work/empty" && env -i PATH="$PATH" HOME="$work/home" "$@"); }

# ---- commands ----

# The words of a shell command into the array `words`, up to what isn't ours any more: a pipe, a
# redirection, a list, a comment.
split() {
    local text=$1 i c quote='' word='' has=0
    words=()
    for ((i = 0; i < ${#text}; i++)); do
        c=${text:i:1}
        if [ -n "$quote" ]; then
            if [ "$c" = "$quote" ]; then quote=''; else word+=$c; fi
            continue
        fi
        case $c in
        "'" | '"') quote=$c has=1 ;;
        ' ')
            [ "$has" = 1 ] && words+=("$word")
            word='' has=0
            ;;
        '|' | '>' | '<' | ';' | '&') break ;;
        '#')
            [ "$has" = 1 ] || break
            word+=$c
            ;;
        *) word+=$c has=1 ;;
        esac
    done
    [ "$has" = 1 ] && words+=("$word")
    [ -z "$quote" ]
}

check_command() { # check_command WHERE TEXT
    local out
    split "$2" || { fail "$1: a quote without end: $2"; return; }
    if out=$(clean "$fc" parse -- "${words[@]:1}" 2>&1); then
        pass
    else
        fail "$1: $2: $out"
    fi
}

# Fenced lines that begin with the program, with or without a prompt, and `spans` that do.
commands_in() {
    awk '
    /^```/ { fenced = !fenced; next }
    fenced && match($0, /^(\$ |# )?(sudo )?crabbox-fc [a-z]/) {
        sub(/^[$#] /, ""); sub(/^sudo /, ""); print FNR ":" $0; next }
    fenced { next }
    {
        n = split($0, part, "`")
        for (i = 2; i <= n; i += 2)
            if (part[i] ~ /^crabbox-fc [a-z]/)
                print FNR ":" part[i]
    }' "$1"
}

verbs=$("$fc" help | awk '/^  [a-z]/ && $1 != "crabbox-fc" {print $1}')
[ "$(wc -w <<<"$verbs")" -ge 10 ] || fail "help lists hardly any verb"

check_commands() {
    local doc line verb before=$passed
    for doc in "${docs[@]}"; do
        while IFS= read -r line; do
            check_command "$doc:${line%%:*}" "${line#*:}"
        done < <(commands_in "$doc")
    done
    for verb in $verbs; do
        while IFS= read -r line; do
            check_command "crabbox-fc $verb --help" "$line"
        done < <(clean "$fc" "$verb" --help | sed -n '/^examples:/,$ s/^  crabbox-fc/crabbox-fc/p')
    done
    [ $((passed + failed - before)) -ge 40 ] || fail "hardly any command was found to check"
}

# What our messages tell people to type next, as far as the verb.
check_hints() {
    local where verb n=0
    while read -r where verb; do
        n=$((n + 1))
        if grep -qx "$verb" <<<"$verbs"; then pass; else fail "$where: no verb $verb"; fi
    done < <(grep -noE '(next: |, |or )crabbox-fc [a-z][a-z-]+' -r cmd internal --include='*.c' |
        grep -v _test.c | sed -E 's/^([^:]*:[0-9]+):.*crabbox-fc /\1 /')
    [ "$n" -ge 10 ] || fail "hardly any hint was found to check"
}

# ---- links and paths ----

anchors() { # as the forges make them of headings
    awk '/^```/ {fenced = !fenced} !fenced && /^#+ / {
        sub(/^#+ /, ""); s = tolower($0); gsub(/[^a-z0-9 _-]/, "", s); gsub(/ /, "-", s); print s }' "$1"
}

check_links() {
    local doc line link file anchor
    for doc in "${docs[@]}"; do
        while IFS= read -r line; do
            link=${line#*:}
            link=${link#](} link=${link%)}
            case $link in http://* | https://*) continue ;; esac
            file=${link%%#*} anchor=
            case $link in *'#'*) anchor=${link#*#} ;; esac
            if [ -n "$file" ]; then file=$(dirname "$doc")/$file; else file=$doc; fi
            if [ ! -e "$file" ]; then
                fail "$doc:${line%%:*}: nothing at $link"
            elif [ -n "$anchor" ] && ! anchors "$file" | grep -qxF "$anchor"; then
                fail "$doc:${line%%:*}: no heading #$anchor in $file"
            else
                pass
            fi
        done < <(grep -noE '\]\([^)]+\)' "$doc")
    done
}

# Files of this repository that a text names.
check_paths() {
    local doc line
    for doc in "${docs[@]}"; do
        while IFS= read -r line; do
            if [ -e "${line#*:}" ]; then pass; else fail "$doc:${line%%:*}: no ${line#*:}"; fi
        done < <(grep -noE '(^|[ `(/"])(scripts|docs|internal|cmd|testdata)/[A-Za-z0-9_./-]*[A-Za-z0-9_]' \
            "$doc" | sed -E 's/^([0-9]+:)[^a-z]/\1/')
    done
}

# ---- names ----

spans() { # every `span` of the text outside fences, as line:span
    awk '/^```/ {fenced = !fenced; next} !fenced {
        n = split($0, part, "`"); for (i = 2; i <= n; i += 2) print FNR ":" part[i] }' "$1"
}

known() { # known LIST WORD WHERE WHAT
    if grep -qxF -- "$2" <<<"$1"; then pass; else fail "$3: there is no $4 $2"; fi
}

check_names() {
    local keys options blocks doc line where word
    keys=$(clean "$fc" config show --json | jq -r '.keys[].key' && printf 'floor.%s\n' locked max)
    options=$({
        clean "$fc" help config-flags | grep -oE -- '^  --[a-z-]+'
        for verb in $verbs; do clean "$fc" "$verb" --help; done |
            grep -oE -- '^  (-[a-zA-Z], |    )--[a-z-]+'
        grep -ohE -- '^ +--[a-z-]+\)' scripts/*.sh # the options of our scripts
    } | grep -oE -- '--[a-z-]+' | sort -u)
    blocks=$(sed -n 's/\..*//p' <<<"$keys" | sort -u | paste -sd'|')
    for doc in "${docs[@]}"; do
        while IFS= read -r line; do
            where=$doc:${line%%:*}
            while IFS= read -r word; do
                case $word in *.json | *.yaml) continue ;; esac
                known "$keys" "$word" "$where" key
            done < <(grep -oE "^($blocks)\.[a-z][A-Za-z]+" <<<"${line#*:}")
            while IFS= read -r word; do
                known "$options" "$word" "$where" option
            done < <(grep -oE -- '^--[a-z][a-z-]+' <<<"${line#*:}")
        done < <(spans "$doc")
    done
}

# Each row of a table of tests in SECURITY.md names tests that are there and that their programs run.
check_tests() {
    local row tests test name file n=0
    while IFS= read -r row; do
        tests=${row% |} tests=${tests##*| }
        while IFS= read -r test; do
            n=$((n + 1)) name=${test#*: } file=internal/${test%%: *}.c
            if [[ $test =~ ^[a-z0-9]+/[a-z0-9_]+_test:\ [a-z0-9_]+$ ]] &&
                grep -q "^static void $name(void \*\*" "$file" 2>/dev/null &&
                grep -qE "^ .*[A-Za-z0-9_]\(${name}[,)]" "$file"; then
                pass
            else
                fail "docs/SECURITY.md:${row%%:*}: there is no test $test"
            fi
        done < <(grep -oE '[^`]+' <<<"${tests//, /}")
    done < <(awk '/^\| .* \| test \|$/ { on = 1; next }
        /^\|---/ { next }
        !/^\|/ { on = 0 }
        on { print FNR ":" $0 }' docs/SECURITY.md)
    [ "$n" -ge 40 ] || fail "hardly any test was found to check"
}

# A variable is known to the program, which refuses others, or to a script of ours.
check_variables() {
    local doc line name said n=0
    for doc in "${docs[@]}"; do
        while IFS= read -r line; do
            n=$((n + 1))
            name=${line#*:}
            case $name in *_ | CRABBOX_FC_TEST*) continue ;; esac
            # Not a pipe: its status would be that of the program, which fails either way.
            said=$(cd "$work/empty" && env -i "$name=x" "$fc" config show 2>&1)
            if [[ $said == *'unknown variable'* ]] && ! grep -qwF "$name" scripts/*.sh; then
                fail "$doc:${line%%:*}: there is no variable $name"
            else
                pass
            fi
        done < <(grep -noE 'CRABBOX_(FC|FIRECRACKER)_[A-Z_]+' "$doc")
    done
    [ "$n" -ge 27 ] || fail "hardly any variable was found to check"
}

# The manual page is what the program prints, and in order.
check_man() {
    if [ ! -e docs/crabbox-fc.1 ] || ! clean "$fc" man | cmp -s - docs/crabbox-fc.1; then
        fail "docs/crabbox-fc.1 is not what crabbox-fc man prints; run: make man"
    else
        pass
    fi
    if ! command -v mandoc >/dev/null; then
        [ "${CI:-}" = true ] && fail "mandoc is not installed"
        return
    fi
    # It has no date: it changes with the tables, not with the day.
    if mandoc -T lint -W warning docs/crabbox-fc.1 | grep -v 'missing date' >"$work/man"; then
        fail "docs/crabbox-fc.1: $(cat "$work/man")"
    else
        pass
    fi
}

# README's table of verbs and the program's agree.
check_verbs() {
    local table verb
    table=$(sed -n '/^| `/ s/^| \([^|]*\).*/\1/p' README.md | tr -d '`,' | xargs -n 1)
    for verb in $verbs; do
        case $verb in help | version) continue ;; esac
        known "$table" "$verb" README.md "row for the verb"
    done
    for verb in $table; do
        known "$verbs" "$verb" README.md "verb"
    done
}

# ---- the transcript ----

# What differs from run to run and from host to host.
same_each_time() {
    sed -E -e 's/cbx_[0-9a-f]{12}/cbx_ID/g' -e 's/([0-9]+\.){3}[0-9]+/ADDRESS/g' \
        -e 's/\b([0-9]+ms|([0-9]+m)?[0-9]+(\.[0-9]+)?s)\b/TIME/g' -e 's/\b(crabbox-[a-z0-9-]+)-[0-9a-f]{8}\b/\1-ID/g' \
        -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z/WHEN/g' -e 's/^[0-9]+\.[0-9]+\.[0-9]+[-+.a-z0-9]*-(cloud-amd64|generic|virtual|kvm)$/KERNEL/'
}

transcript() {
    awk '/<!-- transcript: begin -->/ {on = 1} /<!-- transcript: end -->/ {on = 0}
        on && !/^```/ && !/^<!--/' README.md
}

# The commands of the transcript with their standard output, as it came.
play() {
    local line code=0
    while IFS= read -r line <&3; do
        case $line in '$ '*) ;; *) continue ;; esac
        printf '%s\n' "$line"
        (exit "$code") # so that the next command finds it in $?
        eval "${line#??}"
        code=$?
    done 3< <(transcript) </dev/null 2>>"$work/transcript.err"
}

if [ "${1:-}" = --inside ]; then
    ip link set lo up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    mkdir -p "$work/bin"
    ln -s "$fc" "$work/bin/crabbox-fc"
    export PATH=$work/bin:$PATH HOME=$work/home CRABBOX_FC_STATE_DIR=$work/state
    export CRABBOX_FC_IMAGE_DIR=$image CRABBOX_FC_VMM=qemu CRABBOX_FC_QEMU_ACCEL=tcg
    export CRABBOX_FC_NETWORK_DNS=192.0.2.53 CRABBOX_FIRECRACKER_NETWORK=nat CRABBOX_FIRECRACKER_CPUS=2
    export CRABBOX_FIRECRACKER_MEMORY_MIB=512 CRABBOX_FIRECRACKER_DISK_MIB=1024
    export CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT=4m
    play
    crabbox-fc stop demo >/dev/null 2>&1 # after a failure half-way
    exit 0
fi

replay() {
    local why=
    [ "$(id -u)" -eq 0 ] || why="needs root"
    [ -s "$image/image.json" ] || why="no image in $image: run scripts/build-image.sh"
    command -v qemu-system-x86_64 >/dev/null || why="qemu-system-x86_64 is not installed"
    if [ -n "$why" ]; then
        skipped=1
        echo "transcript: $why"
        [ "${CI:-}" = true ] && fail "the transcript could not be replayed"
        return
    fi
    transcript | same_each_time >"$work/written"
    [ "$(grep -c '^\$ crabbox-fc' "$work/written")" -ge 3 ] || fail "README.md has no transcript"
    unshare --net --mount --pid --fork --kill-child --mount-proc \
        "$top/scripts/check-docs.sh" --inside "$work" | same_each_time >"$work/happened"
    if diff -u "$work/written" "$work/happened" >"$work/diff"; then
        pass
    else
        fail "README.md's transcript (-) is not what happens (+):"
        sed 's/^/    /' "$work/diff"
        tail -n 20 "$work/transcript.err" | sed 's/^/    stderr: /'
    fi
}

check_commands
check_hints
check_links
check_paths
check_names
check_tests
check_variables
check_verbs
check_man
[ "${1:-}" = --quick ] || replay

echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", 1 skipped")"
[ "$failed" -eq 0 ]
