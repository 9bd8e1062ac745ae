#include "testutil/attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/syscalls.h"

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

static long punch_by_memory(int fd)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? -1 : madvise(p, 4096, MADV_REMOVE);
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

static off_t file_limit(void)
{
    struct rlimit l = {0, 0};
    (void)getrlimit(RLIMIT_FSIZE, &l);
    return (off_t)l.rlim_cur;
}

static long longer(int fd)
{
    return ftruncate(fd, 2 * file_limit());
}

static long emptied(int fd)
{
    (void)fd;
    _cleanup_close_ int again = open("write", O_WRONLY | O_TRUNC | O_CLOEXEC);
    return again;
}

/* The length that Firecracker gives to memory. */
static long one_page(int fd)
{
    return ftruncate(fd, 4096);
}

/* As Firecracker does for its network. */
static long page_of_memory(int fd)
{
    (void)fd;
    _cleanup_close_ int memory = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0 || ftruncate(memory, 4096) < 0)
        return -1;
    return fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
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

static long directory(int fd)
{
    (void)fd;
    long r = mkdir("sub", 0700);
    if (r == 0)
        (void)rmdir("sub");
    return r;
}

static long symbolic_link(int fd)
{
    (void)fd;
    long r = symlink("other", "link");
    if (r == 0)
        (void)unlink("link");
    return r;
}

static long hard_link(int fd)
{
    (void)fd;
    long r = link("other", "link");
    if (r == 0)
        (void)unlink("link");
    return r;
}

static long renamed(int fd)
{
    (void)fd;
    long r = rename("other", "another");
    if (r == 0)
        (void)rename("another", "other");
    return r;
}

static long removed(int fd)
{
    (void)fd;
    return unlink("absent") < 0 && errno == ENOENT ? 0 : -1;
}

static long mounted(int fd)
{
    (void)fd;
    long r = mount("none", ".", "tmpfs", 0, NULL);
    if (r == 0)
        (void)umount2(".", MNT_DETACH);
    return r;
}

static long by_handle(int fd)
{
    (void)fd;
    char space[sizeof(struct file_handle) + MAX_HANDLE_SZ] = {0};
    struct file_handle *handle = (struct file_handle *)(void *)space;
    int mount_id;
    handle->handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(AT_FDCWD, "other", handle, &mount_id, 0) < 0)
        return -1;
    _cleanup_close_ int other = open_by_handle_at(AT_FDCWD, handle, O_RDONLY | O_CLOEXEC);
    return other;
}

static long leased(int fd)
{
    return syscall(SYS_fcntl, fd, (3UL << 32) | F_SETLEASE, (long)F_WRLCK);
}

static long delegated(int fd)
{
    return fcntl(fd, F_SETLEASE + 16, NULL); /* F_SETDELEG */
}

static long owned(int fd)
{
    return fcntl(fd, F_SETOWN, getpid());
}

static long locked(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &lock);
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

/* Signals to whom they name, when something comes in. */
static long owned_socket(int fd)
{
    int owner = getpid();
    (void)fd;
    _cleanup_close_ int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return ioctl(s, FIOSETOWN, &owner);
}

static long ask_queue(int fd) /* stands for those with the letter 'T' that aren't named */
{
    int n;
    (void)fd;
    _cleanup_close_ int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return ioctl(s, TIOCOUTQ, &n);
}

static long own_descriptors(int fd)
{
    (void)fd;
    return syscall(SYS_close_range, 4000U, 4000U, CLOSE_RANGE_UNSHARE);
}

static long of_the_network(int fd)
{
    (void)fd;
    _cleanup_close_ int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return s;
}

static long far_write(int fd)
{
    return pwrite(fd, "x", 1, file_limit());
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

static const struct attempt on_files[] = {
    {"keep_size", keep_size, EOPNOTSUPP, ATTEMPT_LIMITED},
    {"insert_range", insert_range, EOPNOTSUPP, ATTEMPT_ANY},
    {"zero_behind", zero_behind, EOPNOTSUPP, ATTEMPT_ANY},
    {"odd_mode", odd_mode, EOPNOTSUPP, ATTEMPT_LIMITED},
    {"punch", punch, 0, 0},
    {"punch_by_memory", punch_by_memory, EINVAL, ATTEMPT_ANY},
    {"resvsp", resvsp, ENOTTY, ATTEMPT_LIMITED},
    {"resvsp64", resvsp64, ENOTTY, ATTEMPT_LIMITED},
    {"zero_ioctl", zero_ioctl, ENOTTY, ATTEMPT_ANY},
    {"get_flags", get_flags, ENOTTY, ATTEMPT_ANY},
    {"ask_queue", ask_queue, ENOTTY, 0},
    {"own_descriptors", own_descriptors, EINVAL, 0},
    {"reflink", reflink, ENOTTY, ATTEMPT_ANY},
    {"copy_range", copy_range, ENOSYS, 0},
    {"uring", uring, ENOSYS, ATTEMPT_ANY},
    {"aio", aio, ENOSYS, 0},
    {"splice", spliced, ENOSYS, ATTEMPT_ANY},
    {"sendfile", sent, ENOSYS, ATTEMPT_ANY},
    {"shorter", shorter, EPERM, 0},
    {"longer", longer, EPERM, EFBIG},
    {"emptied", emptied, EACCES, 0},
    {"one_page", one_page, ATTEMPT_ANY, 0}, /* see confine_test.c */
    {"page_of_memory", page_of_memory, 0, 0},
    {"shorter_by_name", shorter_by_name, ENOSYS, 0},
    {"attribute", attribute, ENOSYS, ATTEMPT_ANY},
    {"attribute_by_name", attribute_by_name, ENOSYS, ATTEMPT_ANY},
    {"open_to_all", open_to_all, ENOSYS, 0},
    {"given_away", given_away, ENOSYS, 0},
    {"made_older", made_older, ENOSYS, 0},
    {"directory", directory, ENOSYS, 0},
    {"symbolic_link", symbolic_link, ENOSYS, 0},
    {"hard_link", hard_link, ENOSYS, 0},
    {"renamed", renamed, ENOSYS, 0},
    {"removed", removed, ENOSYS, 0},
    {"mounted", mounted, ENOSYS, ATTEMPT_ANY},
    {"by_handle", by_handle, ENOSYS, ATTEMPT_ANY},
    {"leased", leased, EPERM, ATTEMPT_ANY},
    {"delegated", delegated, EPERM, ATTEMPT_ANY},
    {"owned", owned, EPERM, 0},
    {"owned_socket", owned_socket, ENOTTY, 0},
    {"locked", locked, EPERM, 0},
    {"talk", talk, ENOSYS, 0},
    {"datagram", datagram, EPERM, 0},
    {"raw_datagram", raw_datagram, EPERM, 0},
    {"pair", pair, ENOSYS, 0},
    {"stream", stream, 0, 0},
    {"of_the_network", of_the_network, EPERM, 0},
    {"far_write", far_write, EFBIG, EFBIG},
    {"unnamed_file", unnamed_file, EACCES, ATTEMPT_ANY},
#if defined(__x86_64__)
    {"x32_fallocate", x32_fallocate, ENOSYS, ATTEMPT_ANY},
    {"call_of_i386", call_of_i386, ATTEMPT_KILLED, ATTEMPT_ANY},
#endif
};

const struct attempt *attempt_at(size_t i)
{
    size_t n = ARRAY_LEN(on_files);
    return i < n ? &on_files[i] : i - n < n_attempts_on_others ? &attempts_on_others[i - n] : NULL;
}

bool attempt_came_to(int got, int want)
{
    if (want == ATTEMPT_KILLED && got == 128 + SIGSEGV)
        return true; /* a kernel without calls of i386 */
    return got == want || want == ATTEMPT_ANY || (want == ATTEMPT_REFUSED && got > 0) ||
           (want == ATTEMPT_LIMITED && (got == 0 || got == EFBIG));
}

static const struct attempt *any_at(size_t i)
{
    size_t n = ARRAY_LEN(on_files) + n_attempts_on_others;
    return i < n ? attempt_at(i) : i - n < n_attempts_on_host ? &attempts_on_host[i - n] : NULL;
}

int attempt_run(const char *name)
{
    (void)signal(SIGXFSZ, SIG_IGN); /* as QEMU and Firecracker do */
    _cleanup_close_ int fd = open("write", O_RDWR | O_CLOEXEC);
    const struct attempt *a;
    if (fd < 0)
        return 255;
    for (size_t i = 0; (a = any_at(i)); i++)
        if (str_eq(a->name, name))
            return a->make(fd) < 0 ? errno : 0;
    return 254;
}

/* The kernel's own probes return by these, past every filter (since 6.13); whoever makes them is
 * killed. */
static bool of_probes(long nr)
{
#if defined(__x86_64__)
    return nr == 335 || nr == 336;
#else
    (void)nr;
    return false;
#endif
}

/* The filter looks at a call before the kernel looks at its arguments, which are bad. */
int attempt_walk(void)
{
    long bad = -1;
    for (long nr = 0; nr < ATTEMPT_CALLS; nr++)
        if (!syscalls_listed(nr) && !of_probes(nr) &&
            (syscall(nr, bad, bad, bad, bad, bad, bad) >= 0 || errno != ENOSYS))
            printf("%ld ", nr);
    return fflush(stdout);
}
