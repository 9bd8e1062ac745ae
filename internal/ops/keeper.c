/* keeper.c: the process that ends a lease when its time is over.
 *
 * keeper_start runs this program again as `crabbox-fc keeper ID`, in a session of its own, with a
 * pipe as its standard input. The maker of the lease keeps the other end and closes it once the
 * record is on disk. If the maker dies, the kernel closes it.
 *
 * keeper_main is the keeper's own process:
 * 1. wait_for_the_maker reads the pipe until its end. If there is no lease directory then, there is
 *    nothing to end.
 * 2. when_unlocked waits for the lease's lock. Whoever makes or removes the lease holds it until it
 *    is done or dead. If the lease is ready then, the keeper goes on with 3. If the record is in an
 *    unfinished state, its maker or remover died half-way, and the keeper ends the lease. If it is
 *    broken, somebody's undo has failed: the keeper tries again after a pause.
 * 3. watch_once calculates from the record when the lease ends. If that time is over, the keeper
 *    ends the lease. Otherwise it sets a timer on the wall clock and sleeps until the timer fires,
 *    the clock is set, or the record is replaced. Then it looks again.
 *
 * It ends the lease with ops_release, by the same path as `stop`. ops_release takes the lease's
 * lock, so `stop` and the keeper can't do it at the same time. `stop` kills the keeper
 * (keeper_end) only after the lease's directory is gone: until then the keeper finishes the removal
 * if `stop` dies. What failed may pass (a process that takes long to die, no descriptors left), so
 * the keeper tries again as long as the record is there, after pauses that grow.
 *
 * If the directory is gone, the keeper removes what a half-made directory left and exits. If the
 * record can't be read only for the moment (look), it tries again every second. A thread keeps the
 * logs small meanwhile (keeper_watch.c).
 */
#include "ops/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "ops/keeper_watch.h"
#include "ops/provider.h"
#include "sys/lock.h"
#include "sys/program.h"
#include "sys/spawn.h"
#include "sys/trusted.h"
#include "vmm/logcap.h"
#include "vmm/vmm.h"

/* How long somebody else may take to finish with a directory that is no lease any more. */
#define SWEEP_WAIT_MS 60000

/* Between two looks at a record that can't be read just now. */
#define RETRY_MS 1000
/* How soon to ask again whether the machine is there when nobody could tell. */
#define LOOK_AGAIN_S 10
/* Between two tries to end a lease; each pause is twice the one before. */
#define PAUSE_FIRST_MS 2000
#define PAUSE_MOST_MS  600000

#define LOGS_LOCK "logs"

int keeper_start(struct ops *o, const char *id, struct proc_ref *out, int *go_fd, struct error *err)
{
    _cleanup_free_ char *state = xasprintf("CRABBOX_FC_STATE_DIR=%s", o->store.path);
    const char *const argv[] = {o->self_exe, "keeper", id, NULL};
    /* Whose files count is the same for the keeper as for us. */
    _cleanup_free_ char *sudo = xasprintf("SUDO_UID=%u", (unsigned)trusted_us().sudo);
    const char *const envp[] = {state, "PATH=" PROGRAM_PATH, sudo, NULL};
    _cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int go[2];
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct child child;
    if (pipe2(go, O_CLOEXEC) < 0)
        return error_set(err, ERR_ENV, errno, "start the lease's keeper");
    _cleanup_close_ int go_read = go[0], go_write = go[1];
    spec.argv = argv;
    spec.envp = envp;
    spec.stdin_fd = go_read;
    spec.cwd_fd = root;
    spec.any_owner = true;
    spec.new_session = true;
    if (spawn(&spec, &child, err) < 0)
        return error_prefix(err, "start the lease's keeper");
    if (proc_ref_of(child.pid, out, err) < 0) {
        child_kill(&child);
        return -1;
    }
    child_release(&child);
    *go_fd = TAKE_FD(go_write);
    return 0;
}

int keeper_end(const struct proc_ref *keeper, struct error *err)
{
    struct deadline d = deadline_in_ms(5000);
    _cleanup_close_ int fd = keeper->pid == getpid() ? -1 : proc_open(keeper, NULL);
    if (fd < 0)
        return 0;
    if (pidfd_signal(fd, SIGKILL, err) < 0 || pidfd_wait(fd, &d, err) < 0)
        return error_prefix(err, "end the lease's keeper");
    return 0;
}

bool keeper_is_gone(const struct lease *l)
{
    return l->state == LEASE_READY && !proc_alive(&l->keeper);
}

void keeper_cap_logs(const struct ops *o, const struct lease *l)
{
    if (!keeper_is_gone(l))
        return;
    _cleanup_close_ int dir = openat(o->store.leases_fd, l->id,
                                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    /* Two at once would each shorten what the other has just shortened. */
    _cleanup_close_ int lock = dir < 0 ? -1 : lock_try(dir, LOGS_LOCK, true, NULL);
    _cleanup_close_ int vmm = lock < 0 ? -1 : vmm_dir_open(dir, NULL);
    if (vmm >= 0)
        (void)logcap_apply_all(vmm);
}

/* ---- the keeper's own process ---- */
struct keeper {
    struct ops *ops;
    const char *id;
    int watch_fd; /* eventfd: the record was replaced (keeper_watch.h) */
    int timer_fd; /* wall clock */
    int pause_ms; /* before the next try to end the lease */
};

enum verdict { KEEP_WAITING, END_IT, IT_IS_GONE };

static void keeper_close(struct keeper *k)
{
    CLOSE_FD(k->watch_fd);
    CLOSE_FD(k->timer_fd);
}

static int keeper_open(struct keeper *k, struct error *err)
{
    k->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (k->timer_fd < 0)
        return error_set(err, ERR_ENV, errno, "watch lease %s", k->id);
    k->watch_fd = keeper_watch(k->ops->store.leases_fd, k->id, err);
    return k->watch_fd < 0 ? -1 : 0;
}

/* Reads the record, with its lock where there is a deadline to wait for it. KEEP_WAITING: it is in
 * `l`. */
static enum verdict look(struct keeper *k, const struct deadline *d, struct lease *l)
{
    for (;;) {
        _cleanup_(lease_handle_close) struct lease_handle h = LEASE_HANDLE_INIT;
        struct error err = ERROR_INIT;
        if (store_open_lease(&k->ops->store, k->id, d, &h, &err) == 0 &&
            store_load(&k->ops->store, &h, l, &err) == 0)
            return KEEP_WAITING;
        /* Gone, or not a record that anybody may act upon. All else may pass: descriptors or memory
         * that others have, a disk that does not answer. */
        if (err.kind == ERR_NOT_FOUND || err.sys == ENOENT || err.kind == ERR_STATE ||
            err.kind == ERR_TRUST)
            return IT_IS_GONE;
        (void)poll(NULL, 0, RETRY_MS);
    }
}

static void set_timer(struct keeper *k, int64_t at)
{
    struct itimerspec t = {.it_value = {.tv_sec = at == INT64_MAX ? 0 : (time_t)at}};
    /* Cancelled when somebody sets the clock: the read fails and the time is judged anew. */
    (void)timerfd_settime(k->timer_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &t, NULL);
}

static void drain(int fd)
{
    char buf[4096];
    while (read(fd, buf, sizeof buf) > 0)
        ;
}

/* Until the record is replaced, the directory goes, or the clock says so. */
static enum verdict wait_for_news(struct keeper *k, int64_t until)
{
    struct pollfd p[2] = {{.fd = k->watch_fd, .events = POLLIN},
                          {.fd = k->timer_fd, .events = POLLIN}};
    struct deadline never = deadline_never();
    set_timer(k, until);
    if (deadline_poll(p, 2, &never, "the lease to end", NULL) < 0)
        return IT_IS_GONE;
    drain(k->watch_fd);
    drain(k->timer_fd);
    return KEEP_WAITING;
}

/* Its time has come; but an undo that can't reach the machine would only break the lease. */
static enum verdict end_once_known(struct keeper *k, const struct lease *l)
{
    if (provider_of(l)->life(l) != LIFE_UNKNOWN)
        return END_IT;
    return wait_for_news(k, clock_unix_s() + LOOK_AGAIN_S);
}

/* After a failed try. Only the end of the directory cuts it short: a record that changes is one
 * that this or another try has written. */
static enum verdict rest(struct keeper *k)
{
    struct deadline d = deadline_in_ms(k->pause_ms);
    struct pollfd p = {.fd = k->watch_fd, .events = POLLIN};
    struct lease l;
    k->pause_ms = k->pause_ms < PAUSE_MOST_MS / 2 ? 2 * k->pause_ms : PAUSE_MOST_MS;
    while (deadline_poll(&p, 1, &d, "the next try", NULL) > 0) {
        drain(k->watch_fd);
        if (look(k, NULL, &l) == IT_IS_GONE)
            return IT_IS_GONE;
    }
    return KEEP_WAITING;
}

/* Waits until the process that works on the lease is done or dead. Returns what is left to do. */
static enum verdict when_unlocked(struct keeper *k)
{
    struct deadline never = deadline_never();
    struct lease l;
    if (look(k, &never, &l) == IT_IS_GONE)
        return IT_IS_GONE;
    if (l.state == LEASE_BROKEN && rest(k) == IT_IS_GONE)
        return IT_IS_GONE;
    return l.state == LEASE_READY ? KEEP_WAITING : end_once_known(k, &l);
}

/* When the lease ends if nothing else happens; INT64_MAX for never. */
static int64_t end_of(struct keeper *k, const struct lease *l)
{
    if (l->keep)
        return INT64_MAX;
    int64_t hard = l->created_at + l->ttl_s;
    int64_t idle = l->last_touched_at + l->idle_timeout_s;
    char use[64];
    (void)str_format(use, sizeof use, "%s/" LEASE_USE, k->id);
    if (lock_may_be_held(k->ops->store.leases_fd, use))
        idle = clock_unix_s() + l->idle_timeout_s;
    return idle < hard ? idle : hard;
}

/* One look at the record, then a wait for whatever may change it. */
static enum verdict watch_once(struct keeper *k)
{
    struct lease l;
    if (look(k, NULL, &l) == IT_IS_GONE)
        return IT_IS_GONE;
    if (l.state != LEASE_READY)
        return when_unlocked(k);
    int64_t end = end_of(k, &l);
    return end <= clock_unix_s() ? end_once_known(k, &l) : wait_for_news(k, end);
}

/* Until the maker has written the record, or died: both close the pipe. */
static void wait_for_the_maker(void)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) != 0)
        if (errno != EINTR)
            break;
}

/* The rest of a directory that its maker or remover left half-way. */
static int finish(struct keeper *k, struct error *err)
{
    struct deadline d = deadline_in_ms(SWEEP_WAIT_MS);
    return store_remove_rest(&k->ops->store, k->id, &d, err);
}

static enum verdict end_it(struct keeper *k)
{
    struct ops_released released;
    struct error err = ERROR_INIT;
    struct lease l;
    if (ops_release(k->ops, k->id, &released, &err) == 0 || look(k, NULL, &l) == IT_IS_GONE)
        return IT_IS_GONE;
    return l.state == LEASE_BROKEN ? KEEP_WAITING : rest(k);
}

int keeper_main(struct ops *o, const char *id, struct error *err)
{
    _cleanup_(keeper_close) struct keeper k = {o, id, -1, -1, PAUSE_FIRST_MS};
    wait_for_the_maker();
    if (faccessat(o->store.leases_fd, id, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return finish(&k, err);
    if (keeper_open(&k, err) < 0)
        return -1;
    enum verdict v = when_unlocked(&k);
    while (v != IT_IS_GONE)
        v = v == END_IT ? end_it(&k) : watch_once(&k);
    return finish(&k, err);
}
