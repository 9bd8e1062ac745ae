#!/bin/bash
# Does lint.sh find what it is for? Each case is a small tree with one fault; the check that
# should see it must fail and name the file, and the same tree without the fault must pass.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
root=$PWD
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
failed=0

# A tree without faults: one module on two layers, one test.
new_tree() {
    rm -rf "$tmp/t"
    mkdir -p "$tmp/t/scripts" "$tmp/t/.ci" "$tmp/t/cmd/crabbox-fc" \
        "$tmp/t/internal/base" "$tmp/t/internal/sys" "$tmp/t/internal/net"
    cp "$root/scripts/lint.sh" "$tmp/t/scripts/"
    cp "$root/scripts/cppcheck.suppress" "$tmp/t/scripts/"
    cp "$root/.clang-format" "$root/.clang-tidy" "$tmp/t/"
    cp "$root/internal/base/banned.h" "$tmp/t/internal/base/"
    cd "$tmp/t" || exit 1
    printf '/* low.h: a number. */\n#ifndef LOW_H\n#define LOW_H\nint low(void);\n#endif\n' \
        >internal/sys/low.h
    printf '#include "sys/low.h"\n\nint low(void)\n{\n    return 1;\n}\n' >internal/sys/low.c
    printf '#include "sys/low.h"\n\nint main(void)\n{\n    return low() - 1;\n}\n' \
        >cmd/crabbox-fc/main.c
    git init -q . && git add .
}

# expect CHECK FILE: the check fails and names FILE.
expect() {
    local out
    git add . 2>/dev/null
    if out=$(scripts/lint.sh "$1" 2>&1); then
        echo "lint-test: FAIL: $1 saw nothing wrong with $2"
        failed=1
    elif ! grep -qF "$2" <<<"$out"; then
        printf 'lint-test: FAIL: %s did not name %s:\n%s\n' "$1" "$2" "$out"
        failed=1
    else
        echo "lint-test: ok: $1 sees $2"
    fi
}

# case CHECK FILE TEXT: a fresh tree with TEXT appended to FILE (made if new).
try() {
    new_tree
    mkdir -p "$(dirname "$2")"
    printf '%b' "$3" >>"$2"
    expect "$1" "$2"
}

new_tree
if ! out=$(scripts/lint.sh 2>&1); then
    printf 'lint-test: FAIL: a tree without faults:\n%s\n' "$out"
    failed=1
else
    echo 'lint-test: ok: a tree without faults passes'
fi

try layers internal/sys/up.c '#include "net/net.h"\n'
try layers internal/net/side.c '#include "image/image.h"\n'
try layers internal/net/odd.c '#include "nowhere/x.h"\n'
try layers internal/net/plain.c '#include "net.h"\n'
try layers internal/net/fake.c '#include "testutil/x.h"\n'
try layers internal/run/fake.c '#include "e2e/x.h"\n'
try layers internal/testutil/up.c '#include "e2e/x.h"\n'
try third_party internal/sys/yaml.c '#include <yaml.h>\n'
new_tree
printf '#include <netlink/netlink.h>\n' >internal/net/net.h
printf '#include "net/net.h"\n' >cmd/crabbox-fc/user.c
expect third_party cmd/crabbox-fc/user.c
try headers internal/sys/alone.h '/* alone.h: x. */\nstruct s {\n    size_t n;\n};\n'
try headers internal/sys/twice.h '/* twice.h: x. */\nenum { TWICE };\n'
try banned internal/sys/room.c 'void *f(void)\n{\n    return alloca(1); /* why */\n}\n'
try banned internal/sys/nap.c 'void f(void)\n{\n    sleep(1);\n}\n'
try banned internal/sys/say.c 'void f(void)\n{\n    printf("x");\n}\n'
try text internal/sys/clean.c 'void f(char *s)\n{\n    if (*s < 0x20)\n        *s = 63;\n}\n'
try text cmd/crabbox-fc/cmd_say.c 'void f(const char *s)\n{\n    printf("%s", s);\n}\n'
try cloexec internal/sys/event.c 'int f(void)\n{\n    return eventfd(0, 0);\n}\n'
try length internal/sys/long.c "int f(void)\n{\n$(printf '    ;\\n%.0s' {1..101})}\n"
try header_comments internal/sys/mute.h '#ifndef M\n#define M\n#endif\n'
try tree internal/sys/tool.py 'x\n'
try format internal/sys/ugly.c 'int  f(void) {return 1;}\n'
# shellcheck disable=SC2016 # the dollar is for the other script
try shell scripts/bad.sh '#!/bin/sh\necho $1\n'
try cppcheck internal/sys/oob.c \
    'int f(void);\nint f(void)\n{\n    int a[2] = {0, 1};\n    return a[2];\n}\n'
try tidy internal/sys/null.c \
    'int f(int n);\nint f(int n)\n{\n    int *p = 0;\n    if (n)\n        return *p;\n    return 0;\n}\n'
try tidy internal/sys/open.c \
    '#include <fcntl.h>\nint f(void);\nint f(void)\n{\n    return open("/", O_RDONLY);\n}\n'

exit $failed
