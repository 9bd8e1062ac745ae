#include "sys/tty.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Signals that end the process without running any code of ours. */
static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT, SIGSYS, SIGTRAP};

static struct {
    volatile sig_atomic_t active;
    int fd;
    struct termios before;
    struct sigaction old[ARRAY_LEN(fatal)];
} raw;

/* The signal's action is the default again (SA_RESETHAND), so raising it ends the process as
 * usual. */
static void on_fatal(int sig)
{
    if (raw.active)
        (void)tcsetattr(raw.fd, TCSANOW, &raw.before);
    (void)raise(sig);
}

int tty_raw_enter(int fd, struct error *err)
{
    struct sigaction sa = {.sa_handler = on_fatal, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    if (tcgetattr(fd, &raw.before) < 0)
        return error_set(err, errno == ENOTTY ? ERR_USAGE : ERR_IO, errno, "not a terminal");
    raw.fd = fd;
    raw.active = 1;
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        (void)sigaction(fatal[i], &sa, &raw.old[i]);
    struct termios t = raw.before;
    cfmakeraw(&t);
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    if (tcsetattr(fd, TCSADRAIN, &t) == 0)
        return 0;
    int saved = errno;
    tty_raw_leave();
    return error_set(err, ERR_IO, saved, "put the terminal into raw mode");
}

void tty_raw_leave(void)
{
    if (!raw.active)
        return;
    (void)tcsetattr(raw.fd, TCSANOW,
                    &raw.before); /* without waiting for a terminal that is stuck */
    raw.active = 0;
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        (void)sigaction(fatal[i], &raw.old[i], NULL);
}

void tty_size(int fd, int *columns, int *rows)
{
    struct winsize w = {0};
    (void)ioctl(fd, TIOCGWINSZ, &w);
    *columns = w.ws_col ? w.ws_col : 80;
    *rows = w.ws_row ? w.ws_row : 24;
}

int tty_resize_open(struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return error_set(err, ERR_INTERNAL, errno, "block SIGWINCH");
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? error_set(err, ERR_INTERNAL, errno, "signalfd") : fd;
}

void tty_resize_take(int fd)
{
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) > 0)
        ;
}
