#!/usr/bin/env bash
# Every way live-smoke.sh can end, against a made-up crabbox-fc. Touches nothing but a directory of
# its own; needs bash, jq, git. The last line is "N passed, N failed".
set -u -o pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
smoke=$root/scripts/live-smoke.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/smoke-test.XXXXXX") || exit 1
trap 'rm -rf -- "$work"' EXIT
mkdir "$work/bin" "$work/tmp" "$work/home"
passed=0 failed=0

# ---- the made-up program: FAKE_* variables say how it misbehaves ----

cat >"$work/bin/crabbox-fc" <<'FAKE'
#!/usr/bin/env bash
printf '%s\n' "$*" >>"$FAKE_DIR/calls"
state=$CRABBOX_FC_STATE_DIR
case "$*" in *"--vmm qemu"*"--accel tcg"*) accel=tcg vmm=qemu ;; *"--vmm qemu"*) accel=kvm vmm=qemu ;; *) accel=kvm vmm=firecracker ;; esac
[[ ${FAKE_FAIL:-} == "$1" ]] && { echo "made-up failure of $1" >&2; exit 5; }
case $1 in
version) echo "crabbox-fc 0.0.0" ;;
doctor)
    cat "$FAKE_DIR/doctor.json"
    printf '%s' "${FAKE_STDERR:-}" >&2
    exit "${FAKE_DOCTOR_EXIT:-0}"
    ;;
warmup)
    mkdir -p "$state/leases/cbx_0123456789ab"
    if [[ -n ${FAKE_SLOW:-} ]]; then
        trap 'rm -rf "$state/leases"; exit 1' TERM
        : >"$FAKE_DIR/slow"
        sleep 60 &
        wait
    fi
    printf '%s' "${FAKE_STDERR:-}" >&2
    echo "{\"leaseId\":\"cbx_0123456789ab\",\"state\":\"ready\",\"vmm\":{\"backend\":\"$vmm\",\"accel\":\"${FAKE_ACCEL:-$accel}\"}}" | tee "$FAKE_DIR/lease"
    ;;
list)
    if [[ -d $state/leases/cbx_0123456789ab || -n ${FAKE_STILL_LISTED:-} ]]; then echo "[$(cat "$FAKE_DIR/lease")]"; else echo '[]'; fi
    ;;
run)
    boot=${FAKE_BOOT:-11111111-2222-3333-4444-555555555555}
    if [[ $* == *token.txt* ]]; then
        token=$(cat token.txt)
        echo "$token" >"$FAKE_DIR/mark"
        printf 'kernel=6.1.0-fake\nboot=%s\nfile=%s\n' "$boot" "${FAKE_TOKEN:-$token}"
        exit "${FAKE_EXIT:-42}"
    fi
    cat "$FAKE_DIR/mark"
    echo "${FAKE_REBOOT:-$boot}"
    ;;
stop)
    n=$(grep -c '^stop' "$FAKE_DIR/calls")
    [[ ${FAKE_FAIL:-} == "stop$n" ]] && exit 1
    [[ -d $state/leases/cbx_0123456789ab ]] || exit 4
    rm -rf "$state/leases/cbx_0123456789ab"
    [[ -n ${FAKE_LEFT:-} ]] && mkdir -p "$state/leases/$FAKE_LEFT"
    [[ -n ${FAKE_TABLE:-} ]] && echo "table inet $FAKE_TABLE" >"$FAKE_DIR/tables"
    ;;
cleanup) ;;
*) exit 64 ;;
esac
exit 0
FAKE
# Lists the tables that the made-up program "left", never those of this host.
cat >"$work/bin/nft" <<'FAKE'
#!/bin/sh
[ -z "${FAKE_NFT_FAILS:-}" ] && cat "$FAKE_DIR/tables"
FAKE
cat >"$work/bin/lscpu" <<'FAKE'
#!/bin/sh
echo "Model name:          ${FAKE_CPU:-Some Real CPU}"
[ -z "${FAKE_CPU:-}" ] || seq 100000 # more than a pipe holds
FAKE
chmod +x "$work/bin/crabbox-fc" "$work/bin/nft" "$work/bin/lscpu"

check_row() {
    printf '{"status":"%s","check":"%s","provider":"%s","message":"m","details":{"mutation":"false"%s}}' \
        "$1" "$2" "$3" "${4:+,\"class\":\"$4\"}"
}
report() { # OK ROW...
    local ok=$1 IFS=,
    shift
    printf '{"ok":%s,"provider":"firecracker","checks":[%s]}\n' "$ok" "$*"
}
ready=$(report true "$(check_row ok host firecracker)" "$(check_row ok kvm firecracker)" \
    "$(check_row ok disk crabbox-fc)")
ready_emulated=$(report true "$(check_row ok host firecracker)" "$(check_row skip kvm firecracker)")
blocked=$(report false "$(check_row ok host firecracker)" \
    "$(check_row failed kvm firecracker environment_blocked)" \
    "$(check_row failed image crabbox-fc configuration_incomplete)")

# try NAME EXIT PATTERN ENV... -- ARG...: one run of the smoke; PATTERN has to match its last
# classification line. The transcript and the calls stay for further looks.
try() {
    local name=$1 want=$2 pattern=$3 code=0 line
    shift 3
    local env=()
    while [[ $1 != -- ]]; do
        env+=("$1")
        shift
    done
    shift
    : >"$work/calls"
    : >"$work/tables"
    rm -f "$work/transcript"
    env -u CI HOME="$work/home" TMPDIR="$work/tmp" PATH="$work/bin:$PATH" FAKE_DIR="$work" \
        CRABBOX_BIN="$work/bin/crabbox-fc" CRABBOX_SMOKE_TRANSCRIPT="$work/transcript" \
        ${env[@]+"${env[@]}"} "$smoke" "$@" >"$work/out" 2>"$work/err" || code=$?
    line=$(grep '^classification=' "$work/out" | tail -n 1)
    # shellcheck disable=SC2053 # the right side is a pattern
    if [[ $code -eq $want && $line == $pattern ]]; then
        ok "$name"
    else
        not_ok "$name" "exit $code, wanted $want; line: $line"
    fi
}
ok() {
    passed=$((passed + 1))
    echo "ok   $1"
}
not_ok() {
    failed=$((failed + 1))
    echo "FAIL $1: $2"
    sed 's/^/    | /' "$work/out" "$work/err"
}
holds() { # NAME COMMAND...
    local name=$1
    shift
    if "$@"; then ok "$name"; else not_ok "$name" "$*"; fi
}
not() { ! "$@"; }
called() { grep -q "^$1" "$work/calls"; }
nothing_left() { [[ -z $(ls -A "$work/tmp") ]]; }

# ---- arguments ----

echo "$ready" >"$work/doctor.json"
try "help" 0 "" -- --help
holds "help explains every classification" grep -q 'classification=emulated_passed' "$work/out"
try "unknown argument" 2 "" -- --nonsense
try "unknown VMM" 2 "" -- --vmm xen
try "firecracker is never emulated" 2 "" -- --vmm firecracker --accel tcg
try "value missing" 2 "" -- --vmm
try "binary missing" 2 "" CRABBOX_BIN=/nonexistent/crabbox-fc --
try "dry run needs no binary" 0 "classification=dry_run provider=firecracker mutation=false" \
    CRABBOX_BIN=/nonexistent/crabbox-fc -- --dry-run
holds "dry run names Crabbox's command" \
    grep -qx 'command=/nonexistent/crabbox-fc doctor --provider firecracker --json' "$work/out"
try "dry run calls nothing" 0 "classification=dry_run *" -- --dry-run --vmm qemu
holds "no call" test ! -s "$work/calls"
mkdir "$work/nojq"
for tool in bash env dirname timeout mktemp date; do
    ln -s "$(command -v "$tool")" "$work/nojq/$tool"
done
try "jq missing" 2 "" PATH="$work/nojq" --
holds "jq is named" grep -q 'missing required tool: jq' "$work/err"

# ---- readiness ----

echo "$blocked" >"$work/doctor.json"
try "blocked" 1 "classification=environment_blocked provider=firecracker mutation=false checks=host=ok,kvm=failed blocking_checks=kvm:environment_blocked,image:configuration_incomplete transcript=*" \
    FAKE_DOCTOR_EXIT=1 --
holds "the exact doctor call" grep -qx 'doctor --provider firecracker --json' "$work/calls"
holds "blocked: no lease was tried" not called warmup
holds "blocked: nothing left" nothing_left
try "blocked with stderr" 1 "classification=environment_blocked *" FAKE_DOCTOR_EXIT=1 \
    FAKE_STDERR="a  hint" --
holds "stderr is shown in one line" grep -qx 'stderr=a hint' "$work/out"
: >"$work/doctor.json"
try "empty report" 1 "*mutation=false reason=malformed_doctor_json doctor_exit=0 *" --
echo "not json" >"$work/doctor.json"
try "malformed report" 1 "classification=validation_failed provider=firecracker mutation=false reason=malformed_doctor_json doctor_exit=1 *" \
    FAKE_DOCTOR_EXIT=1 --
report true "$(check_row ok host aws)" >"$work/doctor.json"
try "no firecracker checks" 1 "*mutation=false reason=missing_firecracker_checks doctor_exit=0 *" --
report false "$(check_row ok host firecracker)" >"$work/doctor.json"
try "failed without a reason" 1 "*reason=doctor_failed_without_blocking_checks doctor_exit=1 *" \
    FAKE_DOCTOR_EXIT=1 --
try "exit 0 with ok false" 1 "*reason=doctor_exit_disagrees_with_report *" --
echo "$ready_emulated" >"$work/doctor.json"
try "KVM left out is not KVM proven" 1 "classification=validation_failed * reason=kvm_not_proven *" --
holds "unproven KVM: no lease was tried" not called warmup
echo "$ready" >"$work/doctor.json"
try "readiness only" 0 "classification=readiness_passed provider=firecracker mutation=false checks=host=ok,kvm=ok transcript=*" \
    -- --readiness
holds "readiness: no lease was tried" not called warmup

# ---- the proof ----

try "live" 0 "classification=live_passed provider=firecracker mutation=true vmm=firecracker accel=kvm host_cpu=real guest_kernel=6.1.0-fake host_kernel=* residue=0 transcript=$work/transcript" --
before=$(find "$work/tmp" -type f | wc -l)
try "the transcript has a name nobody can guess" 0 "classification=live_passed *transcript=$work/tmp/crabbox-fc-live-smoke-*.??????" \
    CRABBOX_SMOKE_TRANSCRIPT= --
holds "and is the only file left" test "$(find "$work/tmp" -type f | wc -l)" -eq $((before + 1))
holds "and private" test "$(stat -c %a "$work"/tmp/crabbox-fc-live-smoke-*)" = 600
rm -f "$work"/tmp/crabbox-fc-live-smoke-*
try "live once more" 0 "classification=live_passed *" --
holds "readiness is said first" grep -q '^classification=readiness_passed' "$work/out"
holds "stop is asked twice" test "$(grep -c '^stop smoke-' "$work/calls")" -eq 2
holds "live: nothing left" nothing_left
holds "transcript is private" test "$(stat -c %a "$work/transcript")" = 600
try "live on QEMU" 0 "classification=live_passed *vmm=qemu accel=kvm *" -- --vmm qemu --accel kvm
# However it is named: the steps run in a directory of their own.
(cd "$work" && CRABBOX_BIN=bin/crabbox-fc FAKE_DIR="$work" HOME="$work/home" TMPDIR="$work/tmp" \
    PATH="$work/bin:$PATH" CRABBOX_SMOKE_TRANSCRIPT="$work/transcript" "$smoke" >"$work/out" 2>"$work/err")
holds "a relative CRABBOX_BIN" grep -q '^classification=live_passed' "$work/out"
try "CRABBOX_BIN by name" 0 "classification=live_passed *" CRABBOX_BIN=crabbox-fc --
try "flags reach warmup" 0 "classification=live_passed *" -- -- --cpus 2
holds "flags" grep -q '^warmup .* --cpus 2$' "$work/calls"
echo "$ready_emulated" >"$work/doctor.json"
try "emulated" 0 "classification=emulated_passed provider=firecracker mutation=true vmm=qemu accel=tcg *residue=0 *" -- --vmm qemu
holds "emulation is never live" not grep -q live_passed "$work/out" "$work/transcript"
echo "$ready" >"$work/doctor.json"
try "KVM on an emulated CPU is not live" 0 "classification=emulated_passed *accel=kvm host_cpu=emulated *" \
    "FAKE_CPU=QEMU TCG CPU version 2.5+" --
report true "$(check_row ok host firecracker | sed 's/"mutation"/"hypervisor":"TCGTCGTCGTCG","mutation"/')" \
    "$(check_row ok kvm firecracker)" >"$work/doctor.json"
try "nor is one that bears the name of a real CPU" 0 "classification=emulated_passed *host_cpu=emulated *" --
echo "$ready" >"$work/doctor.json"
try "asked for KVM, got emulation" 1 "*reason=wrong_vmm asked=qemu/kvm *" FAKE_ACCEL=tcg -- --vmm qemu --accel kvm
holds "its lease is stopped" called "stop smoke-"

fails() { # NAME REASON ENV...
    local name=$1 reason=$2
    shift 2
    try "$name" 1 "classification=validation_failed provider=firecracker mutation=true reason=$reason*" "$@" --
    holds "$name: the lease is stopped" called "stop smoke-"
}
fails "warmup fails" "warmup_failed exit=5" FAKE_FAIL=warmup
fails "list fails" "list_disagrees exit=5" FAKE_FAIL=list
fails "exit code lost" "exit_code_not_passed_through exit=0 expected=42" FAKE_EXIT=0
fails "file lost" sync_lost_the_file FAKE_TOKEN=other
fails "guest is the host" not_a_machine_of_its_own FAKE_BOOT="$(cat /proc/sys/kernel/random/boot_id)"
fails "reuse meets another guest" reuse_met_another_guest FAKE_REBOOT=other
fails "stop fails" "stop_failed exit=1" FAKE_FAIL=stop1
fails "second stop fails" "second_stop_failed exit=1" FAKE_FAIL=stop2
fails "cleanup fails" "cleanup_failed exit=5" FAKE_FAIL=cleanup
fails "lease still listed" "lease_still_listed exit=0" FAKE_STILL_LISTED=1
fails "directory left" "residue_left residue=1" FAKE_LEFT=.del-cbx_0123456789ab
fails "nft table left" "residue_left residue=1" FAKE_TABLE=crabbox_fc_0badcafe
holds "the table is named" grep -q 'nft-table inet crabbox_fc_0badcafe' "$work/transcript"
try "nft does not answer" 1 "*reason=residue_not_countable *" FAKE_NFT_FAILS=1 --
holds "uncountable: no lease was tried" not called warmup

# ---- transcript and interruption ----

# This test's own host name: that of a machine may be a common word.
cat >"$work/bin/uname" <<FAKE
#!/bin/sh
[ "\$1" = -n ] && { echo build-7.lab.example; exit 0; }
exec $(command -v uname) "\$@"
FAKE
chmod +x "$work/bin/uname"
# Whatever programs write and users type, the transcript has only fields that are named in the script.
report true "$(check_row ok host firecracker | sed 's/"mutation"/"path":"secret-path","version":"secret here","mutation"/; s/"m"/"secret-message"/')" \
    "$(check_row ok kvm firecracker)" >"$work/doctor.json"
try "with secrets" 0 "classification=live_passed *" FAKE_STDERR="secret-stderr" -- -- \
    --firecracker-kernel /home/secret/vmlinux --name=secret-value secret-word
holds "transcript has no free text" not grep -qi secret "$work/transcript"
holds "nor this host's name, user or directories" \
    not grep -qF -e build-7 -e "$work" -e "$root" -e "$HOME" "$work/transcript"
holds "nor the guest's boot id" not grep -q 11111111-2222 "$work/transcript"
holds "transcript shows the commands" \
    grep -qE '^\$ crabbox-fc doctor --provider firecracker --json \[exit 0, [0-9]+ ms\]$' "$work/transcript"
holds "and the names of options" grep -q -- '--vmm firecracker --firecracker-kernel --name \[exit' "$work/transcript"
holds "and the checks" grep -qx 'provider=firecracker check=kvm status=ok' "$work/transcript"
holds "and the lease" grep -q '^leaseId=cbx_0123456789ab state=ready backend=firecracker accel=kvm' "$work/transcript"
echo "$ready" >"$work/doctor.json"
try "a step fails" 1 "*reason=warmup_failed exit=5 *" FAKE_FAIL=warmup --
holds "its message goes to the terminal" grep -q 'made-up failure of warmup' "$work/err"
holds "and not into the transcript" not grep -q made-up "$work/transcript"

: >"$work/calls"
rm -f "$work/slow"
env HOME="$work/home" TMPDIR="$work/tmp" PATH="$work/bin:$PATH" FAKE_DIR="$work" FAKE_SLOW=1 \
    CRABBOX_BIN="$work/bin/crabbox-fc" CRABBOX_SMOKE_TRANSCRIPT="$work/transcript" \
    "$smoke" >"$work/out" 2>"$work/err" &
pid=$!
for _ in $(seq 100); do
    [[ -e $work/slow ]] && break
    sleep 0.1
done
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
holds "interrupted: exit 1" test "$code" -eq 1
holds "interrupted: said so" grep -q '^classification=validation_failed .*reason=interrupted' "$work/out"
holds "interrupted: the lease is stopped" called "stop smoke-"
holds "interrupted: nothing left" nothing_left

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
