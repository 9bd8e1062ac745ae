# shellcheck shell=bash
# control.sh: the watch sees what it is for, and an ordinary repository is no fault.

control() { # control NAME WHAT PROGRAM...: WHAT (sprung or strict) finds something in its trace
    begin "control-$1" || return
    local what=$2 state=blind wrong='the watch sees nothing'
    shift 2
    (cd "$cwd" && watched_run "$dir/trace" "$@") </dev/null >"$dir/out" 2>"$dir/err"
    [[ -z $("$what" "$dir/trace") ]] || wrong='' state=seen
    verdict "$state" "$wrong" 0
}

ordinary() {
    begin ordinary || return
    judge
}
ordinary
control mark sprung sh -c '"${PWD%/tree}/evil"'
control canary-open sprung sh -c 'read -r _ <../canary/secret'
control canary-stat sprung stat ../canary/secret
control connection sprung bash -c ': >/dev/tcp/127.0.0.1/9'
control other-program strict true
control other-file strict sh -c 'read -r _ </etc/hostname'
control relative-program strict sh -c 'exec ../../../../../../../../../../usr/bin/git version'
control configuration strict git ls-files
