#include "sys/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"

/* Newer than the headers of Debian 12; numbers of the kernel's interface. */
#define FS_TRUNCATE  (UINT64_C(1) << 14) /* version 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* version 5 */
#define NET_ALL      UINT64_C(3)         /* version 4: TCP bind and connect */
#define SCOPE_ALL    UINT64_C(3)         /* version 6: abstract sockets, signals */

/* As the kernel has it since version 6; older ones take the beginning of it. */
struct ruleset_attr {
    uint64_t fs, net, scoped;
};

static int create_ruleset(const struct ruleset_attr *attr, size_t size, uint32_t flags)
{
    return (int)syscall(SYS_landlock_create_ruleset, attr, size, flags);
}

int confine_version(void)
{
    int v = create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return v < 0 ? 0 : v;
}

/* Everything that this version can forbid. */
static uint64_t fs_rights(int version)
{
    uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    if (version >= 2)
        all |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        all |= FS_TRUNCATE;
    if (version >= 5)
        all |= FS_IOCTL_DEV;
    return all;
}

int confine_new(struct error *err)
{
    int version = confine_version();
    if (version < 1)
        return error_set(
            err, ERR_ENV, 0,
            "this kernel can't confine the VMM: it has no Landlock, or it is switched off; "
            "next: boot with lsm=landlock,… (CONFIG_SECURITY_LANDLOCK), or accept a VMM "
            "with all of root's rights by --sandbox false");
    const struct ruleset_attr attr = {
        .fs = fs_rights(version), .net = NET_ALL, .scoped = SCOPE_ALL};
    size_t size = version >= 6   ? sizeof attr
                  : version >= 4 ? offsetof(struct ruleset_attr, scoped)
                                 : offsetof(struct ruleset_attr, net);
    int fd = create_ruleset(&attr, size, 0);
    return fd >= 0 ? fd : error_set(err, ERR_ENV, errno, "make a Landlock ruleset");
}

/* The rights of an access, without those that a file can't have. */
static uint64_t rights_of(enum confine_access access, bool directory)
{
    static const uint64_t table[] = {
        [CONFINE_READ] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
        [CONFINE_EXECUTE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                            LANDLOCK_ACCESS_FS_EXECUTE,
        [CONFINE_WRITE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE,
        [CONFINE_DEVICE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                           FS_IOCTL_DEV,
        [CONFINE_SOCKETS] = LANDLOCK_ACCESS_FS_MAKE_SOCK,
    };
    uint64_t rights = table[access] & fs_rights(confine_version());
    return directory ? rights : rights & ~(uint64_t)LANDLOCK_ACCESS_FS_READ_DIR;
}

int confine_allow(int confine_fd, int dirfd, const char *path, enum confine_access access,
                  bool optional, struct error *err)
{
    struct stat st;
    _cleanup_close_ int fd = openat(dirfd, path, O_PATH | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && optional)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_ENV, errno, "let the VMM use %s", path);
    const struct landlock_path_beneath_attr rule = {
        .allowed_access = rights_of(access, S_ISDIR(st.st_mode)), .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, confine_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return error_set(err, ERR_ENV, errno, "let the VMM use %s", path);
    return 0;
}

/* ---- system calls ---- */

#if defined(__x86_64__)
#define OWN_ARCH    AUDIT_ARCH_X86_64
#define OTHER_CALLS 0x40000000 /* the numbers of x32 begin there */
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#else
#error "add the name that seccomp has for this architecture"
#endif

/* Newer than the headers of Debian 12; the same on every architecture. */
#define CALL_FCHMODAT2     452
#define CALL_SETXATTRAT    463
#define CALL_REMOVEXATTRAT 466
#define CALL_FILE_SETATTR  469

#define SET_DELEGATION (F_SETLEASE + 16) /* fcntl's, since Linux 6.19 */

#define LOAD(field)      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF(value, yes)   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (yes)) /* else skip */
#define DO(action)       BPF_STMT(BPF_RET | BPF_K, (action))
#define REFUSE(nr, code) IF(nr, 1), DO(SECCOMP_RET_ERRNO | (code))

/* Of an int the kernel takes the lower half of an argument, whatever the upper one is. Both
 * architectures have it first. */
#define INT_ARG(n) LOAD(args[n])

/* Of clone's flags. CLONE_NEWTIME is a part of the signal's number there. */
#define NEW_NAMESPACES                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

/* What neither Landlock nor RLIMIT_FSIZE holds. The errors are those at which QEMU and Firecracker
 * go another way. */
static const struct sock_filter calls[] = {
    LOAD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCH, 1, 0),
    DO(SECCOMP_RET_KILL_PROCESS),
    LOAD(nr),
#ifdef OTHER_CALLS
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER_CALLS, 0, 1),
    DO(SECCOMP_RET_ERRNO | ENOSYS),
#endif
    /* Blocks behind a file's end, or a longer file: ext4 and XFS don't look at the limit. To punch
     * holes is what a guest's discard comes to. */
    IF(SYS_fallocate, 4),
    INT_ARG(1),
    IF(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1),
    DO(SECCOMP_RET_ALLOW),
    DO(SECCOMP_RET_ERRNO | EOPNOTSUPP),
    /* The ioctls of filesystems, by their letter. They can do the same (FS_IOC_RESVSP), have each
     * write take gigabytes (FS_IOC_FSSETXATTR), share blocks that are counted as taken (FICLONE),
     * and make a subvolume where Landlock lets nobody make a directory. */
    IF(SYS_ioctl, 7),
    INT_ARG(1),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'X' << 8, 3, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'f' << 8, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x94 << 8, 1, 0),
    DO(SECCOMP_RET_ALLOW),
    DO(SECCOMP_RET_ERRNO | ENOTTY),
    /* Whoever opens a file waits for the one who holds a lease on it: the keeper, which keeps the
     * logs small, and users who read them. */
    IF(SYS_fcntl, 5),
    INT_ARG(1),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_SETLEASE, 1, 0),
    IF(SET_DELEGATION, 1),
    DO(SECCOMP_RET_ERRNO | EPERM),
    DO(SECCOMP_RET_ALLOW),
    REFUSE(SYS_copy_file_range, ENOSYS), /* shares blocks too */
    REFUSE(SYS_io_uring_setup, ENOSYS),  /* another way to make most of these calls */
    /* A disk that was made shorter would look as if it needed less room. */
    REFUSE(SYS_truncate, EPERM),
    REFUSE(SYS_ftruncate, EPERM),
    /* Landlock has no right for these, so without this root could still do them to every file of
     * root's on the host. On XFS the attributes of one file can fill the disk. */
    REFUSE(SYS_setxattr, EPERM),
    REFUSE(SYS_lsetxattr, EPERM),
    REFUSE(SYS_fsetxattr, EPERM),
    REFUSE(CALL_SETXATTRAT, EPERM),
    REFUSE(SYS_removexattr, EPERM),
    REFUSE(SYS_lremovexattr, EPERM),
    REFUSE(SYS_fremovexattr, EPERM),
    REFUSE(CALL_REMOVEXATTRAT, EPERM),
    REFUSE(CALL_FILE_SETATTR, EPERM),
    REFUSE(SYS_fchmod, EPERM),
    REFUSE(SYS_fchmodat, EPERM),
    REFUSE(CALL_FCHMODAT2, EPERM),
    REFUSE(SYS_fchown, EPERM),
    REFUSE(SYS_fchownat, EPERM),
    REFUSE(SYS_utimensat, EPERM),
#ifdef SYS_chmod /* the old names of the same, which aarch64 never had */
    REFUSE(SYS_chmod, EPERM),
    REFUSE(SYS_chown, EPERM),
    REFUSE(SYS_lchown, EPERM),
    REFUSE(SYS_utime, EPERM),
    REFUSE(SYS_utimes, EPERM),
    REFUSE(SYS_futimesat, EPERM),
#endif
    /* What outlives the process that made it: memory, semaphores, queues and keys. */
    REFUSE(SYS_shmget, EPERM),
    REFUSE(SYS_semget, EPERM),
    REFUSE(SYS_msgget, EPERM),
    REFUSE(SYS_mq_open, EPERM),
    REFUSE(SYS_add_key, EPERM),
    REFUSE(SYS_request_key, EPERM),
    REFUSE(SYS_keyctl, EPERM),
    /* Other processes of root's. */
    REFUSE(SYS_ptrace, EPERM),
    REFUSE(SYS_process_vm_readv, EPERM),
    REFUSE(SYS_process_vm_writev, EPERM),
    REFUSE(SYS_bpf, EPERM),
    REFUSE(SYS_perf_event_open, EPERM),
    IF(SYS_prlimit64, 4),
    INT_ARG(0),
    IF(0, 1),
    DO(SECCOMP_RET_ALLOW),
    DO(SECCOMP_RET_ERRNO | EPERM),
    /* Namespaces of its own: it has all capabilities in them, and undoing the lease enters the
     * network that its process is in. The flags of clone3 can't be seen; glibc then uses clone. */
    REFUSE(SYS_unshare, EPERM),
    REFUSE(SYS_setns, EPERM),
    REFUSE(SYS_clone3, ENOSYS),
    IF(SYS_clone, 5),
    INT_ARG(0),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, NEW_NAMESPACES),
    IF(0, 1),
    DO(SECCOMP_RET_ALLOW),
    DO(SECCOMP_RET_ERRNO | EPERM),
    /* A VMM's network is its tap, so it needs no socket but that of its control. Services of the
     * host that listen at a path would take it for the host's root. A datagram, to the journal for
     * one, needs no connection; SOCK_RAW is only another name for it. */
    REFUSE(SYS_connect, EPERM),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
    IF(SYS_socketpair, 7),
    INT_ARG(0),
    IF(AF_UNIX, 4),
    INT_ARG(1),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf), /* without SOCK_CLOEXEC and SOCK_NONBLOCK */
    IF(SOCK_STREAM, 1),
    DO(SECCOMP_RET_ALLOW),
    DO(SECCOMP_RET_ERRNO | EPERM),
    DO(SECCOMP_RET_ALLOW),
};

/* The structure lacks a const that its contract has. */
static int filter_calls(void)
{
    union {
        const struct sock_filter *in;
        struct sock_filter *out;
    } u = {.in = calls};
    const struct sock_fprog program = {.len = ARRAY_LEN(calls), .filter = u.out};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static int set_capabilities(const struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    return (int)syscall(SYS_capset, &head, data);
}

int confine_apply(int confine_fd)
{
    static const struct __user_cap_data_struct none[2];
    for (unsigned long cap = 0; cap <= 63; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL && errno != EPERM)
            return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) ||
        set_capabilities(none) < 0 || syscall(SYS_landlock_restrict_self, confine_fd, 0) < 0)
        return -1;
    return filter_calls();
}

/* ---- what is ---- */

/* The value of a line "Name:\tvalue" of a status file; "" if there is none. */
static void status_value(const char *text, const char *name, char out[static 32])
{
    char line[40];
    out[0] = '\0';
    (void)str_format(line, sizeof line, "\n%s:\t", name);
    const char *at = strstr(text, line);
    if (at)
        (void)snprintf(out, 32, "%.*s", (int)strcspn(at + strlen(line), "\n"), at + strlen(line));
}

int confine_verify(pid_t pid, struct error *err)
{
    static const struct {
        const char *name, *want;
    } lines[] = {{"CapInh", "0000000000000000"},
                 {"CapPrm", "0000000000000000"},
                 {"CapEff", "0000000000000000"},
                 {"CapAmb", "0000000000000000"},
                 {"NoNewPrivs", "1"},
                 {"Seccomp", "2"}};
    char path[64], value[32];
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    (void)str_format(path, sizeof path, "/proc/%d/status", (int)pid);
    if (file_read_at(AT_FDCWD, path, 64 * 1024, &text, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        status_value(text.buf, lines[i].name, value);
        if (!str_eq(value, lines[i].want))
            return error_set(
                err, ERR_ENV, 0,
                "the VMM is not confined as it should be: process %d has %s %s, not %s", (int)pid,
                lines[i].name, *value ? value : "(none)", lines[i].want);
    }
    return 0;
}

/* ---- what would be ---- */

struct attempt {
    const char *path;
    int flags;
    int sys;
};

/* Capabilities are a thread's own: this one gives its up and ends. */
static void *try_to_open(void *arg)
{
    static const struct __user_cap_data_struct none[2];
    struct attempt *a = arg;
    _cleanup_close_ int fd = set_capabilities(none) < 0
                                 ? -1
                                 : open(a->path, a->flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    a->sys = fd < 0 ? errno : 0;
    return NULL;
}

/* 1 if a confined program may open it, or it is not there; 0 if it may not. */
static int may_open(const char *path, int flags, struct error *err)
{
    pthread_t thread;
    struct attempt a = {.path = path, .flags = flags};
    int r = pthread_create(&thread, NULL, try_to_open, &a);
    if (r != 0)
        return error_set(err, ERR_INTERNAL, r, "start a thread");
    (void)pthread_join(thread, NULL);
    return a.sys != EACCES && a.sys != EPERM;
}

int confine_can_use(const char *device, struct error *err)
{
    int r = may_open(device, O_RDWR, err);
    if (r != 0)
        return r < 0 ? -1 : 0;
    return error_set(
        err, ERR_ENV, 0,
        "the VMM runs without root's rights and can't open %s; next: chown root %s, or "
        "accept a VMM with all rights by --sandbox false",
        device, device);
}

int confine_can_read(const char *path, struct error *err)
{
    int r = may_open(path, O_RDONLY, err);
    if (r != 0)
        return r < 0 ? -1 : 0;
    /* A file named by its descriptor goes by its own name here, and where it lies doesn't count. */
    bool by_fd = str_has_prefix(path, "/proc/self/fd/");
    _cleanup_free_ char *real = realpath(path, NULL);
    return error_set(
        err, ERR_CONFIG, 0,
        "the VMM runs without root's rights and can't read %s; next: open %s, or accept a VMM with "
        "all rights by --sandbox false",
        real ? real : path,
        by_fd ? "it to others (chmod o+r)"
              : "it and the directories above it to others (chmod o+rX), move it below /var/lib");
}
