#!/bin/bash
# Every command line of crabbox-fc that the documents show is one that the program understands:
# verb, options and arguments are parsed by the program itself (nothing is executed), and every file
# of this repository that a document names is there.
#
#   BUILD=build scripts/check-docs.sh
#
# The last line is "N passed, N failed".
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
fc=$PWD/${BUILD:-build}/crabbox-fc
passed=0 failed=0

if [ ! -x "$fc" ]; then
    echo "check-docs: $fc is missing: run make first"
    exit 2
fi
docs=()
for doc in README.md docs/*.md config.example.yaml; do
    [ -e "$doc" ] && docs+=("$doc")
done

# Commands in fenced blocks (after a prompt, if any) and in inline code, as "file:line<TAB>command".
# What has a placeholder in it (<…>, […], …) is a synopsis, not a command.
commands() {
    awk '
        function emit(text) {
            sub(/^[ \t]*[$#] +/, "", text)
            sub(/^[ \t]*(sudo +)?/, "", text)
            sub(/^\.\/build\//, "", text)
            sub(/^build\//, "", text)
            if (text !~ /^crabbox-fc +[a-z]/ || text ~ /[<>\[…]|\.\.\.|\$\(/) return
            sub(/ +(\||&&|;|#) .*$/, "", text)
            print FILENAME ":" FNR "\t" text
        }
        /^[ \t]*```/ { fenced = !fenced; next }
        fenced { emit($0); next }
        {
            n = split($0, parts, "`")
            for (i = 2; i <= n; i += 2) emit(parts[i])
        }
    ' "$@"
}

# The program reads the whole line, sees --help and executes nothing.
understands() {
    local words
    mapfile -t words < <(printf '%s\n' "$1" | xargs -n 1 printf '%s\n' 2>/dev/null)
    [ "${#words[@]}" -ge 2 ] || return 1
    "$fc" "${words[1]}" --help "${words[@]:2}" >/dev/null
}

verdict() { # verdict CODE WHERE WHAT
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $2: $3"
    fi
}

while IFS=$'\t' read -r where command; do
    why=$(understands "$command" 2>&1)
    verdict $? "$where" "$command: $why"
done < <(commands "${docs[@]}")
[ "$passed" -gt 0 ] || [ "$failed" -gt 0 ] || verdict 1 README.md "no command was found to check"

# Files and folders of the repository, as `scripts/x.sh` or a link to docs/X.md.
while IFS=$'\t' read -r where path; do
    if [ -e "$path" ] || [ -e "$(dirname "${where%%:*}")/$path" ]; then
        verdict 0 "$where" "$path"
    else
        verdict 1 "$where" "names $path, which is not there"
    fi
done < <(awk '{
        text = $0
        while (match(text, /[`(](\.\/)?(scripts|docs|internal|cmd|testdata)\/[A-Za-z0-9_.\/-]*[A-Za-z0-9_]/)) {
            print FILENAME ":" FNR "\t" substr(text, RSTART + 1, RLENGTH - 1)
            text = substr(text, RSTART + RLENGTH)
        }
    }' "${docs[@]}")

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
