#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "base/text.h"
#include "cmd.h"
#include "made_with.h"
#include "ops/provider.h"
#include "run/run.h"
#include "run_failed.h"
#include "run_plan.h"
#include "run_results.h"
#include "run_timing.h"
#include "sync/home.h"
#include "sys/beneath.h"
#include "sys/caller.h"
#include "sys/file.h"
#include "sys/worktree.h"

enum { SCRIPT_MAX = 16 * 1024 * 1024, DEFAULT_WAIT_MS = 10 * 60 * 1000 };

static void print_summary(const struct ops_run_result *r, const char *label)
{
    const struct machine_words words = machine_words(&r->lease);
    char how[64];
    _cleanup_free_ char *lacks = *words.lacks ? xasprintf(" isolation=degraded (%s)", words.lacks)
                                              : xstrdup("");
    if (r->timed_out)
        (void)str_format(how, sizeof how, "timeout");
    else if (r->status.signalled)
        (void)str_format(how, sizeof how, "signal=%s", r->status.signal);
    else
        (void)str_format(how, sizeof how, "exit=%d", r->status.code);
    log_info("run complete %s%s%s slug=%s vmm=%s accel=%s%s%s lease=%lldms sync=%lldms (%zu of %zu "
             "files) "
             "command=%lldms stop=%lldms total=%lldms",
             how, label ? " label=" : "", label ? label : "", r->lease.slug, words.vmm, words.accel,
             words.emulated ? " (emulated)" : "", lacks, (long long)(r->lease_us / 1000),
             (long long)(r->sync_us / 1000), r->files_sent, r->files,
             (long long)(r->command_us / 1000), (long long)(r->stop_us / 1000),
             (long long)(r->total_us / 1000));
}

static void print_synced(const struct ops_run_result *r)
{
    const struct machine_words words = machine_words(&r->lease);
    log_info("sync complete slug=%s vmm=%s accel=%s lease=%lldms sync=%lldms (%zu of %zu files) "
             "total=%lldms",
             r->lease.slug, words.vmm, words.accel, (long long)(r->lease_us / 1000),
             (long long)(r->sync_us / 1000), r->files_sent, r->files,
             (long long)(r->total_us / 1000));
}

static void print_kept(const struct ops_run_result *r)
{
    if (r->acquired && !r->released)
        log_info(
            "the lease is kept; next: crabbox-fc run --id %s -- COMMAND, or crabbox-fc stop %s",
            r->lease.slug, r->lease.slug);
}

/* The lease to use; NULL: a new one, because two jobs that take the same slug must not share a
 * machine unless they say so. */
static const char *existing(struct invocation *in)
{
    char id[LEASE_ID_SIZE];
    if (in->opt.id)
        return in->opt.id;
    if (in->opt.reuse && store_resolve(&in->ops.store, in->opt.slug, id, NULL) == 0)
        return in->opt.slug;
    return NULL;
}

/* What is not wrong, but hardly meant. The watcher says it once for all its runs. */
static void warn_of_words(struct invocation *in, const char *ref)
{
    struct lease_entry e;
    const bool like_ssh = !ref && in->n_args > 1 && str_eq(in->args[1], "--");
    const char *name = ref ? ref : like_ssh ? in->args[0] : NULL;
    if (!name || in->verb->run != cmd_run || ops_entry(&in->ops, name, &e, NULL) < 0 ||
        ops_view(&e) != VIEW_READY)
        return;
    if (ref)
        made_with_warn(&in->cfg, &e.lease);
    else
        log_warn("%s is a lease, but here it is taken for the command, for which a new lease is "
                 "made; next: Ctrl-C, then crabbox-fc run --id %s -- COMMAND",
                 name, name);
}

/* What has to be there, or not, together. */
static int check_options(const struct invocation *in, struct error *err)
{
    const struct options *o = &in->opt;
    bool script = o->script || o->script_stdin;
    if (!script && (in->n_args ? !*in->args[0] : !o->sync_only && !o->sync_plan))
        return error_set(err, ERR_USAGE, 0,
                         "run needs a command; next: crabbox-fc run -- COMMAND [ARG]...");
    const struct {
        bool both;
        const char *what;
    } pairs[] = {
        {o->sync_only && o->no_sync, "--sync-only and --no-sync"},
        {o->sync_plan && o->no_sync, "--sync-plan and --no-sync"},
        {o->full_resync && o->no_sync, "--full-resync and --no-sync"},
        {o->reclaim && o->no_sync, "--reclaim and --no-sync"},
        {o->script && o->script_stdin, "--script and --script-stdin"},
        {script && o->shell, "--shell and a script"},
        {script && o->sync_only, "--sync-only and a script"},
        {in->n_args && o->sync_only, "--sync-only and a command"},
        {o->script_stdin && o->terminal, "--script-stdin and --terminal"},
        {o->id && o->slug, "--id and --slug"},
        {o->keep && o->stop_after, "--keep and --stop-after"},
        {o->keep_on_failure && o->stop_after, "--keep-on-failure and --stop-after"},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (pairs[i].both)
            return error_set(err, ERR_USAGE, 0, "%s can't be used together", pairs[i].what);
    if (o->json && !o->sync_plan)
        return error_set(err, ERR_USAGE, 0,
                         "--json needs --sync-plan; next: --timing-json, for the times of a run");
    if (o->reuse && !o->slug)
        return error_set(err, ERR_USAGE, 0, "--reuse needs --slug; next: crabbox-fc run --help");
    if (o->terminal && !isatty(STDIN_FILENO))
        return error_set(err, ERR_USAGE, 0,
                         "--terminal needs a terminal on standard input, and there is none");
    return 0;
}

/* `--dir .` says that one means it. Another --dir says nothing about where relative paths begin. */
static bool is_working_dir(int fd)
{
    struct stat dir, here;
    return fstat(fd, &dir) == 0 && stat(".", &here) == 0 && dir.st_dev == here.st_dev &&
           dir.st_ino == here.st_ino;
}

int way_here_check(const struct invocation *in, struct error *err)
{
    char link[PATH_MAX];
    bool meant = in->opt.dir && is_working_dir(in->dir_fd);
    _cleanup_strbuf_ struct strbuf pwds = STRBUF_INIT;
    if (!meant)
        caller_pwds(&pwds);
    int r = 0;
    for (size_t at = 0; r == 0 && at < pwds.len; at += strlen(pwds.buf + at) + 1)
        r = worktree_pwd_link(pwds.buf + at, link);
    if (r <= 0)
        return r == 0 ? 0 : error_set(err, ERR_USAGE, errno, "find out how you came here");
    return error_set(err, ERR_USAGE, 0,
                     "you came here by the symbolic link %s, which may have come with code that is "
                     "not yours, and would choose what is sent or written; next: cd -P . in the "
                     "shell that came here, if you mean this directory",
                     SHOWN(link));
}

/* The user's place in the tree. It may be gone if there is nothing to sync. */
static int open_tree(struct invocation *in, int *fd, struct error *err)
{
    *fd = in->opt.dir ? TAKE_FD(in->dir_fd) : open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 && !in->opt.no_sync
               ? error_set(err, ERR_SYNC, errno, "open the current directory")
               : 0;
}

static bool is_dir_at(int fd, const char *path)
{
    struct stat st, other;
    return path && *path && fstat(fd, &st) == 0 && stat(path, &other) == 0 &&
           st.st_dev == other.st_dev && st.st_ino == other.st_ino;
}

/* A command run in the wrong directory must not send the keys in a home, or a whole host, into a
 * guest. A .git there may have come with an archive, so it makes the home a tree only if $HOME is
 * not one that the system knows, as in a CI job. */
static int check_tree(const struct options *o, int fd, struct error *err)
{
    const char *home = home_by_env();
    if (o->dir || o->no_sync ||
        (!home_is_within(fd, false) &&
         (!is_dir_at(fd, home) || faccessat(fd, ".git", F_OK, AT_SYMLINK_NOFOLLOW) == 0)))
        return 0;
    return error_set(err, ERR_USAGE, 0,
                     "this directory is not a working tree but %s, and all of it would be copied; "
                     "next: cd into a working tree, or --no-sync, or --dir . if you mean it",
                     is_dir_at(fd, "/")    ? "the whole host"
                     : is_dir_at(fd, home) ? "your home directory"
                                           : "one that is or contains your home directory");
}

static int take_stop_after(const char *text, enum ops_stop_after *out, struct error *err)
{
    static const char *const words[] = {[STOP_SUCCESS] = "success",
                                        [STOP_FAILURE] = "failure",
                                        [STOP_ALWAYS] = "always",
                                        [STOP_NEVER] = "never"};
    *out = STOP_AS_MADE;
    for (size_t i = STOP_SUCCESS; text && i < ARRAY_LEN(words); i++)
        if (str_eq(words[i], text))
            *out = (enum ops_stop_after)i;
    if (text && *out == STOP_AS_MADE)
        return error_set(err, ERR_USAGE, 0,
                         "--stop-after: \"%s\" is not one of success, always, failure, never",
                         text);
    return 0;
}

/* A switch that Crabbox's scripts set as a variable. */
static bool allowed_by_env(const char *name)
{
    const char *v = getenv(name);
    return v && (str_eq(v, "1") || str_eq(v, "true"));
}

/* What the host's variables, the files and the options come to. */
static int take_env(const struct invocation *in, struct env_set *env, struct error *err)
{
    struct deadline d = deadline_never();
    const char *const *envp = (const char *const *)environ;
    const struct options *o = &in->opt;
    d.cancel_fd = in->cancel_fd;
    if (env_set_allow(env, in->cfg.run.allow_env, envp, err) < 0)
        return -1;
    /* A file in the tree may name only variables that may go anyway, or that --env names too. */
    _cleanup_strbuf_ struct strbuf allow = STRBUF_INIT;
    strbuf_adds(&allow, in->cfg.run.allow_env);
    for (size_t i = 0; i < o->env.n; i++)
        strbuf_addf(&allow, ",%.*s", (int)strcspn(o->env.items[i], "="), o->env.items[i]);
    for (size_t i = 0; i < o->env_file.n; i++)
        if (env_set_file(env, o->env_file.items[i], allow.buf ? allow.buf : "", envp, &d, err) < 0)
            return -1;
    for (size_t i = 0; i < o->env.n; i++)
        if (env_set_option(env, o->env.items[i], envp, err) < 0)
            return -1;
    return 0;
}

static int take_script(const struct invocation *in, struct strbuf *text, struct error *err)
{
    const struct options *o = &in->opt;
    struct deadline d = deadline_never();
    const char *name = o->script ? o->script : "standard input";
    if (!o->script && !o->script_stdin)
        return 0;
    _cleanup_close_ int fd = o->script ? beneath_input("--script", o->script, NULL, err) : -1;
    if (o->script && fd < 0)
        return -1;
    d.cancel_fd = in->cancel_fd;
    if (fd_read_all_by(o->script ? fd : STDIN_FILENO, SCRIPT_MAX, name, &d, text, err) < 0)
        return error_prefix(err, "read the script");
    if (!text->len)
        return error_set(err, ERR_USAGE, 0, "the script of %s is empty", name);
    return 0;
}

/* What kind of terminal ours is; only what such a name can hold goes to the guest. */
static const char *term_name(void)
{
    const char *term = getenv("TERM");
    size_t len = term ? strspn(term, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789+-._")
                      : 0;
    return len && len < 64 && !term[len] ? term : "xterm";
}

static int exit_code(const struct ops_run_result *r)
{
    if (r->timed_out)
        return OPS_EXIT_TIMEOUT;
    int code = r->ran ? ops_exit_code(&r->status) : 0;
    return code == 0 && r->collected.tests_failed ? 1 : code;
}

static int run_request(struct invocation *in, const struct ops_run *req, struct error *err)
{
    struct ops_run_result res;
    int r = ops_run(&in->ops, req, &res, err);
    if (r < 0 && err->kind == ERR_IO && err->sys == EBADF)
        (void)out_check(err); /* which says what to do */
    int code = r < 0 ? error_exit_code(err->kind) : exit_code(&res);
    if (r == 0 && res.timed_out)
        log_warn("the command was ended because its time was over (--timeout %s)", in->opt.timeout);
    results_print(&res.collected);
    if (r == 0 && res.ran)
        print_summary(&res, in->opt.label);
    else if (r == 0 && in->opt.sync_only)
        print_synced(&res);
    _cleanup_json_ cJSON *j = run_timing_json(in, &res, code, err);
    bool printed = code && run_failed(in, req, &res, code, err, j);
    if (r == 0)
        print_kept(&res);
    if (in->opt.timing_json)
        out_json_stderr(j);
    if (printed)
        error_clear(err);
    return r < 0 && !printed ? -1 : code;
}

int run_begin(struct invocation *in, int *tree, struct error *err)
{
    struct options *o = &in->opt;
    o->force_sync_large |= allowed_by_env("CRABBOX_SYNC_ALLOW_LARGE");
    o->allow_mass_deletions |= allowed_by_env("CRABBOX_ALLOW_MASS_DELETIONS");
    if (check_options(in, err) < 0 || way_here_check(in, err) < 0 || open_tree(in, tree, err) < 0)
        return -1;
    return o->sync_plan ? 0 : check_tree(o, *tree, err);
}

/* What the options say as they stand. */
static struct ops_run request_of(const struct invocation *in)
{
    const struct options *o = &in->opt;
    return (struct ops_run){
        .slug = o->slug,
        .keep = o->keep || (o->sync_only && !o->stop_after),
        .keep_on_failure = o->keep_on_failure,
        .argv = in->args,
        .shell = o->shell,
        .term = o->terminal ? term_name() : NULL,
        .wait_ms = o->wait ? DEFAULT_WAIT_MS : 0,
        .no_sync = o->no_sync,
        .sync_only = o->sync_only,
        .full_resync = o->full_resync,
        .reclaim = o->reclaim,
        .no_git = o->no_git,
        .sync_large = o->force_sync_large,
        .delete_many = o->allow_mass_deletions,
        .stdin_fd = o->script_stdin ? -1 : STDIN_FILENO,
        .stdout_fd = STDOUT_FILENO,
        .stderr_fd = STDERR_FILENO,
    };
}

/* Streams that go to files; -1: one goes where ours does. */
static void use_captures(const struct options *o, int out, int err_out, struct ops_run *req)
{
    if (out >= 0) {
        req->stdout_fd = out;
        req->capture_stdout = o->capture_stdout;
    }
    if (err_out >= 0) {
        req->stderr_fd = err_out;
        req->capture_stderr = o->capture_stderr;
    }
}

int cmd_run(struct invocation *in, struct error *err)
{
    const struct options *o = &in->opt;
    _cleanup_(env_set_free) struct env_set env = ENV_SET_INIT;
    _cleanup_close_ int tree = -1;
    _cleanup_close_ int capture_out = -1;
    _cleanup_close_ int capture_err = -1;
    _cleanup_(words_free) struct option_list reports = {0};
    _cleanup_(collect_close) struct ops_collect collect = {0};
    _cleanup_(bundle_free) struct bundle bundle = BUNDLE_INIT;
    _cleanup_strbuf_ struct strbuf script = STRBUF_INIT;
    if (run_begin(in, &tree, err) < 0)
        return -1;
    if (o->sync_plan)
        return run_plan_print(in, tree, err);
    struct ops_run req = request_of(in);
    req.dir_fd = tree;
    req.env = &env;
    req.collect = &collect;
    req.bundle = in->cfg.results.capture_on_fail ? &bundle : NULL;
    if (option_time("timeout", o->timeout, &req.timeout_ms, err) < 0 ||
        option_time("wait-timeout", o->wait_timeout, &req.wait_ms, err) < 0 ||
        option_time("stall-timeout", o->stall_timeout, &req.stall_ms, err) < 0 ||
        take_stop_after(o->stop_after, &req.stop_after, err) < 0 || take_env(in, &env, err) < 0 ||
        results_request(in, &reports, &collect, err) < 0 || take_script(in, &script, err) < 0 ||
        capture_open("--capture-stdout", o->capture_stdout, &capture_out, err) < 0 ||
        capture_open("--capture-stderr", o->capture_stderr, &capture_err, err) < 0)
        return -1;
    if (script.len) {
        req.script = script.buf;
        req.script_len = script.len;
    }
    use_captures(o, capture_out, capture_err, &req);
    req.ref = existing(in);
    warn_of_words(in, req.ref);
    return run_request(in, &req, err);
}
