#include "run_failed.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "run_results.h"

static char *reason(const struct ops_run_result *r, int code, const struct error *e)
{
    if (error_is_set(e))
        return xasprintf("%s\n", e->msg);
    if (r->timed_out)
        return xasprintf("the command was ended because its time was over\n");
    if (r->status.signalled)
        return xasprintf("the command was ended by signal %s\n", r->status.signal);
    if (r->status.code)
        return xasprintf("the command ended with exit code %d\n", code);
    return xasprintf("a test failed\n");
}

/* Keeps nothing of a run that was ended with Ctrl-C or because its reader has gone: the user knows
 * why it ended. True if something
 * is kept. */
static bool keep(struct invocation *in, const struct ops_run *req, const struct ops_run_result *r,
                 int code, const struct error *e, cJSON *j)
{
    char path[PATH_MAX];
    struct error failure = ERROR_INIT;
    struct deadline d = deadline_never();
    _cleanup_strbuf_ struct strbuf results = STRBUF_INIT;
    if (!req->bundle || !req->bundle->begun || e->kind == ERR_CANCELLED || out_reader_gone(e))
        return false;
    _cleanup_free_ char *why = reason(r, code, e);
    results_text(&r->collected.junit, &results);
    const struct bundle_words words = {why, results.buf, j};
    d.cancel_fd = in->cancel_fd;
    if (bundle_write(req->bundle, &in->ops.store, &r->lease, r->run_id, req->env, &words, &d, path,
                     &failure) < 0) {
        log_warn("nothing is kept of the failed run: %s", failure.msg);
        return false;
    }
    (void)cJSON_AddStringToObject(j, "failureBundle", path);
    return true;
}

/* The first word of the command is no program of the guest: says what it is. */
static bool say_misread(struct invocation *in, const struct ops_run *req)
{
    struct lease_entry e;
    const char *word = req->argv[0];
    if (req->shell || req->script || !word)
        return false;
    if (ops_entry(&in->ops, word, &e, NULL) == 0 && !e.broken && str_eq(e.lease.slug, word)) {
        log_info("%s is no program of the guest, but a lease; next: crabbox-fc run --id %s -- "
                 "COMMAND",
                 word, word);
        return true;
    }
    if (!strpbrk(word, " \t\n;&|<>$*"))
        return false;
    log_info("the guest has no program of the name \"%s\"; next: crabbox-fc run --shell, and bash "
             "reads it as a line",
             word);
    return true;
}

/* Where to look. */
static void say_next(const struct ops_run_result *r, bool kept)
{
    _cleanup_free_ char *look = kept ? xasprintf("crabbox-fc logs %s, ", r->run_id) : NULL;
    const char *first = look ? look : "";
    if (r->released)
        log_info("the command failed, and its lease is gone; next: %srun --keep-on-failure keeps "
                 "the machine, --artifact-glob and --capture-stdout bring files and output back",
                 first);
    else
        log_info("the command failed in %s; next: %scrabbox-fc ssh %s, crabbox-fc logs %s, or "
                 "crabbox-fc run --id %s --no-sync -- COMMAND",
                 *r->work_dir ? r->work_dir : "its lease", first, r->lease.slug, r->lease.slug,
                 r->lease.slug);
}

bool run_failed(struct invocation *in, const struct ops_run *req, const struct ops_run_result *r,
                int code, const struct error *e, cJSON *j)
{
    bool kept = keep(in, req, r, code, e, j);
    /* The watcher ends with the error of its run. */
    bool printed = kept && error_is_set(e) && in->verb->run == cmd_run;
    const char *path = json_opt_string(j, "failureBundle", "");
    bool says_next = r->timed_out || (!error_is_set(e) && ops_exit_code(&r->status) != 0);
    if (printed)
        out_error(e);
    if (kept)
        log_info("the end of the failed run's output, its logs and its results are in %s%s%s", path,
                 says_next ? "" : "; next: crabbox-fc logs ", says_next ? "" : r->run_id);
    if (says_next && !(r->ran && code == 127 && say_misread(in, req)))
        say_next(r, kept);
    return printed;
}
