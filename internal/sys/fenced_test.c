#include "sys/fenced.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/confine.h"
#include "sys/file.h"
#include "sys/uids.h"

/* A part that was taken over: it tries to get at what is beside the fence. Without the fence, those
 * marked `harmless` succeed, so that a refusal says something. */
#define SERVICE "crabbox-fenced-test" /* a service: a name without a file */

static long shadow(void)
{
    return open("/etc/shadow", O_RDONLY | O_CLOEXEC);
}

static long program_file(void)
{
    return open("/usr/bin/env", O_RDONLY | O_CLOEXEC);
}

static long new_file(void)
{
    return open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
}

static long look(void)
{
    struct stat st;
    return stat("/etc/passwd", &st);
}

static long memory_of_parent(void)
{
    char path[64];
    (void)str_format(path, sizeof path, "/proc/%d/mem", (int)getppid());
    return open(path, O_RDONLY | O_CLOEXEC);
}

static long connect_to(const char *name, size_t len)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path, name, len);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -1
                  : connect(fd, (const struct sockaddr *)&to,
                            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

static long path_socket(void)
{
    return connect_to("/run/" SERVICE, sizeof "/run/" SERVICE);
}

static long nameless_socket(void)
{
    return connect_to("\0" SERVICE, sizeof SERVICE);
}

static long tcp_socket(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long program(void)
{
    return execve("/bin/true", (char *const[]){NULL}, (char *const[]){NULL});
}

static long program_in_memory(void)
{
    return syscall(SYS_memfd_create, "program", 0);
}

static long child(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L);
    if (pid == 0)
        _exit(0);
    return pid < 0 ? -1 : waitpid(pid, NULL, 0);
}

static long signal_parent(void)
{
    return kill(getppid(), 0);
}

static long signal_thread(void)
{
    return syscall(SYS_tkill, getppid(), 0);
}

static long signal_all(void)
{
    return kill(-1, 0);
}

static long trace(void)
{
    return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL);
}

static long read_parent(void)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    return process_vm_readv(getppid(), &here, 1, &there, 1, 0);
}

static long user_namespace(void)
{
    return unshare(CLONE_NEWUSER);
}

static long mount_over(void)
{
    return mount("none", "/mnt", "tmpfs", 0, NULL);
}

static long keys(void)
{
    return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1);
}

static long bpf_program(void)
{
    return syscall(SYS_bpf, 0, NULL, 0);
}

static long load_module(void)
{
    return syscall(SYS_init_module, NULL, 0L, "");
}

static long become_root(void)
{
    return setresuid(0, 0, 0) < 0 || getuid() != 0 ? -1 : 0;
}

static const struct attempt {
    const char *what;
    long (*try)(void);
    bool harmless;
} attempts[] = {
    {"open /etc/shadow", shadow, true},
    {"open a program", program_file, true},
    {"make a file", new_file, true},
    {"look at a file", look, true},
    {"open the memory of its parent", memory_of_parent, false},
    {"connect to a path", path_socket, true},
    {"connect to a name without a file", nameless_socket, true},
    {"make a socket", tcp_socket, true},
    {"become another program", program, false},
    {"make a file in memory", program_in_memory, true},
    {"start a process", child, true},
    {"signal its parent", signal_parent, true},
    {"signal a thread", signal_thread, true},
    {"signal all processes", signal_all, false},
    {"trace its parent", trace, false},
    {"read its parent's memory", read_parent, false},
    {"make a namespace", user_namespace, false},
    {"mount", mount_over, false},
    {"use a keyring", keys, false},
    {"use bpf", bpf_program, false},
    {"load a module", load_module, false},
    {"become root", become_root, false},
};

/* The errno of each, or 0. */
static void try_all(bool harmless_only)
{
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
        int why = -1;
        if (attempts[i].harmless || !harmless_only) {
            errno = 0;
            why = attempts[i].try() < 0 ? errno : 0;
        }
        (void)!write(STDOUT_FILENO, &why, sizeof why);
    }
}

static void taken_over(void)
{
    fenced_settle();
    try_all(false);
    (void)!read(STDIN_FILENO, (char[1]){0}, 1); /* until it was looked at */
}

extern const struct fenced_part taken_part;
FENCED_PART(taken_part, {"fenced-test", taken_over})

static int listen_at(const char *name, size_t len)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, name, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static void test_a_part_that_was_taken_over(void **state)
{
    struct child c;
    struct error err = ERROR_INIT;
    int to[2], from[2];
    (void)state;
    _cleanup_close_ int by_path = listen_at("/run/" SERVICE, sizeof "/run/" SERVICE);
    _cleanup_close_ int by_name = listen_at("\0" SERVICE, sizeof SERVICE);
    assert_int_equal(chmod("/run/" SERVICE, 0777), 0);
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    assert_int_equal(fenced_start(&taken_part, to[0], from[1], &c, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
        int why = 0;
        assert_int_equal(read(from[0], &why, sizeof why), sizeof why);
        if (why != ENOSYS && why != EPERM)
            fail_msg("%s: %s", attempts[i].what, why ? strerror(why) : "it succeeds");
    }
    if (confine_verify_user(c.pid, UID_NOBODY, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(confine_filters(c.pid, &err), 1);
    (void)close(to[0]);
    (void)close(to[1]);
    fenced_end(&c);
    /* The same without the fence. */
    int saved = dup(STDOUT_FILENO);
    assert_true(dup2(from[1], STDOUT_FILENO) >= 0);
    try_all(true);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    (void)close(saved);
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
        int why = 0;
        assert_int_equal(read(from[0], &why, sizeof why), sizeof why);
        if (attempts[i].harmless && why)
            fail_msg("%s, without the fence: %s", attempts[i].what, strerror(why));
    }
    (void)close(from[0]);
    (void)close(from[1]);
    assert_int_equal(unlink("/run/" SERVICE), 0);
}

/* One that is not there ends at once, and that is told. */
static void test_a_part_that_does_not_answer(void **state)
{
    struct child c;
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(fenced_start(&taken_part, -1, -1, &c, &err), 0);
    assert_int_equal(fenced_failed(&c, "reads reports", "is gone", &err), -1);
    assert_int_equal(err.kind, ERR_SSH);
    assert_string_equal(err.msg, "the process that reads reports is gone: exit code 0");
    assert_int_equal(c.pid, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_part_that_was_taken_over),
        cmocka_unit_test(test_a_part_that_does_not_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
