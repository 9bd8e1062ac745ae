/* syscalls.c: the list of system calls, and the filter that the kernel runs for it.
 *
 * There are two tables. `any_arguments` has calls that are allowed as they are. `checks` has calls
 * that are allowed only with certain arguments. A row of it says which 32 bits of an argument
 * count, the values that these may have, and the error for all other values. Rows of the same call
 * stand together, and all of them must hold; a value of a row marked `enough` allows the call.
 *
 * build translates the tables into a BPF program for seccomp:
 * 1. Another architecture kills the process: its numbers mean other calls. Calls of x32 fail with
 *    ENOSYS.
 * 2. For each call in `checks`: if the number matches, compare the arguments, and allow the call or
 *    return the row's error.
 * 3. For each call in `any_arguments`: if the number matches, allow it.
 * 4. Everything else fails with ENOSYS, as in a kernel that lacks the call.
 *
 * The program is built in the child between fork and exec. So it is on the stack, and nothing there
 * may allocate or lock. Its own pid is filled in at that moment, for the calls that may name only
 * the process itself.
 *
 * The kernel caches calls that need no look at their arguments, so the order of `any_arguments`
 * costs nothing. ioctl is the first of `checks`, because a VMM calls it each time a processor of
 * the guest runs.
 */
#include "sys/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/memfd.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#if defined(__x86_64__)
#define OWN_ARCH    AUDIT_ARCH_X86_64
#define OTHER_CALLS 0x40000000 /* the numbers of x32 begin there */
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#else
#error "add the name that seccomp has for this architecture"
#endif

/* ---- the list ---- */

/* Where the list comes from. For QEMU: its source, and the calls that QEMU 7.2 made in whole
 * leases. For Firecracker: the lists for its threads (resources/seccomp in its source, 1.7 to
 * 1.16), and the source of its start-up, which runs before those lists apply. Some calls on
 * Firecracker's lists are missing here because it does not need them the way we start it: connect
 * (for vsock) and io_uring (for drives that ask for it). */
static const int any_arguments[] = {
    /* files that are open */
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv,
    SYS_pwritev,
    SYS_lseek,
    SYS_close,
    SYS_dup,
    SYS_dup3,
    SYS_fstat,
    SYS_fstatfs,
    SYS_getdents64,
    SYS_fsync,
    SYS_fdatasync,
    /* files by their names: looked at (Landlock decides what is opened) */
    SYS_newfstatat,
    SYS_statx,
    SYS_statfs,
    SYS_readlinkat,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_getcwd,
    /* memory */
    SYS_brk,
    SYS_munmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_msync,
    SYS_get_mempolicy,
    SYS_set_mempolicy,
    /* threads */
    SYS_futex,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_set_tid_address,
    SYS_gettid,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_membarrier,
    SYS_getcpu,
    SYS_exit,
    SYS_exit_group,
    /* signals. musl signals its threads by tkill. The filter can't see whose thread it is, but with
     * SYSCALLS_THREADS it can't name threads of others. Without, see below. */
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigpending,
    SYS_rt_sigtimedwait,
    SYS_sigaltstack,
    SYS_signalfd4,
    SYS_restart_syscall,
    SYS_tkill,
    /* time */
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_timerfd_gettime,
    /* waiting */
    SYS_ppoll,
    SYS_pselect6,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_eventfd2,
    SYS_pipe2,
    /* the socket of its control */
    SYS_bind,
    SYS_listen,
    SYS_accept4,
    SYS_shutdown,
    SYS_getsockname,
    SYS_getpeername,
    SYS_getsockopt,
    SYS_setsockopt,
    SYS_sendto,
    SYS_sendmsg,
    SYS_recvfrom,
    SYS_recvmsg,
    /* information about itself and the system */
    SYS_getpid,
    SYS_getppid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_uname,
    SYS_sysinfo,
    SYS_getrusage,
    SYS_times,
    SYS_getrandom,
    /* start-up, and filters of its own on top of this */
    SYS_execve,
    SYS_seccomp,
    SYS_getrlimit,
#ifdef SYS_open /* old names, which aarch64 never had */
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_readlink,
    SYS_dup2,
    SYS_poll,
    SYS_select,
    SYS_epoll_wait,
    SYS_pipe,
    SYS_time,
    SYS_arch_prctl,
#endif
};

/* What is left of both tables for a program that is settled. */
static const int settled[] = {
    SYS_read,          SYS_write,        SYS_readv,
    SYS_writev,        SYS_close,        SYS_fstat,
    SYS_fcntl,         SYS_lseek,        SYS_brk,
    SYS_mmap,          SYS_munmap,       SYS_mprotect,
    SYS_mremap,        SYS_madvise,      SYS_futex,
    SYS_sched_yield,   SYS_rt_sigaction, SYS_rt_sigprocmask,
    SYS_rt_sigreturn,  SYS_sigaltstack,  SYS_restart_syscall,
    SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep,
    SYS_nanosleep,     SYS_gettimeofday, SYS_ppoll,
    SYS_shutdown,      SYS_getsockname,  SYS_getpeername,
    SYS_getsockopt,    SYS_setsockopt,   SYS_sendto,
    SYS_sendmsg,       SYS_recvfrom,     SYS_recvmsg,
    SYS_getpid,        SYS_gettid,       SYS_getrandom,
    SYS_exit,          SYS_exit_group,
#ifdef SYS_open
    SYS_poll,          SYS_time,
#endif
};

/* Which 32 bits of an argument are compared. For an int, the kernel uses the lower half of the
 * argument and ignores the upper half. On both architectures the lower half comes first. */
#define LOW(n)  (uint8_t)(offsetof(struct seccomp_data, args) + (n) * sizeof(uint64_t))
#define HIGH(n) (uint8_t)(LOW(n) + sizeof(uint32_t))

#define WHOLE   UINT32_MAX
#define OWN_PID UINT32_MAX /* among the values: the process's own pid */
#define VALUES  15         /* at most, of one argument */
#define IN(...) .values = {__VA_ARGS__}, .n = sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)
#define LETTER  0xff00 /* the letter in an ioctl's number shows which driver it belongs to */

/* Flags of clone. CLONE_NEWTIME is not among them: its bit is part of the signal number there. */
#define NEW_NAMESPACES                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

/* A thread that shares everything, because each table of descriptors would have a limit of its
 * own. */
#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
/* Its other part means as much as O_DIRECTORY, which is harmless. */
#define UNNAMED (O_TMPFILE & ~O_DIRECTORY)

/* The call is allowed if the bits of the argument are one of the values. Rows of the same call
 * stand together, and all of them must hold. */
struct check {
    int nr;
    uint8_t field;
    uint8_t error;
    uint8_t n;
    bool enough; /* one of the values allows the call; otherwise the next row decides */
    uint32_t mask;
    uint32_t values[VALUES];
};

static const struct check checks[] = {
    /* All ioctls of KVM, and some of taps and descriptors. Those of filesystems could take blocks
     * that nobody counts (FS_IOC_RESVSP), share blocks and change attributes. Those of sockets
     * could make the kernel send signals. TUNSETDEBUG would make it log every call, without limit.
     */
    {SYS_ioctl, LOW(1), ENOTTY, .mask = LETTER, IN(KVMIO << 8), .enough = true},
    {SYS_ioctl, LOW(1), ENOTTY, .mask = WHOLE,
     IN(TUNSETIFF, TUNGETIFF, TUNGETFEATURES, TUNSETOFFLOAD, TUNSETVNETHDRSZ, TUNGETVNETHDRSZ,
        TUNSETVNETLE, TUNSETVNETBE, TUNSETSNDBUF, TUNSETQUEUE, FIONBIO, FIONREAD, FIOCLEX, TCGETS)},
    /* F_SETLEASE and similar commands are missing because others who open the file then have to
     * wait: the keeper, which keeps the logs small, and users who read them. F_SETOWN is missing
     * because it makes the kernel send signals to others. Locks are missing because others would
     * wait for a lock on a file of the host, such as a package database. */
    {SYS_fcntl, LOW(1), EPERM, .mask = WHOLE,
     IN(F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_ADD_SEALS, F_GET_SEALS)},
    /* Huge pages are reserved by the host's administrator for other uses. */
    {SYS_mmap, LOW(3), ENOMEM, .mask = MAP_HUGETLB, IN(0)},
    /* Missing are MADV_REMOVE, which punches holes, and MADV_MERGEABLE, which shares pages with
     * other processes that have the same content. */
    {SYS_madvise, LOW(2), EINVAL, .mask = WHOLE,
     IN(MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE,
        MADV_DONTFORK, MADV_DOFORK, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_UNMERGEABLE, MADV_DONTDUMP,
        MADV_DODUMP, MADV_POPULATE_WRITE)},
    {SYS_memfd_create, LOW(1), EINVAL, .mask = MFD_HUGETLB, IN(0)},
    /* Only punching holes, which a guest's discard needs. The other modes could allocate blocks
     * beyond the end of a file or make it longer, and ext4 and XFS don't apply RLIMIT_FSIZE to
     * that. */
    {SYS_fallocate, LOW(1), EOPNOTSUPP, .mask = WHOLE,
     IN(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)},
    /* Firecracker sets the memory of its network's ring to the length of a page, which is 4, 16 or
     * 64 KiB. Shortening a disk must not be possible, because the disk would then seem to need less
     * space. Since version 3, Landlock has a right for that, which no file is given. */
    {SYS_ftruncate, HIGH(1), EPERM, .mask = WHOLE, IN(0)},
    {SYS_ftruncate, LOW(1), EPERM, .mask = WHOLE, IN(0x1000, 0x4000, 0x10000)},
    /* Landlock does not check O_PATH, and an O_PATH descriptor keeps a removed file on its disk. An
     * unnamed file (O_TMPFILE) takes only the right to write, which the directory has. */
    {SYS_openat, LOW(2), EACCES, .mask = O_TRUNC | O_PATH | UNNAMED, IN(0)},
#ifdef SYS_open
    {SYS_open, LOW(1), EACCES, .mask = O_TRUNC | O_PATH | UNNAMED, IN(0)},
#endif
    /* It may start threads, but no processes and no namespaces. It would have all capabilities in a
     * namespace of its own, and undoing the lease enters the network namespace of its process. A
     * filter can't see the flags of clone3, so that is not on the list, and glibc uses clone
     * instead. */
    {SYS_clone, LOW(0), EPERM, .mask = THREAD | NEW_NAMESPACES, IN(THREAD)},
    /* Not CLOSE_RANGE_UNSHARE, by which a thread gets a table of its own later. */
    {SYS_close_range, LOW(2), EINVAL, .mask = WHOLE, IN(0, CLOSE_RANGE_CLOEXEC)},
    {SYS_kill, LOW(0), EPERM, .mask = WHOLE, IN(OWN_PID)},
    {SYS_tgkill, LOW(0), EPERM, .mask = WHOLE, IN(OWN_PID)},
    /* Its first thread only: this row is for those without SYSCALLS_THREADS. */
    {SYS_tkill, LOW(0), EPERM, .mask = WHOLE, IN(OWN_PID)},
    /* Its own only. */
    {SYS_prlimit64, LOW(0), EPERM, .mask = WHOLE, IN(0)},
    /* Only reading limits. With a core limit of 0, the host's handler still gets the core; with 1
     * it does not (process.c), so the limit must not change. */
    {SYS_prlimit64, HIGH(2), EPERM, .mask = WHOLE, IN(0)},
    {SYS_prlimit64, LOW(2), EPERM, .mask = WHOLE, IN(0)},
    /* A VMM uses its tap for the network, so it needs only its control socket. Services of the host
     * that listen at a path might take it for root of the host. Datagrams are not allowed because
     * they need no connection (the journal accepts them), and SOCK_RAW is another name for
     * SOCK_DGRAM here. */
    {SYS_socket, LOW(0), EPERM, .mask = WHOLE, IN(AF_UNIX)},
    {SYS_socket, LOW(1), EPERM, .mask = 0xf, IN(SOCK_STREAM)}, /* without flags */
    {SYS_prctl, LOW(0), EINVAL, .mask = WHOLE,
     IN(PR_SET_NAME, PR_GET_NAME, PR_SET_TIMERSLACK, PR_MCE_KILL, PR_SET_VMA, PR_GET_DUMPABLE,
        PR_CAPBSET_READ, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_GET_SECCOMP,
        PR_SET_SPECULATION_CTRL, PR_GET_SPECULATION_CTRL)},
};

bool syscalls_listed(long nr)
{
    for (size_t i = 0; i < ARRAY_LEN(any_arguments); i++)
        if (any_arguments[i] == nr)
            return true;
    for (size_t i = 0; i < ARRAY_LEN(checks); i++)
        if (checks[i].nr == nr)
            return true;
    return false;
}

/* ---- the list as a program for the kernel ---- */

#define HEAD_SIZE  6                /* begin() */
#define CHECK_SIZE (VALUES + 3 + 2) /* at most: add_check(), and its part of add_checked() */
#define PLAIN_SIZE 2                /* an entry of any_arguments */
#define MAX_SIZE                                                                                   \
    (HEAD_SIZE + CHECK_SIZE * ARRAY_LEN(checks) + PLAIN_SIZE * ARRAY_LEN(any_arguments) + 1)

/* Built in the child between fork and exec, so it is on the stack. */
struct program {
    uint32_t own_pid;
    unsigned more;
    unsigned short n;
    struct sock_filter code[MAX_SIZE];
};

static void add(struct program *p, struct sock_filter instruction)
{
    p->code[p->n++] = instruction;
}

static void load(struct program *p, size_t field)
{
    add(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)field));
}

static void answer(struct program *p, uint32_t action)
{
    add(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* Compares the loaded value. Skips `yes` instructions if the comparison is true, `no` if it is
 * not. */
static void compare(struct program *p, unsigned how, uint32_t value, size_t yes, size_t no)
{
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | how | BPF_K, value, (uint8_t)yes, (uint8_t)no));
}

static bool is_settled(int nr)
{
    for (size_t i = 0; i < ARRAY_LEN(settled); i++)
        if (settled[i] == nr)
            return true;
    return false;
}

/* Whether the program has this call: two of them are optional, and few are left if it is settled.
 */
static bool is_had(const struct program *p, int nr)
{
    if (p->more & SYSCALLS_SETTLED)
        return is_settled(nr);
    return (nr != SYS_fallocate || p->more & SYSCALLS_HOLES) &&
           (nr != SYS_seccomp || p->more & SYSCALLS_FILTERS);
}

static void begin(struct program *p)
{
    load(p, offsetof(struct seccomp_data, arch));
    compare(p, BPF_JEQ, OWN_ARCH, 1, 0);
    answer(p, SECCOMP_RET_KILL_PROCESS);
    load(p, offsetof(struct seccomp_data, nr));
#ifdef OTHER_CALLS
    compare(p, BPF_JGE, OTHER_CALLS, 0, 1);
    answer(p, SECCOMP_RET_ERRNO | ENOSYS);
#endif
}

static void add_check(struct program *p, const struct check *c)
{
    load(p, c->field);
    if (c->mask != WHOLE)
        add(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, c->mask));
    for (unsigned i = 0; i < c->n; i++) {
        uint32_t value = c->values[i] == OWN_PID ? p->own_pid : c->values[i];
        /* prctl(PR_SET_SECCOMP) is the older form of seccomp, so it is optional as well. */
        if (c->nr == SYS_prctl && value == PR_SET_SECCOMP && !(p->more & SYSCALLS_FILTERS))
            value = PR_GET_SECCOMP;
        /* Past the answer below where it holds, or else to the answer that allows. */
        if (c->enough)
            compare(p, BPF_JEQ, value, (size_t)c->n - i - 1, i + 1 == c->n);
        else
            compare(p, BPF_JEQ, value, (size_t)c->n - i, 0);
    }
    answer(p, c->enough ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | c->error);
}

/* The rows of one call; returns the next call's first. */
static const struct check *add_checked(struct program *p, const struct check *c)
{
    const struct check *end = checks + ARRAY_LEN(checks);
    int nr = c->nr;
    unsigned short head = p->n;
    compare(p, BPF_JEQ, (uint32_t)nr, 0, 0);
    for (; c < end && c->nr == nr; c++)
        add_check(p, c);
    answer(p, SECCOMP_RET_ALLOW);
    p->code[head].jf = (uint8_t)(p->n - head - 1);
    return c;
}

/* See the explanation at the top of this file. */
static void build(struct program *p)
{
    begin(p);
    for (const struct check *c = checks; c < checks + ARRAY_LEN(checks);)
        if (is_had(p, c->nr) && (c->nr != SYS_tkill || !(p->more & SYSCALLS_THREADS)))
            c = add_checked(p, c);
        else
            c++;
    for (size_t i = 0; i < ARRAY_LEN(any_arguments); i++) {
        if (!is_had(p, any_arguments[i]))
            continue;
        compare(p, BPF_JEQ, (uint32_t)any_arguments[i], 0, 1);
        answer(p, SECCOMP_RET_ALLOW);
    }
    answer(p, SECCOMP_RET_ERRNO | ENOSYS);
}

int syscalls_confine(unsigned more)
{
    struct program p;
    p.own_pid = (uint32_t)getpid();
    p.n = 0;
    p.more = more;
    build(&p);
    const struct sock_fprog program = {.len = p.n, .filter = p.code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
