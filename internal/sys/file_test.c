/* file_test.c: files, directories and locks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/deadline.h"
#include "sys/file.h"
#include "sys/lock.h"
#include "testutil/scratch.h"

static int count_entries(int dirfd)
{
    int n = 0;
    _cleanup_closedir_ DIR *d = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    return n;
}

static void atomic_write_leaves_old_or_new_and_nothing_else(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    assert_int_equal(file_write_atomic(scratch_fd, "r", "one", 3, 0600, NULL), 0);
    assert_int_equal(file_write_atomic(scratch_fd, "r", "second", 6, 0600, NULL), 0);
    assert_int_equal(file_read_at(scratch_fd, "r", 100, &sb, NULL), 0);
    assert_string_equal(sb.buf, "second");
    assert_int_equal(count_entries(scratch_fd), 1);
    struct stat st;
    assert_int_equal(fstatat(scratch_fd, "r", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void reading_is_capped_and_picky(void **state)
{
    (void)state;
    struct error e = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    assert_int_equal(file_write_new(scratch_fd, "big", "0123456789", 10, 0600, NULL), 0);
    assert_int_equal(file_read_at(scratch_fd, "big", 9, &sb, &e), -1);
    assert_int_equal(e.sys, EFBIG);
    assert_int_equal(symlinkat("big", scratch_fd, "link"), 0);
    assert_int_equal(file_read_at(scratch_fd, "link", 100, &sb, &e), -1);
    assert_int_equal(mkfifoat(scratch_fd, "fifo", 0600), 0);
    assert_int_equal(file_read_at(scratch_fd, "fifo", 100, &sb, &e), -1); /* and does not hang */
    assert_int_equal(file_read_at(scratch_fd, ".", 100, &sb, &e), -1);
    /* Looked at, and not opened: it could be a device, which an open sets going. */
    assert_int_equal(mknodat(scratch_fd, "socket", S_IFSOCK | 0600, 0), 0);
    assert_int_equal(file_read_at(scratch_fd, "socket", 100, &sb, &e), -1);
    assert_string_equal(e.msg, "socket is not a regular file");
}

static void remove_tree_stays_inside(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(scratch_fd, "t", 0700), 0);
    assert_int_equal(mkdirat(scratch_fd, "t/sub", 0700), 0);
    assert_int_equal(file_write_new(scratch_fd, "outside", "x", 1, 0600, NULL), 0);
    assert_int_equal(mkdirat(scratch_fd, "outdir", 0700), 0);
    assert_int_equal(file_write_new(scratch_fd, "outdir/kept", "x", 1, 0600, NULL), 0);
    assert_int_equal(symlinkat("../outdir", scratch_fd, "t/link"), 0);
    assert_int_equal(symlinkat("../../outside", scratch_fd, "t/sub/link"), 0);
    assert_int_equal(dir_remove_tree(scratch_fd, "t", NULL), 0);
    assert_int_equal(faccessat(scratch_fd, "t", F_OK, 0), -1);
    assert_int_equal(faccessat(scratch_fd, "outdir/kept", F_OK, 0), 0);
    assert_int_equal(faccessat(scratch_fd, "outside", F_OK, 0), 0);
    assert_int_equal(dir_remove_tree(scratch_fd, "t", NULL), 0); /* absent is a success */
}

/* A sweep and an owner, or two sweeps, at once. */
static void two_may_remove_one_tree(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        int status;
        assert_int_equal(mkdirat(scratch_fd, "t", 0700), 0);
        for (int i = 0; i < 40; i++) {
            char name[32];
            (void)str_format(name, sizeof name, "t/%d", i);
            assert_int_equal(mkdirat(scratch_fd, name, 0700), 0);
        }
        pid_t pid = fork();
        if (pid == 0)
            _exit(dir_remove_tree(scratch_fd, "t", NULL) == 0 ? 0 : 1);
        assert_int_equal(dir_remove_tree(scratch_fd, "t", NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    assert_int_equal(count_entries(scratch_fd), 0);
}

/* Makes files in the directory that it has open, as a late locker does, until it is gone. */
static void make_files_until_gone(int fd, int ready_fd)
{
    for (int i = 0; i < 3000; i++) {
        char name[32];
        (void)str_format(name, sizeof name, "%d", i);
        int file = openat(fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (file < 0)
            _exit(errno == ENOENT ? 0 : 1);
        (void)close(file);
        if (i == 10)
            (void)!write(ready_fd, "x", 1);
        struct pollfd none = {.fd = -1};
        (void)poll(&none, 1, i > 10 && i % 50 == 0 ? 1 : 0);
    }
    _exit(0);
}

static void a_tree_in_which_files_appear_is_removed(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        int ready[2];
        char byte;
        struct error e = ERROR_INIT;
        assert_int_equal(mkdirat(scratch_fd, "t", 0700), 0);
        assert_int_equal(pipe(ready), 0);
        pid_t pid = fork();
        if (pid == 0)
            make_files_until_gone(openat(scratch_fd, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                  ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        int r = dir_remove_tree(scratch_fd, "t", &e);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        if (r < 0)
            fail_msg("%s", e.msg);
        assert_int_equal(count_entries(scratch_fd), 0);
        (void)close(ready[0]);
        (void)close(ready[1]);
    }
}

static void closing_aside_closes(void **state)
{
    int p[2], none = -1;
    char byte;
    (void)state;
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    fd_close_aside(&p[1]);
    assert_int_equal(p[1], -1);
    assert_int_equal(read(p[0], &byte, 1), 0); /* the end of the pipe: it is closed */
    (void)close(p[0]);
    fd_close_aside(&none);
}

static void private_directories_are_checked(void **state)
{
    (void)state;
    struct error e = ERROR_INIT;
    char path[96];
    (void)str_format(path, sizeof path, "%s/a/it's; b", scratch_dir);
    int fd = dir_open_private(path, &e);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(dir_open_private(path, &e), -1);
    assert_non_null(strstr(e.msg, "next: chmod 700 '/tmp/"));
    assert_non_null(strstr(e.msg, "/a/it'\\''s; b'"));
}

/* An archive that root has unpacked may have a device of that name. */
static void a_lock_is_a_regular_file(void **state)
{
    (void)state;
    struct error e = ERROR_INIT;
    assert_return_code(mkfifoat(scratch_fd, "fifo", 0600), errno);
    assert_return_code(symlinkat("elsewhere", scratch_fd, "link"), errno);
    assert_int_equal(lock_try(scratch_fd, "fifo", true, &e), -1);
    assert_string_equal(e.msg, "fifo is not a regular file");
    e = (struct error)ERROR_INIT;
    assert_int_equal(lock_try(scratch_fd, "link", true, &e), -1);
    assert_int_equal(e.sys, ELOOP);
    e = (struct error)ERROR_INIT;
    assert_int_equal(lock_try(scratch_fd, "absent", false, &e), -1);
    assert_int_equal(e.kind, ERR_NOT_FOUND);
}

static void locks_exclude_and_die_with_their_holder(void **state)
{
    (void)state;
    struct error e = ERROR_INIT;
    struct deadline soon = deadline_in_ms(30);
    int to_child[2], from_child[2];
    assert_int_equal(pipe(to_child), 0);
    assert_int_equal(pipe(from_child), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        int fd = lock_try(scratch_fd, "lock", true, NULL);
        (void)!write(from_child[1], fd >= 0 ? "y" : "n", 1);
        (void)!read(to_child[0], &c, 1);
        _exit(0);
    }
    char answer;
    assert_int_equal(read(from_child[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    assert_int_equal(lock_try(scratch_fd, "lock", true, &e), -1);
    assert_int_equal(e.kind, ERR_BUSY);
    assert_int_equal(lock_is_held(scratch_fd, "lock", NULL), 1);
    assert_int_equal(lock_wait(scratch_fd, "lock", true, &soon, &e), -1);
    assert_int_equal(e.kind, ERR_TIMEOUT);
    assert_int_equal(kill(pid, SIGKILL), 0);
    struct deadline d = deadline_in_ms(60000);
    /* The waiter that gave up above may be handed the lock first; it was told nobody wants it. */
    int fd = lock_wait(scratch_fd, "lock2", true, &d, NULL);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    for (int i = 0; i < 2; i++) {
        (void)close(to_child[i]);
        (void)close(from_child[i]);
    }
}

static void a_waiter_gets_the_lock_when_the_holder_dies(void **state)
{
    (void)state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = lock_try(scratch_fd, "lock", true, NULL);
        (void)!write(ready[1], fd >= 0 ? "y" : "n", 1);
        (void)poll(NULL, 0, 100);
        _exit(0);
    }
    char answer;
    assert_int_equal(read(ready[0], &answer, 1), 1);
    struct deadline d = deadline_in_ms(60000);
    int fd = lock_wait(scratch_fd, "lock", true, &d, NULL);
    assert_true(fd >= 0);
    assert_int_equal(lock_is_held(scratch_fd, "lock", NULL), 1);
    (void)close(fd);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

/* What was discarded takes no room though somebody has it open; nothing else is emptied by it. */
static void discarded_files_give_their_blocks_back(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct stat st;
    static const char *const names[] = {"file", "link", "other name", "fifo", "absent"};
    assert_int_equal(file_write_new(scratch_fd, "file", "content", 7, 0600, &err), 0);
    assert_int_equal(file_write_new(scratch_fd, "kept", "content", 7, 0600, &err), 0);
    assert_int_equal(symlinkat("kept", scratch_fd, "link"), 0);
    assert_int_equal(linkat(scratch_fd, "kept", scratch_fd, "other name", 0), 0);
    assert_int_equal(mkfifoat(scratch_fd, "fifo", 0600), 0);
    _cleanup_close_ int held = openat(scratch_fd, "file", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_int_equal(file_discard(scratch_fd, names[i], &err), 0);
        assert_int_equal(fstatat(scratch_fd, names[i], &st, AT_SYMLINK_NOFOLLOW), -1);
    }
    assert_int_equal(fstat(held, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(fstatat(scratch_fd, "kept", &st, 0), 0);
    assert_int_equal(st.st_size, 7);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_open, scratch_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(atomic_write_leaves_old_or_new_and_nothing_else),
        T(reading_is_capped_and_picky),
        T(remove_tree_stays_inside),
        T(two_may_remove_one_tree),
        T(a_tree_in_which_files_appear_is_removed),
        T(closing_aside_closes),
        T(private_directories_are_checked),
        T(a_lock_is_a_regular_file),
        T(locks_exclude_and_die_with_their_holder),
        T(a_waiter_gets_the_lock_when_the_holder_dies),
        T(discarded_files_give_their_blocks_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
