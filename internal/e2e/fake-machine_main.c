/* fake-machine: see e2e/fake.h. Started as `fake-machine LEASE DESCRIPTOR` in the lease's
 * directory, the descriptor being what the machine is called by. It ends when the machine runs; the
 * machine is the first process of its pid namespace, so that nothing outlives it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "e2e/fake.h"
#include "guest/guest.h"
#include "guest/netconf.h"
#include "guest/seed.h"
#include "standin/standin.h"
#include "standin/standin_fault.h"

static const char *const server_argv[] = {"/usr/sbin/sshd",  "-i", "-e", "-f",
                                          GUEST_SSHD_CONFIG, NULL};

static void die(const char *what) __attribute__((noreturn));
static void die(const char *what)
{
    (void)fprintf(stderr, "fake-machine: %s\n", what);
    _exit(1);
}

static void serve_ssh(int fd, bool deaf) __attribute__((noreturn));
static void serve_ssh(int fd, bool deaf)
{
    (void)signal(SIGCHLD, SIG_DFL);
    if (deaf)
        (void)pause();
    if (dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
        die(strerror(errno));
    (void)execve(server_argv[0], (char *const *)(uintptr_t)server_argv,
                 (char *const *)(uintptr_t)guest_sshd_env);
    die("start sshd");
}

/* Those who watch are not answered. Their connections are the first process's own, and so end
 * before those of the others when it does: nobody takes the end of the machine for a lost
 * connection. */
static void answer(int fd, bool deaf)
{
    char what = FAKE_NOTHING;
    if (read(fd, &what, 1) == 1 && what == FAKE_WATCH)
        return;
    if (what == FAKE_END)
        _exit(0);
    if (what == FAKE_SSH && fork() == 0)
        serve_ssh(fd, deaf);
    (void)close(fd);
}

static void machine_main(int line, const struct seed *seed, bool deaf) __attribute__((noreturn));
static void machine_main(int line, const struct seed *seed, bool deaf)
{
    struct error err = ERROR_INIT;
    (void)signal(SIGCHLD, SIG_IGN); /* nobody waits for a child */
    if (standin_root_enter(&err) < 0 || netconf_loopback(&err) < 0 ||
        guest_setup("/", seed, &err) < 0)
        die(err.msg);
    if (sethostname(seed->hostname, strlen(seed->hostname)) < 0)
        die("set the host name");
    for (;;) {
        int fd = accept4(line, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            answer(fd, deaf);
    }
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    _cleanup_seed_ struct seed seed = {0};
    uint64_t line;
    if (argc != 3 || str_to_u64(argv[2], &line) < 0 || fcntl((int)line, F_SETFD, FD_CLOEXEC) < 0)
        die("usage: fake-machine LEASE DESCRIPTOR");
    bool deaf = fault_is("GUEST", "deaf");
    fault_mark(); /* while this is the host's root */
    _cleanup_close_ int drive = open(FAKE_SEED, O_RDONLY | O_CLOEXEC);
    if (drive < 0)
        die("open " FAKE_SEED);
    if (seed_read(drive, &seed, &err) < 0)
        die(err.msg);
    if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC) < 0)
        die("make namespaces");
    pid_t pid = fork();
    if (pid == 0)
        machine_main((int)line, &seed, deaf);
    _exit(pid < 0); /* what a sanitizer does at the end needs the pid namespace of before */
}
