/* ready.c: connecting as soon as the guest can answer, without polling it to death.
 *
 * A SYN sent before the guest is up is repeated by the kernel only after 1, 2, 4 s. So nothing is
 * sent until the guest shows life (a frame on its tap), an attempt without an answer is given up
 * when it shows life again, and a timer is only the fallback.
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "ssh/ask.h"

enum {
    SILENT_FIRST_MS = 20, /* no answer at all: 20, 40, … 500 */
    SILENT_MAX_MS = 500,
    REFUSED_FIRST_MS = 5, /* a kernel answers, its SSH server is about to start */
    REFUSED_MAX_MS = 50,
    BLIND_FIRST_MS = 1000, /* a guest that is watched and has sent nothing: try all the same */
    ANSWER_MS = 2,         /* the frame just seen may be the answer itself */
    ATTEMPT_MIN_MS = 20,
    MAX_BROKEN = 5, /* handshakes that fail after the banner before we believe it */
};

struct waiter {
    const struct ssh_target *t;
    const struct ssh_wait *w;
    const struct deadline *d;
    struct ssh_ready_times *times;
    int fd; /* the attempt under way, or -1 */
    int64_t started_ms;
    int64_t next_ms; /* when to start the next attempt at the latest */
    int silent_ms;
    int refused_ms;
    int last_errno;         /* of the last attempt, 0: no answer */
    struct error undialled; /* what the last attempt to dial said, if it failed */
};

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void cleanup_waiter(struct waiter *r)
{
    CLOSE_FD(r->fd);
}

/* Empties the watch descriptor: a packet socket, an eventfd or a pipe, all non-blocking or with
 * at least one read ready. */
static void drain(int fd)
{
    char buf[2048];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (int i = 0; i < 256; i++) {
        if (read(fd, buf, sizeof buf) <= 0)
            return;
        if (poll(&p, 1, 0) <= 0)
            return;
    }
}

static void attempt_failed(struct waiter *r, int code, int64_t now)
{
    CLOSE_FD(r->fd);
    r->last_errno = code;
    if (code != ECONNREFUSED)
        return; /* next_ms stands: unreachable is as good as silent */
    r->next_ms = now + r->refused_ms;
    r->refused_ms = min_int(2 * r->refused_ms, REFUSED_MAX_MS);
}

/* -1 where no other attempt would end better. */
static int start_attempt(struct waiter *r, int64_t now, struct error *err)
{
    struct error e = ERROR_INIT;
    CLOSE_FD(r->fd);
    r->last_errno = 0;
    r->started_ms = now;
    r->next_ms = now + r->silent_ms;
    r->silent_ms = min_int(2 * r->silent_ms, SILENT_MAX_MS);
    r->fd = dial_start(r->t, r->d, &e);
    r->undialled = e;
    if (r->fd >= 0)
        return 0;
    if (e.kind != ERR_SSH) {
        if (err)
            *err = e;
        return -1;
    }
    attempt_failed(r, e.sys, clock_boot_ms());
    return 0;
}

static void guest_moved(struct waiter *r, int64_t now)
{
    drain(r->w->guest_fd);
    if (!r->times->first_frame_us)
        r->times->first_frame_us = clock_boot_us();
    /* The refusal was a frame too: answering it at once would be a loop at full speed. */
    if (r->last_errno == ECONNREFUSED)
        return;
    int64_t soonest = r->fd < 0 ? now : max_i64(now + ANSWER_MS, r->started_ms + ATTEMPT_MIN_MS);
    if (soonest < r->next_ms)
        r->next_ms = soonest;
    r->silent_ms = SILENT_FIRST_MS;
}

static int timed_out(const struct waiter *r, struct error *err)
{
    char name[PEER_SIZE];
    dial_name(r->t, name);
    if (r->t->dial && error_is_set(&r->undialled))
        return error_append(err, " (%s)", r->undialled.msg);
    if (r->last_errno)
        return error_append(err, " (%s: %s)", name, strerror(r->last_errno));
    if (r->w->guest_fd >= 0 && !r->times->first_frame_us)
        return error_append(err, " (%s: the guest has sent no network frame at all)", name);
    return error_append(err, " (%s: no answer)", name);
}

/* One wait: until an answer, a sign of life, the next attempt's time, or the end. */
static int wait_once(struct waiter *r, bool *connected, struct error *err)
{
    int64_t now = clock_boot_ms();
    struct deadline sub = deadline_sub(r->d, max_i64(r->next_ms - now, 0));
    struct pollfd fds[] = {{.fd = r->fd, .events = POLLOUT},
                           {.fd = r->w->guest_fd, .events = POLLIN},
                           {.fd = r->w->gone_fd, .events = POLLIN}};
    struct error local = ERROR_INIT;
    /* The next attempt's time takes nothing away from an answer that is there; the end of all
     * attempts does, or a guest that never stops sending frames would be waited for in vain. */
    unsigned n = deadline_passed(r->d) ? 0 : ARRAY_LEN(fds);
    if (deadline_poll_once(fds, n, &sub, "the guest's SSH port", &local) < 0) {
        if (local.kind == ERR_TIMEOUT && !deadline_passed(r->d))
            return 0;
        if (err)
            *err = local;
        return local.kind == ERR_TIMEOUT ? timed_out(r, err) : -1;
    }
    if (fds[2].revents)
        return error_set(err, ERR_VMM, 0, "the machine ended before the guest answered on SSH");
    if (fds[0].revents) {
        int code = dial_result(r->fd);
        *connected = code == 0;
        if (code)
            attempt_failed(r, code, clock_boot_ms());
    }
    if (fds[1].revents && !*connected)
        guest_moved(r, clock_boot_ms());
    return 0;
}

/* Returns a connected socket. What is dialled counts as connected when it polls writable, too. */
static int wait_tcp(struct waiter *r, struct error *err)
{
    bool connected = false;
    while (!connected) {
        int64_t now = clock_boot_ms();
        if (now >= r->next_ms && start_attempt(r, now, err) < 0)
            return -1;
        if (wait_once(r, &connected, err) < 0)
            return -1;
    }
    return TAKE_FD(r->fd);
}

/* A server that hangs up before its banner is starting or stopping: try again. What comes after
 * the banner is tried a few times; a wrong key or a refused login never. */
static bool worth_another(const struct error *e, enum conn_stage stage, int *broken)
{
    if (e->kind != ERR_SSH || stage >= STAGE_REFUSED)
        return false;
    return stage < STAGE_BANNER || ++*broken < MAX_BROKEN;
}

int ssh_wait_ready(const struct ssh_target *t, const struct ssh_wait *w, const struct deadline *d,
                   struct ssh_conn **out, struct ssh_ready_times *times, struct error *err)
{
    static const struct ssh_wait watch_nothing = {-1, -1};
    struct ssh_ready_times unused;
    struct error last = ERROR_INIT;
    int broken = 0;
    times = times ? times : &unused;
    w = w ? w : &watch_nothing;
    *times = (struct ssh_ready_times){0};
    _cleanup_(cleanup_waiter) struct waiter r = {.t = t,
                                                 .w = w,
                                                 .d = d,
                                                 .times = times,
                                                 .fd = -1,
                                                 .silent_ms = SILENT_FIRST_MS,
                                                 .refused_ms = REFUSED_FIRST_MS};
    r.next_ms = clock_boot_ms() + (w->guest_fd >= 0 ? BLIND_FIRST_MS : 0);
    char name[PEER_SIZE];
    dial_name(t, name);
    _cleanup_(cleanup_ssh_conn) struct ssh_conn *c = NULL;
    if (ask_start(name, &c, err) < 0) /* while the guest starts */
        return -1;
    for (;;) {
        enum conn_stage stage = STAGE_NONE;
        int fd = wait_tcp(&r, err);
        if (fd < 0)
            return error_is_set(&last) ? error_append(err, "; before: %s", last.msg) : -1;
        error_clear(&last);
        if (ask_login(c, t, fd, w->gone_fd, d, times, &stage, &last) == 0) {
            *out = TAKE_PTR(c);
            return 0;
        }
        if (!worth_another(&last, stage, &broken)) {
            if (err)
                *err = last;
            return -1;
        }
        r.last_errno = 0;
        r.next_ms = clock_boot_ms() + r.silent_ms;
        r.silent_ms = min_int(2 * r.silent_ms, SILENT_MAX_MS);
    }
}
