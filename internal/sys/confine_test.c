#include "sys/confine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/spawn.h"

#define LIMIT (1 << 20) /* what a file may come to in the attempts below */

static char dir[64];
static int dir_fd, list_fd;

static void must(int r, const struct error *err)
{
    if (r < 0)
        fail_msg("%s", err->msg);
}

static void allow(const char *path, enum confine_access access)
{
    struct error err = ERROR_INIT;
    must(confine_allow(list_fd, dir_fd, path, access, false, &err), &err);
}

/* A directory with files, and a list on which there is what a shell needs. */
static int setup(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    static const char *const files[] = {"read", "write", "other"};
    static const char *const host[] = {"/usr", "/bin", "/lib", "/lib64"};
    const char *tmp = getenv("TMPDIR");
    (void)str_format(dir, sizeof dir, "%s/confine.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        must(file_write_new(dir_fd, files[i], "text\n", 5, 0600, &err), &err);
    list_fd = confine_new(&err);
    must(list_fd, &err);
    for (size_t i = 0; i < ARRAY_LEN(host); i++)
        must(confine_allow(list_fd, AT_FDCWD, host[i], CONFINE_EXECUTE, true, &err), &err);
    must(confine_allow(list_fd, AT_FDCWD, "/dev/null", CONFINE_DEVICE, false, &err), &err);
    allow("read", CONFINE_READ);
    allow("write", CONFINE_WRITE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    (void)close(list_fd);
    (void)close(dir_fd);
    must(dir_remove_tree(AT_FDCWD, dir, &err), &err);
    return 0;
}

/* The exit code of a line of shell, confined or not. */
static int shell(bool confined, const char *line)
{
    struct error err = ERROR_INIT;
    struct exit_status st;
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    spec.argv = argv;
    spec.cwd_fd = dir_fd;
    spec.confine_fd = confined ? list_fd : -1;
    must(spawn_run(&spec, NULL, 4096, NULL, NULL, &st, &err), &err);
    return st.exited ? st.code : 128 + st.signal;
}

/* Each has its counterpart: what is refused to the one is possible for the other. */
static void both(const char *line, bool confined_too)
{
    if (shell(false, line) != 0)
        fail_msg("not confined, and still it fails: %s", line);
    if ((shell(true, line) == 0) != confined_too)
        fail_msg("confined, and it %s: %s", confined_too ? "fails" : "succeeds", line);
}

static void test_only_what_is_on_the_list(void **state)
{
    (void)state;
    both("cat read", true);
    both("cat write && echo more >>write", true);
    both(": >write", confine_version() < 3);
    both("ls -d .", true); /* to walk through directories takes no right */
    both("cat other", false);
    both("echo x >>read", false);
    both(": >new; rm new", false);
    both("mkdir sub && rmdir sub", false);
    both("ln -s read link && rm link", false);
    both("mv other another && mv another other", false);
    both("ls / >/dev/null", false);
    both("cat /etc/passwd", false);
    both("cat /proc/1/environ >/dev/null", false);
    both("cat ../*/other", false);
}

static void test_a_file_put_in_its_place_is_not_on_it(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    both("cat read", true);
    must(file_write_new(dir_fd, "read", "new\n", 4, 0600, &err), &err); /* by rename */
    both("cat read", false);
}

static void test_sockets_where_they_may_be(void **state)
{
    (void)state;
    static const char make[] =
        "python3 -c 'import socket; socket.socket(1).bind(\"sock\")' && rm -f sock";
    both(make, false);
    allow(".", CONFINE_SOCKETS);
    assert_int_equal(shell(true, "python3 -c 'import socket; socket.socket(1).bind(\"sock\")'"), 0);
    assert_int_equal(unlinkat(dir_fd, "sock", 0), 0);
    both(": >new; rm new", false);
}

static void test_no_capabilities_and_none_to_be_had(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    both("grep -q '^NoNewPrivs:.1$' /proc/self/status || true", true);
    both("mount -t tmpfs none . && umount .", false);
    both("chown 12345 write && chown 0 write", false);
    both("kill -0 1", confine_version() < 6); /* a process outside */
    both("su -s /bin/true nobody", false);
}

static void test_what_was_asked_for_is_looked_at(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    const char *const argv[] = {"/bin/sleep", "1000", NULL};
    spec.argv = argv;
    _cleanup_(child_kill) struct child plain = CHILD_INIT;
    must(spawn(&spec, &plain, &err), &err);
    spec.confine_fd = list_fd;
    _cleanup_(child_kill) struct child confined = CHILD_INIT;
    must(spawn(&spec, &confined, &err), &err);
    must(confine_verify(confined.pid, &err), &err);
    assert_int_equal(confine_verify(plain.pid, &err), -1);
    assert_int_equal(err.kind, ERR_ENV);
    assert_non_null(strstr(err.msg, "not confined as it should be"));
}

/* ---- what a program that was taken over would try, by itself in this program's other role ---- */

/* The raw calls: the upper halves of their arguments go along. */
static long raw_fallocate(int fd, unsigned long mode)
{
    return syscall(SYS_fallocate, fd, mode, 0L, 4L * LIMIT);
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
    struct space r = {.l_start = 0, .l_len = 4L * LIMIT};
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

static long shorter(int fd)
{
    return ftruncate(fd, 0);
}

static long longer(int fd)
{
    return ftruncate(fd, 2L * LIMIT);
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

static long far_write(int fd)
{
    return pwrite(fd, "x", 1, LIMIT);
}

static long unnamed_file(int fd)
{
    (void)fd;
    return open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

#if defined(__x86_64__)
static long x32_fallocate(int fd)
{
    return syscall(0x40000000 | SYS_fallocate, fd, FALLOC_FL_KEEP_SIZE, 0L, 4L * LIMIT);
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

#define KILLED (128 + SIGSYS)

/* `plain`: what it comes to without confinement; ANY where that is the filesystem's or the kernel's
 * to say, LIMITED where some filesystems look at the limit. */
enum { ANY = -1, LIMITED = -2 };

static const struct {
    const char *name;
    long (*attempt)(int fd);
    int confined, plain;
} attempts[] = {
    {"keep_size", keep_size, EOPNOTSUPP, LIMITED},
    {"insert_range", insert_range, EOPNOTSUPP, ANY},
    {"zero_behind", zero_behind, EOPNOTSUPP, ANY},
    {"odd_mode", odd_mode, EOPNOTSUPP, LIMITED},
    {"punch", punch, 0, 0},
    {"resvsp", resvsp, ENOTTY, LIMITED},
    {"resvsp64", resvsp64, ENOTTY, LIMITED},
    {"zero_ioctl", zero_ioctl, ENOTTY, ANY},
    {"get_flags", get_flags, ENOTTY, ANY},
    {"reflink", reflink, ENOTTY, ANY},
    {"copy_range", copy_range, ENOSYS, 0},
    {"uring", uring, ENOSYS, ANY},
    {"shorter", shorter, EPERM, 0},
    {"longer", longer, EPERM, EFBIG},
    {"shorter_by_name", shorter_by_name, EPERM, 0},
    {"attribute", attribute, EPERM, ANY},
    {"attribute_by_name", attribute_by_name, EPERM, ANY},
    {"open_to_all", open_to_all, EPERM, 0},
    {"given_away", given_away, EPERM, 0},
    {"made_older", made_older, EPERM, 0},
    {"leased", leased, EPERM, ANY},
    {"delegated", delegated, EPERM, ANY},
    {"locked", locked, 0, 0},
    {"talk", talk, EPERM, 0},
    {"datagram", datagram, EPERM, 0},
    {"raw_datagram", raw_datagram, EPERM, 0},
    {"pair", pair, EPERM, 0},
    {"stream", stream, 0, 0},
    {"of_the_network", of_the_network, 0, 0},
    {"far_write", far_write, EFBIG, EFBIG},
    {"unnamed_file", unnamed_file, EACCES, ANY},
#if defined(__x86_64__)
    {"x32_fallocate", x32_fallocate, ENOSYS, ANY},
    {"call_of_i386", call_of_i386, KILLED, ANY},
#endif
};

/* The other role: the exit code is 0 or the errno. */
static int attempt(const char *name)
{
    const struct rlimit limit = {LIMIT, LIMIT};
    (void)signal(SIGXFSZ, SIG_IGN); /* as QEMU and Firecracker do */
    _cleanup_close_ int fd = open("write", O_RDWR | O_CLOEXEC);
    if (fd < 0 || setrlimit(RLIMIT_FSIZE, &limit) < 0)
        return 255;
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++)
        if (str_eq(attempts[i].name, name))
            return attempts[i].attempt(fd) < 0 ? errno : 0;
    return 254;
}

static void listen_there(int s)
{
    const struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "listens"};
    assert_int_equal(fchdir(dir_fd), 0);
    assert_int_equal(bind(s, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s, 8), 0);
}

static bool as_expected(int got, int want)
{
    if (want == KILLED && got == 128 + SIGSEGV)
        return true; /* a kernel without calls of i386 */
    return got == want || want == ANY || (want == LIMITED && (got == 0 || got == EFBIG));
}

static void try_all(const char *self, bool confined)
{
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
        int want = confined ? attempts[i].confined : attempts[i].plain;
        _cleanup_free_ char *line = xasprintf("exec '%s' attempt %s", self, attempts[i].name);
        int got = shell(confined, line);
        if (!as_expected(got, want))
            fail_msg("%sconfined, %s comes to %d instead of %d", confined ? "" : "not ",
                     attempts[i].name, got, want);
    }
}

/* The files of the host stay as they are, and those on the list as large as they may be. */
static void test_no_call_gets_around_it(void **state)
{
    (void)state;
    struct stat st;
    _cleanup_free_ char *self = realpath("/proc/self/exe", NULL);
    assert_non_null(self);
    allow(self, CONFINE_EXECUTE);
    _cleanup_close_ int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    listen_there(s);
    assert_int_equal(truncate("write", LIMIT), 0);
    try_all(self, true);
    assert_int_equal(stat("write", &st), 0);
    assert_int_equal(st.st_size, LIMIT);
    assert_true(st.st_blocks * 512L <= LIMIT);
    assert_int_equal(stat("other", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 5);
    try_all(self, false);
}

/* Root without capabilities is an owner of its own files only. */
static void test_a_file_of_another_user_is_told_before(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *path = xasprintf("%s/other", dir);
    if (geteuid() != 0)
        skip();
    must(confine_can_read(path, &err), &err);
    assert_int_equal(fchownat(dir_fd, "other", 12345, 12345, 0), 0);
    assert_int_equal(confine_can_read(path, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.msg, "chmod o+rX"));
    char at[32];
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)str_format(at, sizeof at, "/proc/self/fd/%d", fd);
    error_clear(&err);
    assert_int_equal(confine_can_read(at, &err), -1);
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, "next: open it to others (chmod o+r), or accept"));
    assert_int_equal(fchmodat(dir_fd, "other", 0644, 0), 0);
    error_clear(&err);
    must(confine_can_read(path, &err), &err);
    /* The caller has kept all it had. */
    assert_int_equal(fchownat(dir_fd, "other", 0, 0, 0), 0);
}

static void test_what_is_absent(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_int_equal(confine_allow(list_fd, dir_fd, "absent", CONFINE_READ, true, &err), 0);
    assert_int_equal(confine_allow(list_fd, dir_fd, "absent", CONFINE_READ, false, &err), -1);
    assert_int_equal(err.sys, ENOENT);
}

int main(int argc, char **argv)
{
    if (argc == 3 && str_eq(argv[1], "attempt"))
        _exit(attempt(argv[2])); /* what runs at an exit is not what is tried */
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_only_what_is_on_the_list),
        T(test_a_file_put_in_its_place_is_not_on_it),
        T(test_sockets_where_they_may_be),
        T(test_no_capabilities_and_none_to_be_had),
        T(test_what_was_asked_for_is_looked_at),
        T(test_no_call_gets_around_it),
        T(test_a_file_of_another_user_is_told_before),
        T(test_what_is_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
