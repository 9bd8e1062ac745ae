#!/bin/bash
# Runs fuzzers for a while each: scripts/fuzz.sh BUILD_DIR FUZZER…
#
# FUZZ_SECONDS (10) for each. The corpus in testdata/fuzz/<name> is copied, so that what a run
# finds does not land in the tree; inputs that crash, hang or eat memory are kept in
# build/fuzz-artifacts. One line a fuzzer; exit 1 if any found something, or could not run.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

[[ $# -ge 2 ]] || { echo "usage: scripts/fuzz.sh BUILD_DIR FUZZER..." >&2; exit 2; }
dir=$1
shift
seconds=${FUZZ_SECONDS:-10}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: FUZZ_SECONDS=$seconds is no number" >&2; exit 2; }
artifacts=$PWD/build/fuzz-artifacts
mkdir -p "$artifacts"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

failed=0
for fuzzer in "$@"; do
    name=${fuzzer#"$dir"/}
    name=${name##*/}
    corpus=testdata/fuzz/$name
    work=$tmp/$name
    mkdir -p "$work"
    if ! cp -R "$corpus/." "$work/" 2>/dev/null || [[ -z $(ls -A "$work") ]]; then
        echo "fuzz: FAIL  $name: no corpus in $corpus"
        failed=1
        continue
    fi
    kept=$(find "$work" -type f | wc -l)
    # Nothing is written outside the temporary directory, temporary files included.
    if TMPDIR=$tmp ASAN_OPTIONS=abort_on_error=0 "$fuzzer" -max_total_time="$seconds" \
        -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$artifacts/$name-" "$work" >"$tmp/log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$tmp/log")
        found=$(sed -n 's/^stat::new_units_added: *//p' "$tmp/log")
        if [[ ${runs:-0} -le $kept ]]; then
            echo "fuzz: FAIL  $name: only ${runs:-0} runs: it does nothing"
            failed=1
        else
            printf 'fuzz: ok    %-16s %9d runs in %d s, %d of corpus, %d new\n' "$name" "$runs" \
                "$seconds" "$kept" "${found:-0}"
        fi
    else
        echo "fuzz: FAIL  $name; inputs are in build/fuzz-artifacts"
        grep -E 'ERROR|SUMMARY|Test unit written|runtime error' "$tmp/log" | sed 's/^/    /'
        cp "$tmp/log" "$artifacts/$name.log"
        failed=1
    fi
done
exit $failed
