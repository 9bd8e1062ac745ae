#!/bin/bash
# Three jobs as users run them, in emulated microVMs: a C project's build and tests, a Python project's
# tests with a JUnit report, and a hostile script that tries to get out and must fail at each attempt.
#
#   BUILD=build scripts/examples-test.sh
#
# The last line is "N passed, N failed".
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
. scripts/emulated.sh

# ---- a C project ----
make_c_project() {
    mkdir -p "$work/c/src" "$work/c/test"
    cat >"$work/c/src/add.c" <<'C'
int add(int a, int b);

int add(int a, int b)
{
    return a + b;
}
C
    cat >"$work/c/test/add_test.c" <<'C'
#include <stdio.h>

int add(int a, int b);

int main(void)
{
    int wrong = add(2, 2) != 4;
    printf("%s add\n", wrong ? "FAIL" : "ok");
    return wrong;
}
C
    cat >"$work/c/Makefile" <<'M'
test: add_test
	./add_test

add_test: src/add.c test/add_test.c
	cc -Wall -o $@ $^
M
    printf 'add_test\n' >"$work/c/.gitignore"
    git -C "$work/c" init -q
    git -C "$work/c" add -A
}

c_passes() {
    local out
    cd "$work/c" || return
    out=$("$fc" run --id one -q -- make -s test) && [ "$out" = 'ok add' ]
}

c_fails_with_its_code() {
    cd "$work/c" || return
    sed -i 's/a + b/a - b/' src/add.c
    # The guest's clock may be half a second ahead of the host's: make must see an edit.
    touch -d '+2 seconds' src/add.c
    exits 2 "$fc" run --id one -q -- make -s test
}

# ---- a Python project ----
make_python_project() {
    mkdir -p "$work/py"
    cat >"$work/py/test_words.py" <<'PY'
import unittest


class Words(unittest.TestCase):
    def test_upper(self):
        self.assertEqual("crab".upper(), "CRAB")

    def test_split(self):
        self.assertEqual("a b".split(), ["a", "b"])
PY
    cat >"$work/py/report.py" <<'PY'
import unittest
from xml.sax.saxutils import quoteattr


class Report(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.ran = getattr(self, "ran", []) + [test]


result = Report()
unittest.defaultTestLoader.discover(".").run(result)
bad = dict(result.failures + result.errors)
with open("report.xml", "w") as f:
    f.write('<testsuite name="words" tests="%d" failures="%d">' % (result.testsRun, len(bad)))
    for test in result.ran:
        f.write('<testcase classname="words" name=%s>' % quoteattr(test.id()))
        if test in bad:
            f.write('<failure message=%s/>' % quoteattr(bad[test][:80]))
        f.write('</testcase>')
    f.write("</testsuite>\n")
raise SystemExit(bool(bad))
PY
    git -C "$work/py" init -q
    git -C "$work/py" add -A
}

python_reports() {
    local err
    cd "$work/py" || return
    err=$("$fc" run --id one --junit report.xml -- python3 report.py 2>&1 >/dev/null) || {
        echo "$err"
        return 1
    }
    grep -q 'tests: 2 run, 0 failed' <<<"$err" || { echo "$err"; return 1; }
}

# ---- a hostile script ----
make_hostile_project() {
    mkdir -p "$work/bad"
    cat >"$work/bad/out.sh" <<'S'
# Prints one line an attempt: what it tried, and "failed" or what it got.
try() {
    name=$1
    shift
    if got=$(timeout 5 "$@" 2>/dev/null) && [ -n "$got" ]; then
        echo "$name: GOT $got"
    else
        echo "$name: failed"
    fi
}
try write-outside sh -c "echo overwritten > $CANARY && cat $CANARY"
try read-host cat "$CANARY"
try other-lease bash -c "exec 3<>/dev/tcp/$OTHER/22 && head -c 3 <&3"
try host-service bash -c "exec 3<>/dev/tcp/$HOSTADDR/22 && head -c 3 <&3"
try metadata bash -c 'exec 3<>/dev/tcp/169.254.169.254/80 && echo open'
try host-disk sh -c 'ls /dev/disk/by-id'
S
    git -C "$work/bad" init -q
    git -C "$work/bad" add -A
    echo secret >"$work/canary"
}

ssh_host() { "$fc" status --json "$1" | jq -r .ssh.host; }

hostile_fails_everywhere() {
    local out other hostaddr
    other=$(ssh_host two) hostaddr=$(ip -4 -o addr show | awk '/cbx/ {print $4; exit}' | cut -d/ -f1)
    # The other lease is there and answers, just not to this one.
    bash -c "exec 3<>/dev/tcp/$other/22 && head -c 3 <&3" | grep -q SSH || return
    cd "$work/bad" || return
    out=$("$fc" run --id one -q --env "CANARY=$work/canary" --env "OTHER=$other" \
        --env "HOSTADDR=$hostaddr" -- sh out.sh) || return
    echo "$out"
    [ "$(grep -c ': failed$' <<<"$out")" -eq 6 ] && ! grep -q GOT <<<"$out" &&
        [ "$(cat "$work/canary")" = secret ]
}

# Forks without end until its time is over; the host and the other lease stay well.
forks_without_end() {
    local code=0 before after
    before=$(find /proc -maxdepth 1 -name '[0-9]*' | wc -l)
    "$fc" run --id one -q --no-sync --timeout 8s --shell -- 'f() { f | f & }; f; sleep 60' || code=$?
    [ "$code" -eq 124 ] || [ "$code" -eq 7 ] || { echo "exit code $code"; return 1; }
    after=$(find /proc -maxdepth 1 -name '[0-9]*' | wc -l)
    [ "$after" -le $((before + 10)) ] || { echo "$before processes became $after"; return 1; }
    says well "$fc" run --id two -q --no-sync -- echo well
}

make_c_project
make_python_project
make_hostile_project
ok "two leases" sh -c "'$fc' warmup --slug one && '$fc' warmup --slug two"
ok "a C project builds and passes" c_passes
ok "its failure comes back as make's exit code" c_fails_with_its_code
ok "a Python project's tests give a JUnit summary" python_reports
ok "a hostile script gets nowhere" hostile_fails_everywhere
ok "one that forks without end harms nobody else" forks_without_end
cd "$top" || exit 1
ok "stop" "$fc" stop one two
ok "nothing is left" nothing_left

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
