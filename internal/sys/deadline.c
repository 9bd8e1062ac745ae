#include "sys/deadline.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define POLL_MAX 16

static int64_t clock_us(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_boot_us(void)
{
    return clock_us(CLOCK_BOOTTIME);
}

int64_t clock_boot_ms(void)
{
    return clock_boot_us() / 1000;
}

int64_t clock_unix_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

int64_t clock_unix_s(void)
{
    return clock_unix_us() / 1000000;
}

int64_t clock_ns(struct timespec t)
{
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)t.tv_sec, INT64_C(1000000000), &ns) ||
        __builtin_add_overflow(ns, (int64_t)t.tv_nsec, &ns))
        return t.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

struct deadline deadline_in_ms(int64_t ms)
{
    return (struct deadline){clock_boot_ms() + ms, ms, -1};
}

struct deadline deadline_never(void)
{
    return (struct deadline){INT64_MAX, 0, -1};
}

struct deadline deadline_sub(const struct deadline *d, int64_t ms)
{
    struct deadline sub = deadline_in_ms(ms);
    if (!d)
        return sub;
    if (d->at_ms < sub.at_ms)
        return *d;
    sub.cancel_fd = d->cancel_fd;
    return sub;
}

int deadline_poll_ms(const struct deadline *d)
{
    if (!d || d->at_ms == INT64_MAX)
        return -1;
    int64_t left = d->at_ms - clock_boot_ms();
    if (left <= 0)
        return 0;
    return left > INT_MAX ? INT_MAX : (int)left;
}

bool deadline_passed(const struct deadline *d)
{
    return deadline_poll_ms(d) == 0;
}

static int timed_out(const struct deadline *d, const char *what, struct error *err)
{
    if (d->allowed_ms < 1000)
        return error_set(err, ERR_TIMEOUT, 0, "timed out after %lld ms waiting for %s",
                         (long long)d->allowed_ms, what);
    return error_set(err, ERR_TIMEOUT, 0, "timed out after %lld.%lld s waiting for %s",
                     (long long)(d->allowed_ms / 1000), (long long)(d->allowed_ms % 1000 / 100),
                     what);
}

/* With `over`, only the cancel descriptor is watched. */
static int poll_until(struct pollfd *fds, unsigned n, bool over, const struct deadline *d,
                      const char *what, struct error *err)
{
    struct pollfd all[POLL_MAX];
    if (n >= POLL_MAX)
        return error_set(err, ERR_INTERNAL, EINVAL, "poll for %s", what);
    for (unsigned i = 0; i < n; i++)
        all[i] = (struct pollfd){.fd = over ? -1 : fds[i].fd, .events = fds[i].events};
    all[n] = (struct pollfd){.fd = d ? d->cancel_fd : -1, .events = POLLIN};
    for (;;) {
        int ready = poll(all, n + 1, deadline_poll_ms(d));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0)
            return error_set(err, ERR_IO, errno, "wait for %s", what);
        if (ready > 0 && all[n].revents)
            return error_set(err, ERR_CANCELLED, 0, "interrupted while waiting for %s", what);
        if (ready > 0)
            break;
        if (deadline_passed(d))
            return timed_out(d, what, err);
    }
    int count = 0;
    for (unsigned i = 0; i < n; i++) {
        fds[i].revents = all[i].revents;
        count += all[i].revents != 0;
    }
    return count;
}

int deadline_poll(struct pollfd *fds, unsigned n, const struct deadline *d, const char *what,
                  struct error *err)
{
    return poll_until(fds, n, deadline_passed(d), d, what, err);
}

int deadline_poll_once(struct pollfd *fds, unsigned n, const struct deadline *d, const char *what,
                       struct error *err)
{
    return poll_until(fds, n, false, d, what, err);
}

int deadline_check(const struct deadline *d, const char *what, struct error *err)
{
    struct pollfd user = {.fd = d ? d->cancel_fd : -1, .events = POLLIN};
    if (poll(&user, 1, 0) > 0)
        return error_set(err, ERR_CANCELLED, 0, "interrupted while waiting for %s", what);
    return deadline_passed(d) ? timed_out(d, what, err) : 0;
}
