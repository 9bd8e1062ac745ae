# shellcheck shell=bash
# shellcheck disable=SC2016,SC2154 # the guest must get its words as they are; fc and work are emulated.sh's
# emulated-guest.sh: what docs/GUEST.md promises of a guest of the default image; sourced by
# emulated-test.sh. guest_tests SLUG checks it in a lease that is ready.

# Each line of the table: a name, and a command that the guest's user runs.
guest_table() {
    cat <<'EOF'
open files|[ "$(ulimit -Sn) $(ulimit -Hn)" = "1024 524288" ]
open files under sudo|[ "$(sudo sh -c 'ulimit -Sn; ulimit -Hn' | xargs)" = "1024 524288" ]
/etc/skel|cmp /etc/skel/.profile ~/.profile && cmp /etc/skel/.bashrc ~/.bashrc
/etc/machine-id|grep -qxE '[0-9a-f]{32}' /etc/machine-id
/etc/mtab|grep -q ' / ' /etc/mtab
/etc/subuid|grep -qx "$(id -un):100000:65536" /etc/subuid && grep -q : /etc/subgid
/run/lock|flock /var/lock/emulated true
/run/user|[ "$XDG_RUNTIME_DIR" = "/run/user/$(id -u)" ] && touch "$XDG_RUNTIME_DIR/x"
/run/utmp|[ "$(stat -c %a:%G /run/utmp /var/log/wtmp | sort -u)" = 664:utmp ]
/tmp/.X11-unix|[ "$(stat -c %a /tmp/.X11-unix /tmp/.ICE-unix | sort -u)" = 1777 ]
cgroups|grep -qw memory /sys/fs/cgroup/cgroup.controllers
message queues|mountpoint -q /dev/mqueue
kernel settings|[ "$(cat /proc/sys/kernel/pid_max)" = 4194304 ] && [ "$(cat /proc/sys/fs/protected_regular)" = 2 ]
locale|[ "$LANG" = C.UTF-8 ] && [ "$(locale charmap)" = UTF-8 ]
time zone|[ "$(date +%Z)" = UTC ] && grep -q UTC /etc/timezone
renaming|sudo python3 -c 'import os; os.rename("/usr/share/doc", "/usr/share/doc.renamed")'
power commands|for i in poweroff reboot halt shutdown; do [ -x /usr/sbin/$i ] || exit; done; ! shutdown +5 2>/dev/null
no host key of the image|! ls /etc/ssh/ssh_host_* 2>/dev/null
terminals|for i in xterm-ghostty xterm-kitty alacritty foot wezterm rio contour; do tput -T$i cols || exit; done
terminals of others|for i in tmux-256color st-256color konsole-256color vte-256color rxvt-unicode-256color; do tput -T$i cols || exit; done
EOF
}

as_a_distribution() { # says what is not
    local script
    script=$(guest_table | while IFS='|' read -r name command; do
        printf '( %s ) >/dev/null || { echo %q; bad=1; }\n' "$command" "$name"
    done)
    "$fc" run --id "$1" -q --no-sync --shell -- "$script"$'\n''[ -z "$bad" ]'
}

stock_ssh() { # stock_ssh SLUG WORDS...: OpenSSH's client with the lease's own file
    local slug=$1
    shift
    timeout 120 ssh -F "$("$fc" status --json "$slug" | jq -r .ssh.config)" "$@"
}

late_output() {
    says $'main\nlate' "$fc" run --id "$1" -q --no-sync -- sh -c '(sleep 2; echo late) & echo main' &&
        says late "$fc" ssh "$1" 'exec bash -c "exec > >(sleep 1; cat); echo late"'
}

many_at_once() {
    local n
    n=$(seq 12 | xargs -P12 -I{} "$fc" ssh "$1" echo ok | grep -c ok)
    [ "$n" -eq 12 ] || { echo "$n of 12 connected"; return 1; }
}

reader_goes() { # the first byte is all that anybody reads
    timeout 120 "$fc" ssh "$1" cat /dev/zero | head -c1 >/dev/null
    [ "${PIPESTATUS[0]}" -ne 124 ]
}

long_command_and_variables() {
    local long
    long=$(printf '%060000d' 0)
    says "x C 60000" stock_ssh "$1" -o 'SetEnv=FOO=x LC_ALL=C' "crabbox-$1" \
        "echo \$FOO \$LC_ALL \$(printf %s $long | wc -c)"
}

unix_socket() { # a program's socket in the guest, reached through one here
    local code got='' i
    code='import socket; s = socket.socket(socket.AF_UNIX); s.bind("/tmp/emulated.sock"); s.listen()
while True: c = s.accept()[0]; c.send(b"hello"); c.close()'
    "$fc" run --id "$1" -q --no-sync -- sh -c 'python3 -c "$1" >/dev/null 2>&1 &' sh "$code"
    stock_ssh "$1" -N -L "$work/forward.sock:/tmp/emulated.sock" "crabbox-$1" &
    for ((i = 0; i < 100; i++)); do
        got=$(python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(9).decode())' \
            "$work/forward.sock" 2>/dev/null) && [ -n "$got" ] && break
        sleep 0.3
    done
    kill $!
    [ "$got" = hello ]
}

pause_vm() { # the VMM stops for some seconds, as a host does that sleeps
    python3 - "$CRABBOX_FC_STATE_DIR/leases/$("$fc" status --json "$1" | jq -r .leaseId)/vmm/api.sock" "$2" <<'EOF'
import json, socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rw")
f.readline()
for word in ("qmp_capabilities", "stop", "cont"):
    f.write(json.dumps({"execute": word}) + "\n")
    f.flush()
    while not {"return", "error"} & set(json.loads(f.readline())):
        pass
    time.sleep(float(sys.argv[2]) if word == "stop" else 0)
EOF
}

# The guest's word for now lies between two of ours; 50 ms are what the clocks may differ by.
tells_the_time() {
    local before after said
    before=$(date +%s%3N)
    said=$("$@" date +%s%3N) || return
    after=$(date +%s%3N)
    [ "$((said + 50))" -ge "$before" ] && [ "$said" -le "$((after + 50))" ] && return
    echo "$said is not between $before and $after"
    return 1
}

clock_for_a_run() {
    pause_vm "$1" 20 && tells_the_time "$fc" run --id "$1" -q --no-sync --
}

clock_by_itself() { # nobody tells the guest: its init looks every ten seconds
    local i
    pause_vm "$1" 20 || return
    for ((i = 0; i < 30; i++)); do
        tells_the_time "$fc" ssh "$1" && return
        sleep 2
    done
    return 1
}

another_users_command() { # the command is sudo itself
    exits 124 "$fc" run --id "$1" -q --no-sync --timeout 2s -- sudo sleep 416 || return
    ! "$fc" ssh "$1" pgrep -fx '"sleep 416"'
}

full_disk() { # no room at all, then a root that takes nothing
    local in=("$fc" run --id "$1" -q --no-sync --)
    "${in[@]}" sh -c 'fallocate -l 900M ~/fill
        cat /dev/zero >~/more 2>/dev/null; ! mkdir ~/x 2>/dev/null' || return
    "${in[@]}" rm -f /home/crabbox/fill /home/crabbox/more || return
    "${in[@]}" sudo mount -o remount,ro / || return
    says ro "${in[@]}" sh -c 'touch ~/x 2>/dev/null || echo ro' || return
    "${in[@]}" sudo mount -o remount,rw /
}

guest_tests() {
    ok "guest: it is as a distribution's that has booted" as_a_distribution "$1"
    ok 'guest: output after the end of a command arrives' late_output "$1"
    ok 'guest: twelve connections at once' many_at_once "$1"
    ok 'guest: a command ends when its reader has gone' reader_goes "$1"
    ok 'guest: a long command, and variables of the client' long_command_and_variables "$1"
    ok 'guest: a socket of the filesystem is forwarded' unix_socket "$1"
    ok 'guest: a run sets a clock that stood still' clock_for_a_run "$1"
    ok 'guest: a clock that stood still is set by itself' clock_by_itself "$1"
    ok "guest: another user's command is ended" another_users_command "$1"
    ok 'guest: a command starts on a disk that takes nothing' full_disk "$1"
}
