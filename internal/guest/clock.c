#include "guest/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>

#include "guest/init.h"
#include "guest/seed.h"

#define SECOND 1000000000LL
#define MILLI  1000000LL

enum { TRIES = 5 };

#define AGREE_NS  (20 * MILLI) /* two edges that are no further apart are both right */
#define LOST_NS   (40 * MILLI) /* the chip's interrupt may be this late */
#define KVM_NS    (5 * MILLI)
#define NARROW_NS (MILLI)
#define SET_NS    (100 * MILLI) /* the time since boot is told in hundredths of a second */

static int64_t clock_ns(clockid_t id)
{
    struct timespec t = {0};
    (void)clock_gettime(id, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

/* Of the time that another descriptor's clock has. */
static clockid_t clock_of(int fd)
{
    return (clockid_t)((~(unsigned)fd << 3) | 3u);
}

static void shift(int64_t by)
{
    int64_t to = clock_ns(CLOCK_REALTIME) + by;
    const struct timespec t = {.tv_sec = to / SECOND, .tv_nsec = to % SECOND};
    if (by == 0 || to < 0)
        return;
    if (clock_settime(CLOCK_REALTIME, &t) < 0) {
        console("warning: set the clock: %s", strerror(errno));
        return;
    }
    console("clock set by %lld ms", (long long)(by / MILLI));
}

/* ---- KVM's ---- */

/* Between two looks at our own clock; the narrowest of a few. */
static void take_kvm(struct guest_clock *c)
{
    int64_t best = INT64_MAX, off = 0;
    for (int i = 0; i < TRIES && best > NARROW_NS; i++) {
        int64_t before = clock_ns(CLOCK_REALTIME), theirs = clock_ns(clock_of(c->ptp)),
                after = clock_ns(CLOCK_REALTIME);
        if (theirs <= 0 || after < before || after - before >= best)
            continue;
        best = after - before;
        off = theirs - before - best / 2;
    }
    if (best < KVM_NS && llabs(off) > KVM_NS)
        shift(off);
}

/* ---- the chip's ---- */

/* What the clock has lost if it is `gap` ahead of the chip. */
static int64_t chip_lost(struct chip_watch *w, int64_t gap)
{
    bool told = w->told;
    w->told = false;
    if (gap < -LOST_NS) /* behind the chip, which is never ahead of the host */
        return (w->known ? w->gap : 0) - gap;
    if (gap < SECOND + LOST_NS && (!w->known || (told && gap - w->gap > LOST_NS))) {
        w->known = true;
        w->gap = gap;
    }
    return w->known && w->gap - gap > LOST_NS ? w->gap - gap : 0;
}

void clock_told(struct chip_watch *w, int64_t by)
{
    w->told = true;
    w->edges = 0;
    if (by < 0) /* it was ahead already when the distance was taken, or somebody set it forward */
        w->gap += by;
}

bool clock_edge(struct chip_watch *w, int64_t gap, int64_t *shift_by)
{
    *shift_by = 0;
    for (unsigned i = 0; i < w->edges; i++) {
        if (llabs(gap - w->gaps[i]) > AGREE_NS)
            continue;
        /* Both are late rather than early. */
        *shift_by = chip_lost(w, w->gaps[i] < gap ? w->gaps[i] : gap);
        w->edges = 0;
        return true;
    }
    w->gaps[w->edges++] = gap;
    if (w->edges < ARRAY_LEN(w->gaps))
        return false;
    w->edges = 0;
    return true;
}

/* On again if it was on: the chip's alarm is for one second, and a guest that stood still while it
 * set that has missed it for a day. */
static void watch_edges(struct guest_clock *c, bool on)
{
    (void)ioctl(c->rtc, RTC_UIE_OFF, 0);
    if (on && ioctl(c->rtc, RTC_UIE_ON, 0) < 0)
        CLOSE_FD(c->rtc); /* a chip that tells of no edges */
}

static void take_edge(struct guest_clock *c)
{
    unsigned long info;
    struct rtc_time r;
    int64_t by;
    if (read(c->rtc, &info, sizeof info) != (ssize_t)sizeof info ||
        ioctl(c->rtc, RTC_RD_TIME, &r) < 0)
        return;
    struct tm tm = {.tm_sec = r.tm_sec,
                    .tm_min = r.tm_min,
                    .tm_hour = r.tm_hour,
                    .tm_mday = r.tm_mday,
                    .tm_mon = r.tm_mon,
                    .tm_year = r.tm_year};
    /* The clock is read after the chip: what comes between them makes it late, too. */
    int64_t gap = clock_ns(CLOCK_REALTIME) - (int64_t)timegm(&tm) * SECOND;
    if (!clock_edge(&c->chip, gap, &by))
        return;
    watch_edges(c, false);
    shift(by);
}

static void look(struct guest_clock *c)
{
    if (c->ptp >= 0)
        take_kvm(c);
    else if (c->rtc >= 0)
        watch_edges(c, true);
}

/* ---- told by the host ---- */

static int open_fifo(const char *path, struct owner user)
{
    (void)unlink(path);
    if (mkfifo(path, 0600) < 0 || chown(path, user.uid, user.gid) < 0)
        return -1;
    /* Both ends: it never ends, and nobody who writes to it waits for us. */
    return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

void clock_listen(struct guest_clock *c, struct owner user)
{
    *c = (struct guest_clock){.told = open_fifo(CLOCK_TOLD, user), .ptp = -1, .rtc = -1};
    c->done = open_fifo(CLOCK_DONE, user);
    c->timer = -1;
    if (c->told < 0 || c->done < 0)
        console("warning: " CLOCK_TOLD ": %s", strerror(errno));
}

int clock_parse(const char *text, int64_t *out)
{
    struct timespec t;
    bool minus = *text == '-';
    if (seed_clock_parse(text + minus, &t) < 0 || t.tv_sec > INT64_MAX / SECOND / 2)
        return -1;
    *out = (int64_t)t.tv_sec * SECOND + t.tv_nsec;
    if (minus)
        *out = -*out;
    return 0;
}

int clock_read(char *text, int64_t *by, int64_t *booted)
{
    char *rest = text, *line = strsep(&rest, "\n"), *first = strsep(&line, " ");
    *booted = 0;
    if (clock_parse(first, by) < 0)
        return -1;
    return line ? clock_parse(line, booted) : 0;
}

int64_t clock_left(int64_t by, int64_t booted, int64_t booted_now)
{
    int64_t set = booted > 0 ? booted_now - booted : 0;
    return llabs(set) > SET_NS ? by - set : by;
}

static void take_told(struct guest_clock *c)
{
    char text[128];
    int64_t by, booted;
    ssize_t n = read(c->told, text, sizeof text - 1);
    if (n <= 0)
        return;
    text[n] = '\0';
    if (clock_read(text, &by, &booted) == 0) {
        by = clock_left(by, booted, clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME));
        shift(by);
        clock_told(&c->chip, by);
        look(c);
    }
    (void)!write(c->done, "\n", 1);
}

/* ---- the loop's side ---- */

void clock_start(struct guest_clock *c, int modules_dir)
{
    const struct itimerspec every = {.it_interval = {.tv_sec = CLOCK_EVERY_S},
                                     .it_value = {.tv_sec = CLOCK_EVERY_S}};
    /* Where KVM lends no clock the driver refuses: no error. */
    (void)modules_load(modules_dir, "clock", NULL);
    c->ptp = open("/dev/ptp0", O_RDONLY | O_CLOEXEC);
    if (c->ptp < 0)
        c->rtc = open("/dev/rtc0", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (c->timer >= 0)
        (void)timerfd_settime(c->timer, 0, &every, NULL);
    look(c);
}

void clock_fds(const struct guest_clock *c, struct pollfd fds[CLOCK_FDS])
{
    const int each[CLOCK_FDS] = {c->told, c->rtc, c->timer};
    for (int i = 0; i < CLOCK_FDS; i++)
        fds[i] = (struct pollfd){.fd = each[i], .events = POLLIN};
}

void clock_handle(struct guest_clock *c, const struct pollfd fds[CLOCK_FDS])
{
    uint64_t times;
    if (fds[0].revents)
        take_told(c);
    if (fds[1].revents)
        take_edge(c);
    if (fds[2].revents && read(c->timer, &times, sizeof times) == (ssize_t)sizeof times)
        look(c);
}
