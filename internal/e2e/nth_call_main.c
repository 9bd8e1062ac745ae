/* nth_call: runs a program and makes one system call of its processes fail (nth.h).
 *
 *   nth_call REPORT KIND ONLY N SEED PROGRAM [ARGUMENT...]
 *
 * KIND is call, fork or keeper; ONLY the name of the calls that count, or empty. The program begins
 * with a seccomp filter: each call in the table below waits until a supervisor, a process that is
 * forked here, has let it go on or given it an error. A filter is inherited, so the supervisor
 * lives until the last process that has it is gone: a lease's keeper and VMM too. nth_call itself
 * ends when the program does, in the same way.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "e2e/nth.h"
#include "sys/file.h"

/* What can fail, and how it may: what a machine without memory, descriptors, space or a healthy
 * disk gives, and an interruption where a call waits that the kernel does not begin again. */
#define ERRORS_MAX 4
#define CALL(name, ...)                                                                            \
    {                                                                                              \
        SYS_##name, #name,                                                                         \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
static const struct call {
    long nr;
    const char *name;
    int errors[ERRORS_MAX]; /* up to the first 0 */
} calls[] = {
    CALL(openat, EMFILE, ENFILE, EIO, ENOMEM),
    CALL(openat2, EMFILE, EAGAIN, EIO, ENOMEM),
    CALL(newfstatat, EIO, ENOMEM),
    CALL(fstat, EIO),
    CALL(statx, EIO, ENOMEM),
    CALL(fstatfs, EIO),
    CALL(readlink, EIO, ENOMEM),
    CALL(readlinkat, EIO, ENOMEM),
    CALL(faccessat2, EIO, ENOMEM),
    CALL(access, EIO, ENOMEM),
    CALL(getcwd, ENOMEM),
    CALL(chdir, EIO),
    CALL(fchdir, EIO),
    CALL(read, EIO, ENOMEM),
    CALL(pread64, EIO),
    CALL(write, ENOSPC, EIO, EDQUOT),
    CALL(pwrite64, ENOSPC, EIO),
    CALL(writev, ENOSPC, EIO),
    CALL(fsync, EIO, ENOSPC),
    CALL(fdatasync, EIO, ENOSPC),
    CALL(ftruncate, EIO, ENOSPC),
    CALL(fallocate, ENOSPC, EIO, EINTR),
    CALL(copy_file_range, ENOSPC, EIO),
    CALL(getdents64, EIO, ENOMEM),
    CALL(mkdir, ENOSPC, EIO),
    CALL(mkdirat, ENOSPC, EIO),
    CALL(symlinkat, ENOSPC, EIO),
    CALL(linkat, ENOSPC, EIO),
    CALL(renameat, ENOSPC, EIO),
    CALL(renameat2, ENOSPC, EIO),
    CALL(unlinkat, EIO, EROFS),
    CALL(fchmod, EIO, EROFS),
    CALL(fchmodat, EIO, EROFS),
    CALL(fchown, EIO, EROFS),
    CALL(fchownat, EIO, EROFS),
    CALL(lgetxattr, EIO, ENOMEM),
    CALL(flock, ENOLCK, EINTR),
#ifndef __SANITIZE_ADDRESS__ /* which ends the process where it gets no memory */
    CALL(mmap, ENOMEM),
    CALL(mprotect, ENOMEM),
#endif
    CALL(pipe2, EMFILE, ENFILE),
    CALL(eventfd2, EMFILE, ENFILE),
    CALL(timerfd_create, EMFILE, ENOMEM),
    CALL(timerfd_settime, EINVAL),
    CALL(inotify_init1, EMFILE, ENOMEM),
    CALL(inotify_add_watch, ENOSPC, ENOMEM),
    CALL(epoll_create1, EMFILE, ENOMEM),
    CALL(epoll_ctl, ENOSPC, ENOMEM),
    CALL(epoll_wait, EINTR),
    CALL(poll, EINTR, ENOMEM),
    CALL(ppoll, EINTR, ENOMEM),
    CALL(pselect6, EINTR, ENOMEM),
    CALL(socket, EMFILE, ENFILE, ENOBUFS),
    CALL(socketpair, EMFILE, ENFILE),
    CALL(bind, ENOMEM, EADDRINUSE),
    CALL(connect, ECONNREFUSED, ENETUNREACH),
    CALL(accept4, EMFILE, EINTR),
    CALL(setsockopt, ENOMEM, ENOBUFS),
    CALL(getsockopt, ENOBUFS),
    CALL(sendto, ENOBUFS, ENOMEM),
    CALL(sendmsg, ENOBUFS, ENOMEM),
    CALL(recvfrom, ENOMEM, ECONNRESET),
    CALL(recvmsg, ENOMEM, ENOBUFS),
    CALL(shutdown, ENOTCONN),
    CALL(ioctl, ENOMEM, EIO),
    CALL(fcntl, EMFILE), /* see fcntl_error() */
    CALL(getrandom, EINTR),
    CALL(clone, EAGAIN, ENOMEM),
    CALL(clone3, EAGAIN, ENOMEM),
    CALL(execve, ENOMEM, EMFILE, EIO),
    CALL(setsid, EPERM),
    CALL(unshare, ENOSPC, ENOMEM, EPERM),
    CALL(setns, ENOMEM, EPERM),
    CALL(mount, ENOMEM, EPERM),
    CALL(umount2, ENOMEM),
    CALL(dup3, EMFILE),
    CALL(waitid, EINTR),
    CALL(wait4, EINTR),
    CALL(pidfd_open, EMFILE, ENOMEM),
    CALL(pidfd_send_signal, EPERM),
    CALL(prctl, EPERM),
    CALL(capget, EPERM),
    CALL(sysinfo, EFAULT),
    CALL(memfd_create, EMFILE, ENOMEM),
    CALL(prlimit64, EPERM),
};

enum kind { KIND_CALL, KIND_FORK, KIND_KEEPER, KINDS };
static const char *const kinds[KINDS] = {"call", "fork", "keeper"};

/* A process that has made a call. */
struct process {
    pid_t tgid, parent;
    bool executed; /* since it was forked */
    bool judged;   /* whether what it runs is known */
    bool keeper;
    bool in_main;
};

struct tasks {
    pid_t tid;
    struct process *of;
};

static struct {
    enum kind kind;
    const char *only;
    uint64_t n, seed;
    struct nth_report *report;
    pid_t main_pid;
    int fd;
    struct process *list[4096];
    size_t count;
    struct tasks by_tid[4096];
    size_t n_tids;
} me;

/* ---- in the program, before it begins ---- */
static int install_filter(void)
{
    struct sock_filter code[ARRAY_LEN(calls) + 3];
    size_t n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                             offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].nr,
                                                 (uint8_t)(ARRAY_LEN(calls) - i), 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog prog = {.len = (unsigned short)n, .filter = code};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &prog);
}

/* Stops once the filter is there: any call that could tell of it would wait already. */
static void become_program(char **argv, atomic_int *listener)
{
    atomic_store(listener, install_filter());
    (void)raise(SIGSTOP);
    (void)execv(argv[0], argv);
    _exit(127);
}

/* ---- the supervisor ---- */
static void read_status(pid_t tid, pid_t *tgid, pid_t *parent)
{
    char path[64], text[512];
    (void)str_format(path, sizeof path, "/proc/%d/status", (int)tid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = '\0';
    const char *a = strstr(text, "\nTgid:"), *b = strstr(text, "\nPPid:");
    *tgid = a ? (pid_t)strtol(a + 6, NULL, 10) : tid;
    *parent = b ? (pid_t)strtol(b + 6, NULL, 10) : 0;
}

static struct process *process_of(pid_t tid)
{
    pid_t tgid, parent;
    for (size_t i = 0; i < me.n_tids; i++)
        if (me.by_tid[i].tid == tid)
            return me.by_tid[i].of;
    read_status(tid, &tgid, &parent);
    struct process *p = NULL;
    for (size_t i = 0; i < me.count && !p; i++)
        if (me.list[i]->tgid == tgid)
            p = me.list[i];
    if (!p && me.count < ARRAY_LEN(me.list)) {
        p = xcalloc(1, sizeof *p);
        *p = (struct process){.tgid = tgid, .parent = parent, .executed = tgid == me.main_pid};
        me.list[me.count++] = p;
    }
    if (p && me.n_tids < ARRAY_LEN(me.by_tid))
        me.by_tid[me.n_tids++] = (struct tasks){tid, p};
    return p;
}

static bool runs_keeper(pid_t pid)
{
    char path[64], text[PATH_MAX + 64];
    (void)str_format(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 2);
    if (n <= 0)
        return false;
    text[n] = text[n + 1] = '\0';
    return str_eq(text + strlen(text) + 1, "keeper");
}

/* main of crabbox-fc begins with looking whether descriptor 0 is open; what is before is the
 * loader's. */
static bool begins_main(const struct seccomp_notif *req)
{
    return req->data.nr == SYS_fcntl && req->data.args[0] == STDIN_FILENO &&
           req->data.args[1] == F_GETFD;
}

static bool counts(const struct seccomp_notif *req)
{
    struct process *p = process_of((pid_t)req->pid);
    if (!p)
        return false;
    if (me.kind == KIND_FORK)
        return !p->executed && p->parent == me.main_pid;
    if (!p->judged) {
        p->keeper = runs_keeper(p->tgid);
        p->judged = true;
    }
    if (me.kind == KIND_KEEPER ? !p->keeper : p->tgid != me.main_pid)
        return false;
    p->in_main = p->in_main || begins_main(req);
    return p->in_main;
}

/* Most commands of fcntl have no way to fail. */
static int fcntl_error(const struct seccomp_notif *req)
{
    switch (req->data.args[1]) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return EMFILE;
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return ENOLCK;
    default:
        return 0;
    }
}

/* Counters, timers and queues of the kernel's own have no disk behind them. */
static bool reads_or_writes_no_file(const struct seccomp_notif *req)
{
    char path[64], target[32] = "";
    if (req->data.nr != SYS_read && req->data.nr != SYS_write)
        return false;
    (void)str_format(path, sizeof path, "/proc/%u/fd/%d", req->pid, (int)req->data.args[0]);
    ssize_t n = readlink(path, target, sizeof target - 1);
    return n > 0 && str_has_prefix(target, "anon_inode:");
}

/* What this call could fail with, by the seed; 0: nothing. */
static int error_for(const struct seccomp_notif *req, const struct call **call)
{
    size_t i = 0, n = 1;
    while (calls[i].nr != req->data.nr)
        i++;
    *call = &calls[i];
    if (*me.only && !str_eq(me.only, calls[i].name))
        return 0;
    if (req->data.nr == SYS_fcntl)
        return fcntl_error(req);
    if (reads_or_writes_no_file(req))
        return 0;
    while (n < ERRORS_MAX && calls[i].errors[n])
        n++;
    return calls[i].errors[(me.seed + me.n) % n];
}

static void judge(const struct seccomp_notif *req, struct seccomp_notif_resp *resp)
{
    const struct call *call;
    int code = counts(req) ? error_for(req, &call) : 0;
    if (code && atomic_fetch_add(&me.report->calls, 1) + 1 == me.n) {
        (void)str_format(me.report->failed, sizeof me.report->failed, "%s: %s", call->name,
                         strerror(code));
        resp->error = -code;
        return;
    }
    resp->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    struct process *p = req->data.nr == SYS_execve ? process_of((pid_t)req->pid) : NULL;
    if (p) {
        p->executed = true;
        p->judged = p->in_main = false;
    }
}

static void supervise(void)
{
    for (;;) {
        struct pollfd p = {.fd = me.fd, .events = POLLIN};
        struct seccomp_notif req = {0};
        struct seccomp_notif_resp resp = {0};
        if (poll(&p, 1, -1) < 0 && errno == EINTR)
            continue;
        if (!(p.revents & POLLIN))
            return; /* nobody is left who has the filter */
        if (ioctl(me.fd, SECCOMP_IOCTL_NOTIF_RECV, &req) < 0)
            continue; /* it was killed meanwhile */
        resp.id = req.id;
        judge(&req, &resp);
        (void)ioctl(me.fd, SECCOMP_IOCTL_NOTIF_SEND, &resp);
    }
}

/* ---- the frame ---- */
static void die(const char *what)
{
    fprintf(stderr, "nth_call: %s: %s\n", what, strerror(errno));
    exit(99);
}

static void start_supervisor(int listener)
{
    int pidfd = (int)syscall(SYS_pidfd_open, me.main_pid, 0);
    me.fd = (int)syscall(SYS_pidfd_getfd, pidfd, listener, 0);
    if (me.fd < 0)
        die("take the filter's descriptor");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        /* Whoever reads what the program prints must not wait for us. */
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int i = 0; i < 3; i++)
            (void)dup2(null, i);
        supervise();
        _exit(0);
    }
    (void)close(me.fd);
    (void)close(pidfd);
}

static int end_like(int status)
{
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    (void)signal(WTERMSIG(status), SIG_DFL);
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)raise(WTERMSIG(status));
    return 99;
}

int main(int argc, char **argv)
{
    int status;
    if (argc < 7) {
        fprintf(stderr,
                "usage: nth_call REPORT call|fork|keeper ONLY N SEED PROGRAM [ARGUMENT...]\n");
        return 99;
    }
    me.only = argv[3];
    _cleanup_close_ int fd = open(argv[1], O_RDWR | O_CLOEXEC);
    me.report = mmap(NULL, sizeof *me.report, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    while (me.kind < KINDS && !str_eq(kinds[me.kind], argv[2]))
        me.kind++;
    if (me.report == MAP_FAILED || me.kind == KINDS || str_to_u64(argv[4], &me.n) < 0 ||
        str_to_u64(argv[5], &me.seed) < 0)
        die("arguments");
    atomic_int *listener = mmap(NULL, sizeof *listener, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    me.main_pid = fork();
    if (me.main_pid == 0)
        become_program(argv + 6, listener);
    if (me.main_pid < 0 || waitpid(me.main_pid, &status, WUNTRACED) < 0 || !WIFSTOPPED(status))
        die("start the program");
    start_supervisor(atomic_load(listener));
    (void)kill(me.main_pid, SIGCONT);
    while (waitpid(me.main_pid, &status, 0) < 0)
        if (errno != EINTR)
            die("wait");
    return end_like(status);
}
