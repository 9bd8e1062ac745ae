# shellcheck shell=bash
# groups.sh: the leases of a script have their control groups in one of its own, which goes with it;
# sourced by bench.sh, demo.sh and emulated.sh.

# use_group NAME: for the leases from now on. They are also made where the machine has no control
# groups, as in a container.
use_group() {
    export CRABBOX_FC_ISOLATION=degraded CRABBOX_FC_CGROUP=crabbox-fc-$1
}

# In each hierarchy; first the groups of leases that an interrupted script has left, with their VMMs.
remove_group() {
    local dir
    for dir in /sys/fs/cgroup{,/*}/"$CRABBOX_FC_CGROUP"{/*/,}; do
        [ -d "$dir" ] || continue
        xargs -r kill -KILL <"$dir/cgroup.procs" 2>/dev/null || :
        for _ in {1..50}; do
            if rmdir "$dir" 2>/dev/null || [ ! -d "$dir" ]; then
                continue 2
            fi
            sleep 0.1
        done
        echo "left behind: $dir" >&2
    done
}
