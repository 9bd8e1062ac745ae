/* A guest and the host's disk: small filesystems of our own, in a mount namespace of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fetch/fetch.h"
#include "fetch/room.h"
#include "sys/file.h"

#define MIB (1 << 20)

static char top[64];
static int disk = -1;

static int group_setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)str_copy(top, sizeof top, "/tmp/room-test-XXXXXX");
    assert_non_null(mkdtemp(top));
    if (unshare(CLONE_NEWNS) == 0)
        (void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    assert_return_code(rmdir(top), errno);
    return 0;
}

/* A filesystem with these options, and `disk` open in it. */
static void use(const char *options)
{
    if (geteuid() != 0 || mount("none", top, "tmpfs", 0, options) < 0)
        skip();
    disk = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(disk >= 0);
}

static int leave(void **state)
{
    (void)state;
    CLOSE_FD(disk);
    (void)umount(top);
    return 0;
}

static size_t entries(void)
{
    DIR *d = opendir(top);
    size_t n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    assert_int_equal(closedir(d), 0);
    return n - 2;
}

static void assert_said(const struct error *err, const char *words)
{
    if (!strstr(err->msg, words))
        fail_msg("%s", err->msg);
}

static void fill(const char *name, size_t size)
{
    _cleanup_close_ int fd = openat(disk, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)size), 0);
}

/* ---- a guest that sends files of this size ---- */

struct guest {
    int fd; /* owned: the end of the pipe that the archive goes into */
    size_t n_files, size;
    size_t fill_at; /* after so many bytes of a file somebody else fills the disk; 0: never */
};

static void *guest_main(void *arg)
{
    struct guest *g = arg;
    static char block[MIB];
    struct archive *a = archive_write_new();
    (void)archive_write_set_format_gnutar(a);
    (void)archive_write_set_bytes_per_block(a, 0); /* at once: the pipe holds us back */
    (void)archive_write_open_fd(a, g->fd);
    bool ok = true;
    for (size_t i = 0; ok && i < g->n_files; i++) {
        char name[32];
        struct archive_entry *e = archive_entry_new();
        (void)snprintf(name, sizeof name, "%zu.bin", i);
        archive_entry_set_pathname(e, name);
        archive_entry_set_mode(e, S_IFREG | 0644);
        archive_entry_set_size(e, (la_int64_t)g->size);
        ok = archive_write_header(a, e) == ARCHIVE_OK;
        archive_entry_free(e);
        for (size_t sent = 0; ok && sent < g->size; sent += sizeof block) {
            if (g->fill_at && sent == g->fill_at)
                fill("of-others", 36 * MIB);
            ok = archive_write_data(a, block, sizeof block) == (la_ssize_t)sizeof block;
        }
    }
    (void)archive_write_close(a);
    archive_write_free(a);
    CLOSE_FD(g->fd);
    return NULL;
}

static int receive(struct guest *g, struct fetch_result *res, struct error *err)
{
    static const char *const globs[] = {"*.bin", NULL};
    struct fetch_rules rules = {.dirfd = disk, .globs = globs, .limits = {1000, 1LL << 40, 0}};
    pthread_t thread;
    int pipefd[2];
    assert_return_code(pipe2(pipefd, O_CLOEXEC), errno);
    g->fd = pipefd[1];
    assert_int_equal(pthread_create(&thread, NULL, guest_main, g), 0);
    int r = fetch_unpack(pipefd[0], &rules, res, err);
    CLOSE_FD(pipefd[0]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return r;
}

static void test_file_that_does_not_fit(void **state)
{
    (void)state;
    struct guest g = {.n_files = 2, .size = 31 * MIB};
    struct fetch_result res;
    struct error err = ERROR_INIT;
    use("size=64m");
    assert_int_equal(receive(&g, &res, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
    assert_said(&err,
                "1.bin does not fit: it needs 31.0 MiB, 33.0 MiB are free, and 3.2 MiB must stay "
                "free; next: make room");
    assert_int_equal(entries(), 1); /* the first is whole, of the second there is nothing */
    assert_int_equal(res.bytes, 31 * MIB);
}

static void test_others_fill_it_meanwhile(void **state)
{
    (void)state;
    struct guest g = {.n_files = 1, .size = 40 * MIB, .fill_at = 20 * MIB};
    struct fetch_result res;
    struct error err = ERROR_INIT;
    use("size=64m");
    assert_int_equal(receive(&g, &res, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
    assert_said(&err, "a file of the guest does not fit");
    assert_int_equal(entries(), 1); /* of-others */
    assert_in_range(res.bytes, 20 * MIB, 28 * MIB);
}

static void test_inodes(void **state)
{
    (void)state;
    struct guest g = {.n_files = 100, .size = 0};
    struct fetch_result res;
    struct error err = ERROR_INIT;
    use("size=64m,nr_inodes=61"); /* one is the root's */
    assert_int_equal(receive(&g, &res, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
    assert_said(&err, "needs an inode, 3 are free, and 3 must stay free");
    assert_int_equal(entries(), 57);
}

static void test_reserve(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    use("size=100g");
    /* Of 100 GiB not five, but one. */
    assert_int_equal(room_check(disk, 99LL << 30, "x", &err), 0);
    assert_int_equal(room_check(disk, (99LL << 30) + 1, "x", &err), -1);
    assert_said(&err, "1024.0 MiB must stay free");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_file_that_does_not_fit, leave),
        cmocka_unit_test_teardown(test_others_fill_it_meanwhile, leave),
        cmocka_unit_test_teardown(test_inodes, leave),
        cmocka_unit_test_teardown(test_reserve, leave),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
