/* progress.c: phases on stderr.
 *
 * On a terminal one line is rewritten: the phase, its time, files and bytes where it moves some. A
 * thread keeps the time going; log lines push it aside. On one that can't rewrite (TERM=dumb)
 * phases that take long leave a line when they begin. Nothing in a pipe or file, and nothing with
 * --quiet.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd.h"
#include "sys/deadline.h"

enum { TICK_MS = 100, SHOW_TIME_AFTER_MS = 300, WIDTH_DEFAULT = 80 };

/* One for the process: there is one stderr. */
static struct {
    pthread_mutex_t lock;
    pthread_t ticker;
    int quit_fd; /* owned while the ticker runs, else -1 */
    bool terminal, rewrites, colours;
    const char *phase; /* shown now, or NULL */
    int64_t since_ms;
    size_t files;
    int64_t bytes;
} line = {.lock = PTHREAD_MUTEX_INITIALIZER, .quit_fd = -1};

/* What each step is called in front of people. */
static const char *phase_text(const char *phase)
{
    static const struct {
        const char *phase, *text;
    } table[] = {
        {"prepare", "looking at the image"},
        {"slug", "lease"},
        {"disk", "disk"},
        {"net", "network"},
        {"seed", "keys"},
        {"keeper", "keeper"},
        {"vmm", "VMM"},
        {"boot", "boot"},
        {"ready", "waiting for SSH"},
        {"connect", "connecting"},
        {"sync", "syncing files"},
        {"run", "running"},
        {"collect", "bringing files back"},
        {"copy", "copying"},
        {"stop", "stopping"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (str_eq(table[i].phase, phase))
            return table[i].text;
    return phase;
}

static size_t width(void)
{
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1U
                                                                     : WIDTH_DEFAULT - 1;
}

static void put(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

static void draw(void)
{
    char text[160];
    char whole[200];
    int64_t ms = clock_boot_ms() - line.since_ms;
    char time[32] = "";
    char moved[64] = "";
    if (ms >= SHOW_TIME_AFTER_MS)
        (void)str_format(time, sizeof time, " %lld.%llds", (long long)(ms / 1000),
                         (long long)(ms / 100 % 10));
    if (line.files)
        (void)str_format(moved, sizeof moved, " %zu files,", line.files);
    size_t len = strlen(moved);
    if (line.bytes)
        (void)str_format(moved + len, sizeof moved - len, " %.1f MiB",
                         (double)line.bytes / (1 << 20));
    (void)str_format(text, sizeof text, "%s...%s%s", phase_text(line.phase), time, moved);
    (void)str_format(whole, sizeof whole, "\r\033[K%s%.*s%s", line.colours ? "\033[2m" : "",
                     (int)width(), text, line.colours ? "\033[0m" : "");
    put(whole);
}

static void show(const char *phase)
{
    (void)pthread_mutex_lock(&line.lock);
    line.phase = phase;
    line.since_ms = clock_boot_ms();
    line.files = 0;
    line.bytes = 0;
    draw();
    (void)pthread_mutex_unlock(&line.lock);
}

static void hide(void)
{
    (void)pthread_mutex_lock(&line.lock);
    if (line.phase)
        put("\r\033[K");
    line.phase = NULL;
    (void)pthread_mutex_unlock(&line.lock);
}

/* A log line goes where the progress line was, which comes back below it. */
static void before_log(void)
{
    (void)pthread_mutex_lock(&line.lock);
    if (line.phase)
        put("\r\033[K");
}

static void after_log(void)
{
    if (line.phase)
        draw();
    (void)pthread_mutex_unlock(&line.lock);
}

/* The clock of what is shown; ends when quit_fd turns readable. */
static void *tick(void *ctx)
{
    struct pollfd quit = {.fd = *(const int *)ctx, .events = POLLIN};
    while (poll(&quit, 1, TICK_MS) <= 0) {
        (void)pthread_mutex_lock(&line.lock);
        if (line.phase)
            draw();
        (void)pthread_mutex_unlock(&line.lock);
    }
    return NULL;
}

/* Without a thread the line is there all the same, only its time stands still. */
static void start_ticker(void)
{
    sigset_t all, old;
    line.quit_fd = eventfd(0, EFD_CLOEXEC);
    /* Signals that others wait for, such as SIGWINCH, are left to them. */
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    if (line.quit_fd >= 0 && pthread_create(&line.ticker, NULL, tick, &line.quit_fd) != 0)
        CLOSE_FD(line.quit_fd);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static bool takes_long(const char *phase)
{
    return str_eq(phase, "ready") || str_eq(phase, "sync") || str_eq(phase, "collect") ||
           str_eq(phase, "copy") || str_eq(phase, "stop");
}

static void on_begin(void *ctx, const char *phase)
{
    (void)ctx;
    if (log_get_level() < LOG_INFO)
        return;
    if (!line.rewrites) {
        if (line.terminal && takes_long(phase))
            log_info("%s...", phase_text(phase));
        return;
    }
    if (str_eq(phase, "run")) { /* the terminal is the command's now */
        hide();
        return;
    }
    if (line.quit_fd < 0)
        start_ticker();
    show(phase);
}

static void on_update(void *ctx, const char *phase, size_t files, int64_t bytes)
{
    (void)ctx;
    (void)phase;
    (void)pthread_mutex_lock(&line.lock);
    line.files = files;
    line.bytes = bytes;
    (void)pthread_mutex_unlock(&line.lock);
}

static void on_end(void *ctx, const char *phase, int64_t us, bool ok)
{
    (void)ctx;
    hide();
    log_debug("%s: %lld ms%s", phase_text(phase), (long long)(us / 1000), ok ? "" : " (failed)");
}

void progress_attach(struct invocation *in)
{
    line.terminal = isatty(STDERR_FILENO);
    line.rewrites = out_rewrites(STDERR_FILENO);
    line.colours = out_colours(STDERR_FILENO);
    if (line.rewrites)
        log_set_around(before_log, after_log);
    in->ops.progress.begin = on_begin;
    in->ops.progress.update = on_update;
    in->ops.progress.end = on_end;
    in->ops.progress.ctx = in;
}

void progress_detach(void)
{
    uint64_t one = 1;
    hide();
    if (line.quit_fd < 0)
        return;
    (void)!write(line.quit_fd, &one, sizeof one);
    (void)pthread_join(line.ticker, NULL);
    CLOSE_FD(line.quit_fd);
}
