#include "testutil/attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

/* The raw calls: the upper halves of their arguments go along. */
static long raw_fallocate(int fd, unsigned long mode)
{
    return syscall(SYS_fallocate, fd, mode, 0L, 4L * ATTEMPT_LIMIT);
}

static long keep_size(int fd)
{
    return raw_fallocate(fd, FALLOC_FL_KEEP_SIZE);
}

static long insert_range(int fd)
{
    return raw_fallocate(fd, FALLOC_FL_INSERT_RANGE);
}

static long zero_behind(int fd)
{
    return raw_fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
}

/* The upper half is nothing to the kernel, so it must be nothing to us. */
static long odd_mode(int fd)
{
    return raw_fallocate(fd, (1UL << 32 << 1) | FALLOC_FL_KEEP_SIZE);
}

static long punch(int fd)
{
    return raw_fallocate(fd, (3UL << 32) | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

/* As the kernel has it; no header gives it away. */
struct space {
    short l_type, l_whence;
    int64_t l_start, l_len;
    int32_t l_sysid, l_pid, l_pad[4];
};
#define RESVSP     _IOW('X', 40, struct space)
#define RESVSP64   _IOW('X', 42, struct space)
#define ZERO_RANGE _IOW('X', 57, struct space)

static long reserve(int fd, unsigned long request)
{
    struct space r = {.l_start = 0, .l_len = 4L * ATTEMPT_LIMIT};
    return syscall(SYS_ioctl, fd, request, &r);
}

static long resvsp(int fd)
{
    return reserve(fd, RESVSP);
}

static long resvsp64(int fd)
{
    return reserve(fd, RESVSP64 | (1UL << 32));
}

static long zero_ioctl(int fd)
{
    return reserve(fd, ZERO_RANGE);
}

static long get_flags(int fd) /* stands for all of its letter */
{
    int flags;
    return ioctl(fd, FS_IOC_GETFLAGS, &flags);
}

static long reflink(int fd)
{
    return ioctl(fd, FICLONE, fd);
}

static long copy_range(int fd)
{
    loff_t from = 0, to = 4096;
    return syscall(SYS_copy_file_range, fd, &from, fd, &to, 1L, 0L);
}

static long uring(int fd)
{
    (void)fd;
    char params[256] = {0};
    return syscall(SYS_io_uring_setup, 1, params);
}

static long aio(int fd)
{
    (void)fd;
    unsigned long context = 0;
    long r = syscall(SYS_io_setup, 1, &context);
    if (r == 0)
        (void)syscall(SYS_io_destroy, context);
    return r;
}

static long spliced(int fd)
{
    int ends[2];
    if (pipe(ends) < 0 || write(ends[1], "x", 1) != 1)
        return -1;
    long r = splice(ends[0], NULL, fd, NULL, 1, 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return r;
}

static long sent(int fd)
{
    off_t from = 0;
    return sendfile(fd, fd, &from, 1);
}

static long shorter(int fd)
{
    return ftruncate(fd, 0);
}

static long longer(int fd)
{
    return ftruncate(fd, 2L * ATTEMPT_LIMIT);
}

static long shorter_by_name(int fd)
{
    (void)fd;
    return truncate("other", 0);
}

static long attribute(int fd)
{
    return fsetxattr(fd, "user.test", "x", 1, 0);
}

static long attribute_by_name(int fd)
{
    (void)fd;
    return setxattr("other", "user.test", "x", 1, 0);
}

static long open_to_all(int fd)
{
    (void)fd;
    return chmod("other", 0666);
}

static long given_away(int fd)
{
    (void)fd;
    return chown("other", geteuid(), getegid());
}

static long made_older(int fd)
{
    (void)fd;
    return utimensat(AT_FDCWD, "other", NULL, 0);
}

static long leased(int fd)
{
    return syscall(SYS_fcntl, fd, (3UL << 32) | F_SETLEASE, (long)F_WRLCK);
}

static long delegated(int fd)
{
    return fcntl(fd, F_SETLEASE + 16, NULL); /* F_SETDELEG */
}

static long locked(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_SETLK, &lock);
}

static long talk(int fd)
{
    (void)fd;
    const struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "listens"};
    _cleanup_close_ int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(s, (const struct sockaddr *)&to, sizeof to);
}

static long datagram(int fd)
{
    (void)fd;
    _cleanup_close_ int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return s;
}

static long raw_datagram(int fd)
{
    (void)fd;
    _cleanup_close_ int s = socket(AF_UNIX, SOCK_RAW | SOCK_CLOEXEC, 0);
    return s;
}

static long pair(int fd)
{
    int ends[2];
    (void)fd;
    return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends);
}

static long stream(int fd)
{
    (void)fd;
    _cleanup_close_ int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return s;
}

static long of_the_network(int fd)
{
    (void)fd;
    _cleanup_close_ int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return s;
}

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

static long roots_keys(int fd)
{
    (void)fd;
    return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0);
}

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

static long limits_of_another(int fd)
{
    struct rlimit l;
    (void)fd;
    return prlimit(getppid(), RLIMIT_CORE, NULL, &l);
}

static long own_limits(int fd)
{
    struct rlimit l;
    (void)fd;
    return getrlimit(RLIMIT_CORE, &l);
}

static long far_write(int fd)
{
    return pwrite(fd, "x", 1, ATTEMPT_LIMIT);
}

static long unnamed_file(int fd)
{
    (void)fd;
    return open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

#if defined(__x86_64__)
static long x32_fallocate(int fd)
{
    return syscall(0x40000000 | SYS_fallocate, fd, FALLOC_FL_KEEP_SIZE, 0L, 4L * ATTEMPT_LIMIT);
}

/* getpid of i386, by the gate that 64-bit programs have as well. */
static long call_of_i386(int fd)
{
    long r = 20;
    (void)fd;
    __asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
    return r > 0 ? 0 : -1;
}
#endif

const struct attempt attempts[] = {
    {"keep_size", keep_size, EOPNOTSUPP, ATTEMPT_LIMITED},
    {"insert_range", insert_range, EOPNOTSUPP, ATTEMPT_ANY},
    {"zero_behind", zero_behind, EOPNOTSUPP, ATTEMPT_ANY},
    {"odd_mode", odd_mode, EOPNOTSUPP, ATTEMPT_LIMITED},
    {"punch", punch, 0, 0},
    {"resvsp", resvsp, ENOTTY, ATTEMPT_LIMITED},
    {"resvsp64", resvsp64, ENOTTY, ATTEMPT_LIMITED},
    {"zero_ioctl", zero_ioctl, ENOTTY, ATTEMPT_ANY},
    {"get_flags", get_flags, ENOTTY, ATTEMPT_ANY},
    {"reflink", reflink, ENOTTY, ATTEMPT_ANY},
    {"copy_range", copy_range, ENOSYS, 0},
    {"uring", uring, ENOSYS, ATTEMPT_ANY},
    {"aio", aio, ENOSYS, 0},
    {"splice", spliced, ENOSYS, ATTEMPT_ANY},
    {"sendfile", sent, ENOSYS, ATTEMPT_ANY},
    {"shorter", shorter, EPERM, 0},
    {"longer", longer, EPERM, EFBIG},
    {"shorter_by_name", shorter_by_name, EPERM, 0},
    {"attribute", attribute, EPERM, ATTEMPT_ANY},
    {"attribute_by_name", attribute_by_name, EPERM, ATTEMPT_ANY},
    {"open_to_all", open_to_all, EPERM, 0},
    {"given_away", given_away, EPERM, 0},
    {"made_older", made_older, EPERM, 0},
    {"leased", leased, EPERM, ATTEMPT_ANY},
    {"delegated", delegated, EPERM, ATTEMPT_ANY},
    {"locked", locked, 0, 0},
    {"talk", talk, EPERM, 0},
    {"datagram", datagram, EPERM, 0},
    {"raw_datagram", raw_datagram, EPERM, 0},
    {"pair", pair, EPERM, 0},
    {"stream", stream, 0, 0},
    {"of_the_network", of_the_network, EPERM, 0},
    {"shared_memory", shared_memory, EPERM, 0},
    {"semaphores", semaphores, EPERM, 0},
    {"queue", queue, EPERM, 0},
    {"roots_keys", roots_keys, EPERM, ATTEMPT_ANY},
    {"own_users", own_users, EPERM, ATTEMPT_ANY},
    {"own_network", own_network, EPERM, ATTEMPT_ANY},
    {"new_clone", new_clone, ENOSYS, ATTEMPT_ANY},
    {"a_child", a_child, 0, 0},
    {"limits_of_another", limits_of_another, EPERM, ATTEMPT_ANY},
    {"own_limits", own_limits, 0, 0},
    {"far_write", far_write, EFBIG, EFBIG},
    {"unnamed_file", unnamed_file, EACCES, ATTEMPT_ANY},
#if defined(__x86_64__)
    {"x32_fallocate", x32_fallocate, ENOSYS, ATTEMPT_ANY},
    {"call_of_i386", call_of_i386, ATTEMPT_KILLED, ATTEMPT_ANY},
#endif
};

const size_t n_attempts = ARRAY_LEN(attempts);

int attempt_run(const char *name)
{
    const struct rlimit limit = {ATTEMPT_LIMIT, ATTEMPT_LIMIT};
    (void)signal(SIGXFSZ, SIG_IGN); /* as QEMU and Firecracker do */
    _cleanup_close_ int fd = open("write", O_RDWR | O_CLOEXEC);
    if (fd < 0 || setrlimit(RLIMIT_FSIZE, &limit) < 0)
        return 255;
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++)
        if (str_eq(attempts[i].name, name))
            return attempts[i].make(fd) < 0 ? errno : 0;
    return 254;
}
