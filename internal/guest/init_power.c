#include "guest/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "base/str.h"
#include "guest/acpi_event.h"
#include "guest/guest.h"

#define RESTARTS_MAX  5
#define TERM_GRACE_MS 1000

static const int asked_signals[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGPWR};

static sigset_t loop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (size_t i = 0; i < ARRAY_LEN(asked_signals); i++)
        sigaddset(&set, asked_signals[i]);
    return set;
}

void power_block_signals(void)
{
    sigset_t set = loop_signals();
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    /* Ctrl-Alt-Del becomes SIGINT for us instead of an instant reset. */
    (void)reboot(RB_DISABLE_CAD);
}

void power_unblock_signals(void)
{
    sigset_t set = loop_signals();
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* What systemd gives: a soft limit that select() can take, and a hard one that programs may raise
 * theirs to. They are init's too, since sudo and su take theirs from process 1 (pam_limits). */
static void set_limits(void)
{
    const struct rlimit files = {.rlim_cur = 1024, .rlim_max = 524288};
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

pid_t power_start_server(void)
{
    set_limits();
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    power_unblock_signals();
    (void)setsid();
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0)
        (void)dup2(null, STDIN_FILENO);
    execve(guest_sshd_argv[0], (char *const *)(uintptr_t)guest_sshd_argv,
           (char *const *)(uintptr_t)guest_sshd_env);
    console("start %s of the image: %s", guest_sshd_argv[0], strerror(errno));
    _exit(127);
}

/* Collects every dead child. True if the server was among them. */
static bool reap(pid_t server, int *status)
{
    bool hit = false;
    int s;
    for (pid_t pid; (pid = waitpid(-1, &s, WNOHANG)) > 0;) {
        if (pid == server) {
            hit = true;
            *status = s;
        }
    }
    return hit;
}

/* What has arrived: true if it asks for the end; *child set if children died. */
static bool read_signals(int fd, bool *child)
{
    struct signalfd_siginfo si;
    while (read(fd, &si, sizeof si) == (ssize_t)sizeof si) {
        if (si.ssi_signo == SIGCHLD) {
            *child = true;
            continue;
        }
        console("signal %u: ending", si.ssi_signo);
        return true;
    }
    return false;
}

/* Starts the server again, a bounded number of times: a broken image must not spin. */
static pid_t restart(unsigned *restarts, int status)
{
    if (++*restarts > RESTARTS_MAX) {
        console("SSH server ended %u times, given up", *restarts);
        return -1;
    }
    console("SSH server ended (status %d), starting it again", status);
    return power_start_server();
}

static void load_late(int modules_dir)
{
    struct error err = ERROR_INIT;
    if (modules_load(modules_dir, "late", &err) < 0)
        console("warning: %s", err.msg);
}

void power_loop(pid_t server, int modules_dir, struct guest_clock *clock)
{
    sigset_t set = loop_signals();
    int sig = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    unsigned restarts = 0;
    load_late(modules_dir);
    int acpi = acpi_event_open();
    struct pollfd fds[2 + CLOCK_FDS] = {{sig, POLLIN, 0}, {acpi, POLLIN, 0}};
    if (clock)
        clock_start(clock, modules_dir);
    for (;;) {
        bool child = false;
        int status = 0;
        if (clock)
            clock_fds(clock, fds + 2);
        if (ppoll(fds, clock ? ARRAY_LEN(fds) : 2, NULL, NULL) < 0 && errno != EINTR)
            return;
        if (clock)
            clock_handle(clock, fds + 2);
        if (read_signals(sig, &child))
            return;
        if (child && reap(server, &status))
            server = restart(&restarts, status);
        if (acpi >= 0 && fds[1].revents && acpi_event_is_power_button(acpi)) {
            console("power button: ending");
            return;
        }
    }
}

/* Asks all processes to end and waits, for a bounded time, until none is left. */
static void end_processes(void)
{
    sigset_t set = loop_signals();
    int64_t until = boot_ms() + TERM_GRACE_MS;
    (void)kill(-1, SIGTERM);
    (void)kill(-1, SIGCONT);
    for (;;) {
        int status;
        pid_t pid;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            ;
        int64_t left = until - boot_ms();
        /* Orphans become our children, so no child means no process. */
        if ((pid < 0 && errno == ECHILD) || left <= 0)
            break;
        struct timespec t = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
        (void)sigtimedwait(&set, NULL, &t);
    }
    (void)kill(-1, SIGKILL);
}

void power_off(void)
{
    char how[16] = "";
    (void)cmdline_value("crabbox.off", how, sizeof how);
    end_processes();
    mounts_finish();
    console("off %lld ms", (long long)boot_ms());
    (void)reboot(str_eq(how, "reboot") ? RB_AUTOBOOT : RB_POWER_OFF);
    /* No way to power off: a reset ends a VMM that was told not to reboot. */
    (void)reboot(RB_AUTOBOOT);
    for (;;)
        (void)pause();
}
