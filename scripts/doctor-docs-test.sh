#!/usr/bin/env bash
# docs/DOCTOR.md describes every check and every detail that doctor prints, and no other check.
# The last line is "N passed, N failed".
set -u -o pipefail

cd "$(dirname "$0")/.." || exit 1
bin=${CRABBOX_BIN:-${BUILD:-build}/crabbox-fc}
doc=docs/DOCTOR.md
passed=0 failed=0

verdict() { # NAME OK?
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1"
    fi
}

# The text below a check's heading, up to the next heading.
section() {
    awk -v want="### $1" '/^##/ {on = ($0 == want); next} on' "$doc"
}

documented=$(awk '/^## / {on = ($0 == "## The checks")} on && /^### / {print $2}' "$doc")
# Several configurations, so that every branch that prints details has a chance.
reports=
report() { # FLAG...: one more report; a crash or a usage error is a failure
    local text code
    text=$("$bin" doctor "$@" --json)
    code=$?
    [ "$code" -le 1 ] && jq -es 'length == 1 and (.[0].checks | length > 0)' <<<"$text" >/dev/null
    verdict "doctor $* --json: exit code $code" $?
    reports+=$text$'\n'
}
report --provider firecracker
report --vmm qemu --accel tcg
report --firecracker-network cni --firecracker-kernel /nonexistent/vmlinux
real=$(jq -r '.checks[].check' <<<"$reports" | awk '!seen[$0]++')

test -n "$real"
verdict "doctor prints checks" $?
test "$documented" = "$real"
verdict "the same checks in the same order: code has $(tr '\n' ' ' <<<"$real"), document has $(tr '\n' ' ' <<<"$documented")" $?

while read -r check key; do
    case $key in mutation | class | fix) continue ;; esac
    section "$check" | grep -qF "\`$key\`"
    verdict "section $check names the detail $key" $?
done < <(jq -r '.checks[] | .check as $c | .details | keys[] | "\($c) \(.)"' <<<"$reports" | sort -u)

# Details of branches that no report here takes, out of the source.
while read -r key; do
    grep -qE "(\`|details\.)$key([\` ]|$)" "$doc"
    verdict "the document names the detail $key" $?
done < <(grep -ohE '(check_detail|note|note_limit)\(c, "[A-Za-z]+"' internal/doctor/doctor*.c \
    internal/local/condition*.c | cut -d'"' -f2 | sort -u)

for check in $real; do
    [ "$check" = host ] || section "$check" | tr '\n' ' ' | grep -qiE 'fix'
    verdict "section $check says what fixes it" $?
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
