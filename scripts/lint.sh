#!/bin/bash
# Static checks over the whole tree: one line a check, the findings below it, exit 1 if any failed.
#
#   scripts/lint.sh            everything
#   scripts/lint.sh --quick    without clang-tidy and cppcheck
#   scripts/lint.sh layers …   only the checks named
#
# clang-tidy's verdict on a file is kept in $BUILD/lint until the file, a header that it includes
# or the settings change, so a second run is quick.
set -u -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

BUILD=${BUILD:-build}
JOBS=${JOBS:-2}
WORK=$BUILD/lint
mkdir -p "$WORK/tidy" "$WORK/cppcheck"

PKGS=$(sed -n 's/^PKGS := //p' Makefile)
# shellcheck disable=SC2086 # a list of words
read -r -a PKG_FLAGS <<<"$(pkg-config --cflags $PKGS)"
CC_FLAGS=(-std=c17 -D_GNU_SOURCE -Iinternal -include base/banned.h '-DCRABBOX_FC_VERSION="lint"'
    "${PKG_FLAGS[@]}")

mapfile -t SOURCES < <(find internal cmd -name '*.c' | LC_ALL=C sort)
mapfile -t HEADERS < <(find internal cmd -name '*.h' | LC_ALL=C sort)
# Folders of test builds only, as in the Makefile.
TEST_MODULES='testutil|standin|e2e|bench'
TEST_DIRS="^internal/($TEST_MODULES)/"
# What ends up in the program: no tests, fuzz targets or stand-ins.
mapfile -t PRODUCT < <(printf '%s\n' "${SOURCES[@]}" "${HEADERS[@]}" |
    grep -vE "_(test|fuzz)\.c$|$TEST_DIRS")
mapfile -t SCRIPTS < <(find scripts .ci -type f | LC_ALL=C sort)

need() { # need PROGRAM PACKAGE: a check that can't run has failed
    command -v "$1" >/dev/null && return 0
    echo "$1 is not installed: apt-get install $2"
    return 1
}

# ---- the checks: each prints its findings and returns non-zero if there are any ----

# Includes point only downwards. The numbers are those of docs/ARCHITECTURE.md.
check_layers() {
    awk '
    BEGIN {
        split("base 0 sys 1 config 2 http 2 net 2 ssh 2 image 2 sync 2 " \
              "fetch 2 junit 2 cni 2 lease 3 plan 3 vmm 3 ops 4 local 5 run 5 doctor 6 cmd 7 " \
              "testutil 10 standin 11 e2e 12 bench 13", t) # from 10 on: test builds only
        for (i = 1; i in t; i += 2)
            layer[t[i]] = t[i + 1]
        # Sideways, with the reason:
        also["image config"] # an image is found from the configuration
        also["sync ssh"]     # files travel over the SSH session
        also["fetch ssh"]    # so do files of the guest
        also["lease plan"]   # the record holds the marks of the steps
        also["lease vmm"]    # the record holds the reference to its VM
    }
    FNR == 1 {
        n = split(FILENAME, part, "/")
        me = part[1] == "cmd" ? "cmd" : part[2]
        for_tests = (me in layer) && layer[me] >= 10
        test = FILENAME ~ /_(test|fuzz)\.c$/ || for_tests
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, quoted, "\"")
        path = quoted[2]
        at = FILENAME ":" FNR ": "
        if (split(path, dir, "/") < 2 && me != "cmd") {
            print at "write \"" path "\" as \"" me "/" path "\""
            bad = 1
            next
        }
        to = path ~ /\// ? dir[1] : "cmd"
        if (to == me || to == "base" || (test && to == "guest"))
            next
        to_tests = (to in layer) && layer[to] >= 10
        if (!for_tests && test && to_tests)
            next
        if (me == "guest" || to == "guest" || (!test && to_tests))
            why = me == "guest" ? "the guest uses only base" : to " is no part of the program"
        else if (!(to in layer) || !(me in layer))
            why = "a module that the layer table in scripts/lint.sh does not know"
        else if (layer[to] < layer[me] || ((me " " to) in also))
            next
        else
            why = "an include must point downwards: " me " is layer " layer[me] ", " to " is " \
                layer[to]
        print at path ": " why
        bad = 1
    }
    END { exit bad }' "${SOURCES[@]}" "${HEADERS[@]}"
}

# A third-party library is known to one module, so that it can be replaced there.
check_third_party() {
    awk -v tests="^($TEST_MODULES)\$" '
    function own(pattern, modules) { users[pattern] = " " modules " " }
    BEGIN {
        own("yaml\\.h", "config")
        own("curl/", "http")
        own("netlink/", "net")
        own("nftables/", "net")
        own("libssh/", "ssh")
        own("archive(_entry)?\\.h", "image sync fetch")
        own("expat\\.h", "junit")
        own("jansson\\.h", "guest")
        own("ext2fs/", "image")
        own("et/com_err\\.h", "image")
        own("openssl/", "sys")
        own("seccomp\\.h", "vmm sys")
    }
    FNR == 1 {
        split(FILENAME, part, "/")
        me = part[1] == "cmd" ? "cmd" : part[2]
    }
    me !~ tests && FILENAME !~ /_(test|fuzz)\.c$/ && /^[ \t]*#[ \t]*include[ \t]*</ {
        split($0, angle, /[<>]/)
        for (p in users) {
            if (angle[2] !~ "^" p)
                continue
            if (index(users[p], " " me " ") == 0) {
                print FILENAME ":" FNR ": <" angle[2] "> belongs to" users[p] "only"
                bad = 1
            } else if (FILENAME ~ /\.h$/) {
                header[FILENAME] = FNR
            }
        }
    }
    # A header with such a type must stay inside its module.
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, quoted, "\"")
        included[FILENAME, quoted[2]] = me
    }
    END {
        for (h in header) {
            short = h
            sub("^internal/", "", short)
            split(short, dir, "/")
            for (key in included) {
                split(key, k, SUBSEP)
                if (k[2] == short && included[key] != dir[1] && included[key] !~ tests &&
                    k[1] !~ /_(test|fuzz)\.c$/) {
                    print k[1] ": includes " short ", which shows a third-party type"
                    bad = 1
                }
            }
        }
        exit bad
    }' "${HEADERS[@]}" "${SOURCES[@]}"
}

compile_header() { # compile_header COMPILER HEADER
    local name=${2#internal/}
    printf '#include "%s"\n#include "%s"\n' "$name" "$name" |
        "$1" "${CC_FLAGS[@]}" -I. -Wall -Wextra -Werror -fsyntax-only -x c - 2>&1 |
        sed "s|^|$1 $2: |" | head -5
}

# Each header compiles alone, twice, with both compilers.
check_headers() {
    need gcc gcc && need clang clang || return 1
    local out
    out=$(for h in "${HEADERS[@]}"; do
        compile_header gcc "$h"
        compile_header clang "$h"
    done)
    [[ -z $out ]] || { echo "$out"; return 1; }
}

# The code without comments and string contents, as "file:line:text".
bare_code() {
    awk '
    FNR == 1 { in_comment = 0 }
    {
        line = $0
        gsub(/\\"/, "", line)
        gsub(/"[^"]*"/, "\"\"", line)
        out = ""
        while (line != "") {
            if (in_comment) {
                end = index(line, "*/")
                if (!end) { line = ""; break }
                line = substr(line, end + 2)
                in_comment = 0
            }
            start = index(line, "/*")
            slashes = index(line, "//")
            if (slashes && (!start || slashes < start)) { out = out substr(line, 1, slashes - 1); break }
            if (!start) { out = out line; break }
            out = out substr(line, 1, start - 1) " "
            line = substr(line, start + 2)
            in_comment = 1
        }
        if (out ~ /[^ \t]/)
            print FILENAME ":" FNR ":" out
    }' "$@"
}

# Calls with no place in this project, beside those that base/banned.h poisons for the compiler.
check_banned() {
    local bad=0
    bare_code "${SOURCES[@]}" "${HEADERS[@]}" | grep -vE 'signal\(.*, SIG_(IGN|DFL)\)' |
        grep -E '[^A-Za-z0-9_>.](alloca|signal)[ ]*\(' && bad=1
    # Waits are events with a deadline.
    bare_code "${PRODUCT[@]}" | grep -E '[^A-Za-z0-9_>.](sleep|nanosleep|clock_nanosleep)[ ]*\(' &&
        bad=1
    # internal/ neither prints to stdout nor ends the process; the guest's init has a console.
    bare_code "${PRODUCT[@]}" | grep -E '^internal/' | grep -vE '^internal/guest/' |
        grep -E '[^A-Za-z0-9_>.](printf|puts|putchar|exit)[ ]*\(|[^A-Za-z0-9_]stdout[^A-Za-z0-9_]' |
        grep -vE '[^_a-z]stdout *[=:]' && bad=1
    return $bad
}

# Text that is not ours is cleaned by base/text alone, and verbs print through output.c, which does
# so; help, the manual page and the completion print only what was compiled in.
check_text() {
    local bad=0
    bare_code "${PRODUCT[@]}" | grep -vE '^internal/(base/text\.c|guest/)' |
        grep -E "[<>=] *(0x1f|0x20|0x7e|0x7f)\\b|[<>]=? *(' '|'~')|[^A-Za-z0-9_]is(print|graph|cntrl)[ ]*\\(|[^A-Za-z0-9_>.]c (< 32|== 127)\\b" &&
        { echo 'judge and clean text with base/text.h'; bad=1; }
    bare_code "${PRODUCT[@]}" | grep -E '^cmd/' |
        grep -vE '^cmd/crabbox-fc/(output|help|cmd_man|cmd_completion)\.c:' |
        grep -E '[^A-Za-z0-9_>.](v?f?printf|f?puts|f?putc|putchar|fwrite)[ ]*\(' &&
        { echo 'print with out_line() and its like in cmd.h'; bad=1; }
    return $bad
}

# Descriptors close on exec from birth: a later fcntl loses the race with a fork elsewhere.
# clang-tidy's android-cloexec-* look at open, socket and their like. It does not know these calls.
check_cloexec() {
    ! grep -nE '[^A-Za-z0-9_>.](eventfd|timerfd_create|signalfd|socketpair|mkostemp|dup3)\(' \
        "${PRODUCT[@]}" | grep -v CLOEXEC
}

# Versions of the formatter differ in how they lay out macros: one of them has the word.
FORMAT_VERSION=14
check_format() {
    need clang-format clang-format || return 1
    if ! clang-format --version | grep -q " version $FORMAT_VERSION\."; then
        echo "skipped: only clang-format $FORMAT_VERSION judges the layout"
        [[ ${CI:-} != true ]]
        return
    fi
    clang-format --dry-run -Werror "${SOURCES[@]}" "${HEADERS[@]}" 2>&1 |
        grep -E 'error:' | cut -d: -f1,2 | sort -u | sed 's/$/: not formatted; run: make fmt/'
    return "${PIPESTATUS[0]}"
}

# Functions and files that grew too long. The braces of a function stand in column 0.
check_length() {
    awk '
    FNR == 1 { start = table = 0 }
    /^\{/ { start = FNR }
    /^\}/ {
        if (start && FNR - start > 60) {
            print FILENAME ":" start ": a function of " FNR - start " lines (at most 60)"
            bad = 1
        }
        start = 0
    }
    { lines[FILENAME] = FNR }
    /clang-format (off|on)/ { table = /off/ }
    length($0) > 100 && !table {
        print FILENAME ":" FNR ": a line of " length($0) " characters"
        bad = 1
    }
    END {
        for (f in lines)
            if (lines[f] > 550) {
                print f ": " lines[f] " lines (at most 550): split it"
                bad = 1
            }
        exit bad
    }' "${SOURCES[@]}" "${HEADERS[@]}"
}

# Each header opens with a comment that says what it is for.
check_header_comments() {
    local bad=0 h
    for h in "${HEADERS[@]}"; do
        head -1 "$h" | grep -qE '^/\* .*[.:].*' && continue
        echo "$h:1: a header opens with a comment: purpose, order of calls, ownership, errors"
        bad=1
    done
    return $bad
}

# The verdict on one file, kept under a name made of all that could change it.
tidy_one() {
    local file=$1 key stamp checks=()
    # cmocka's failures do not return, but its header does not say so: the analyzer would follow
    # each test past its failed assertion. Tests run under the sanitizers instead. They also wait
    # to be killed, hold hostile text, and start nothing while another thread opens a file.
    [[ $file =~ _test\.c$|$TEST_DIRS ]] &&
        checks=(--checks='-clang-analyzer-*,-bugprone-infinite-loop,-misc-misleading-bidirectional,-android-*')
    # shellcheck disable=SC2046 # a list of file names without spaces
    key=$({
        clang-tidy --version
        echo "${CC_FLAGS[*]} ${checks[*]}"
        cat .clang-tidy $(gcc "${CC_FLAGS[@]}" -MM -MT x "$file" 2>/dev/null | sed 's/^x://; s/\\$//')
    } | sha256sum | cut -c1-32)
    stamp=$WORK/tidy/$key
    [[ -e $stamp ]] && return 0
    if clang-tidy --quiet --warnings-as-errors='*' "${checks[@]}" "$file" -- "${CC_FLAGS[@]}" -Wno-unknown-warning-option \
        2>/dev/null >"$stamp.$$"; then
        mv "$stamp.$$" "$stamp"
        return 0
    fi
    # Without the analyzer's path: scripts/lint.sh --tidy-one FILE shows it.
    if [[ ${TIDY_BRIEF:-} == 1 ]]; then
        sed "s|$PWD/||" "$stamp.$$" | grep -E ': (error|warning):'
    else
        cat "$stamp.$$"
    fi
    rm -f "$stamp.$$"
    return 1
}

check_tidy() {
    need clang-tidy clang-tidy || return 1
    printf '%s\0' "${SOURCES[@]}" |
        TIDY_BRIEF=1 xargs -0 -n 1 -P "$JOBS" scripts/lint.sh --tidy-one
}

check_cppcheck() {
    need cppcheck cppcheck || return 1
    # The one macro of a library that looks like a statement.
    echo '#define cJSON_ArrayForEach(e, a) for ((e) = (a)->child; (e); (e) = (e)->next)' \
        >"$WORK/cppcheck.h"
    cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability -j "$JOBS" \
        --std=c11 --inline-suppr --library=posix --library=gnu --cppcheck-build-dir="$WORK/cppcheck" \
        --suppressions-list=scripts/cppcheck.suppress --include="$WORK/cppcheck.h" -D_GNU_SOURCE -D__linux__ -D__x86_64__ \
        -Iinternal internal cmd 2>&1
}

check_shell() {
    need shellcheck shellcheck || return 1
    local bad=0 f list=()
    for f in "${SCRIPTS[@]}"; do
        head -1 "$f" | grep -qE '^#!.*[/ ](ba)?sh' && list+=("$f")
    done
    shellcheck -x -f gcc "${list[@]}" || bad=1
    for f in "${list[@]}"; do
        [[ -x $f ]] || { echo "$f: not executable"; bad=1; }
    done
    return $bad
}

# Nothing but C, shell, text and data; no path of one developer's machine.
check_tree() {
    local bad=0
    git ls-files -- . ':!testdata' | grep -E '\.(py|pl|rb|js|go|rs|cc|cpp|o|a|so|img|iso)$' &&
        { echo 'languages other than C and shell, and binaries, have no place here'; bad=1; }
    git grep -nE '(^|[^A-Za-z0-9_.])/(work/(main|shared)|tmp/brief|root/[a-z]+)/' -- . \
        ':!scripts/lint.sh' && { echo 'a path of one machine'; bad=1; }
    return $bad
}

# ---- running them ----

if [[ ${1:-} == --tidy-one ]]; then
    tidy_one "$2"
    exit
fi

ALL=(layers third_party headers banned text cloexec length header_comments tree format shell)
if [[ ${1:-} == --quick ]]; then
    shift
elif [[ $# -eq 0 ]]; then
    ALL+=(cppcheck tidy)
fi
[[ $# -gt 0 ]] && ALL=("$@")

failed=0
for name in "${ALL[@]}"; do
    if ! declare -F "check_$name" >/dev/null; then
        echo "lint: no check named $name" >&2
        exit 2
    fi
    began=$SECONDS
    if out=$("check_$name"); then
        printf 'lint: ok    %-16s %3d s\n' "$name" $((SECONDS - began))
    else
        printf 'lint: FAIL  %-16s %3d s\n' "$name" $((SECONDS - began))
        head -200 <<<"$out" | sed 's/^/    /'
        failed=$((failed + 1))
    fi
done
if [[ $failed -gt 0 ]]; then
    echo "lint: $failed of ${#ALL[@]} checks failed"
    exit 1
fi
echo "lint: all ${#ALL[@]} checks passed"
