#!/bin/bash
# Runs cmocka test programs, each in network, mount and process namespaces of its own, and looks
# afterwards whether it left anything: processes, links, nft tables, mounts, temporary files.
#
#   scripts/run-tests.sh TEST...
#
# BUILD          where build/tools/residue is (default: build)
# JOBS           how many programs run at once (default: 2)
# TEST_TIMEOUT   seconds without a word after which a program has hung (default: 300). However
#                long it takes, one that goes on printing is only slow: the machine may be busy
# CI=true        a skipped test is a failure
#
# The last line is "N passed, N failed", with ", N skipped" where tests were skipped.
set -uo pipefail

build=${BUILD:-build}
jobs=${JOBS:-2}
limit=${TEST_TIMEOUT:-300}

if [ $# -eq 0 ]; then
    echo "usage: scripts/run-tests.sh TEST..." >&2
    exit 2
fi
if [ ! -x "$build/tools/residue" ]; then
    echo "run-tests: $build/tools/residue is missing: run make tests" >&2
    exit 2
fi
residue=$(realpath "$build/tools/residue")
work=$(mktemp -d "${TMPDIR:-/tmp}/crabbox-tests.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
chmod 711 "$work" # a test of another user has its bed in there

# Runs as the first process of the test's namespaces, so every process that is left is its own.
# shellcheck disable=SC2016 # expanded by the inner shell
inside='
test=$1 dir=$2 limit=$3 residue=$4
ip link set lo up 2>/dev/null
"$residue" --snapshot >"$dir/before"
# In a process group that exists here: an automounter names its own.
setsid "$test" >"$dir/log" 2>&1 </dev/null &
pid=$!
mkfifo "$dir/never"
exec 9<>"$dir/never"
end_if_silent() {
    local size last= quiet=0
    while [ "$quiet" -lt "$limit" ]; do
        read -rt 1 -u 9 # a second, without a child
        size=$(wc -c <"$dir/log")
        quiet=$((size == last ? quiet + 1 : 0)) last=$size
    done
    : >"$dir/hung"
    kill -KILL "$pid"
}
end_if_silent &
watcher=$!
wait "$pid"
code=$?
{ kill -KILL "$watcher"; wait "$watcher"; } 2>/dev/null
exec 9>&-
# What was killed a moment ago may still be ending.
for try in 1 2 3 4 5 6 7 8 9 10; do
    left=
    for p in /proc/[0-9]*; do
        [ "$p" != /proc/1 ] && read -r stat <"$p/stat" || continue
        case ${stat##*) } in
        Z* | X*) ;;
        *) left="$left process ${stat%%)*})
" ;;
        esac
    done 2>/dev/null
    [ -z "$left" ] && break
    sleep 0.1
done
{
    printf %s "$left"
    "$residue" --baseline "$dir/before" | grep -v -e "^residue=" -e "^process "
    find "$dir/tmp" -mindepth 1
} >"$dir/left"
exit $code
'

start_one() {
    local test=$1 dir=$2
    mkdir -p "$dir/tmp"
    if [ "$(id -u)" -eq 0 ]; then
        TMPDIR=$dir/tmp unshare --net --mount --pid --fork --kill-child --mount-proc \
            bash -c "$inside" inside "$(realpath "$test")" "$dir" "$limit" "$residue"
    else
        TMPDIR=$dir/tmp timeout -k 5 3600 "$test" >"$dir/log" 2>&1 </dev/null
    fi
    echo $? >"$dir/code"
}

passed=0 failed=0 skipped=0

# The number in cmocka's closing line "N FAILED TEST(S)", 0 without one.
closing() {
    sed -n "s/^ *\([0-9][0-9]*\) $2 TEST(S).*/\1/p" "$1" | awk '{n += $1} END {print n + 0}'
}

report_one() {
    local test=$1 dir=$2 seconds=$3 code p f s why=
    code=$(cat "$dir/code" 2>/dev/null || echo 255)
    p=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$dir/log" | awk '{n += $1} END {print n + 0}')
    f=$(closing "$dir/log" FAILED)
    s=$(closing "$dir/log" SKIPPED)
    if [ -e "$dir/hung" ]; then
        why="not a word for $limit s"
    elif [ "$code" -ne 0 ] && [ "$f" -eq 0 ]; then
        why="exit code $code"
    elif [ "$((p + f + s))" -eq 0 ]; then
        why="it ran no test"
    elif [ -s "$dir/left" ]; then
        why="it left something behind"
    elif [ "$s" -gt 0 ] && [ "${CI:-}" = true ]; then
        why="$s skipped, which CI does not allow"
    fi
    [ -n "$why" ] && f=$((f + 1))
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-4s %-36s %3d passed %d failed %d skipped  %ss%s\n' \
        "$([ "$f" -eq 0 ] && echo ok || echo FAIL)" "${test#"$build"/test/}" "$p" "$f" "$s" \
        "$seconds" "${why:+  ($why)}"
    if [ "$f" -gt 0 ]; then
        tail -n 60 "$dir/log" | sed 's/^/    | /'
        [ -s "$dir/left" ] && sed 's/^/    left: /' "$dir/left"
    fi
    return 0
}

declare -A test_of started_at dir_of
running=0
finish_one() {
    local pid=
    wait -n -p pid
    if [ -n "$pid" ]; then
        report_one "${test_of[$pid]}" "${dir_of[$pid]}" "$((SECONDS - started_at[$pid]))"
        running=$((running - 1))
    fi
}

n=0
for test in "$@"; do
    n=$((n + 1))
    while [ "$running" -ge "$jobs" ]; do
        finish_one
    done
    start_one "$test" "$work/$n" &
    test_of[$!]=$test
    dir_of[$!]=$work/$n
    started_at[$!]=$SECONDS
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    finish_one
done

echo "$passed passed, $failed failed$([ "$skipped" -gt 0 ] && echo ", $skipped skipped")"
[ "$failed" -eq 0 ]
