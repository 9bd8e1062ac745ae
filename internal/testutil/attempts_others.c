/* attempts_others.c: attempts on other processes, on what the kernel has once for all users, and on
 * what outlives a process. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/ioprio.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "testutil/attempts.h"

/* ---- what outlives it: that of others as well, whose numbers can be asked for ---- */

static long shared_memory(int fd)
{
    (void)fd;
    int id = shmget(IPC_PRIVATE, 4096, 0600);
    if (id >= 0)
        (void)shmctl(id, IPC_RMID, NULL);
    return id;
}

static long semaphores(int fd)
{
    (void)fd;
    int id = semget(IPC_PRIVATE, 1, 0600);
    if (id >= 0)
        (void)semctl(id, 0, IPC_RMID);
    return id;
}

static long queue(int fd)
{
    (void)fd;
    int id = msgget(IPC_PRIVATE, 0600);
    if (id >= 0)
        (void)msgctl(id, IPC_RMID, NULL);
    return id;
}

static long attached(int fd)
{
    (void)fd;
    int id = shmget(IPC_PRIVATE, 4096, 0600);
    const void *at = shmat(id < 0 ? 0 : id, NULL, SHM_RDONLY);
    int code = errno;
    if (id >= 0)
        (void)shmctl(id, IPC_RMID, NULL);
    errno = code;
    return at == (const void *)-1 ? -1 : 0; /* NOLINT(performance-no-int-to-ptr) */
}

static long listed(int fd)
{
    struct shm_info info;
    (void)fd;
    return shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&info);
}

static long received(int fd)
{
    struct {
        long type;
        char text[8];
    } message = {.type = 1};
    (void)fd;
    int id = msgget(IPC_PRIVATE, 0600), to = id < 0 ? 0 : id;
    long r = msgsnd(to, &message, 1, IPC_NOWAIT);
    if (r == 0)
        r = msgrcv(to, &message, 1, 0, IPC_NOWAIT);
    int code = errno;
    if (id >= 0)
        (void)msgctl(id, IPC_RMID, NULL);
    errno = code;
    return r;
}

static long removed_semaphores(int fd)
{
    (void)fd;
    int id = semget(IPC_PRIVATE, 1, 0600);
    return semctl(id < 0 ? 0 : id, 0, IPC_RMID);
}

static long posix_queue(int fd)
{
    (void)fd;
    return mq_unlink("/crabbox-absent") < 0 && errno == ENOENT ? 0 : -1;
}

static long roots_keys(int fd)
{
    (void)fd;
    return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0);
}

/* ---- what all of a user's processes share a number of, or take from one store ---- */

static long watching(int fd)
{
    (void)fd;
    _cleanup_close_ int watch = inotify_init1(IN_CLOEXEC);
    return watch;
}

static long watching_all(int fd)
{
    (void)fd;
    _cleanup_close_ int watch = fanotify_init(FAN_CLOEXEC | FAN_REPORT_FID, 0);
    return watch;
}

static long timer_by_signal(int fd)
{
    timer_t timer;
    (void)fd;
    return timer_create(CLOCK_MONOTONIC, NULL, &timer);
}

static long huge_pages(int fd)
{
    (void)fd;
    const void *p = mmap(NULL, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1,
                         0);
    return p == MAP_FAILED ? -1 : 0;
}

static long huge_memory(int fd)
{
    (void)fd;
    _cleanup_close_ int memory = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    return memory;
}

/* ---- processes ---- */

static long own_users(int fd)
{
    (void)fd;
    return unshare(CLONE_NEWUSER);
}

static long own_network(int fd)
{
    (void)fd;
    long pid = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNET | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    return pid;
}

static long new_clone(int fd)
{
    (void)fd;
    return syscall(SYS_clone3, NULL, 0) < 0 && errno != ENOSYS ? 0 : -1; /* EINVAL: it is there */
}

static long a_child(int fd)
{
    (void)fd;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid;
}

static long a_quick_child(int fd)
{
    (void)fd;
    long pid = syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0L, 0L, 0L, 0L);
    if (pid == 0)
        _exit(0);
    return pid;
}

static void *nothing(void *arg)
{
    return arg;
}

static long a_thread(int fd)
{
    pthread_t thread;
    (void)fd;
    errno = pthread_create(&thread, NULL, nothing, NULL);
    return errno ? -1 : pthread_join(thread, NULL);
}

/* Who started the test: by the number that it has outside. */
static pid_t another(void)
{
    const char *pid = getenv(ATTEMPT_PID);
    return pid ? (pid_t)strtol(pid, NULL, 10) : -1;
}

static long signalled(int fd)
{
    (void)fd;
    return kill(another(), 0);
}

static long group_signalled(int fd)
{
    (void)fd;
    return kill(0, 0);
}

static long thread_signalled(int fd)
{
    (void)fd;
    return tgkill(another(), another(), 0);
}

static long by_thread(int fd)
{
    (void)fd;
    return syscall(SYS_tkill, another(), 0);
}

static long signal_queued(int fd)
{
    (void)fd;
    return sigqueue(another(), 0, (union sigval){0});
}

static long own_signals(int fd)
{
    (void)fd;
    if (kill(getpid(), 0) < 0 || tgkill(getpid(), gettid(), 0) < 0)
        return -1;
    return syscall(SYS_tkill, gettid(), 0);
}

static long named(int fd)
{
    (void)fd;
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, another(), 0);
    return pidfd;
}

static long compared(int fd)
{
    (void)fd;
    return syscall(SYS_kcmp, getpid(), another(), 1 /* their memory */, 0, 0);
}

static long memory_moved(int fd)
{
    (void)fd;
    return syscall(SYS_migrate_pages, another(), 0UL, NULL, NULL);
}

static long scheduled(int fd)
{
    const struct sched_param none = {0};
    (void)fd;
    return sched_setscheduler(another(), SCHED_OTHER, &none);
}

static long placed(int fd)
{
    cpu_set_t set;
    (void)fd;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return -1;
    return sched_setaffinity(another(), sizeof set, &set);
}

static long less_io(int fd)
{
    (void)fd;
    return syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, another(), 0);
}

static long less_time(int fd)
{
    (void)fd;
    return setpriority(PRIO_PROCESS, (id_t)another(), getpriority(PRIO_PROCESS, 0));
}

static long limits_of_another(int fd)
{
    struct rlimit l;
    (void)fd;
    return prlimit(another(), RLIMIT_CORE, NULL, &l);
}

static long own_limits(int fd)
{
    struct rlimit l;
    (void)fd;
    return getrlimit(RLIMIT_CORE, &l);
}

/* One by which each call is recorded in the host's audit log, say. */
static long filter_calls(int fd)
{
    struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const struct sock_fprog program = {.len = 1, .filter = all};
    (void)fd;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

/* The same by its own call. */
static long filter_calls_too(int fd)
{
    struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const struct sock_fprog program = {.len = 1, .filter = all};
    (void)fd;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

/* Then the host's handler of cores gets it all (core(5)). */
static long no_core(int fd)
{
    const struct rlimit none = {0, 0};
    (void)fd;
    return setrlimit(RLIMIT_CORE, &none);
}

/* What is opened so stays on its disk after it was removed, and Landlock does not look at it. */
static long held_open(int fd)
{
    (void)fd;
    _cleanup_close_ int other = open("other", O_PATH | O_CLOEXEC);
    return other < 0 ? -1 : 0;
}

const struct attempt attempts_on_others[] = {
    {"shared_memory", shared_memory, ENOSYS, 0},
    {"attached", attached, ENOSYS, 0},
    {"listed", listed, ENOSYS, 0},
    {"semaphores", semaphores, ENOSYS, 0},
    {"removed_semaphores", removed_semaphores, ENOSYS, 0},
    {"queue", queue, ENOSYS, 0},
    {"received", received, ENOSYS, 0},
    {"posix_queue", posix_queue, ENOSYS, 0},
    {"roots_keys", roots_keys, ENOSYS, ATTEMPT_ANY},
    {"watching", watching, ENOSYS, 0},
    {"watching_all", watching_all, ENOSYS, ATTEMPT_ANY},
    {"timer_by_signal", timer_by_signal, ENOSYS, 0},
    {"huge_pages", huge_pages, ENOMEM, ATTEMPT_ANY},
    {"huge_memory", huge_memory, EINVAL, ATTEMPT_ANY},
    {"own_users", own_users, ENOSYS, ATTEMPT_ANY},
    {"own_network", own_network, EPERM, ATTEMPT_ANY},
    {"new_clone", new_clone, ENOSYS, ATTEMPT_ANY},
    {"a_child", a_child, EPERM, 0},
    {"a_quick_child", a_quick_child, EPERM, 0},
    {"a_thread", a_thread, 0, 0},
    {"signalled", signalled, EPERM, 0},
    {"group_signalled", group_signalled, EPERM, 0},
    {"thread_signalled", thread_signalled, EPERM, 0},
    {"by_thread", by_thread, ATTEMPT_ANY, 0}, /* see confine_test.c */
    {"signal_queued", signal_queued, ENOSYS, 0},
    {"own_signals", own_signals, 0, 0},
    {"named", named, ENOSYS, 0},
    {"compared", compared, ENOSYS, ATTEMPT_ANY},
    {"memory_moved", memory_moved, ENOSYS, ATTEMPT_ANY},
    {"scheduled", scheduled, ENOSYS, 0},
    {"placed", placed, ENOSYS, 0},
    {"less_io", less_io, ENOSYS, 0},
    {"less_time", less_time, ENOSYS, 0},
    {"limits_of_another", limits_of_another, EPERM, 0},
    {"own_limits", own_limits, 0, 0},
    {"no_core", no_core, EPERM, 0},
    {"filter_calls", filter_calls, EINVAL, 0},
    {"filter_calls_too", filter_calls_too, ENOSYS, 0},
    {"held_open", held_open, EACCES, 0},
};

const size_t n_attempts_on_others = ARRAY_LEN(attempts_on_others);
