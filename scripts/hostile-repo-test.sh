#!/bin/bash
# A hostile repository against every verb of the real program: whatever its .crabbox-fc.yaml names,
# nothing is run, read or written, and the exit code is 2. Ends with one line; exit 1 if any failed.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

BIN=$PWD/${BUILD:-build}/crabbox-fc
[[ -x $BIN ]] || make --no-print-directory "${BUILD:-build}/crabbox-fc" >/dev/null || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
repo=$work/repo
mkdir -p "$repo/.git" "$repo/cni" "$work/home" "$work/state-parent"
config=$repo/.crabbox-fc.yaml
failed=0
cases=0

# The program that the repository would have us run leaves a mark.
printf '#!/bin/sh\necho run >>"%s/mark"\n' "$work" >"$repo/evil"
cp "$repo/evil" "$repo/cni/bridge"
chmod 755 "$repo/evil" "$repo/cni/bridge"
echo 'secret: do-not-show-this' >"$work/secret"
chmod 600 "$work/secret"

# Should a check fail and a lease be made, it is made in a network of its own.
cage=()
[[ $(id -u) -eq 0 ]] && unshare -n true 2>/dev/null && cage=(unshare -n)

fc() { # fc VERB...: in the hostile repository, with a home and a state directory of its own
    (cd "$repo" && env -i PATH="$PATH" HOME="$work/home" \
        CRABBOX_FC_STATE_DIR="$work/state-parent/state" "${cage[@]}" timeout 20 "$BIN" "$@") \
        </dev/null >"$work/out" 2>"$work/err"
}

bad() {
    echo "hostile: FAIL  $*"
    sed 's/^/    /' "$work/err" | head -3
    failed=1
}

snapshot() { find "$work/home" "$work/state-parent" "$repo" | LC_ALL=C sort; }

# Every verb that looks at the configuration. Those that do not are below; no verb may be in neither.
verbs=('warmup' 'warmup --slug x --keep' 'run -- true' 'run --no-sync -- true' 'run --id x -- true'
    'run --sync-plan' 'stop x' 'release x' 'list' 'list --json' 'status x' 'inspect x' 'ssh x'
    'ssh --print x' 'cp x:/etc/passwd .' 'cp secret x:/tmp/y' 'tunnel x -L 8080:127.0.0.1:80'
    'watch --id x -- true' 'connect x' 'logs x' 'cleanup' 'cleanup --dry-run' 'heartbeat x' 'doctor'
    'doctor --provider firecracker --json' 'config show' 'config show --json' 'config path')
needs_no_config=(trust completion version help)
known=" ${needs_no_config[*]} $(printf '%s\n' "${verbs[@]}" | cut -d' ' -f1 | tr '\n' ' ')"
for verb in $("$BIN" help | awk '/^  [a-z]/ && $1 != "crabbox-fc" {print $1}'); do
    [[ $known == *" $verb "* ]] || bad "no case tries the verb $verb"
done

expect_refused() { # expect_refused NAME WORDS
    local name=$1 words=$2 verb before code
    for verb in "${verbs[@]}"; do
        cases=$((cases + 1))
        before=$(snapshot)
        # shellcheck disable=SC2086 # a list of words
        fc $verb
        code=$?
        case $verb in
            # One that is asked by a script answers as always: by a failed check.
            doctor*--json*)
                [[ $code -eq 1 ]] || bad "$name: $verb: exit code $code, not 1"
                jq -e '.ok == false and .checks[0].check == "config"' "$work/out" >/dev/null ||
                    bad "$name: $verb: no failed check of the configuration"
                jq -r '.checks[0] | .message, .details.fix // ""' "$work/out" >"$work/err"
                ;;
            *) [[ $code -eq 2 ]] || bad "$name: $verb: exit code $code, not 2" ;;
        esac
        grep -qF -- "$words" "$work/err" || bad "$name: $verb: no \"$words\" in the message"
        grep -q 'do-not-show-this' "$work/out" "$work/err" && bad "$name: $verb shows the secret"
        [[ ! -e $work/mark ]] || bad "$name: $verb ran the repository's program"
        [[ $before == "$(snapshot)" ]] || bad "$name: $verb wrote something"
    done
}

hostile() { # hostile NAME WORDS: the file comes on stdin
    rm -f "$config"
    cat >"$config"
    expect_refused "$@"
}

# The harness itself works: a harmless file is accepted by the same command line.
printf 'firecracker:\n  cpus: 3\n' >"$config"
fc config show || bad "a harmless file is refused"
grep -q '^firecracker.cpus *3 ' "$work/out" || bad "a harmless file does not count"

hostile binary 'firecracker.binary concerns the host' <<<"firecracker: {binary: $repo/evil}"
hostile jailer 'firecracker.jailer concerns the host' <<<"firecracker: {jailer: $repo/evil}"
hostile kernel 'firecracker.kernel concerns the host' <<<"firecracker: {kernel: $work/secret}"
hostile rootfs 'firecracker.rootfs concerns the host' <<<"firecracker: {rootfs: /dev/sda}"
hostile device 'firecracker.rootfs concerns the host' <<<"firecracker: {rootfs: /dev/vda}"
hostile cni-conf 'firecracker.cniConfDir concerns the host' <<<"firecracker: {cniConfDir: $repo/cni}"
hostile cni-list 'firecracker.cniNetwork concerns the host' <<<'firecracker: {cniNetwork: evil}'
hostile network 'firecracker.network concerns the host' <<<'firecracker: {network: cni}'
hostile dns 'network.dns concerns the host' <<<'network: {dns: [192.0.2.66]}'
hostile accel 'qemu.accel concerns the host' <<<'qemu: {accel: tcg}'
hostile image 'image.dir concerns the host' <<<"image: {dir: $repo}"
hostile qemu 'vmm concerns the host' <<<$'vmm: qemu\nqemu: {accel: tcg}'
hostile qemu-binary 'qemu.binary concerns the host' <<<"qemu: {binary: $repo/evil}"
hostile cni 'firecracker.cniBinDir concerns the host' <<<"firecracker: {cniBinDir: $repo/cni}"
hostile pool 'network.pool concerns the host' <<<'network: {pool: 10.0.0.0/8}'
hostile secrets 'run.allowEnv concerns the host' <<<'run: {allowEnv: [AWS_SECRET_ACCESS_KEY]}'
hostile user 'control character' <<<'firecracker: {user: "crabbox\nProxyCommand evil"}'
hostile user-option 'not a user name' <<<'firecracker: {user: -oProxyCommand=evil}'
hostile work-root 'the root of the guest' <<<'firecracker: {workRoot: /}'
hostile work-root-shell 'not a plain path' <<<"firecracker: {workRoot: '/w;\$(id)'}"
hostile cpus 'not a whole number' <<<'firecracker: {cpus: 1e9}'
hostile many-cpus 'more than 32' <<<'firecracker: {cpus: 1000000000}'
hostile few-cpus-too-many 'gets at most 4 (default)' <<<'firecracker: {cpus: 32}'
hostile memory 'gets at most 4GiB (default)' <<<'firecracker: {memoryMiB: 1TiB}'
hostile disk 'gets at most 16GiB (default)' <<<'firecracker: {diskMiB: 16TiB}'
hostile disk-by-one 'gets at most 16GiB (default)' <<<'firecracker: {diskMiB: 16385}'
hostile launch 'gets at most 2m (default)' <<<'firecracker: {launchTimeout: 1h}'
hostile ttl 'gets at most 1h30m (default)' <<<'lease: {ttl: 720h}'
hostile overcommit 'disk.overcommit concerns the host' <<<'disk: {overcommit: true}'
hostile patterns 'one pattern too many' < <(
    printf 'sync: {exclude: ['
    printf 'a*b, %.0s' {1..2000}
    echo 'c]}'
)
hostile merge 'not allowed' <<<$'firecracker: {cpus: 1}\n<<: {vmm: qemu}'
hostile floor "is allowed only in the system's file" <<<'floor: {locked: [vmm]}'
hostile escape 'byte 0x1b' <<<$'vmm: \e[2J'
hostile overwritten 'a carriage return' <<<$'firecracker: {cpus: 2}\r# nothing to see'

# Half of it harmless: nothing in the file is applied.
hostile half 'nothing in the file was applied' <<<$'firecracker:\n  cpus: 3\n  binary: /bin/true'

for target in "$work/secret" /etc/shadow /dev/zero /nowhere; do
    rm -f "$config"
    ln -s "$target" "$config"
    expect_refused "link to $target" 'is a symbolic link'
done
rm -f "$config"
mkfifo "$config"
expect_refused fifo 'is not a regular file'

# Larger than any configuration, and without an end.
rm -f "$config"
head -c 2097152 /dev/zero | tr '\0' '#' >"$config"
expect_refused large 'larger than'

# What needs no configuration still works here; and trusting does what it says, no more.
rm -f "$config"
printf 'firecracker: {binary: /bin/true}\n' >"$config"
for verb in version 'help run' 'completion bash' 'complete stop' 'complete run --' 'trust list' 'trust add' \
    'config show' 'trust revoke'; do
    cases=$((cases + 1))
    # shellcheck disable=SC2086 # a list of words
    fc $verb || bad "$verb fails in a repository that is not trusted yet"
done
fc config show && bad "a revoked file still counts"
[[ ! -e $work/mark ]] || bad "something ran the repository's program"
[[ ! -e $work/state-parent/state ]] || bad "a state directory was made"

# Changed after it was trusted, also while a program reads it: the other content never counts.
printf 'firecracker: {cpus: 2, binary: /bin/true}\n' >"$work/good"
printf 'firecracker: {cpus: 3, binary: %s}\n' "$repo/evil" >"$work/evil.yaml"
cp "$work/good" "$config"
fc trust add || bad "trust add fails"
(while [[ ! -e $work/stop ]]; do
    cp "$work/evil.yaml" "$config.new" && mv "$config.new" "$config"
    cp "$work/good" "$config.new" && mv "$config.new" "$config"
done) &
swapper=$!
accepted=0 refused=0
for _ in $(seq 60); do
    cases=$((cases + 1))
    if fc config show; then
        accepted=$((accepted + 1))
        grep -q '^firecracker.cpus *2 ' "$work/out" || bad "another content than the trusted one counts"
    else
        refused=$((refused + 1))
        grep -qE 'concerns the host|leads into the repository' "$work/err" || bad "refused for another reason"
    fi
done
: >"$work/stop"
wait "$swapper"
((accepted > 0 && refused > 0)) || echo "hostile: the race was not met ($accepted accepted, $refused refused)"

((failed == 0)) && echo "hostile: ok, $cases cases"
exit $failed
