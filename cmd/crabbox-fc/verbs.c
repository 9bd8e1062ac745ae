#include "base/str.h"
#include "verb_options.h"

const struct verb verbs[] = {
    {.name = "warmup",
     .args = "[OPTION]...",
     .summary = "make a lease and wait until SSH is ready",
     .details = "Makes a microVM with its own keys, network and disk. Waits until the guest's SSH "
                "server shows the pinned host key. Prints how to reach the guest.",
     .examples = "crabbox-fc warmup\n"
                 "crabbox-fc warmup --slug demo --keep\n"
                 "crabbox-fc warmup --vmm qemu --accel tcg --cpus 2 --memory 2GiB",
     .options = warmup_options,
     .max_args = 0,
     .uses_config = true,
     .uses_store = true,
     .makes_leases = true,
     .run = cmd_warmup},
    {.name = "run",
     .args = "[OPTION]... [--] COMMAND [ARG]...",
     .summary = "run a command in a microVM with your working tree",
     .details =
         "Makes a lease, or uses an existing one (--id, or --slug with --reuse). Copies the files "
         "that git lists "
         "(--sync-plan prints them), runs the command and exits with its code. If the lease "
         "was made for the run, it is removed afterwards.\n\n"
         "Of the variables here, only those of run.allowEnv are passed on (default: CI and "
         "NODE_OPTIONS), and those that --env and --env-file name. Values travel over SSH "
         "into a file that only the guest's user can read. No argument vector and no log "
         "shows them. A bare NAME in a file in the working tree counts only if run.allowEnv "
         "or an --env has it.\n\n"
         "The files of --download, --artifact-glob and --junit come back even after a "
         "failure. Paths in the guest are relative to the work directory, and links in it are "
         "not followed. Programs on this host obey files with certain names, such as .git. "
         "Such files come back only if you name them. In paths on this host, no link in the "
         "working tree is followed.\n\n"
         "With -t every key goes to the guest, including Ctrl-C. At the start of a line, ~. "
         "ends the command and leaves, and ~? shows all escapes.\n\n"
         "Exit code: the command's own; 128 and the number of the signal that ended it; 124 "
         "after --timeout; 130 after Ctrl-C. If the command could not be run at all, the exit "
         "codes of crabbox-fc help apply.",
     .examples = "crabbox-fc run -- make test\n"
                 "crabbox-fc run --id demo -- cat /etc/os-release\n"
                 "crabbox-fc run --keep --slug demo --shell 'make && ./test'\n"
                 "crabbox-fc run --keep --slug demo --reuse -- make test\n"
                 "crabbox-fc run --id demo --no-sync -- uname -r\n"
                 "crabbox-fc run -t --id demo -- bash\n"
                 "crabbox-fc run --env TOKEN --env MODE=ci --timeout 20m -- make test\n"
                 "crabbox-fc run --script tools/build.sh -- release\n"
                 "crabbox-fc run --download out/report.txt=. -- make report\n"
                 "crabbox-fc run --junit 'out/*.xml' -- make test",
     .options = run_options,
     .max_args = -1,
     .stops_at_args = true,
     .uses_config = true,
     .uses_store = true,
     .makes_leases = true,
     .takes = "COMMAND",
     .run = cmd_run},
    {.name = "watch",
     .args = "[OPTION]... [--] COMMAND [ARG]...",
     .summary = "run a command again whenever the working tree has changed",
     .details =
         "Makes a lease, or uses that of --id, and runs the command in it as run does. After each "
         "run it waits until a file has changed that would be copied, and runs the command "
         "again. Files that are not copied start no run. The command gets no standard input.\n\n"
         "Ctrl-C ends it, exit code 130. A lease that was made for it is stopped then, unless "
         "--keep is given.",
     .examples = "crabbox-fc watch -- make test\n"
                 "crabbox-fc watch --id demo --debounce 1s -- make test",
     .options = watch_options,
     .max_args = -1,
     .stops_at_args = true,
     .uses_config = true,
     .uses_store = true,
     .makes_leases = true,
     .takes = "COMMAND",
     .run = cmd_watch},
    {.name = "stop",
     .alias = "release",
     .args = "[OPTION]... LEASE...",
     .summary = "end leases and leave nothing behind",
     .details =
         "Asks the guest to shut down, ends the VMM and removes network, disk and record. If "
         "a lease does not exist (any more), the others are stopped and the exit code is 4; with "
         "--missing-ok it is 0.",
     .examples = "crabbox-fc stop demo\ncrabbox-fc stop --missing-ok cbx_0123456789ab",
     .options = stop_options,
     .max_args = -1,
     .uses_config = true,
     .uses_store = true,
     .ends_leases = true,
     .takes = "LEASE",
     .run = cmd_stop},
    {.name = "list",
     .alias = "ls",
     .args = "[OPTION]...",
     .summary = "show all leases",
     .details =
         "One row per lease. If a record can't be read, it is listed as broken, with its path.",
     .examples = "crabbox-fc list\ncrabbox-fc list --json",
     .options = json_options,
     .max_args = 0,
     .uses_config = true,
     .uses_store = true,
     .run = cmd_list},
    {.name = "status",
     .alias = "inspect",
     .args = "[OPTION]... [LEASE]",
     .summary = "show one lease",
     .details = "Exit code 0 if the lease is ready, 5 if it is not, also after --wait, and 4 if no "
                "lease has that name.",
     .examples = "crabbox-fc status demo\ncrabbox-fc status --id demo --json\n"
                 "crabbox-fc status --wait --wait-timeout 10m demo",
     .options = status_options,
     .max_args = 1,
     .uses_config = true,
     .uses_store = true,
     .takes = "LEASE",
     .run = cmd_status},
    {.name = "ssh",
     .alias = "connect",
     .args = "[OPTION]... LEASE [COMMAND]...",
     .summary = "open a session in a lease with the stock ssh",
     .details =
         "Uses the lease's own ssh_config, with its key and the pinned host key. Exit code: "
         "ssh's own, which is the session's, or 255 if ssh failed or the machine is gone; 130 "
         "after Ctrl-C or SIGTERM.\n\n"
         "The lease counts as used until this ssh ends. An ssh that goes to the background "
         "(-f, ControlPersist) does not count. For lasting forwards use crabbox-fc tunnel, or "
         "call crabbox-fc heartbeat now and then.",
     .examples = "crabbox-fc ssh demo\ncrabbox-fc ssh --print demo\ncrabbox-fc ssh demo uname -r",
     .options = ssh_options,
     .max_args = -1,
     .stops_at_args = true,
     .uses_config = true,
     .uses_store = true,
     .takes = "LEASE",
     .run = cmd_ssh},
    {.name = "cp",
     .args = "[OPTION]... LEASE:PATH LOCAL | LOCAL LEASE:PATH",
     .summary = "copy files and directories into a lease or out of it",
     .details =
         "If the destination is an existing directory, the source is copied into it under its "
         "own name. Otherwise the destination is the new name. Paths of the guest are "
         "relative to the home directory, and ~/ stands for it. Only files and directories are "
         "copied out of the "
         "guest, and nothing is written outside the destination. Programs on this host obey "
         "files with certain names, such as .git. Such files are copied only if you name "
         "them.\n\n"
         "Exit code: 4 if the guest has no such file, or if there is no such lease.",
     .examples = "crabbox-fc cp demo:out/report.txt .\ncrabbox-fc cp notes.txt demo:\n"
                 "crabbox-fc cp -q tools demo:/tmp/tools\n"
                 "crabbox-fc cp --id demo SANDBOX:/tmp/results results",
     .options = cp_options,
     .min_args = 2,
     .max_args = 2,
     .uses_config = true,
     .uses_store = true,
     .takes = "PLACE",
     .run = cmd_cp},
    {.name = "tunnel",
     .args = "[OPTION]... LEASE [PORT]",
     .summary = "forward ports to a lease or back, until Ctrl-C",
     .details =
         "With PORT, a port of this host leads to that port of the lease, and its address is "
         "printed as http://127.0.0.1:N as soon as it listens. With --id, PORT is the only "
         "argument. Ports of -L and -R listen on 127.0.0.1 unless you give an address. 8080 "
         "is short for 8080:localhost:8080. Uses the stock ssh with the lease's key and pinned "
         "host key. Exit code: 255 if the port can't be had or the connection ends, with a "
         "message; 130 after Ctrl-C or SIGTERM.",
     .examples =
         "crabbox-fc tunnel demo 3000\ncrabbox-fc tunnel --id demo --local-port 8080 3000\n"
         "crabbox-fc tunnel -L 8080 demo\ncrabbox-fc tunnel -L 5433:5432 -L 9000:10.0.0.7:80 demo\n"
         "crabbox-fc tunnel -R 3128:proxy.example:3128 demo",
     .options = tunnel_options,
     .max_args = 2,
     .uses_config = true,
     .uses_store = true,
     .takes = "LEASE",
     .run = cmd_tunnel},
    {.name = "logs",
     .args = "[OPTION]... LEASE",
     .summary = "show the guest's console and the VMM's log",
     .details =
         "Also works for a lease that failed to start and for a run that failed, by the run's id, "
         "because their logs are kept. Bytes that "
         "a terminal would act on are written as escapes (\\x1b), even into a pipe or a file. "
         "--raw leaves every byte as it is.",
     .examples = "crabbox-fc logs demo\ncrabbox-fc logs --console demo",
     .options = logs_options,
     .max_args = 1,
     .uses_config = true,
     .uses_store = true,
     .takes = "LEASE",
     .run = cmd_logs},
    {.name = "cleanup",
     .args = "[OPTION]...",
     .summary = "remove expired, dead and interrupted leases",
     .details = "Never removes a lease that is kept. After a failure it goes on with the other "
                "leases. Exit code 1 if a lease could not be removed.",
     .examples = "crabbox-fc cleanup --dry-run\ncrabbox-fc cleanup",
     .options = cleanup_options,
     .max_args = 0,
     .uses_config = true,
     .uses_store = true,
     .ends_leases = true,
     .run = cmd_cleanup},
    {.name = "heartbeat",
     .args = "[OPTION]... LEASE",
     .summary = "extend the idle deadline of a lease",
     .details =
         "Prints when the lease now expires. A lease that is not ready has no idle deadline: "
         "exit code 5.",
     .examples = "crabbox-fc heartbeat demo\ncrabbox-fc heartbeat --id demo --json",
     .options = heartbeat_options,
     .max_args = 1,
     .uses_config = true,
     .uses_store = true,
     .takes = "LEASE",
     .run = cmd_heartbeat},
    {.name = "doctor",
     .args = "[OPTION]...",
     .summary = "check whether this host is ready, and show what is missing",
     .details = "Changes nothing on the host. Exit code 0 if it is ready, 1 if not. With --json, a "
                "configuration that can't be used is a failed check, too.",
     .examples = "crabbox-fc doctor\ncrabbox-fc doctor --provider firecracker --json\n"
                 "crabbox-fc doctor --vmm qemu --accel tcg",
     .options = doctor_options,
     .max_args = 0,
     .uses_config = true,
     .run = cmd_doctor,
     .refused = cmd_doctor_refused},
    {.name = "config",
     .args = "[show|path] [OPTION]...",
     .summary = "show the configuration and where each value came from",
     .details = "show, or no word, prints every key with its value and source. path prints the "
                "files that the program looks for.",
     .examples = "crabbox-fc config show\ncrabbox-fc config show --json\ncrabbox-fc config path",
     .options = config_options,
     .max_args = 1,
     .uses_config = true,
     .takes = "show|path",
     .run = cmd_config},
    {.name = "trust",
     .args = "[add|list|revoke] [FILE]",
     .summary = "trust the exact content of a repository's .crabbox-fc.yaml",
     .details =
         "A file that is not trusted may not name programs, paths or anything else of the "
         "host. Trust applies to one path with one content. After a change you have to trust "
         "the file again.",
     .examples = "crabbox-fc trust list\ncrabbox-fc trust add .crabbox-fc.yaml\n"
                 "crabbox-fc trust revoke .crabbox-fc.yaml",
     .options = trust_options,
     .max_args = 2,
     .takes = "add|list|revoke",
     .run = cmd_trust},
    {.name = "keeper",
     .args = "LEASE",
     .summary = "watch one lease until it ends (started by warmup)",
     .details = "",
     .examples = "",
     .options = plain_options,
     .min_args = 1,
     .max_args = 1,
     .hidden = true,
     .uses_store = true,
     .run = cmd_keeper},
    {.name = "dial",
     .args = "LEASE",
     .summary = "be the connection to a lease's SSH server (started by ssh)",
     .details = "",
     .examples = "",
     .options = plain_options,
     .min_args = 1,
     .max_args = 1,
     .hidden = true,
     .uses_store = true,
     .run = cmd_dial},
    {.name = "complete",
     .args = "-- [WORD]... UNFINISHED",
     .summary = "print completions (called by the shells)",
     .details = "",
     .examples = "",
     .options = plain_options,
     .max_args = -1,
     .stops_at_args = true,
     .hidden = true,
     .run = cmd_complete},
    {.name = "man",
     .args = "",
     .summary = "print the manual page",
     .details = "",
     .examples = "",
     .options = plain_options,
     .max_args = 0,
     .hidden = true,
     .run = cmd_man},
    {.name = "parse",
     .args = "-- VERB [ARG]...",
     .summary = "read a command line and do nothing (for tests of the documents)",
     .details = "",
     .examples = "",
     .options = plain_options,
     .min_args = 1,
     .max_args = -1,
     .stops_at_args = true,
     .hidden = true,
     .run = cmd_parse},
    {.name = "completion",
     .args = "bash|zsh|fish",
     .summary = "print completion for a shell",
     .details =
         "Completes verbs, options, values and the names of leases. Bash: source <(crabbox-fc "
         "completion bash).\nzsh: the same with zsh, after compinit. fish: crabbox-fc "
         "completion fish | source.",
     .examples =
         "crabbox-fc completion bash\ncrabbox-fc completion zsh\ncrabbox-fc completion fish",
     .options = plain_options,
     .min_args = 1,
     .max_args = 1,
     .takes = "bash|zsh|fish",
     .run = cmd_completion},
    {.name = "version",
     .args = "",
     .summary = "print the version",
     .details = "",
     .examples = "crabbox-fc version",
     .options = json_options,
     .max_args = 0,
     .run = cmd_version},
    {.name = "help",
     .args = "[VERB|config-flags]",
     .summary = "show help",
     .details = "help config-flags lists the flags that set configuration keys.",
     .examples = "crabbox-fc help run\ncrabbox-fc help config-flags",
     .options = plain_options,
     .max_args = 1,
     .takes = "VERB",
     .run = cmd_help},
};
const size_t verbs_len = ARRAY_LEN(verbs);

const struct verb *verb_by_name(const char *name)
{
    for (size_t i = 0; i < verbs_len; i++)
        if (str_eq(verbs[i].name, name) || (verbs[i].alias && str_eq(verbs[i].alias, name)))
            return &verbs[i];
    return NULL;
}

const struct flag_alias flag_aliases[] = {
    {"accel", "qemu.accel"},
    {"cpus", "firecracker.cpus"},
    {"memory", "firecracker.memoryMiB"},
    {"disk", "firecracker.diskMiB"},
    {"image", "image.dir"},
    {"launch-timeout", "firecracker.launchTimeout"},
};
const size_t flag_aliases_len = ARRAY_LEN(flag_aliases);
