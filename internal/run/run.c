/* run.c: the phases of one `run`, in order.
 *
 * 1. open_lease makes a lease or opens an existing one. For an existing lease, the run first waits
 *    for its turn, and ends what an earlier run on it has left (unfinished.h).
 * 2. sync_phase scans the working tree and brings the guest's copy up to date.
 * 3. execute runs the command (execute.c).
 * 4. collect fetches results and test reports.
 * 5. must_release decides whether the lease ends with this run, by its options and the command's
 *    result, and release ends it.
 *
 * A phase that fails skips the phases after it, except the last. If the lease ended while a phase
 * ran (session_ended), that is the error, and not the broken connection that follows from it. If
 * the command failed, its result stays the result of the run: errors of collect are only warnings
 * then.
 */
#include "run/run.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "ops/session.h"
#include "run/execute.h"
#include "run/guestrun.h"
#include "run/hung.h"
#include "run/unfinished.h"
#include "sync/sync.h"

enum { WORK_DIR_SIZE = LEASE_PATH_SIZE + PATH_MAX };

/* What one run carries from phase to phase. */
struct run_state {
    struct ops *ops;
    const struct ops_run *req;
    struct ops_run_result *res;
    struct session session;       /* owned */
    char tree_dir[WORK_DIR_SIZE]; /* the tree in the guest */
    bool ended;                   /* somebody else has stopped it, or its time was over */
};

static void phase_begin(struct run_state *s, const char *phase)
{
    struct ops *o = s->ops;
    s->res->phase = phase;
    if (o->progress.begin)
        o->progress.begin(o->progress.ctx, phase);
}

static void phase_end(struct ops *o, const char *phase, int64_t us, bool ok)
{
    if (o->progress.end)
        o->progress.end(o->progress.ctx, phase, us, ok);
}

/* Names as in the SSH protocol (RFC 4254, 6.10). */
static int signal_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } table[] = {
        {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE},   {"HUP", SIGHUP},
        {"ILL", SIGILL},   {"INT", SIGINT},   {"KILL", SIGKILL}, {"PIPE", SIGPIPE},
        {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV}, {"TERM", SIGTERM}, {"USR1", SIGUSR1},
        {"USR2", SIGUSR2}, {"BUS", SIGBUS},   {"SYS", SIGSYS},   {"TRAP", SIGTRAP},
        {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (str_eq(table[i].name, name))
            return table[i].number;
    return 0;
}

int ops_exit_code(const struct ssh_status *st)
{
    if (st->signalled)
        return 128 + signal_number(st->signal);
    return st->code;
}

static bool succeeded(const struct ops_run_result *res)
{
    return !res->timed_out && res->status.exited && res->status.code == 0;
}

/* Whether the lease went away under us, which is then the error. */
static bool ended(struct run_state *s, struct error *err)
{
    if (!s->ended && err->kind != ERR_CANCELLED)
        s->ended = session_ended(&s->session, err);
    return s->ended;
}

/* Whether the lease goes away with this run, given that all of it went well or not. */
static bool must_release(const struct run_state *s, bool ok)
{
    const struct ops_run *req = s->req;
    const struct ops_run_result *res = s->res;
    if (s->ended || (s->session.turn_fd < 0 && !res->acquired))
        return false; /* not ours to take away */
    bool good = ok && !res->collected.tests_failed && (!res->ran || succeeded(res));
    switch (req->stop_after) {
    case STOP_ALWAYS:
        return true;
    case STOP_SUCCESS:
        return good;
    case STOP_FAILURE:
        return !good;
    case STOP_NEVER:
        return false;
    case STOP_AS_MADE:
        break;
    }
    return res->acquired && !req->keep && s->ops->cfg->firecracker.delete_on_release &&
           (good || !req->keep_on_failure);
}

static int use_existing(struct run_state *s, struct error *err)
{
    const struct ops_run *req = s->req;
    struct session *x = &s->session;
    if (session_find(s->ops, req->ref, req->stall_ms, x, err) < 0 ||
        session_take_turn(x, req->wait_ms, err) < 0)
        return -1;
    phase_begin(s, "connect");
    int64_t t0 = clock_boot_us();
    int r = session_connect(x, err);
    s->res->connect_us = clock_boot_us() - t0;
    phase_end(s->ops, "connect", s->res->connect_us, r == 0);
    return r < 0 ? -1 : unfinished_end(x, err);
}

static int open_lease(struct run_state *s, struct error *err)
{
    const struct ops_run *req = s->req;
    const struct ops_acquire acquire = {.slug = req->slug, .keep = req->keep};
    int r = req->ref
                ? use_existing(s, err)
                : session_make(s->ops, &acquire, req->stall_ms, &s->res->timing, &s->session, err);
    s->res->lease = s->session.lease;
    s->res->acquired = !req->ref && *s->session.lease.id;
    return r;
}

static void on_sync_progress(void *ctx, size_t files, int64_t bytes)
{
    const struct ops_progress *p = &((struct run_state *)ctx)->ops->progress;
    if (p->update)
        p->update(p->ctx, "sync", files, bytes);
}

/* For what a sync writes in the lease's directory. */
struct held {
    struct session *session;
    int fd; /* owned */
};

static int take_room(void *ctx, int64_t bytes, struct error *err)
{
    struct held *h = ctx;
    int64_t there = bytes;
    if (session_hold_disk(h->session, &h->fd, &there, err) < 0)
        return -1;
    return there < bytes ? error_set(err, ERR_ENV, 0,
                                     "%lld MiB more do not fit beside what the leases on this disk "
                                     "were promised",
                                     (long long)((bytes + (1 << 20) - 1) >> 20))
                         : 0;
}

/* What is known of an earlier sync is kept in the lease's directory, so it goes with the lease. */
static int update_tree(struct run_state *s, const struct sync_list *list,
                       const struct sync_limits *limits, const struct deadline *d,
                       struct error *err)
{
    char name[SYNC_STORE_NAME_SIZE];
    struct sync_result result = {0};
    if (sync_store_name(list->name, name, err) < 0)
        return -1;
    struct held held = {&s->session, -1};
    struct sync_store store = {
        .dirfd = s->session.dir.dirfd, .name = name, .room = take_room, .room_ctx = &held};
    int r = sync_update(s->session.conn, list, s->tree_dir, &store, limits, d, on_sync_progress, s,
                        &result, err);
    if (r == 0)
        r = sync_git(s->session.conn, list, s->tree_dir, &store,
                     sync_git_named(s->ops->cfg->run.git), &result, d, err);
    CLOSE_FD(held.fd);
    s->res->files_sent = result.n_sent;
    s->res->files_deleted = result.n_deleted;
    s->res->bytes_sent = result.bytes_sent;
    return r;
}

/* Where the tree is in the guest, and in it the place where the user stands. A tree whose directory
 * was renamed is still where it was synced to. */
static int place_tree(struct run_state *s, struct sync_list *tree, struct error *err)
{
    const struct lease *l = &s->res->lease;
    char *known = sync_first_name(s->session.dir.dirfd, tree);
    if (known) {
        free(tree->name);
        tree->name = known;
    }
    if (str_format(s->tree_dir, sizeof s->tree_dir, "%s/%s/%s", l->work_root, l->id, tree->name) <
            0 ||
        str_format(s->res->work_dir, sizeof s->res->work_dir, "%s%s%s", s->tree_dir,
                   *tree->subdir ? "/" : "", tree->subdir) < 0)
        return error_set(err, ERR_SYNC, 0, "the work directory's path is too long");
    return 0;
}

/* Nobody misses what earlier runs have brought back. */
static void say_left(const struct sync_list *l)
{
    size_t n = l->n_left;
    const char *first = NULL;
    for (size_t i = 0; i < l->n_left && i < SYNC_LEFT_MAX; i++) {
        if (str_eq(l->left[i].pattern, SYNC_OWN_RESULTS))
            n--;
        else if (!first)
            first = l->left[i].path;
    }
    if (first)
        log_info("left out by built-in patterns: %zu untracked %s, first %s; next: --sync-plan "
                 "lists what is left out",
                 n, n == 1 ? "entry" : "entries", first);
}

static int sync_tree(struct run_state *s, struct error *err)
{
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    struct deadline d = deadline_never();
    struct sync_list list = {0};
    d.cancel_fd = s->ops->cancel_fd;
    limits.from_scratch = s->req->full_resync;
    limits.reclaim = s->req->reclaim;
    limits.no_git = s->req->no_git;
    limits.include = s->ops->cfg->run.include;
    limits.never = s->ops->store.path; /* the keys of all leases */
    if (s->req->sync_large) {
        limits.max_files = 0;
        limits.max_bytes = 0;
    }
    if (s->req->delete_many)
        limits.max_deletes = 0;
    if (sync_scan(s->req->dir_fd, s->ops->cfg->run.exclude, &limits, &d, &list, err) < 0)
        return -1;
    if (*list.subdir)
        log_info("syncing %s, the repository around %s", list.root, list.subdir);
    if (list.n_files > limits.warn_files || list.bytes > limits.warn_bytes)
        log_warn("syncing %zu files, %lld MiB: consider .crabboxignore", list.n_files,
                 (long long)(list.bytes >> 20));
    sync_warn(&list);
    say_left(&list);
    if (!list.n_files && *s->ops->cfg->run.include)
        log_warn("no file matches sync.include");
    int r = place_tree(s, &list, err);
    if (r == 0)
        r = update_tree(s, &list, &limits, &d, err);
    s->res->files = list.n_files;
    s->res->bytes = list.bytes;
    sync_list_free(&list);
    return r;
}

static int sync_phase(struct run_state *s, struct error *err)
{
    int64_t t0 = clock_boot_us();
    phase_begin(s, "sync");
    int r = sync_tree(s, err);
    if (r < 0 && !ended(s, err))
        (void)hung_in(ERR_SYNC, &s->res->lease, must_release(s, false), err);
    s->res->sync_us = clock_boot_us() - t0;
    phase_end(s->ops, "sync", s->res->sync_us, r == 0);
    return r;
}

/* Without a sync: whether the user stands in a tree that an earlier run synced to this lease. A
 * tree that can't be told is none: nothing of it is sent. */
static bool find_synced(struct run_state *s)
{
    char name[SYNC_STORE_NAME_SIZE];
    struct sync_list tree = {0};
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    struct error err = ERROR_INIT;
    limits.no_git = s->req->no_git;
    if (s->req->dir_fd < 0 || sync_locate(s->req->dir_fd, &limits, &tree, &err) < 0)
        return false;
    struct sync_store store = {.dirfd = s->session.dir.dirfd, .name = name};
    bool found = place_tree(s, &tree, &err) == 0 && sync_store_name(tree.name, name, &err) == 0 &&
                 sync_is_there(&store, &tree, s->tree_dir);
    sync_list_free(&tree);
    return found;
}

/* The command, in the tree that was synced or else in the lease's own directory. */
static int execute(struct run_state *s, struct error *err)
{
    struct execution x = {
        .session = &s->session,
        .work_dir = s->res->work_dir,
        .lease_ends = must_release(s, false),
    };
    if (s->req->no_sync && !find_synced(s))
        (void)str_format(s->res->work_dir, sizeof s->res->work_dir, "%s/%s",
                         s->res->lease.work_root, s->res->lease.id);
    phase_begin(s, "run");
    int r = execute_run(&x, s->req, s->res, err);
    /* A guest that shuts down ends its processes first. */
    if (r == 0 && !succeeded(s->res) && ended(s, err)) {
        s->res->ran = s->res->timed_out = false;
        r = -1;
    }
    if (r < 0 && !ended(s, err))
        (void)hung_or_lost(&s->res->lease, x.lease_ends, err);
    phase_end(s->ops, "run", s->res->command_us, r == 0);
    return r;
}

/* A command that failed is the news: that its results could not be had is then only told. */
static int collect(struct run_state *s, struct error *err)
{
    struct ops_run_result *res = s->res;
    struct error e = ERROR_INIT;
    phase_begin(s, "collect");
    struct guest_run g;
    int r = guest_run_again(&g, s->session.conn, &res->lease, res->run_id, &e);
    if (r == 0)
        r = collect_results(&s->session, s->res->work_dir, &g, succeeded(res), s->req->collect,
                            &res->collected, &e);
    if (s->req->collect->auto_reports && !must_release(s, r == 0))
        guest_run_clean(&g);
    phase_end(s->ops, "collect", res->collected.us, r == 0);
    if (r == 0)
        return 0;
    if (!ended(s, &e))
        (void)hung_in(ERR_SSH, &res->lease, must_release(s, false), &e);
    if (!succeeded(res)) {
        log_warn("%s", e.msg);
        return 0;
    }
    if (e.kind != ERR_CANCELLED)
        log_info("the command itself ended with 0");
    *err = e;
    return -1;
}

static int use_lease(struct run_state *s, struct error *err)
{
    if (!s->req->no_sync && sync_phase(s, err) < 0)
        return -1;
    if (s->req->sync_only)
        return 0;
    if (execute(s, err) < 0)
        return -1;
    return collect_wanted(s->req->collect) ? collect(s, err) : 0;
}

/* The logs of a lease may go with it. */
static int use_begun(struct run_state *s, struct error *err)
{
    struct bundle *b = s->req->bundle;
    guest_run_make_id(s->res->run_id);
    int r = use_lease(s, err);
    if (!b)
        return r;
    b->begun = true;
    if (r < 0 || s->res->collected.tests_failed || (s->res->ran && !succeeded(s->res)))
        bundle_take_logs(b, &s->session.dir);
    return r;
}

/* The release's own failure is told, but the command's result stays the result. */
static int release(struct run_state *s, struct error *err)
{
    struct ops_released released;
    const struct ops_progress *p = &s->ops->progress;
    int64_t t0 = clock_boot_us();
    if (p->begin)
        p->begin(p->ctx, "stop");
    int r = ops_release(s->ops, s->res->lease.id, &released, err);
    s->res->stop_us = clock_boot_us() - t0;
    phase_end(s->ops, "stop", s->res->stop_us, r == 0);
    s->res->released = r == 0;
    if (r < 0) {
        _cleanup_free_ char *next = xasprintf("crabbox-fc stop %s", s->res->lease.slug);
        (void)error_add_next(err, next);
    }
    return r;
}

static void run_close(struct run_state *s)
{
    session_close(&s->session);
}

int ops_run(struct ops *o, const struct ops_run *req, struct ops_run_result *res, struct error *err)
{
    _cleanup_(run_close) struct run_state s = {
        .ops = o, .req = req, .res = res, .session = SESSION_INIT};
    int64_t t0 = clock_boot_us();
    memset(res, 0, sizeof *res);
    res->phase = "lease";
    int r = open_lease(&s, err);
    res->lease_us = clock_boot_us() - t0;
    if (r == 0)
        r = use_begun(&s, err);
    session_disconnect(&s.session);
    if (must_release(&s, r == 0)) {
        struct error e = ERROR_INIT;
        if (release(&s, &e) < 0) {
            if (r == 0) {
                res->phase = "stop";
                *err = e;
            } else
                (void)error_append(err, "; releasing the lease failed too: %s", e.msg);
            r = -1;
        }
        if (r < 0 && s.res->released && err->kind == ERR_CANCELLED)
            (void)error_append(err, "; the lease is removed");
    } else if (*res->lease.id) {
        (void)ops_touch(o, res->lease.id, 0, NULL, NULL);
    }
    res->total_us = clock_boot_us() - t0;
    return r;
}
