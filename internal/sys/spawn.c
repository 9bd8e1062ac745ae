/* spawn.c: fork and exec.
 *
 * Everything that may fail with a message, or allocate, is done in the parent before the fork:
 * descriptors, the program's path, jail and confinement. Between fork and exec the child makes only
 * system calls (child_main). Their order matters: it waits to be released, arranges its
 * descriptors, enters the jail, gives up the bounding set, becomes its user, and last applies the
 * confinement, because each of these takes away a right that the one before needs.
 *
 * Errors of the child come back through a pipe: an int is the errno, and end of file means that
 * exec has worked, because the pipe is close-on-exec. A held child waits on a second pipe. If it
 * reads end of file there, the parent has died, and the child exits.
 */
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/confine.h"
#include "sys/jail.h"
#include "sys/program.h"
#include "sys/syscalls.h"

/* What the child needs between fork and exec, computed before the fork: afterwards only
 * async-signal-safe calls are allowed. */
struct child_plan {
    const struct spawn_spec *spec;
    const char *path; /* resolved program */
    int fds[3];
    int hold_fd;
    int error_fd;
    pid_t parent;
};

/* Children don't get our own environment, which may contain secrets. */
static const char *const made_env[] = {"PATH=" PROGRAM_PATH, "LC_ALL=C", NULL};

static void child_fail(int error_fd)
{
    int code = errno;
    (void)!write(error_fd, &code, sizeof code);
    _exit(127);
}

static void reset_signals(void)
{
    sigset_t none;
    for (int sig = 1; sig < NSIG; sig++)
        (void)signal(sig, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Moves the three standard descriptors into place. The sources are all >= 3. */
static int install_stdio(const int fds[3])
{
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0)
            return -1;
    return 0;
}

/* execve's prototype lacks a const that its contract has. */
static char *const *exec_vector(const char *const *v)
{
    union {
        const char *const *in;
        char *const *out;
    } u = {.in = v};
    return u.out;
}

/* A process with our session's keyring can read the keys in it, whoever owns them. If the calls for
 * keys are missing or forbidden, they are so for the child, too. */
static int leave_keys(void)
{
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0)
        return 0;
    return errno == ENOSYS || errno == EPERM ? 0 : -1;
}

/* Becomes the user for good: the saved ids change, too. */
static int become(const struct caller *user, bool keep_groups)
{
    if (!user || (user->uid == geteuid() && user->gid == getegid()))
        return 0;
    /* System calls, because the library's functions would try to change the parent's threads,
     * too. */
    if (leave_keys() < 0 || (!keep_groups && syscall(SYS_setgroups, 0, NULL) < 0) ||
        syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0)
        return -1;
    return (int)syscall(SYS_setresuid, user->uid, user->uid, user->uid);
}

/* A core has all of the program's memory, and it ends as it likes. A limit of 1 also keeps the core
 * from a program that the host pipes cores to, which 0 does not (core(5)). */
#define NO_CORE 1

static int bound(int what, int64_t max)
{
    struct rlimit l;
    if (!max)
        return 0;
    if (getrlimit((__rlimit_resource_t)what, &l) < 0)
        return -1;
    if (l.rlim_max > (rlim_t)max)
        l.rlim_max = (rlim_t)max;
    l.rlim_cur = l.rlim_max;
    return setrlimit((__rlimit_resource_t)what, &l);
}

static void child_main(const struct child_plan *p)
{
    const struct spawn_spec *spec = p->spec;
    unsigned more = (spec->no_holes ? 0 : SYSCALLS_HOLES) |
                    (spec->own_filters ? SYSCALLS_FILTERS : 0) |
                    (getpid() == 1 ? SYSCALLS_THREADS : 0);
    reset_signals();
    (void)umask(spec->userns_fd >= 0 && spec->user ? 007 : 022); /* our group is its way to us */
    if ((spec->new_session || spec->user) && setsid() < 0)
        child_fail(p->error_fd);
    if (spec->netns_fd >= 0 && setns(spec->netns_fd, CLONE_NEWNET) < 0)
        child_fail(p->error_fd);
    if (spec->cwd_fd >= 0 && fchdir(spec->cwd_fd) < 0)
        child_fail(p->error_fd);
    if (p->hold_fd >= 0) {
        char go;
        /* End of file means that the parent died before it had recorded this process. */
        if (read(p->hold_fd, &go, 1) != 1)
            _exit(127);
    }
    if (install_stdio(p->fds) < 0)
        child_fail(p->error_fd);
    /* Descriptors that an ancestor left open without close-on-exec are not passed on. */
    (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    for (unsigned i = 0; i < spec->n_files; i++)
        if (fcntl(spec->files[i], F_SETFD, 0) < 0)
            child_fail(p->error_fd);
    if ((spec->jail && jail_enter(spec->jail) < 0) ||
        ((spec->confine_fd >= 0 || spec->capabilities) && confine_bound(spec->capabilities) < 0) ||
        (spec->capabilities && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) ||
        (spec->confine_fd >= 0 && bound(RLIMIT_CORE, NO_CORE) < 0) ||
        bound(RLIMIT_FSIZE, spec->file_max) < 0 || bound(RLIMIT_DATA, spec->data_max) < 0 ||
        become(spec->user, spec->userns_fd >= 0) < 0)
        child_fail(p->error_fd);
    /* This comes after the change of user, which would clear it. */
    if (spec->die_with_parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
            child_fail(p->error_fd);
        pid_t parent = getppid(); /* 0: in another PID namespace */
        if (parent && parent != p->parent)
            _exit(127);
    }
    if (spec->confine_fd >= 0 && confine_apply(spec->confine_fd, more) < 0)
        child_fail(p->error_fd);
    execve(p->path, exec_vector(spec->argv), exec_vector(spec->envp ? spec->envp : made_env));
    child_fail(p->error_fd);
}

/* A copy of `fd` (or /dev/null) numbered 3 or higher, close-on-exec. */
static int stdio_source(int fd, int flags)
{
    int copy;
    if (fd >= 0)
        return fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int null = open("/dev/null", flags | O_CLOEXEC);
    if (null < 0 || null >= 3)
        return null;
    copy = fcntl(null, F_DUPFD_CLOEXEC, 3);
    (void)close(null);
    return copy;
}

static pid_t clone_apart(unsigned long flags)
{
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0L, 0L, 0L, 0L);
}

/* Its namespaces have to belong to the user namespace, so a process between us and the child enters
 * that one first. The child is ours all the same (CLONE_PARENT). */
static pid_t fork_in_userns(const struct spawn_spec *spec, unsigned long flags)
{
    int pair[2], status;
    long answer = -EIO;
    if (pipe2(pair, O_CLOEXEC) < 0)
        return -1;
    _cleanup_close_ int from = pair[0], to = pair[1];
    pid_t between = fork();
    if (between == 0) {
        long pid = setns(spec->userns_fd, CLONE_NEWUSER);
        if (pid == 0)
            pid = clone_apart(flags | CLONE_PARENT);
        if (pid == 0)
            return 0;
        if (pid < 0)
            pid = -errno;
        (void)!write(to, &pid, sizeof pid);
        _exit(0);
    }
    CLOSE_FD(to);
    if (between < 0)
        return -1;
    while (waitpid(between, &status, 0) < 0 && errno == EINTR)
        ;
    (void)!read(from, &answer, sizeof answer);
    errno = answer < 0 ? (int)-answer : 0;
    return answer < 0 ? -1 : (pid_t)answer;
}

/* Like fork, without glibc's bookkeeping about threads, which the child does not use before exec. A
 * confined child is the first process in a PID namespace of its own, so the only process number
 * that it can use is its own. This matters most for signals, which Landlock restricts only since
 * Linux 6.12. Without root there is no such namespace outside of a user namespace. Then its list of
 * system calls lets it signal only itself. */
static pid_t fork_for(const struct spawn_spec *spec)
{
    unsigned long apart = spec->jail ? CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS : 0;
    if (spec->userns_fd >= 0)
        return fork_in_userns(spec, spec->confine_fd >= 0 ? CLONE_NEWPID | apart : 0);
    if ((spec->confine_fd < 0 && !spec->jail) || geteuid() != 0)
        return fork();
    return clone_apart(CLONE_NEWPID | apart);
}

/* Forks; `out` gets the parent's descriptors. All signals are blocked around the fork, so that no
 * handler of the parent runs in the child. */
static int fork_child(struct child_plan *plan, int hold[2], int errpipe[2], struct child *out,
                      struct error *err)
{
    sigset_t all, old;
    sigfillset(&all);
    plan->parent = getpid();
    plan->hold_fd = hold[0];
    plan->error_fd = errpipe[1];
    (void)sigprocmask(SIG_SETMASK, &all, &old);
    pid_t pid = fork_for(plan->spec);
    if (pid == 0) {
        /* The child must not hold its own hold pipe open: the parent's death has to show. */
        if (hold[1] >= 0)
            (void)close(hold[1]);
        child_main(plan);
        _exit(127);
    }
    int saved = errno;
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    if (pid < 0)
        return error_set(err, ERR_ENV, saved, "start %s: fork", plan->path);
    out->pid = pid;
    out->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (out->pidfd < 0) {
        (void)error_set(err, ERR_ENV, errno, "start %s: pidfd_open", plan->path);
        child_kill(out);
        return -1;
    }
    return 0;
}

/* Reads the exec verdict: end of file is success, an int is the errno. */
static int exec_verdict(struct child *c, const char *name, struct error *err)
{
    int code = 0;
    ssize_t n;
    do
        n = read(c->error_fd, &code, sizeof code);
    while (n < 0 && errno == EINTR);
    CLOSE_FD(c->error_fd);
    if (n == 0)
        return 0;
    (void)error_set(err, ERR_ENV, n == (ssize_t)sizeof code ? code : errno, "start %s", name);
    child_kill(c);
    return -1;
}

static int find_program(const struct spawn_spec *spec, char path[static PATH_MAX],
                        struct error *err)
{
    const char *name = spec->argv[0];
    if (!spec->any_owner || !strchr(name, '/'))
        return program_locate(name, "program", NULL, path, err);
    return str_copy(path, PATH_MAX, name) < 0 ? error_set(err, ERR_ENV, ENAMETOOLONG, "%s", name)
                                              : 0;
}

int spawn(const struct spawn_spec *spec, struct child *out, struct error *err)
{
    *out = (struct child)CHILD_INIT;
    char path[PATH_MAX];
    if (find_program(spec, path, err) < 0)
        return error_prefix(err, "start %s", spec->argv[0]);
    _cleanup_close_ int in = stdio_source(spec->stdin_fd, O_RDONLY);
    _cleanup_close_ int outfd = stdio_source(spec->stdout_fd, O_WRONLY);
    _cleanup_close_ int errfd = stdio_source(spec->stderr_fd, O_WRONLY);
    int hold[2] = {-1, -1}, errpipe[2];
    if (in < 0 || outfd < 0 || errfd < 0 || pipe2(errpipe, O_CLOEXEC) < 0)
        return error_set(err, ERR_ENV, errno, "start %s: descriptors", path);
    _cleanup_close_ int err_read = errpipe[0];
    _cleanup_close_ int err_write = errpipe[1];
    if (spec->held && pipe2(hold, O_CLOEXEC) < 0)
        return error_set(err, ERR_ENV, errno, "start %s: descriptors", path);
    _cleanup_close_ int hold_read = hold[0];
    _cleanup_close_ int hold_write = hold[1];
    struct child_plan plan = {.spec = spec, .path = path, .fds = {in, outfd, errfd}};
    if (fork_child(&plan, hold, errpipe, out, err) < 0)
        return -1;
    out->error_fd = TAKE_FD(err_read);
    CLOSE_FD(err_write);
    if (spec->held) {
        out->hold_fd = TAKE_FD(hold_write);
        return 0;
    }
    return exec_verdict(out, path, err);
}

int spawn_release(struct child *c, const char *name, struct error *err)
{
    if (c->hold_fd >= 0)
        (void)!write(c->hold_fd, "", 1);
    CLOSE_FD(c->hold_fd);
    return exec_verdict(c, name, err);
}

int child_wait(struct child *c, const struct deadline *d, struct exit_status *out,
               struct error *err)
{
    struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
    if (deadline_poll_once(&p, 1, d, "a process to end", err) < 0)
        return -1;
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED) < 0)
        return error_set(err, ERR_INTERNAL, errno, "wait for process %d", (int)c->pid);
    bool exited = info.si_code == CLD_EXITED;
    *out = (struct exit_status){.exited = exited,
                                .signalled = !exited,
                                .code = exited ? info.si_status : 0,
                                .signal = exited ? 0 : info.si_status};
    child_release(c);
    return 0;
}

int child_signal(const struct child *c, int sig, struct error *err)
{
    if (syscall(SYS_pidfd_send_signal, c->pidfd, sig, NULL, 0) < 0 && errno != ESRCH)
        return error_set(err, ERR_INTERNAL, errno, "signal process %d", (int)c->pid);
    return 0;
}

void child_release(struct child *c)
{
    CLOSE_FD(c->pidfd);
    CLOSE_FD(c->hold_fd);
    CLOSE_FD(c->error_fd);
    c->pid = 0;
}

void child_kill(struct child *c)
{
    if (c->pid > 0) {
        /* It is our own child and not reaped yet, so its number can't have been reused. */
        (void)kill(c->pid, SIGKILL);
        while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    child_release(c);
}

const char *exit_status_text(const struct exit_status *st, char *buf, size_t size)
{
    if (st->exited)
        (void)str_format(buf, size, "exit code %d", st->code);
    else
        (void)str_format(buf, size, "killed by signal %d (%s)", st->signal, strsignal(st->signal));
    return buf;
}

/* Reads what is there into sb, keeping at most max bytes. Returns false at end of file. */
static bool drain(int fd, struct strbuf *sb, size_t max)
{
    char chunk[16384];
    ssize_t n = read(fd, chunk, sizeof chunk);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n == 0)
        return false;
    size_t room = sb && sb->len < max ? max - sb->len : 0;
    if (sb)
        strbuf_add(sb, chunk, (size_t)n < room ? (size_t)n : room);
    return true;
}

static int capture(int out_fd, int err_fd, const struct deadline *d, size_t max, struct strbuf *out,
                   struct strbuf *errout, struct error *err)
{
    struct pollfd p[2] = {{.fd = out_fd, .events = POLLIN}, {.fd = err_fd, .events = POLLIN}};
    while (p[0].fd >= 0 || p[1].fd >= 0) {
        if (deadline_poll(p, 2, d, "a program's output", err) < 0)
            return -1;
        if (p[0].revents && !drain(p[0].fd, out, max))
            p[0].fd = -1;
        if (p[1].revents && !drain(p[1].fd, errout, max))
            p[1].fd = -1;
    }
    return 0;
}

int spawn_run(const struct spawn_spec *spec, const struct deadline *d, size_t max,
              struct strbuf *out, struct strbuf *errout, struct exit_status *st, struct error *err)
{
    int o[2], e[2];
    if (pipe2(o, O_CLOEXEC) < 0)
        return error_set(err, ERR_ENV, errno, "start %s: pipe", spec->argv[0]);
    _cleanup_close_ int out_read = o[0];
    _cleanup_close_ int out_write = o[1];
    if (pipe2(e, O_CLOEXEC) < 0)
        return error_set(err, ERR_ENV, errno, "start %s: pipe", spec->argv[0]);
    _cleanup_close_ int err_read = e[0];
    _cleanup_close_ int err_write = e[1];
    struct spawn_spec with = *spec;
    with.stdout_fd = out_write;
    with.stderr_fd = err_write;
    _cleanup_(child_kill) struct child c = CHILD_INIT;
    if (spawn(&with, &c, err) < 0)
        return -1;
    CLOSE_FD(out_write);
    CLOSE_FD(err_write);
    if (capture(out_read, err_read, d, max, out, errout, err) < 0 || child_wait(&c, d, st, err) < 0)
        return error_prefix(err, "%s", spec->argv[0]);
    return 0;
}
