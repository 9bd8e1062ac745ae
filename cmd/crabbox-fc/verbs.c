#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"

#define FLAG(n, l, m, h)                                                                           \
    {                                                                                              \
        n, l, NULL, OPT_BOOL, offsetof(struct options, m), h                                       \
    }
#define VALUE(n, mv, m, h)                                                                         \
    {                                                                                              \
        n, 0, mv, OPT_STRING, offsetof(struct options, m), h                                       \
    }
#define LIST(n, mv, k, m, h)                                                                       \
    {                                                                                              \
        n, 0, mv, k, offsetof(struct options, m), h                                                \
    }
#define COMMON                                                                                     \
    FLAG("help", 'h', help, "show this help"),                                                     \
        FLAG("quiet", 'q', quiet, "no progress and no summary, only warnings"),                    \
        FLAG("verbose", 'v', verbose, "the time of each step on standard error"),                  \
    {                                                                                              \
        0                                                                                          \
    }
#define JSON_OF(doc) FLAG("json", 0, json, "print JSON with the fields of " doc)
#define JSON         JSON_OF("docs/STATE.md")
#define LEASE_ID     VALUE("id", "LEASE", id, "lease by id, slug or name")
#define SLUG         VALUE("slug", "NAME", slug, "slug of the lease; made up when absent")
#define STALL                                                                                      \
    VALUE("stall-timeout", "TIME", stall_timeout,                                                  \
          "give up when nothing moves to or from the guest for so long; default: 5m")
#define TIMING FLAG("timing-json", 0, timing_json, "time of each phase as JSON on stderr")

static const struct option_spec warmup_options[] = {
    SLUG,
    FLAG("keep", 0, keep, "never collected by cleanup; only stop removes it"),
    VALUE("ttl", "TIME", ttl, "lifetime, as 90m (lease.ttl)"),
    VALUE("idle-timeout", "TIME", idle_timeout, "lifetime without use, as 30m (lease.idleTimeout)"),
    TIMING,
    JSON,
    COMMON,
};
static const struct option_spec run_options[] = {
    LEASE_ID,
    VALUE("slug", "NAME", slug, "use the lease of this slug if there is one, else make it"),
    FLAG("keep", 0, keep, "keep the lease afterwards"),
    FLAG("keep-on-failure", 0, keep_on_failure, "keep the lease if the command fails"),
    VALUE("stop-after", "success|always|failure|never", stop_after,
          "after which end the lease is stopped, also one of --id"),
    FLAG("wait", 0, wait, "wait while another run has the lease"),
    VALUE("wait-timeout", "TIME", wait_timeout, "wait at most this long; default: 10m"),
    FLAG("shell", 0, shell, "join the words and let bash read them"),
    VALUE("script", "FILE", script, "run this file of the host; the words are its arguments"),
    FLAG("script-stdin", 0, script_stdin,
         "run the script that comes on standard input; the words are its arguments"),
    FLAG("terminal", 't', terminal, "give the command a terminal"),
    VALUE("timeout", "TIME", timeout,
          "end the command and all its processes after this; exit code 124"),
    STALL,
    LIST("env", "NAME[=VALUE]", OPT_SECRETS, env, "set a variable, or pass ours on; repeatable"),
    LIST("env-file", "FILE", OPT_LIST, env_file, "variables, NAME=VALUE a line; repeatable"),
    FLAG("no-sync", 0, no_sync, "do not copy the working tree"),
    FLAG("sync-only", 0, sync_only, "copy the working tree, run nothing"),
    FLAG("sync-plan", 0, sync_plan, "print what would be copied; makes no lease, runs nothing"),
    FLAG("full-resync", 0, full_resync, "empty the work directory first and copy everything"),
    FLAG("force-sync-large", 0, force_sync_large, "copy it also beyond 150000 files or 20 GiB"),
    FLAG("allow-mass-deletions", 0, allow_mass_deletions,
         "delete 200 synced files or more in the guest"),
    VALUE("dir", "DIR", dir, "the working tree; default: the current directory"),
    LIST("download", "REMOTE=LOCAL", OPT_LIST, download,
         "bring a file or directory back afterwards; repeatable"),
    LIST("artifact-glob", "GLOB", OPT_LIST, artifact_glob,
         "bring back what matches, as out/**/*.log; repeatable"),
    VALUE("artifact-dir", "DIR", artifact_dir,
          "where --artifact-glob puts it; default: artifacts/<run id>"),
    LIST("junit", "GLOB[,GLOB]", OPT_LIST, junit, "sum up these test reports; repeatable"),
    FLAG("fail-on-test-failures", 0, fail_on_test_failures,
         "exit code 1 if a report has a failed test and the command said 0"),
    VALUE("capture-stdout", "FILE", capture_stdout, "standard output goes into this file instead"),
    VALUE("capture-stderr", "FILE", capture_stderr, "standard error goes into this file instead"),
    VALUE("ttl", "TIME", ttl, "lifetime of a new lease (lease.ttl)"),
    VALUE("idle-timeout", "TIME", idle_timeout, "lifetime without use (lease.idleTimeout)"),
    TIMING,
    COMMON,
};
static const struct option_spec stop_options[] = {
    LEASE_ID,
    VALUE("slug", "NAME", slug, "lease by slug, as --id"),
    JSON,
    COMMON,
};
static const struct option_spec json_options[] = {JSON, COMMON};
static const struct option_spec heartbeat_options[] = {LEASE_ID, JSON, COMMON};
static const struct option_spec config_options[] = {JSON_OF("docs/CONFIG.md"), COMMON};
static const struct option_spec trust_options[] = {
    VALUE("sha256", "HEX", sha256, "with add: trust the file only if it has this content"),
    JSON_OF("docs/CONFIG.md"),
    COMMON,
};
static const struct option_spec cp_options[] = {STALL, JSON, COMMON};
static const struct option_spec plain_options[] = {COMMON};
static const struct option_spec status_options[] = {
    LEASE_ID,
    VALUE("slug", "NAME", slug, "lease by slug, as --id"),
    FLAG("wait", 0, wait, "wait until the lease is ready, or never will be"),
    VALUE("wait-timeout", "TIME", wait_timeout, "wait at most this long; default: 5m"),
    JSON,
    COMMON,
};
static const struct option_spec ssh_options[] = {
    LEASE_ID,
    FLAG("print", 0, print, "print the ssh command instead of running it"),
    COMMON,
};
static const struct option_spec tunnel_options[] = {
    LEASE_ID,
    {"local", 'L', "[[ADDRESS:]PORT:[HOST:]]PORT", OPT_LIST,
     offsetof(struct options, local_forward), "a port here leads to one of the lease; repeatable"},
    {"remote", 'R', "[[ADDRESS:]PORT:[HOST:]]PORT", OPT_LIST,
     offsetof(struct options, remote_forward), "a port of the lease leads to one here; repeatable"},
    COMMON,
};
static const struct option_spec logs_options[] = {
    LEASE_ID,
    FLAG("console", 0, console, "the guest's console only, without headings"),
    FLAG("raw", 0, raw, "every byte as it was written, including what a terminal would act on"),
    COMMON,
};
static const struct option_spec cleanup_options[] = {
    FLAG("dry-run", 'n', dry_run, "only say what would be removed"),
    JSON,
    COMMON,
};
static const struct option_spec doctor_options[] = {
    VALUE("provider", "NAME", provider, "checks of this provider: firecracker"),
    JSON_OF("docs/DOCTOR.md"),
    COMMON,
};

const struct verb verbs[] = {
    {.name = "warmup",
     .args = "[OPTION]...",
     .summary = "make a lease and wait until SSH is ready",
     .details =
         "Makes a microVM with keys, network and disk of its own, waits until its SSH server "
         "shows the\npinned host key, and prints how to reach it.",
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
         "Makes a lease (or uses the one of --id or --slug), copies the files that git knows "
         "(--sync-plan\nlists them), runs the command and exits with its code. A lease that was "
         "made for the run goes away\nwith it.\n\nOf our variables only those of run.allowEnv go "
         "along (default: CI and NODE_OPTIONS), and what --env\nand --env-file name. Values travel "
         "over SSH into a file that only the guest's user can read; no\nargument vector and no log "
         "shows them. A bare NAME in a file in the working tree counts only if\nrun.allowEnv "
         "or an --env has it.\n\nWhat --download, --artifact-glob and --junit name comes back even "
         "after a failure; paths in the\nguest are relative to the work directory, and links in it "
         "are not followed. Names that programs on this\nhost would obey, such as .git, come back "
         "only if you name them. In paths on this host, no link in the\nworking tree is "
         "followed.\n\nWith -t "
         "every "
         "key goes to the guest, Ctrl-C too; at the start of a line ~. ends the command "
         "and\nleaves, "
         "~? shows all escapes.\n\nExit code: the command's own; 128 and the number of the signal "
         "that ended it; 124 after --timeout;\n130 after "
         "Ctrl-C; where the command could not be run at all, those of crabbox-fc help.",
     .examples = "crabbox-fc run -- make test\n"
                 "crabbox-fc run --id demo -- cat /etc/os-release\n"
                 "crabbox-fc run --keep --slug demo --shell 'make && ./test'\n"
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
    {.name = "stop",
     .alias = "release",
     .args = "[OPTION]... LEASE...",
     .summary = "end leases and leave nothing behind",
     .details = "Asks the guest to shut down, ends the VMM and removes network, disk and record. A "
                "lease that is\nnot there (any more) is a success.",
     .examples = "crabbox-fc stop demo\ncrabbox-fc stop cbx_0123456789ab",
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
     .details = "One row a lease. Records that can't be read are listed as broken, with the path.",
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
     .details =
         "Exit code 0 when it is ready, 5 when it is not, also after --wait, and 4 when there "
         "is none of that\nname.",
     .examples = "crabbox-fc status demo\ncrabbox-fc status --id demo --json\n"
                 "crabbox-fc status --wait --wait-timeout 10m demo",
     .options = status_options,
     .max_args = 1,
     .uses_config = true,
     .uses_store = true,
     .takes = "LEASE",
     .run = cmd_status},
    {.name = "ssh",
     .args = "[OPTION]... LEASE [COMMAND]...",
     .summary = "open a session in a lease with the stock ssh",
     .details =
         "Uses the lease's own ssh_config, with its key and the pinned host key. Exit code: "
         "ssh's own, which is\nthe session's, or 255 where ssh failed.\n\nThe lease counts as "
         "used until this ssh ends. One that goes to the background (-f,\nControlPersist) is "
         "not seen: for lasting forwards take crabbox-fc tunnel, or call crabbox-fc heartbeat\nnow "
         "and then.",
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
         "A directory that exists takes the source under its own name; else the "
         "destination is the new name.\nPaths of the guest are relative to the home "
         "directory. Only files and "
         "directories are copied\nout of the guest, nothing is written outside the destination, "
         "and names that programs on this host\nwould obey, such as .git, are copied only if you "
         "name them.\n\nExit code: 4 if the guest has no such file, or if there is no such lease.",
     .examples = "crabbox-fc cp demo:out/report.txt .\ncrabbox-fc cp notes.txt demo:\n"
                 "crabbox-fc cp -q tools demo:/tmp/tools",
     .options = cp_options,
     .min_args = 2,
     .max_args = 2,
     .uses_config = true,
     .uses_store = true,
     .takes = "PLACE",
     .run = cmd_cp},
    {.name = "tunnel",
     .args = "[OPTION]... LEASE",
     .summary = "forward ports to a lease or back, until Ctrl-C",
     .details =
         "Ports listen on 127.0.0.1 unless an address is given. 8080 is short for "
         "8080:localhost:8080. Uses the\nstock ssh with the lease's key and pinned host key, and "
         "ends with its exit code, which is 255 after\nCtrl-C.",
     .examples =
         "crabbox-fc tunnel -L 8080 demo\ncrabbox-fc tunnel -L 5433:5432 -L 9000:10.0.0.7:80 demo\n"
         "crabbox-fc tunnel -R 3128:proxy.example:3128 demo",
     .options = tunnel_options,
     .max_args = 1,
     .uses_config = true,
     .uses_store = true,
     .takes = "LEASE",
     .run = cmd_tunnel},
    {.name = "logs",
     .args = "[OPTION]... LEASE",
     .summary = "show the guest's console and the VMM's log",
     .details =
         "Works for a lease that failed to start, too: its logs are kept. What a terminal would "
         "act on "
         "is\nwritten as an escape (\\x1b), even into a pipe or a file; --raw leaves every byte as "
         "it is.",
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
     .details =
         "Never removes a lease that is kept. Looks at every lease, past failures; exit code 1 "
         "if one\ncould not be removed.",
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
     .details = "Prints when it now expires. A lease that is not ready has none to extend: exit "
                "code 5.",
     .examples = "crabbox-fc heartbeat demo\ncrabbox-fc heartbeat --id demo --json",
     .options = heartbeat_options,
     .max_args = 1,
     .uses_config = true,
     .uses_store = true,
     .takes = "LEASE",
     .run = cmd_heartbeat},
    {.name = "doctor",
     .args = "[OPTION]...",
     .summary = "say whether this host is ready, and what is "
                "missing",
     .details = "Looks, and changes nothing. Exit code 0 when ready, 1 when not.",
     .examples = "crabbox-fc doctor\ncrabbox-fc doctor --provider firecracker --json\n"
                 "crabbox-fc doctor --vmm qemu --accel tcg",
     .options = doctor_options,
     .max_args = 0,
     .uses_config = true,
     .run = cmd_doctor},
    {.name = "config",
     .args = "show|path [OPTION]...",
     .summary = "show the configuration and where each value came from",
     .details = "show prints every key with its value and source; path prints the files that were "
                "looked for.",
     .examples = "crabbox-fc config show\ncrabbox-fc config show --json\ncrabbox-fc config path",
     .options = config_options,
     .min_args = 1,
     .max_args = 1,
     .uses_config = true,
     .takes = "show|path",
     .run = cmd_config},
    {.name = "trust",
     .args = "[add|list|revoke] [FILE]",
     .summary = "trust the exact content of a repository's .crabbox-fc.yaml",
     .details = "A file that is not trusted may not name programs, paths or anything else of the "
                "host. Trust\nholds for one path with one content; a change asks again.",
     .examples = "crabbox-fc trust list\ncrabbox-fc trust add .crabbox-fc.yaml\n"
                 "crabbox-fc trust revoke .crabbox-fc.yaml",
     .options = trust_options,
     .max_args = 2,
     .takes = "add|list|revoke",
     .run = cmd_trust},
    {.name = "keeper",
     .args = "LEASE",
     .summary = "watch over one lease until it ends (started by warmup)",
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
     .summary = "say what could come next (asked by the shells)",
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
