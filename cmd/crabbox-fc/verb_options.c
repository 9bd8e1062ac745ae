#include "verb_options.h"

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
        FLAG("quiet", 'q', quiet, "print warnings, but no progress and no summary"),               \
        FLAG("verbose", 'v', verbose, "print the time of each step on standard error"),            \
    {                                                                                              \
        0                                                                                          \
    }
#define JSON_OF(doc) FLAG("json", 0, json, "print JSON with the fields of " doc)
#define JSON         JSON_OF("docs/STATE.md")
#define LEASE_ID     VALUE("id", "LEASE", id, "lease by id, slug or name")
#define SLUG                                                                                       \
    VALUE("slug", "NAME", slug,                                                                    \
          "slug of the lease; if another one has it, digits are added; default: a generated one")
#define STALL                                                                                      \
    VALUE("stall-timeout", "TIME", stall_timeout,                                                  \
          "give up if nothing moves to or from the guest for this long; default: 5m")
#define TIMING FLAG("timing-json", 0, timing_json, "print the time of each phase as JSON on stderr")

const struct option_spec warmup_options[] = {
    SLUG,
    VALUE("lease-id", "ID", lease_id,
          "id of the lease, cbx_ and 12 hex digits; if there is a lease with it already, that is "
          "used"),
    FLAG("keep", 0, keep,
         "keep the lease until stop removes it; default: --keep=false, it expires"),
    VALUE("ttl", "TIME", ttl, "lifetime, such as 90m (lease.ttl)"),
    VALUE("idle-timeout", "TIME", idle_timeout,
          "lifetime without use, such as 30m (lease.idleTimeout)"),
    TIMING,
    JSON,
    COMMON,
};
const struct option_spec run_options[] = {
    LEASE_ID,
    VALUE("slug", "NAME", slug, "slug of the new lease; if another lease has it, digits are added"),
    FLAG("reuse", 0, reuse, "use the lease that has the slug of --slug, if there is one"),
    FLAG("keep", 0, keep, "keep the lease afterwards"),
    FLAG("keep-on-failure", 0, keep_on_failure, "keep the lease if the command fails"),
    VALUE("stop-after", "success|always|failure|never", stop_after,
          "when to stop the lease, by the command's result; also with --id"),
    FLAG("wait", 0, wait, "wait until no other run has the lease"),
    VALUE("wait-timeout", "TIME", wait_timeout, "wait at most this long; default: 10m"),
    FLAG("shell", 0, shell, "join the words and let bash read them"),
    VALUE("script", "FILE", script, "run this file of the host; the words are its arguments"),
    FLAG("script-stdin", 0, script_stdin,
         "read a script from standard input and run it; the words are its arguments"),
    FLAG("terminal", 't', terminal, "give the command a terminal"),
    VALUE("timeout", "TIME", timeout,
          "end the command and all its processes after this time; exit code 124"),
    STALL,
    LIST("env", "NAME[=VALUE]", OPT_SECRETS, env, "set a variable, or pass ours on; repeatable"),
    LIST("env-file", "FILE", OPT_LIST, env_file, "variables, NAME=VALUE a line; repeatable"),
    FLAG("no-sync", 0, no_sync, "do not copy the working tree"),
    FLAG("sync-only", 0, sync_only, "copy the working tree and run nothing"),
    FLAG("sync-plan", 0, sync_plan,
         "print the files that would be copied; make no lease, run nothing"),
    JSON_OF("docs/RUN.md; with --sync-plan"),
    FLAG("no-git", 0, no_git,
         "ignore any .git: copy all files of the directory, also those that git ignores"),
    FLAG("full-resync", 0, full_resync, "empty the work directory first and copy everything"),
    FLAG("fresh-sync", 0, full_resync, "the same as --full-resync"),
    FLAG("reclaim", 0, reclaim,
         "if the work directory belongs to another tree, empty it and copy this one"),
    FLAG("force-sync-large", 0, force_sync_large,
         "copy the working tree even if it has more than 150000 files or 20 GiB"),
    FLAG("allow-mass-deletions", 0, allow_mass_deletions,
         "allow the sync to delete 200 files or more in the guest"),
    VALUE("dir", "DIR", dir, "the working tree; default: the current directory"),
    LIST("download", "REMOTE=LOCAL", OPT_LIST, download,
         "bring a file or directory back afterwards; repeatable"),
    LIST("artifact-glob", "GLOB", OPT_LIST, artifact_glob,
         "bring back the files that match, such as out/**/*.log; repeatable"),
    LIST("require-artifact", "GLOB", OPT_LIST, require_artifact,
         "the same, but exit code 4 if the command succeeded and no file matches; repeatable"),
    VALUE("artifact-dir", "DIR", artifact_dir,
          "where --artifact-glob puts the files; default: artifacts/<run id>"),
    LIST("junit", "GLOB[,GLOB]", OPT_LIST, junit, "sum up these test reports; repeatable"),
    FLAG("fail-on-test-failures", 0, fail_on_test_failures,
         "exit code 1 if a report has a failed test and the command's code is 0"),
    VALUE("label", "TEXT", label, "a word for this run in its summary and in --timing-json"),
    VALUE("capture-stdout", "FILE", capture_stdout,
          "write the command's standard output to this file"),
    VALUE("capture-stderr", "FILE", capture_stderr,
          "write the command's standard error to this file"),
    VALUE("ttl", "TIME", ttl, "lifetime of a new lease (lease.ttl)"),
    VALUE("idle-timeout", "TIME", idle_timeout, "lifetime without use (lease.idleTimeout)"),
    TIMING,
    COMMON,
};
const struct option_spec watch_options[] = {
    LEASE_ID,
    SLUG,
    FLAG("keep", 0, keep, "keep a lease that was made for it"),
    VALUE("debounce", "TIME", debounce, "quiet time after a change, before a run; default: 250ms"),
    VALUE("idle-exit", "TIME", idle_exit,
          "end after this time without a change; default: the lease's idle time"),
    FLAG("shell", 0, shell, "join the words and let bash read them"),
    VALUE("timeout", "TIME", timeout, "end a run and all its processes after this time"),
    STALL,
    LIST("env", "NAME[=VALUE]", OPT_SECRETS, env, "set a variable, or pass ours on; repeatable"),
    LIST("env-file", "FILE", OPT_LIST, env_file, "variables, NAME=VALUE a line; repeatable"),
    LIST("junit", "GLOB[,GLOB]", OPT_LIST, junit, "sum up these test reports; repeatable"),
    FLAG("fail-on-test-failures", 0, fail_on_test_failures,
         "a run fails if a report has a failed test"),
    FLAG("force-sync-large", 0, force_sync_large,
         "copy the working tree even if it has more than 150000 files or 20 GiB"),
    FLAG("allow-mass-deletions", 0, allow_mass_deletions,
         "allow the sync to delete 200 files or more in the guest"),
    VALUE("ttl", "TIME", ttl, "lifetime of a new lease (lease.ttl)"),
    VALUE("idle-timeout", "TIME", idle_timeout, "lifetime without use (lease.idleTimeout)"),
    TIMING,
    COMMON,
};
const struct option_spec stop_options[] = {
    LEASE_ID,
    VALUE("slug", "NAME", slug, "lease by slug, the same as --id"),
    FLAG("missing-ok", 0, missing_ok, "exit code 0 even if there is no such lease (any more)"),
    JSON,
    COMMON,
};
const struct option_spec json_options[] = {JSON, COMMON};
const struct option_spec heartbeat_options[] = {
    LEASE_ID,
    VALUE("idle-timeout", "TIME", idle_timeout, "from now on, the lifetime without use"),
    JSON,
    COMMON,
};
const struct option_spec config_options[] = {JSON_OF("docs/CONFIG.md"), COMMON};
const struct option_spec trust_options[] = {
    VALUE("sha256", "HEX", sha256, "with add: trust the file only if its content has this hash"),
    JSON_OF("docs/CONFIG.md"),
    COMMON,
};
const struct option_spec cp_options[] = {
    VALUE("id", "LEASE", id, "lease by id, slug or name; its places are then SANDBOX:PATH"),
    STALL,
    JSON,
    COMMON,
};
const struct option_spec plain_options[] = {COMMON};
const struct option_spec status_options[] = {
    LEASE_ID,
    VALUE("slug", "NAME", slug, "lease by slug, the same as --id"),
    FLAG("wait", 0, wait, "wait until the lease is ready, or can't become ready any more"),
    VALUE("wait-timeout", "TIME", wait_timeout, "wait at most this long; default: 5m"),
    JSON,
    COMMON,
};
const struct option_spec ssh_options[] = {
    LEASE_ID,
    FLAG("print", 0, print, "print the ssh command instead of running it"),
    COMMON,
};
const struct option_spec tunnel_options[] = {
    LEASE_ID,
    {"local", 'L', "[[ADDRESS:]PORT:[HOST:]]PORT", OPT_LIST,
     offsetof(struct options, local_forward),
     "forward a port of this host to one of the lease; repeatable"},
    {"remote", 'R', "[[ADDRESS:]PORT:[HOST:]]PORT", OPT_LIST,
     offsetof(struct options, remote_forward),
     "forward a port of the lease to one of this host; repeatable"},
    VALUE("local-port", "PORT", local_port, "port of this host for PORT; default: a free one"),
    COMMON,
};
const struct option_spec logs_options[] = {
    LEASE_ID,
    FLAG("console", 0, console, "print only the guest's console, without headings"),
    FLAG("raw", 0, raw,
         "print every byte as it was written, including those that a terminal acts on"),
    COMMON,
};
const struct option_spec cleanup_options[] = {
    FLAG("dry-run", 'n', dry_run, "only print what would be removed"),
    JSON,
    COMMON,
};
const struct option_spec doctor_options[] = {
    VALUE("provider", "NAME", provider,
          "firecracker: check Firecracker, whatever vmm is set to; crabbox-fc: check what is "
          "configured"),
    JSON_OF("docs/DOCTOR.md"),
    COMMON,
};
