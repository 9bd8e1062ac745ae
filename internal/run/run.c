#include "run/run.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "run/execute.h"
#include "run/hung.h"
#include "sync/sync.h"
#include "sys/lock.h"

#define CONNECT_MS 30000
/* Lock file in the lease's directory: whose turn it is to run something. */
#define TURN "run"

/* What one run carries from phase to phase. */
struct run_state {
    struct ops *ops;
    const struct ops_run *req;
    struct ops_run_result *res;
    struct ssh_conn *conn; /* owned */
    int turn_fd;           /* owned: no other run has the lease while it is open */
    int use_fd;            /* owned: the lease is in use while it is open */
    int vmm_fd;            /* owned pidfd: a dead VMM is told apart from a failed command */
    int64_t stall_ms;
    char work_dir[LEASE_PATH_SIZE * 2];
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

/* Whether the lease goes away with this run, given that all of it went well or not. */
static bool must_release(const struct run_state *s, bool ok)
{
    const struct ops_run *req = s->req;
    const struct ops_run_result *res = s->res;
    if (s->turn_fd < 0 && !res->acquired)
        return false; /* not ours to take away */
    bool good = ok && !res->timed_out && !res->collected.tests_failed &&
                (!res->ran || (res->status.exited && res->status.code == 0));
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

/* One run at a time has a lease: two would sync and build in the same tree. */
static int take_turn(struct run_state *s, struct error *err)
{
    _cleanup_(lease_handle_close) struct lease_handle h = LEASE_HANDLE_INIT;
    const struct lease *l = &s->res->lease;
    struct deadline d = ops_deadline(s->ops, s->req->wait_ms);
    struct error busy = ERROR_INIT;
    if (store_open_lease(&s->ops->store, l->id, NULL, &h, err) < 0)
        return -1;
    s->turn_fd = lock_try(h.dirfd, TURN, true, &busy);
    if (s->turn_fd >= 0)
        return 0;
    if (busy.kind == ERR_BUSY && s->req->wait_ms > 0) {
        log_info("waiting for another run on lease %s...", l->slug);
        s->turn_fd = lock_wait(h.dirfd, TURN, true, &d, err);
        return s->turn_fd < 0 ? -1 : 0;
    }
    if (busy.kind == ERR_BUSY)
        return error_set(err, ERR_BUSY, 0,
                         "another run is using lease %s; wait for it with --wait, or use another",
                         l->slug);
    *err = busy;
    return -1;
}

static int open_lease(struct run_state *s, struct error *err)
{
    const struct ops_run *req = s->req;
    if (req->ref) {
        char id[LEASE_ID_SIZE];
        if (ops_find_ready(s->ops, req->ref, &s->res->lease, err) < 0 || take_turn(s, err) < 0)
            return -1;
        /* The run that had the lease before may have taken it away. */
        (void)str_copy(id, sizeof id, s->res->lease.id);
        if (ops_find_ready(s->ops, id, &s->res->lease, err) < 0)
            return -1;
        struct deadline d = ops_deadline(s->ops,
                                         s->stall_ms < CONNECT_MS ? s->stall_ms : CONNECT_MS);
        /* A use: best effort, the lease may be busy for a moment. */
        if (ops_touch(s->ops, s->res->lease.id, NULL, err) < 0)
            return -1;
        phase_begin(s, "connect");
        int64_t t0 = clock_boot_us();
        int r = ops_connect(s->ops, &s->res->lease, &d, &s->conn, err);
        phase_end(s->ops, "connect", clock_boot_us() - t0, r == 0);
        return r;
    }
    struct ops_acquire acquire = {.slug = req->slug, .keep = req->keep};
    if (ops_acquire(s->ops, &acquire, &s->res->lease, &s->conn, &s->res->timing, err) < 0)
        return -1;
    s->res->acquired = true;
    return take_turn(s, err);
}

static void on_sync_progress(void *ctx, size_t files, int64_t bytes)
{
    const struct ops_progress *p = &((struct run_state *)ctx)->ops->progress;
    if (p->update)
        p->update(p->ctx, "sync", files, bytes);
}

/* What is known of an earlier sync is kept in the lease's directory, so it goes with the lease. */
static int update_tree(struct run_state *s, const struct sync_list *list,
                       const struct sync_limits *limits, const struct deadline *d,
                       struct error *err)
{
    _cleanup_(lease_handle_close) struct lease_handle h = LEASE_HANDLE_INIT;
    char name[SYNC_STORE_NAME_SIZE];
    struct sync_result result = {0};
    if (sync_store_name(list->name, name, err) < 0 ||
        store_open_lease(&s->ops->store, s->res->lease.id, NULL, &h, err) < 0)
        return -1;
    struct sync_store store = {.dirfd = h.dirfd, .name = name};
    int r = sync_update(s->conn, list, s->work_dir, &store, limits, d, on_sync_progress, s, &result,
                        err);
    s->res->files_sent = result.n_sent;
    s->res->files_deleted = result.n_deleted;
    s->res->bytes_sent = result.bytes_sent;
    return r;
}

static int sync_tree(struct run_state *s, struct error *err)
{
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    struct deadline d = deadline_never();
    struct sync_list list = {0};
    d.cancel_fd = s->ops->cancel_fd;
    limits.from_scratch = s->req->full_resync;
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
    if (list.n_skipped)
        log_warn(
            "not synced: %zu of the tree (sockets, devices, unreadable files, or repositories that "
            "are not submodules), first %s; next: name in .crabboxignore what is meant to stay",
            list.n_skipped, list.first_skipped);
    int r = 0;
    if (str_format(s->work_dir, sizeof s->work_dir, "%s/%s/%s", s->res->lease.work_root,
                   s->res->lease.id, list.name) < 0)
        r = error_set(err, ERR_SYNC, 0, "the work directory's path is too long");
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
    if (r < 0)
        (void)hung_in(ERR_SYNC, &s->res->lease, must_release(s, false), err);
    s->res->sync_us = clock_boot_us() - t0;
    phase_end(s->ops, "sync", s->res->sync_us, r == 0);
    return r;
}

/* The command, in the tree that was synced or else in the lease's own directory. */
static int execute(struct run_state *s, struct error *err)
{
    struct execution x = {
        .ops = s->ops,
        .conn = s->conn,
        .work_dir = s->work_dir,
        .lease_ends = must_release(s, false),
    };
    if (!*s->work_dir)
        (void)str_format(s->work_dir, sizeof s->work_dir, "%s/%s", s->res->lease.work_root,
                         s->res->lease.id);
    phase_begin(s, "run");
    int r = execute_run(&x, s->req, s->res, err);
    if (r < 0)
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
    int r = collect_results(s->ops, s->conn, s->work_dir, res->lease.id, res->run_id,
                            s->req->collect, s->stall_ms, &res->collected, &e);
    phase_end(s->ops, "collect", res->collected.us, r == 0);
    if (r == 0)
        return 0;
    (void)hung_in(ERR_SSH, &res->lease, must_release(s, false), &e);
    if (res->timed_out || !res->status.exited || res->status.code != 0) {
        log_warn("%s", e.msg);
        return 0;
    }
    *err = e;
    return -1;
}

static int use_lease(struct run_state *s, struct error *err)
{
    s->use_fd = ops_use(s->ops, s->res->lease.id, err);
    s->vmm_fd = s->use_fd < 0 ? -1 : proc_open(&s->res->lease.local.vmm.proc, err);
    if (s->vmm_fd < 0)
        return -1;
    ssh_watch(s->conn, s->vmm_fd, s->stall_ms);
    if (!s->req->no_sync && sync_phase(s, err) < 0)
        return -1;
    if (s->req->sync_only)
        return 0;
    if (execute(s, err) < 0)
        return -1;
    return collect_wanted(s->req->collect) ? collect(s, err) : 0;
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
    return r;
}

int ops_run(struct ops *o, const struct ops_run *req, struct ops_run_result *res, struct error *err)
{
    struct run_state s = {
        .ops = o, .req = req, .res = res, .turn_fd = -1, .use_fd = -1, .vmm_fd = -1};
    s.stall_ms = req->stall_ms ? req->stall_ms : SSH_STALL_MS;
    int64_t t0 = clock_boot_us();
    memset(res, 0, sizeof *res);
    res->phase = "lease";
    int r = open_lease(&s, err);
    res->lease_us = clock_boot_us() - t0;
    if (r == 0)
        r = use_lease(&s, err);
    ssh_close(s.conn);
    CLOSE_FD(s.vmm_fd);
    CLOSE_FD(s.use_fd);
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
    } else if (res->acquired || req->ref) {
        (void)ops_touch(o, res->lease.id, NULL, NULL);
    }
    CLOSE_FD(s.turn_fd);
    res->total_us = clock_boot_us() - t0;
    return r;
}
