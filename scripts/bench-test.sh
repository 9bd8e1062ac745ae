#!/bin/bash
# Tests bench.sh on few samples: every section that needs no big disk and no emulation gives its
# rows, samples included, and leaves nothing. Says nothing about any figure.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

if [ "$(id -u)" -ne 0 ]; then
    echo "bench-test: needs root"
    [ "${CI:-}" = true ] && exit 1
    exit 77
fi
out=$(mktemp)
trap 'rm -f "$out"' EXIT
failed=0
check() { # check WHAT COMMAND...
    local what=$1
    shift
    if "$@"; then
        echo "ok   $what"
    else
        echo "FAIL $what"
        failed=1
    fi
}
# shellcheck disable=SC2317 # called by check
rows() { # rows N PATTERN: exactly N rows with figure and samples
    [ "$(grep -cE "^ *$2 .* [1-9][0-9]*  [^ ]" "$out")" -eq "$1" ]
}

code=0
scripts/bench.sh no-such-section >"$out" 2>&1 || code=$?
check 'an unknown section is refused with exit code 2' [ "$code" -eq 2 ]

code=0
BENCH_QUICK=1 scripts/bench.sh start list leases crowd sync network sandbox >"$out" || code=$?
check 'everything could be measured' [ "$code" -eq 0 ]
check 'start-up and memory stand beside true' rows 2 '(start to end|peak memory): true'
check 'list was measured with 1, 100 and 1000 leases' rows 3 'list with [0-9]+ leases?'
check 'each step of warmup has a row' rows 4 '(slug|disk|net|vmm)Us'
check 'run and stop have rows' rows 2 '(run in a lease, --no-sync|stop): the whole process'
check '1, 8, 32 and 64 at once were made and stopped' rows 8 '(1|8|32|64) at once: (warmup|stop)'
check 'nat stands beside cni' rows 3 'cni \(ptp, host-local, ipMasq\)'
check 'a confined VMM stands beside one that is not' rows 1 "with all of root's rights"
command -v rsync >/dev/null &&
    check 'each case of sync stands beside rsync' rows 5 'rsync over the stock ssh' &&
    check 'the first sync to each server stands beside tar' rows 2 'tar over the stock ssh'
check 'nothing is left' grep -qx 'bench: done failed=0 residue=0' "$out"
[ "$failed" -eq 0 ] || sed 's/^/    | /' "$out"
exit "$failed"
