/* cmd_watch.c: run again in the same lease whenever the tree has changed. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd.h"
#include "run/treewatch.h"

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

static int loop_open(struct invocation *in, struct loop *l, struct error *err)
{
    struct tree_watch *t = &l->tree;
    if (session_find(&in->ops, in->opt.id, 0, &l->session, err) < 0)
        return -1;
    int64_t lease_ms = l->session.lease.idle_timeout_s * 1000;
    l->quiet_ms = DEBOUNCE_MS;
    l->idle_ms = lease_ms;
    if (option_time("debounce", in->opt.debounce, &l->quiet_ms, err) < 0 ||
        option_time("idle-exit", in->opt.idle_exit, &l->idle_ms, err) < 0)
        return -1;
    t->dir_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (t->dir_fd < 0)
        return error_set(err, ERR_SYNC, errno, "open the current directory");
    t->exclude = in->cfg.run.exclude;
    t->limits = (struct sync_limits)SYNC_LIMITS_DEFAULT;
    t->limits.never = in->ops.store.path;
    if (in->opt.force_sync_large)
        t->limits.max_files = t->limits.max_bytes = 0;
    t->cancel_fd = in->cancel_fd;
    t->gone_fd = l->session.gone_fd;
    return tree_watch_open(t, err);
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
            log_info("watch: nothing has changed for long enough");
            return code;
        }
    }
}

static int watch(struct invocation *in, struct error *err)
{
    _cleanup_(loop_close) struct loop l = {.session = SESSION_INIT, .tree = TREE_WATCH_INIT};
    if (loop_open(in, &l, err) < 0)
        return -1;
    int code = run_loop(in, &l, err);
    if (code < 0 && err->kind == ERR_CANCELLED) { /* how it mostly ends */
        error_clear(err);
        code = INTERRUPTED;
    }
    log_info("watch: ended after %zu run%s", l.runs, l.runs == 1 ? "" : "s");
    return code;
}

int cmd_watch(struct invocation *in, struct error *err)
{
    const struct ops_acquire req = {.slug = in->opt.slug, .keep = in->opt.keep};
    struct lease l;
    struct ops_released released;
    struct error e = ERROR_INIT;
    if (!in->n_args)
        return error_set(err, ERR_USAGE, 0,
                         "watch needs a command; next: crabbox-fc watch -- COMMAND [ARG]...");
    if (in->opt.id && in->opt.slug)
        return error_set(err, ERR_USAGE, 0, "--id and --slug exclude each other");
    if (close_stdin(err) < 0)
        return -1;
    if (in->opt.id)
        return watch(in, err);
    if (ops_acquire(&in->ops, &req, &l, NULL, NULL, err) < 0)
        return -1;
    in->opt.id = l.id;
    in->opt.slug = NULL;
    int code = watch(in, err);
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
