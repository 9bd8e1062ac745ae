/* userns.c: how a user who is not root gets namespaces in which that user is root.
 *
 * userns_new forks the holder. The holder makes both namespaces at once, so that the network
 * belongs to the user namespace, and says so. The ids are then mapped from outside: by newuidmap
 * and newgidmap if the system has given the caller a range of ids, else by ourselves, which the
 * kernel allows for the caller's own id alone. The descriptors are opened by the holder's number
 * while it is our child that we have not reaped, so the number can't mean another process.
 *
 * The holder keeps no descriptor of ours (a lease's lock would live on with it) but the end of a
 * pipe, and ends when the other end is closed. userns_run's child keeps them, as its work may need
 * them, and is killed with us.
 */
#include "sys/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "sys/file.h"
#include "sys/spawn.h"
#include "sys/subids.h"

/* ---- what the kernel allows ---- */

/* -1 where there is no such setting. */
static long setting(const char *path)
{
    char text[32] = "";
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
        return -1;
    return strtol(text, NULL, 10);
}

#define APPARMOR "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"

/* A program with an AppArmor profile of its own that says `userns` is let through. */
static bool apparmor_restricts(void)
{
    char profile[64] = "";
    if (setting(APPARMOR) <= 0)
        return false;
    _cleanup_close_ int fd = open("/proc/self/attr/apparmor/current", O_RDONLY | O_CLOEXEC);
    return fd < 0 || read(fd, profile, sizeof profile - 1) <= 0 ||
           str_has_prefix(profile, "unconfined");
}

#define AS_ROOT "; next: as root: "

int userns_check(struct error *err)
{
    if (setting("/proc/sys/user/max_user_namespaces") == 0)
        return error_set(err, ERR_ENV, 0,
                         "this host allows no user namespaces (user.max_user_namespaces is 0), and "
                         "without root a lease needs one" AS_ROOT
                         "sysctl user.max_user_namespaces=15000, or put sudo before crabbox-fc");
    if (setting("/proc/sys/kernel/unprivileged_userns_clone") == 0)
        return error_set(
            err, ERR_ENV, 0,
            "this host allows user namespaces to root alone "
            "(kernel.unprivileged_userns_clone is 0), and without root a lease needs "
            "one" AS_ROOT
            "sysctl kernel.unprivileged_userns_clone=1, or put sudo before crabbox-fc");
    if (access("/proc/self/ns/user", F_OK) < 0)
        return error_set(err, ERR_ENV, errno,
                         "this kernel has no user namespaces, and without root a lease needs one; "
                         "next: put sudo before crabbox-fc");
    if (apparmor_restricts())
        return error_set(
            err, ERR_ENV, 0,
            "AppArmor restricts user namespaces on this host "
            "(kernel.apparmor_restrict_unprivileged_userns is 1), and without root a "
            "lease needs one" AS_ROOT
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give crabbox-fc "
            "an AppArmor profile with userns (docs/ROOTLESS.md), or put sudo before "
            "crabbox-fc");
    return 0;
}

static int refused(int sys, struct error *err)
{
    if (userns_check(err) < 0)
        return -1;
    if (sys == ENOSPC || sys == EUSERS)
        return error_set(err, ERR_ENV, sys,
                         "make a user namespace: there are as many as user.max_user_namespaces "
                         "allows" AS_ROOT "sysctl user.max_user_namespaces=15000");
    return error_set(err, ERR_ENV, sys,
                     "make a user namespace: something on this host forbids it (in a container, "
                     "its seccomp profile); next: put sudo before crabbox-fc");
}

/* ---- ids ---- */

static int write_map(pid_t pid, const char *name, const char *text, struct error *err)
{
    char path[64];
    (void)str_format(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return error_set(err, ERR_ENV, errno, "write the user namespace's %s", name);
    return 0;
}

/* The kernel lets nobody take away groups by which files may be closed to their members. */
static int map_one(pid_t pid, struct error *err)
{
    _cleanup_free_ char *uid = xasprintf("0 %u 1", (unsigned)geteuid());
    _cleanup_free_ char *gid = xasprintf("0 %u 1", (unsigned)getegid());
    return write_map(pid, "setgroups", "deny", err) < 0 ||
                   write_map(pid, "uid_map", uid, err) < 0 ||
                   write_map(pid, "gid_map", gid, err) < 0
               ? -1
               : 0;
}

static int run_mapper(const char *program, pid_t pid, unsigned own, const struct subids *range,
                      const struct deadline *d, struct error *err)
{
    char text[4][24], how[64];
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct exit_status st;
    _cleanup_strbuf_ struct strbuf said = STRBUF_INIT;
    (void)str_format(text[0], sizeof text[0], "%d", (int)pid);
    (void)str_format(text[1], sizeof text[1], "%u", own);
    (void)str_format(text[2], sizeof text[2], "%u", range->first);
    (void)str_format(text[3], sizeof text[3], "%u", range->count);
    const char *const argv[] = {program, text[0], "0", text[1], "1", "1", text[2], text[3], NULL};
    spec.argv = argv;
    if (spawn_run(&spec, d, 512, NULL, &said, &st, err) < 0)
        return -1;
    return st.exited && st.code == 0 ? 0
                                     : error_set(err, ERR_ENV, 0, "%s: %s: %s", program,
                                                 exit_status_text(&st, how, sizeof how), said.buf);
}

static int map_ids(struct userns *ns, const struct deadline *d, struct error *err)
{
    struct subids uids, gids;
    if (subids_find(&uids, &gids, NULL) < 0)
        return map_one(ns->holder, err);
    uids.count = gids.count = uids.count < gids.count ? uids.count : gids.count;
    if (run_mapper(SUBIDS_NEWUIDMAP, ns->holder, geteuid(), &uids, d, err) < 0 ||
        run_mapper(SUBIDS_NEWGIDMAP, ns->holder, getegid(), &gids, d, err) < 0)
        return error_add_next(err, "look at your lines in /etc/subuid and /etc/subgid");
    ns->first = uids.first;
    ns->first_gid = gids.first;
    ns->more = uids.count;
    return 0;
}

int userns_check_ids(struct error *err)
{
    struct subids uids, gids;
    return subids_find(&uids, &gids, err);
}

/* ---- the holder ---- */

/* Descriptor 3 says how it went; 4 is the one whose end we wait for. Only system calls. */
static void holder_main(int say, int hold)
{
    char byte;
    sigset_t none;
    int code = 0;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid(); /* a Ctrl-C is for whoever holds us */
    int say_at = fcntl(say, F_DUPFD, 16), hold_at = fcntl(hold, F_DUPFD, 16);
    if (say_at < 0 || hold_at < 0 || dup2(say_at, 3) < 0 || dup2(hold_at, 4) < 0)
        _exit(1);
    (void)close_range(5, ~0u, 0);
    for (int fd = 0; fd < 3; fd++)
        (void)close(fd);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        code = errno;
    (void)!write(3, &code, sizeof code);
    (void)!read(4, &byte, 1);
    _exit(0);
}

static int start_holder(struct userns *ns, struct error *err)
{
    int say[2], hold[2], code = EIO;
    sigset_t all, old;
    if (pipe2(say, O_CLOEXEC) < 0)
        return error_set(err, ERR_ENV, errno, "make a user namespace");
    _cleanup_close_ int say_read = say[0], say_write = say[1];
    if (pipe2(hold, O_CLOEXEC) < 0)
        return error_set(err, ERR_ENV, errno, "make a user namespace");
    _cleanup_close_ int hold_read = hold[0];
    ns->hold_fd = hold[1];
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &old);
    ns->holder = fork();
    if (ns->holder == 0)
        holder_main(say_write, hold_read);
    int sys = errno;
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    if (ns->holder < 0) {
        ns->holder = 0;
        return error_set(err, ERR_ENV, sys, "make a user namespace: fork");
    }
    CLOSE_FD(say_write);
    if (read(say_read, &code, sizeof code) != (ssize_t)sizeof code || code)
        return refused(code, err);
    return 0;
}

static int open_ns(pid_t pid, const char *name, struct error *err)
{
    char path[64];
    (void)str_format(path, sizeof path, "/proc/%d/ns/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : error_set(err, ERR_ENV, errno, "open %s", path);
}

static int open_both(pid_t pid, struct userns *ns, struct error *err)
{
    ns->user_fd = open_ns(pid, "user", err);
    ns->net_fd = ns->user_fd < 0 ? -1 : open_ns(pid, "net", err);
    return ns->net_fd < 0 ? -1 : 0;
}

int userns_new(const struct deadline *d, struct userns *out, struct error *err)
{
    struct userns ns = USERNS_INIT;
    if (start_holder(&ns, err) == 0 && map_ids(&ns, d, err) == 0 &&
        open_both(ns.holder, &ns, err) == 0) {
        *out = ns;
        return 0;
    }
    userns_close(&ns);
    return -1;
}

void userns_let_go(struct userns *ns)
{
    CLOSE_FD(ns->hold_fd);
    if (ns->holder > 0)
        while (waitpid(ns->holder, NULL, 0) < 0 && errno == EINTR)
            ;
    ns->holder = 0;
}

void userns_close(struct userns *ns)
{
    userns_let_go(ns);
    CLOSE_FD(ns->user_fd);
    CLOSE_FD(ns->net_fd);
}

int userns_of(const struct proc_ref *proc, struct userns *out, struct error *err)
{
    struct userns ns = USERNS_INIT;
    _cleanup_close_ int process = proc_open(proc, err);
    /* Alive after the open: until then the number was its own. */
    if (process >= 0 && open_both(proc->pid, &ns, err) == 0) {
        if (proc_alive(proc)) {
            *out = ns;
            return 0;
        }
        (void)error_set(err, ERR_NOT_RUNNING, 0, "process %d has ended", (int)proc->pid);
    }
    userns_close(&ns);
    return -1;
}

/* ---- work inside ---- */

struct answer {
    int result;
    struct error err;
};

union control {
    struct cmsghdr h;
    char room[CMSG_SPACE(USERNS_FDS_MAX * sizeof(int))];
};

static void send_answer(int sock, const struct answer *a, const int *fds, unsigned n)
{
    union control control = {.room = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)a, .iov_len = sizeof *a};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n > 0) {
        msg.msg_control = control.room;
        msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
        control.h = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                                     .cmsg_type = SCM_RIGHTS,
                                     .cmsg_len = CMSG_LEN(n * sizeof(int))};
        memcpy(CMSG_DATA(&control.h), fds, n * sizeof(int));
    }
    (void)sendmsg(sock, &msg, MSG_NOSIGNAL);
}

struct inside {
    const struct userns *ns;
    userns_fn *fn;
    userns_fds_fn *fds_fn;
    void *arg;
    unsigned max;
};

static void inside_main(const struct inside *in, int sock, pid_t parent) __attribute__((noreturn));
static void inside_main(const struct inside *in, int sock, pid_t parent)
{
    struct answer a = {.result = 0, .err = ERROR_INIT};
    int fds[USERNS_FDS_MAX];
    if (setns(in->ns->user_fd, CLONE_NEWUSER) < 0 || setns(in->ns->net_fd, CLONE_NEWNET) < 0)
        a.result = error_set(&a.err, ERR_ENV, errno, "enter the lease's namespaces");
    /* After the change of user, which would clear it. */
    else if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(1);
    else if (in->fds_fn)
        a.result = in->fds_fn(in->arg, fds, in->max, &a.err);
    else if (in->fn)
        a.result = in->fn(in->arg, &a.err);
    send_answer(sock, &a, fds, in->fds_fn && a.result > 0 ? (unsigned)a.result : 0);
    _exit(0);
}

/* The descriptors of the answer, at most `max`; -1, with none kept, where there are others than it
 * says. */
static int take_fds(struct msghdr *msg, const struct answer *a, int *fds, unsigned max)
{
    int got[USERNS_FDS_MAX];
    const struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    unsigned n = c && c->cmsg_type == SCM_RIGHTS
                     ? (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int))
                     : 0;
    if (n > 0)
        memcpy(got, CMSG_DATA(c), n * sizeof(int));
    if (n <= max && n == (a->result > 0 ? (unsigned)a->result : 0)) {
        memcpy(fds, got, n * sizeof(int));
        return 0;
    }
    for (unsigned i = 0; i < n; i++)
        (void)close(got[i]);
    return -1;
}

static int take_answer(int sock, int *fds, unsigned max, struct error *err)
{
    struct answer a;
    union control control;
    struct iovec iov = {.iov_base = &a, .iov_len = sizeof a};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof control.room};
    ssize_t n;
    do
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof a || (fds && take_fds(&msg, &a, fds, max) < 0))
        return error_set(err, ERR_INTERNAL, 0,
                         "the process that worked in the lease's namespaces ended early");
    if (a.result < 0 && err)
        *err = a.err;
    return a.result;
}

static int run(const struct inside *in, int *fds, struct error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(err, ERR_ENV, errno, "work in the lease's namespaces");
    _cleanup_close_ int ours = pair[0], theirs = pair[1];
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return error_set(err, ERR_ENV, errno, "work in the lease's namespaces: fork");
    if (pid == 0)
        inside_main(in, theirs, parent);
    CLOSE_FD(theirs);
    int r = take_answer(ours, fds, in->max, err);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return r;
}

int userns_run(const struct userns *ns, userns_fn *fn, void *arg, struct error *err)
{
    const struct inside in = {.ns = ns, .fn = fn, .arg = arg};
    return run(&in, NULL, err);
}

int userns_run_fds(const struct userns *ns, userns_fds_fn *fn, void *arg, int *fds, unsigned max,
                   struct error *err)
{
    const struct inside in = {
        .ns = ns, .fds_fn = fn, .arg = arg, .max = max < USERNS_FDS_MAX ? max : USERNS_FDS_MAX};
    return run(&in, fds, err);
}
