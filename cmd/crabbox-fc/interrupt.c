/* interrupt.c: what Ctrl-C does.
 *
 * SIGINT, SIGTERM and SIGHUP become a descriptor that every wait watches: the work in hand is
 * undone in good order. Some waits don't watch it (a system call that hangs, the undoing itself),
 * so a thread takes the signals: a second one, while nobody has taken the first off the descriptor,
 * ends the process at once. The lease's lock is free then, so its keeper undoes what is left.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd.h"
#include "sys/deadline.h"
#include "sys/tty.h"

#define STACK_SIZE (64u * 1024)
/* timeout(1) and the like send a signal twice: to the process and to its group. */
#define SAME_MS 300

static struct {
    sigset_t set;
    int fd;
    bool half_way; /* a lease may be left so */
} heard = {.fd = -1};

/* Waits for nothing: a terminal or a reader that takes nothing any more may be what is stuck. */
static void end_at_once(void)
{
    static const char half_way[] =
        "\ncrabbox-fc: ended at the second interrupt; a lease may be left half-way, which its "
        "keeper removes; next: crabbox-fc list, and crabbox-fc cleanup if it is still there\n";
    static const char plain[] = "\ncrabbox-fc: ended at the second interrupt\n";
    const char *words = heard.half_way ? half_way : plain;
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    tty_raw_leave();
    size_t skip = isatty(STDERR_FILENO) ? 0 : 1; /* a new line behind the progress line */
    if (poll(&room, 1, 0) > 0)
        (void)!write(STDERR_FILENO, words + skip, strlen(words + skip));
    _exit(130);
}

static void *take_signals(void *ctx)
{
    int64_t last_ms = 0;
    (void)ctx;
    for (;;) {
        struct pollfd pending = {.fd = heard.fd, .events = POLLIN};
        int sig = sigwaitinfo(&heard.set, NULL);
        if (sig < 0)
            continue;
        bool again = poll(&pending, 1, 0) > 0;
        /* A terminal that goes away sends SIGHUP beside others: that is nobody's impatience. */
        if (again && sig != SIGHUP && clock_boot_ms() - last_ms >= SAME_MS)
            end_at_once();
        if (again)
            continue;
        last_ms = clock_boot_ms();
        (void)eventfd_write(heard.fd, 1);
    }
    return NULL;
}

static int start_thread(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, old;
    if (pthread_attr_init(&attr) != 0)
        return -1;
    (void)pthread_attr_setstacksize(&attr, STACK_SIZE < PTHREAD_STACK_MIN ? PTHREAD_STACK_MIN
                                                                          : STACK_SIZE);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    /* Those that others wait for, such as SIGWINCH, are left to them. */
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&thread, &attr, take_signals, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)pthread_attr_destroy(&attr);
    return r == 0 ? 0 : -1;
}

/* Under nohup(1) the end of the terminal is meant to go by. */
static bool is_ignored(int sig)
{
    struct sigaction now;
    return sigaction(sig, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

int interrupt_open(const struct verb *v, struct error *err)
{
    /* The keeper is asked to end by nobody but a host that goes down. */
    bool impatient = v->run != cmd_keeper;
    heard.half_way = v->makes_leases || v->ends_leases;
    sigemptyset(&heard.set);
    sigaddset(&heard.set, SIGINT);
    sigaddset(&heard.set, SIGTERM);
    if (!is_ignored(SIGHUP))
        sigaddset(&heard.set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &heard.set, NULL) < 0)
        return error_set(err, ERR_INTERNAL, errno, "block signals");
    heard.fd = impatient ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    if (heard.fd >= 0 && start_thread() == 0)
        return heard.fd;
    /* Without a thread the first signal is heard all the same. */
    CLOSE_FD(heard.fd);
    int fd = signalfd(-1, &heard.set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? error_set(err, ERR_INTERNAL, errno, "signalfd") : fd;
}
