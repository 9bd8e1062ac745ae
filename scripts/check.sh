#!/bin/bash
# Sets everything up and runs every check: packages, build, lint, unit and stand-in tests, the same
# under sanitizers, fuzzers, the guest image, emulated leases, documents and scripts.
#
#   scripts/check.sh             everything
#   scripts/check.sh STEP...     only these: deps build lint tests asan fuzz image emulated docs scripts
#   scripts/check.sh --busy ...  with 16 busy loops beside it: nothing may depend on how fast it goes
#
# FUZZ_SECONDS  for each fuzzer (default 10)
# CI=true       what can't run here is a failure instead of a skip
#
# Runs on past a failed step; the last line says what failed. Needs root for most of it.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

export FUZZ_SECONDS=${FUZZ_SECONDS:-10}
jobs=${JOBS:-2}
started=$SECONDS
failed=()

run_deps() { scripts/deps.sh --test; }
run_build() { make -j"$jobs" all tests; }
run_lint() { make lint; }
run_tests() { make -j"$jobs" check; }
run_asan() { make -j"$jobs" asan; }
run_fuzz() { make -j"$jobs" fuzz; }
run_image() { scripts/build-image.sh; }
# Then the first command of the README, which has to end with 0 as well.
run_emulated() { scripts/emulated-test.sh && scripts/demo.sh; }

run_docs() {
    if [ -x scripts/check-docs.sh ]; then
        scripts/check-docs.sh
    else
        echo "scripts/check-docs.sh is missing"
        return 1
    fi
}

# Tests of the scripts themselves, and the seed drive before the real cloud-init.
run_scripts() {
    local script code bad=0
    for script in scripts/*-test.sh scripts/check-seed.sh; do
        [ "$script" = scripts/emulated-test.sh ] && continue
        echo "-- $script"
        "$script"
        code=$?
        if [ "$code" -eq 77 ] && [ "${CI:-}" != true ]; then
            echo "   skipped"
        elif [ "$code" -ne 0 ]; then
            echo "   failed with exit code $code"
            bad=1
        fi
    done
    return "$bad"
}

if [ "${1:-}" = --busy ]; then
    shift
    for _ in {1..16}; do
        while kill -0 $$ 2>/dev/null; do :; done & # ends with this script, however that ends
    done
fi

steps=(deps build lint tests asan fuzz image emulated docs scripts)
for step in "$@"; do
    if ! declare -F "run_$step" >/dev/null; then
        echo "check: no step \"$step\"; there are: ${steps[*]}" >&2
        exit 2
    fi
done
[ $# -gt 0 ] && steps=("$@")

for step in "${steps[@]}"; do
    echo "== $step ($((SECONDS - started))s)"
    if ! "run_$step"; then
        echo "== $step FAILED ($((SECONDS - started))s)"
        failed+=("$step")
        case $step in deps | build) break ;; esac
    fi
done

if [ ${#failed[@]} -gt 0 ]; then
    echo "check: failed: ${failed[*]} ($((SECONDS - started))s)"
    exit 1
fi
echo "check: passed: ${steps[*]} ($((SECONDS - started))s)"
