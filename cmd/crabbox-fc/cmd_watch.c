/* cmd_watch.c: run again in the same lease whenever the tree has changed. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd.h"
#include "made_with.h"
#include "run/treewatch.h"
#include "run_plan.h"

enum { DEBOUNCE_MS = 250, INTERRUPTED = 130 };

struct loop {
    struct session session; /* owned: the lease does not idle out between two runs */
    struct tree_watch tree; /* owned */
    int64_t quiet_ms, idle_ms;
    size_t runs;
};

static void loop_close(struct loop *l)
{
    tree_watch_close(&l->tree);
    session_close(&l->session);
    CLOSE_FD(l->tree.dir_fd);
}

/* Nobody types for the tenth run. */
static int close_stdin(struct error *err)
{
    _cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return null < 0 || dup2(null, STDIN_FILENO) < 0
               ? error_set(err, ERR_INTERNAL, errno, "open /dev/null")
               : 0;
}

/* All that can be refused without a lease. */
static int loop_prepare(struct invocation *in, struct loop *l, struct error *err)
{
    struct tree_watch *t = &l->tree;
    l->quiet_ms = DEBOUNCE_MS;
    if (option_time("debounce", in->opt.debounce, &l->quiet_ms, err) < 0 ||
        option_time("idle-exit", in->opt.idle_exit, &l->idle_ms, err) < 0 ||
        run_begin(in, &t->dir_fd, err) < 0)
        return -1;
    t->exclude = in->cfg.run.exclude;
    t->limits = run_plan_limits(in);
    t->cancel_fd = in->cancel_fd;
    return tree_watch_open(t, err);
}

static int use_lease(struct invocation *in, struct loop *l, struct error *err)
{
    if (session_find(&in->ops, in->opt.id, 0, &l->session, err) < 0)
        return -1;
    if (!in->opt.idle_exit)
        l->idle_ms = l->session.lease.idle_timeout_s * 1000;
    l->tree.gone_fd = l->session.gone_fd;
    made_with_warn(&in->cfg, &l->session.lease);
    return 0;
}

/* Until Ctrl-C, or until nothing has changed for long enough: the code of the last run. */
static int run_loop(struct invocation *in, struct loop *l, struct error *err)
{
    for (;;) {
        if (tree_watch_mark(&l->tree, err) < 0)
            return -1;
        l->runs++;
        int code = cmd_run(in, err);
        if (code < 0)
            return -1;
        log_info("watch: run %zu ended with %d; waiting for a change of the tree, Ctrl-C ends it",
                 l->runs, code);
        int changed = tree_watch_wait(&l->tree, l->quiet_ms, l->idle_ms, err);
        if (changed < 0)
            return -1;
        if (changed == 0) {
            char idle[STR_TIME_SIZE];
            str_time(l->idle_ms, idle);
            log_info("watch: nothing has changed for %s; next: --idle-exit TIME, to wait longer",
                     idle);
            return code;
        }
    }
}

static int watch(struct invocation *in, struct loop *l, struct error *err)
{
    if (use_lease(in, l, err) < 0)
        return -1;
    int code = run_loop(in, l, err);
    if (code < 0 && err->kind == ERR_CANCELLED) { /* how it mostly ends */
        error_clear(err);
        code = INTERRUPTED;
    }
    log_info("watch: ended after %zu run%s", l->runs, l->runs == 1 ? "" : "s");
    return code;
}

static int watch_in_new(struct invocation *in, struct loop *loop, struct error *err)
{
    const struct ops_acquire req = {.slug = in->opt.slug, .keep = in->opt.keep};
    struct lease l;
    struct ops_released released;
    struct error e = ERROR_INIT;
    if (ops_acquire(&in->ops, &req, &l, NULL, NULL, err) < 0)
        return -1;
    in->opt.id = l.id;
    in->opt.slug = NULL;
    int code = watch(in, loop, err);
    session_close(&loop->session);
    if (in->opt.keep) {
        log_info("the lease is kept; next: crabbox-fc stop %s", l.slug);
    } else if (ops_release(&in->ops, l.id, &released, &e) < 0 && e.kind != ERR_NOT_FOUND) {
        if (code < 0)
            (void)error_append(err, "; releasing the lease failed too: %s", e.msg);
        else
            *err = e;
        code = -1;
    }
    return code;
}

int cmd_watch(struct invocation *in, struct error *err)
{
    _cleanup_(loop_close) struct loop l = {.session = SESSION_INIT, .tree = TREE_WATCH_INIT};
    if (!in->n_args)
        return error_set(err, ERR_USAGE, 0,
                         "watch needs a command; next: crabbox-fc watch -- COMMAND [ARG]...");
    if (loop_prepare(in, &l, err) < 0 || close_stdin(err) < 0)
        return -1;
    return in->opt.id ? watch(in, &l, err) : watch_in_new(in, &l, err);
}
