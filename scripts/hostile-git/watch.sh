# shellcheck shell=bash
# watch.sh: running a program under strace, and what its trace has that it may not have.
#
# -ff writes a file for each process, so no line is cut by another's; -y resolves descriptors, so an
# open that succeeded shows the file that it reached, through whatever links.

strace=$(command -v strace)
timeout=$(command -v timeout)
git=$(PATH=$system_path command -v git)
watched=%file,%network,setuid,setreuid,setresuid,setfsuid,open_by_handle_at,io_uring_setup
watch=("$strace" -ff -y -qq --seccomp-bpf -s 4096 -e signal=none -e "trace=$watched")
# What a fifo without a writer would hold up for ever is cut off then.
limit=30

# What any process may open, as files or everything below: libraries, locales, time zones, users, the
# system's own configuration of crabbox-fc and of git.
common="/usr/lib /usr/lib64 /usr/libx32 /usr/lib32 /lib /lib64 /usr/local/lib /usr/share/locale
/usr/share/zoneinfo /etc/ld.so.cache /etc/ld.so.preload /etc/ld.so.conf /etc/localtime
/etc/locale.alias /usr/share/locale-langpack /etc/nsswitch.conf /etc/passwd /etc/group /dev/null
/etc/ssl/openssl.cnf /proc/sys/crypto/fips_enabled /etc/crabbox-fc /etc/gitconfig /etc/libnl"

# A connection that libc itself may try to know a user's name: to nowhere, or to the system's own.
libc_sockets='"/var/run/nscd/socket"|"/run/systemd/userdb/'

stray="neither a worktree nor a submodule here" # how a file that leads elsewhere is refused
# A file that names a git directory in the form of a worktree's has to be looked up, wherever that is: it
# is found, not listed, and asked for the file in which a worktree names its own .git in turn. Nothing else
# is opened.
looked_up='O_PATH|^(newfstatat|statx|l?stat|access|faccessat2?)\(|^openat\([^"]*"/proc/self/fd/[0-9]+", O_RDONLY.*/worktrees/[^/]*/gitdir>$'

# watched_run TRACE PROGRAM...: the exit code, 124 or 137 if it had to be cut off.
watched_run() {
    local trace=$1
    shift
    rm -rf "$trace"
    mkdir "$trace"
    "$timeout" -k 1 "$limit" env -i PATH="$path" HOME="$dir/home" TMPDIR="$dir/tmp" \
        CRABBOX_FC_STATE_DIR="$dir/state" "${extra[@]}" "${watch[@]}" -o "$trace/t" "$@"
}

# Signs of a sprung trap in TRACE: a mark, anything of the canary's directory, a connection, a daemon.
# What only asks where a link leads is none.
sprung() {
    if [[ -n $(ls -A "$dir/marks") ]]; then
        echo "a program of the repository ran: $(cat "$dir/marks/"* | head -n 1)"
    fi
    cat "$1"/t.* | grep -E "[\"<]$canary|\.\./canary|fsmonitor--daemon|^connect|sa_family=AF_INET" |
        grep -vE '^(readlink|readlinkat|getcwd)\(|'"sa_family=AF_NETLINK|$libc_sockets" |
        grep -vE "${allowed:-^\$}" | sort -u
}

# What is not allowed although it is no trap of ours: another program than crabbox-fc (and git, where
# the case says so, as the user that it names), a file that is none of the known places, and settings
# that nobody has a reason to read: the repository's configuration is read for its format, by crabbox-fc
# alone. Each process has a file of its own.
strict() {
    local t
    for t in "$1"/t.*; do
        awk -v fc="$fc" -v git="$git" -v git_uid="$git_uid" -v allowed="${allowed:-^\$}" -v tree="$dir/tree" \
            -v places="$common $dir/tree $dir/state $own $places" '
        BEGIN {
            n = split(places, place, /[ \n]+/)
            settings = "/(\\.gitmodules|\\.gitattributes)$"
        }
        function below(file, i) {
            # What is mounted where; and PWD of those who started us.
            if (file ~ "^/proc/[0-9]+/(mountinfo|environ|stat)$")
                return 1
            for (i = 1; i <= n; i++)
                if (place[i] != "" && (file == place[i] || index(file, place[i] "/") == 1))
                    return 1
            return 0
        }
        $0 ~ allowed { next }
        /^set(re|res|fs)?uid\(/ {
            became = $0
            sub(/ += .*/, "", became)
        }
        /^(open_by_handle_at|io_uring_setup)\(/ { print }
        /^execve(at)?\(/ {
            split($0, quoted, "\"")
            if (quoted[2] != fc)
                settings = "/(config|config\\.worktree|\\.gitmodules|\\.gitattributes)$"
            if (quoted[2] == git && git_uid != "") {
                if (became != (git_uid ? "setresuid(" git_uid ", " git_uid ", " git_uid ")" : ""))
                    print "git as " (became == "" ? "root: " : became ": ") $0
            } else if (quoted[2] != fc || !/^execve/)
                print
        }
        /^(open|openat|openat2|creat)\(/ && / = [0-9]+</ && !/O_PATH/ {
            real = $0
            sub(/^.* = [0-9]+</, "", real)
            sub(/>(\(deleted\))?$/, "", real)
            if (!below(real))
                print
            else if (index(real, tree "/.git") == 1 && real ~ settings)
                print "the configuration is read: " $0
        }' "$t"
    done | sort -u
}
