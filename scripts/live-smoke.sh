#!/usr/bin/env bash
# Proof on a real host: readiness, then warmup, run, reuse, stop and cleanup, with what is left
# behind counted on the host. See usage below and docs/DOCTOR.md.
set -u -o pipefail
export LC_ALL=C # lscpu is read

usage() {
  cat <<'USAGE'
Prove that leases work on this host, or say what blocks them.

First `doctor` is asked; nothing is changed unless it says ready. Then one lease goes through
warmup, run, reuse, stop and cleanup, and the host is searched for what is left of it.

Usage:
  scripts/live-smoke.sh [--dry-run | --readiness] [--vmm firecracker|qemu] [-- WARMUP-FLAG...]

  --dry-run       print the commands, run nothing
  --readiness     stop after doctor
  --vmm NAME      firecracker (default, always KVM) or qemu
  --accel NAME    with --vmm qemu: tcg (default: emulation) or kvm
  -- FLAG...      more flags for warmup, for example: -- --cpus 2 --memory 1024

Environment:
  CRABBOX_BIN               the program (default: build/crabbox-fc of this checkout)
  CRABBOX_SMOKE_TRANSCRIPT  the transcript (default: a new file in $TMPDIR)
  CRABBOX_SMOKE_TIMEOUT     seconds for each step (default: 600)

One line says how it ended:
  classification=dry_run ...              exit 0
  classification=readiness_passed ...     exit 0 with --readiness, else the proof follows
  classification=live_passed ...          exit 0: a guest on KVM did it all
  classification=emulated_passed ...      exit 0: the same under emulation
  classification=environment_blocked ...  exit 1: with the checks of doctor that block
  classification=validation_failed ...    exit 1: with the reason
Bad arguments: exit 2.
USAGE
}

die_usage() {
    echo "$1" >&2
    usage >&2
    exit 2
}

# ---- arguments ----

mode=full
vmm=firecracker
accel=
extra=()
while [[ $# -gt 0 ]]; do
    case "$1" in
        -h | --help)
            usage
            exit 0
            ;;
        --dry-run) mode=dry-run ;;
        --readiness) mode=readiness ;;
        --vmm | --accel)
            [[ $# -ge 2 ]] || die_usage "$1 needs a value"
            if [[ $1 == --vmm ]]; then vmm=$2; else accel=$2; fi
            shift
            ;;
        --)
            shift
            extra=("$@")
            break
            ;;
        *) die_usage "unknown argument: $1" ;;
    esac
    shift
done

case "$vmm:$accel" in
    firecracker: | firecracker:kvm) accel=kvm ;;
    qemu: | qemu:tcg) accel=tcg ;;
    qemu:kvm) ;;
    *) die_usage "no such combination: --vmm $vmm --accel $accel" ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 2
bin=${CRABBOX_BIN:-$root/build/crabbox-fc}
step_timeout=${CRABBOX_SMOKE_TIMEOUT:-600}

# The flags say the same to every verb: which VMM, never found out by trying.
if [[ $vmm == firecracker ]]; then
    doctor_args=(doctor --provider firecracker --json)
    vmm_args=(--vmm firecracker)
else
    doctor_args=(doctor --vmm qemu --accel "$accel" --json)
    vmm_args=(--vmm qemu --accel "$accel")
fi

if [[ $mode == dry-run ]]; then
    echo "classification=dry_run provider=firecracker mutation=false"
    echo "command=$bin ${doctor_args[*]}"
    for step in "warmup --slug SLUG --json ${vmm_args[*]}${extra[*]:+ ${extra[*]}}" \
        "run --id SLUG -- bash -c PROOF" "run --id SLUG -- bash -c REUSE" \
        "list --json" "stop SLUG" "stop SLUG" "cleanup" "list --json"; do
        echo "command=$bin $step"
    done
    exit 0
fi

# A name is looked up, and a relative path means the same wherever a step stands.
[[ $bin == */* ]] || bin=$(type -P -- "$bin" || echo "$bin")
[[ -f $bin && -x $bin ]] || {
    echo "missing crabbox-fc binary: $bin" >&2
    echo "build first: make" >&2
    exit 2
}
need_tools() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null 2>&1 || {
            echo "missing required tool: $tool" >&2
            exit 2
        }
    done
}
need_tools jq timeout mktemp lscpu awk realpath
bin=$(realpath -- "$bin") || exit 2

# ---- transcript, ending ----

work=$(mktemp -d "${TMPDIR:-/tmp}/crabbox-smoke.XXXXXX") || exit 2
export CRABBOX_FC_STATE_DIR=$work/state
transcript=${CRABBOX_SMOKE_TRANSCRIPT:-}
# Made here where nobody named one: a name that others can guess could be a link of theirs.
if [[ -z $transcript ]]; then
    transcript=$(mktemp "${TMPDIR:-/tmp}/crabbox-fc-live-smoke-$(date -u +%Y%m%dT%H%M%SZ).XXXXXX") || exit 2
fi
log=$work/transcript
slug=smoke-$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')
mutation=false
lease_may_exist=false
step_pid=
: >"$log"

# Nothing goes into the transcript but what is named here: fields with fixed meanings, never the
# free text of a program. So it holds no name of the host, its users and their files, and no key.
note() {
    printf '%s\n' "$*" >>"$log"
}

# Options by name; the user's values may be paths.
shown_words() {
    local word words=()
    for word in "$@"; do
        if [[ $word == --?* ]]; then words+=("${word%%=*}"); fi
    done
    echo "${words[*]}"
}

# note_fields FILE FILTER: what jq finds, as far as it is a short word or a number.
note_fields() {
    jq -r "$2 | to_entries | map(select(.value != null and (.value | tostring | test(\"^[A-Za-z0-9_.+-]{1,64}\$\")))
        | \"\(.key)=\(.value)\") | join(\" \")" "$1" >>"$log" 2>/dev/null
}

# The one way out once there is something to clean up: last line, transcript, exit code.
# shellcheck disable=SC2317 # reached from the trap too
finish() {
    local line=$1 code=$2
    trap - EXIT INT TERM HUP
    if [[ $lease_may_exist == true ]]; then
        note "stopping what the smoke left"
        timeout -k 10 120 "$bin" stop "$slug" >&2
    fi
    note "$line"
    if (umask 077 && cat "$log" >"$transcript"); then
        line+=" transcript=$transcript"
    fi
    echo "$line"
    [[ -n ${finish_stderr:-} ]] && echo "stderr=$finish_stderr"
    if compgen -G "$CRABBOX_FC_STATE_DIR/leases/cbx_*" >/dev/null; then
        echo "kept $CRABBOX_FC_STATE_DIR: it holds a lease that did not stop" >&2
    else
        rm -rf -- "$work"
    fi
    exit "$code"
}

failed() {
    if [[ -n ${step_stderr:-} ]]; then head -c 65536 "$step_stderr" >&2; fi
    finish "classification=validation_failed provider=firecracker mutation=$mutation reason=$1${2:+ $2}" 1
}
trap 'failed unexpected_exit' EXIT
trap interrupted INT TERM HUP

# The step in hand is asked to end, and undoes what it began, before the lease is stopped.
# shellcheck disable=SC2317 # reached by the trap
interrupted() {
    if [[ -n $step_pid ]]; then
        kill -TERM "$step_pid" 2>/dev/null
        wait "$step_pid"
    fi
    failed interrupted
}

one_line() {
    tr '\n' ' ' <"$1" | sed 's/[[:space:]][[:space:]]*/ /g; s/^ //; s/ $//' | cut -c1-2000
}

now_ms() {
    local t=${EPOCHREALTIME/[.,]/}
    echo $((t / 1000))
}

# step NAME SHOWN COMMAND...: runs with a deadline, output to $work/NAME.out and .err. The transcript
# gets SHOWN, the code and the time. Sets step_code, step_ms and step_stderr.
step() {
    local name=$1 shown=$2 t0
    shift 2
    t0=$(now_ms)
    step_code=0
    timeout -k 30 "$step_timeout" "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
    step_pid=$!
    wait "$step_pid" || step_code=$?
    step_pid=
    step_ms=$(($(now_ms) - t0))
    note "\$ crabbox-fc $shown [exit $step_code, $step_ms ms]"
    step_stderr=$work/$name.err
}

# ---- readiness ----

note "crabbox-fc smoke, $(date -u +%Y-%m-%dT%H:%M:%SZ), vmm=$vmm accel=$accel"
note "host: $(uname -srm), $(lscpu | sed -n 's|^Model name: *||p')"
step version version "$bin" version
step doctor "${doctor_args[*]}" "$bin" "${doctor_args[@]}"
doctor_code=$step_code
report=$work/doctor.out
finish_stderr=$(one_line "$work/doctor.err")

# Slurped: jq 1.6 takes an empty input for a success.
jq -es 'length == 1 and (.[0] | type == "object" and .provider == "firecracker"
    and (.ok | type == "boolean") and (.checks | type == "array"))' "$report" >/dev/null 2>&1 ||
    failed malformed_doctor_json "doctor_exit=$doctor_code"
ours='.checks[] | select((.provider // "") == "firecracker")'
[[ $(jq "[$ours] | length" "$report") -gt 0 ]] ||
    failed missing_firecracker_checks "doctor_exit=$doctor_code"

note_fields "$report" '.checks[] | {provider, check, status, class: .details.class,
    reason: .details.reason, hypervisor: .details.hypervisor, version: .details.version}'
checks=$(jq -r "[$ours | \"\(.check)=\(.status)\"] | join(\",\")" "$report")
blocking=$(jq -r '[.checks[] | select(.status == "failed" or .status == "missing")
    | "\(.check):\(.details.class // .details.reason // "failed")"] | join(",")' "$report")

if [[ $doctor_code -ne 0 ]]; then
    [[ -n $blocking ]] || failed doctor_failed_without_blocking_checks "doctor_exit=$doctor_code"
    finish "classification=environment_blocked provider=firecracker mutation=false checks=$checks blocking_checks=$blocking" 1
fi
[[ -z $blocking && $(jq .ok "$report") == true ]] ||
    failed doctor_exit_disagrees_with_report "doctor_exit=0"
# Hardware has to be proven, not merely left out.
if [[ $accel == kvm ]]; then
    case $(jq -r '[.checks[] | select(.check == "kvm") | .status] | join(",")' "$report") in
        ok | warning) ;;
        *) failed kvm_not_proven "doctor_exit=0" ;;
    esac
fi
finish_stderr=
if [[ $mode == readiness ]]; then
    finish "classification=readiness_passed provider=firecracker mutation=false checks=$checks" 0
fi
echo "classification=readiness_passed provider=firecracker mutation=false checks=$checks"
note "classification=readiness_passed provider=firecracker mutation=false checks=$checks"

# ---- what a lease could leave on the host ----

need_tools git nft od

group=${CRABBOX_FC_CGROUP:-crabbox-fc}
# One line for each thing that is there now; compared before and after.
residue() {
    local p cwd name
    for p in /proc/[0-9]*; do
        cwd=$(readlink "$p/cwd" 2>/dev/null) || continue
        [[ $cwd == "$CRABBOX_FC_STATE_DIR"/* ]] && echo "process ${p#/proc/} $(cat "$p/comm" 2>/dev/null)"
    done
    for p in /sys/class/net/*; do
        name=${p##*/}
        [[ $name == cbx* ]] && echo "link $name"
    done
    for p in /run/netns/*; do
        [[ -e $p && ${p##*/} == *crabbox* ]] && echo "netns ${p##*/}"
    done
    nft list tables | sed -n 's/^table \([^ ]* crabbox_fc[^ ]*\).*/nft-table \1/p' || return 1
    awk -v dir="$CRABBOX_FC_STATE_DIR/" 'index($5, dir) == 1 {print "mount " substr($5, length(dir) + 1)}' /proc/self/mountinfo
    for p in "$CRABBOX_FC_STATE_DIR"/leases/* "$CRABBOX_FC_STATE_DIR"/leases/.[!.]* "$CRABBOX_FC_STATE_DIR"/slugs/*; do
        [[ -e $p || -L $p ]] && echo "state ${p##*/}"
    done
    for p in /sys/fs/cgroup/"$group"/cbx_* /sys/fs/cgroup/*/"$group"/cbx_*; do
        [[ -d $p ]] && echo "cgroup $p"
    done
    return 0
}
residue | sort >"$work/before" || failed residue_not_countable

# ---- the lease ----

token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
host_kernel=$(uname -r)
host_boot=$(cat /proc/sys/kernel/random/boot_id)
# An emulated CPU may bear the name of a real one; then its hypervisor's signature tells, if anything.
# Not a pipe into grep -q: that ends early, and what then breaks the pipe would read as "real".
host_cpu=real
if [[ $(lscpu | sed -n 's/^Model name: *//p') =~ TCG|QEMU\ Virtual|Bochs ]] ||
    jq -e '.checks[] | select(.check == "host") | .details.hypervisor // "" | startswith("TCG")' \
        "$report" >/dev/null; then
    host_cpu=emulated
fi
mkdir "$work/repo" || failed no_work_directory
printf '%s\n' "$token" >"$work/repo/token.txt" || failed no_work_directory
git -C "$work/repo" init -q || failed git_failed
git -C "$work/repo" add token.txt || failed git_failed

mutation=true
lease_may_exist=true
step warmup "warmup --slug $slug --json ${vmm_args[*]} $(shown_words ${extra[@]+"${extra[@]}"})" \
    "$bin" warmup --slug "$slug" --json "${vmm_args[@]}" ${extra[@]+"${extra[@]}"}
warmup_ms=$step_ms
[[ $step_code -eq 0 ]] || failed warmup_failed "exit=$step_code"
note_fields "$work/warmup.out" '{leaseId, state} + (.vmm | {backend, accel, version, sandbox, isolation})
    + (.machine // {} | {cpus, memoryMiB, diskMiB}) + (.image // {} | {kind, kernelRelease})'
lease=$(jq -r '.leaseId // empty' "$work/warmup.out" 2>/dev/null)
[[ $lease == cbx_* ]] || failed malformed_warmup_json
got=$(jq -r '"\(.vmm.backend) \(.vmm.accel)"' "$work/warmup.out")
[[ $got == "$vmm $accel" ]] || failed wrong_vmm "asked=$vmm/$accel got=${got/ //}"

step list "list --json" "$bin" list --json
[[ $step_code -eq 0 ]] || failed list_disagrees "exit=$step_code"
jq -es --arg id "$lease" --arg accel "$accel" \
    'length == 1 and (.[0] | length == 1 and .[0].leaseId == $id and .[0].state == "ready"
        and .[0].vmm.accel == $accel)' \
    "$work/list.out" >/dev/null 2>&1 || failed list_disagrees "exit=$step_code"

# The synced file, the guest's own kernel and boot id, and an exit code of the command's own.
# shellcheck disable=SC2016 # for the guest's shell
proof='echo "kernel=$(uname -r)"; echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
echo "file=$(cat token.txt)"; cp token.txt /tmp/smoke-mark; exit 42'
cd "$work/repo" || failed no_work_directory
step run "run --id $slug ${vmm_args[*]} -- bash -c PROOF" "$bin" run --id "$slug" "${vmm_args[@]}" -- bash -c "$proof"
run_ms=$step_ms
[[ $step_code -eq 42 ]] || failed exit_code_not_passed_through "exit=$step_code expected=42"
guest_kernel=$(sed -n 's/^kernel=//p' "$work/run.out")
guest_boot=$(sed -n 's/^boot=//p' "$work/run.out")
[[ $(sed -n 's/^file=//p' "$work/run.out") == "$token" ]] || failed sync_lost_the_file
[[ -n $guest_kernel && -n $guest_boot && $guest_boot != "$host_boot" ]] || failed not_a_machine_of_its_own

# shellcheck disable=SC2016 # for the guest's shell
step reuse "run --id $slug --no-sync ${vmm_args[*]} -- bash -c REUSE" "$bin" run --id "$slug" --no-sync "${vmm_args[@]}" -- \
    bash -c 'cat /tmp/smoke-mark /proc/sys/kernel/random/boot_id'
reuse_ms=$step_ms
[[ $step_code -eq 0 && $(cat "$work/reuse.out") == "$token"$'\n'"$guest_boot" ]] ||
    failed reuse_met_another_guest "exit=$step_code"
cd / || failed no_work_directory

step stop "stop $slug" "$bin" stop "$slug"
stop_ms=$step_ms
[[ $step_code -eq 0 ]] || failed stop_failed "exit=$step_code"
lease_may_exist=false
step stop_again "stop $slug" "$bin" stop "$slug"
[[ $step_code -eq 4 ]] || failed second_stop_failed "exit=$step_code"
step cleanup cleanup "$bin" cleanup
[[ $step_code -eq 0 ]] || failed cleanup_failed "exit=$step_code"
step list_after "list --json" "$bin" list --json
[[ $step_code -eq 0 && $(jq length "$work/list_after.out" 2>/dev/null) == 0 ]] ||
    failed lease_still_listed "exit=$step_code"

residue | sort >"$work/after" || failed residue_not_countable
comm -13 "$work/before" "$work/after" >"$work/left"
left=$(wc -l <"$work/left")
{
    echo
    echo "left on the host: $left"
    cat "$work/left"
} >>"$log"
[[ $left -eq 0 ]] || failed residue_left "residue=$left"

# By what the lease itself said, not by what was asked; and KVM on an emulated CPU is emulation too.
class=emulated_passed
if [[ ${got#* } == kvm && $host_cpu == real ]]; then class=live_passed; fi
finish "classification=$class provider=firecracker mutation=true vmm=$vmm accel=${got#* } host_cpu=$host_cpu guest_kernel=$guest_kernel host_kernel=$host_kernel warmup_ms=$warmup_ms run_ms=$run_ms reuse_ms=$reuse_ms stop_ms=$stop_ms residue=0" 0
