/* Fetching over a real connection, from honest and hostile guests: what is called tar there is a
 * script of ours, in a mount namespace of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fetch/fetch.h"
#include "sys/file.h"
#include "testutil/synckit.h"

#define TAR "/usr/bin/tar"

static int setup(void **state)
{
    (void)signal(SIGPIPE, SIG_IGN);
    return synckit_setup(state);
}

static void cleanup_conn(struct ssh_conn **c)
{
    ssh_close(*c);
}

struct attempt {
    int rc;
    struct fetch_result res;
    struct error err;
    int64_t ms;
};

/* Fetches `remote` of the directory `from` as "got" below `to`. */
static struct attempt fetch(const char *from, const char *remote, const char *to)
{
    struct attempt a = {.err = ERROR_INIT};
    _cleanup_(cleanup_conn) struct ssh_conn *c = synckit_connect(&kit);
    _cleanup_close_ int dirfd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct fetch_rules rules = {.dirfd = dirfd, .name = "got", .limits = {100, 1 << 20, 700}};
    struct deadline d = deadline_in_ms(30000);
    assert_true(dirfd >= 0);
    int64_t t0 = clock_boot_ms();
    a.rc = fetch_path(c, from, remote, &rules, &d, &a.res, &a.err);
    a.ms = clock_boot_ms() - t0;
    return a;
}

/* The same with another tar. */
static struct attempt fetch_with(const char *tar_script, const char *to)
{
    _cleanup_free_ char *path = xasprintf("%s/tar", kit.dir);
    struct error err = ERROR_INIT;
    if (!kit.entered)
        skip();
    (void)unlink(path);
    assert_int_equal(file_write_new(AT_FDCWD, path, tar_script, strlen(tar_script), 0755, &err), 0);
    assert_return_code(mount(path, TAR, NULL, MS_BIND, NULL), errno);
    struct attempt a = fetch(kit.dir, "tar", to);
    assert_return_code(umount2(TAR, MNT_DETACH), errno);
    return a;
}

static void test_honest(void **state)
{
    (void)state;
    _cleanup_free_ char *from = synckit_new_dir(&kit, "from");
    _cleanup_free_ char *to = synckit_new_dir(&kit, "to");
    synckit_sh(from, "mkdir -p 'd e/f'; echo one > 'd e/f/1'; echo two > ./-x; ln -s -- -x link",
               NULL);
    struct attempt a = fetch(from, "d e", to);
    assert_int_equal(a.rc, 0);
    assert_int_equal(a.res.n_files, 1);
    synckit_sh(to, "test \"$(cat got/f/1)\" = one; rm -r got", NULL);
    assert_int_equal(fetch(from, "-x", to).rc, 0);
    synckit_sh(to, "test \"$(cat got)\" = two", NULL);
    assert_int_equal(fetch(from, "link", to).rc, 0); /* what it points to, in the guest */
    synckit_sh(to, "test ! -L got; test \"$(cat got)\" = two", NULL);
    struct attempt none = fetch(from, "none", to);
    assert_int_equal(none.rc, -1);
    assert_int_equal(none.err.kind, ERR_NOT_FOUND);
    assert_string_equal(none.err.msg, "fetch none: the guest has no such file or directory");
}

/* Globs are the guest's shell's to expand, and nothing else of them is. */
static void test_globs(void **state)
{
    (void)state;
    _cleanup_free_ char *from = synckit_new_dir(&kit, "glob");
    _cleanup_free_ char *to = synckit_new_dir(&kit, "into");
    static const char *const globs[] = {"a b/*.x", ".//a b/./?.x", "**/deep", "$(touch ran)",
                                        "it's",    "`id`",         NULL};
    _cleanup_strbuf_ struct strbuf names = STRBUF_INIT; /* with it no name may come twice */
    synckit_sh(from, "mkdir -p 'a b' c/d; : > 'a b/1.x'; : > 'a b/no'; : > c/d/deep; : > deep",
               NULL);
    _cleanup_(cleanup_conn) struct ssh_conn *c = synckit_connect(&kit);
    _cleanup_close_ int dirfd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct fetch_rules rules = {
        .dirfd = dirfd, .globs = globs, .limits = FETCH_LIMITS_DEFAULT, .names = &names};
    struct deadline d = deadline_in_ms(30000);
    struct fetch_result res;
    struct error err = ERROR_INIT;
    if (fetch_globs(c, from, &rules, &d, &res, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(res.n_files, 3);
    synckit_sh(to, "test -f 'a b/1.x' -a -f c/d/deep -a -f deep", NULL);
    synckit_sh(from, "test ! -e ran", NULL);
}

/* A guest that says its evil and then nothing: the verdict does not wait for it. */
static void test_hostile_and_silent(void **state)
{
    (void)state;
    _cleanup_free_ char *to = synckit_new_dir(&kit, "hostile");
    struct attempt a = fetch_with("#!/bin/sh\ncd /tmp && printf x > evil && exec 3>&1\n"
                                  "bsdtar -c -f - -s ',^,../../,' evil 2>/dev/null || "
                                  "printf '../../evil%090d0000644\\0000000000\\0000000000\\000' 0\n"
                                  "exec sleep 100\n",
                                  to);
    assert_int_equal(a.rc, -1);
    assert_in_range(a.ms, 0, 10000);
    synckit_sh(to, "test ! -e got -a ! -e ../evil -a ! -e ../../evil", NULL);
}

static void test_silent(void **state)
{
    (void)state;
    _cleanup_free_ char *to = synckit_new_dir(&kit, "silent");
    struct attempt a = fetch_with("#!/bin/sh\nexec sleep 100\n", to);
    assert_int_equal(a.rc, -1);
    assert_int_equal(a.err.kind, ERR_TIMEOUT);
    assert_non_null(strstr(a.err.msg, "nothing came"));
    assert_in_range(a.ms, 600, 10000);
}

/* Endless, and no archive. */
static void test_flood(void **state)
{
    (void)state;
    _cleanup_free_ char *to = synckit_new_dir(&kit, "flood");
    struct attempt a = fetch_with("#!/bin/sh\nexec yes\n", to);
    assert_int_equal(a.rc, -1);
    assert_int_equal(a.err.kind, ERR_SSH);
    assert_in_range(a.ms, 0, 10000);
    assert_int_equal(fetch_with("#!/bin/sh\nexit 0\n", to).rc, -1);
    struct attempt z = fetch_with("#!/bin/sh\nexec cat /dev/zero\n", to);
    assert_int_equal(z.rc, -1);
    assert_in_range(z.ms, 0, 10000);
}

/* What a failing guest says can't steer the terminal. */
static void test_last_words(void **state)
{
    (void)state;
    _cleanup_free_ char *to = synckit_new_dir(&kit, "words");
    struct attempt a = fetch_with("#!/bin/sh\nprintf 'no\\033[2J \\nway' >&2; exit 3\n", to);
    assert_int_equal(a.rc, -1);
    assert_int_equal(a.err.kind, ERR_SSH);
    assert_non_null(strstr(a.err.msg, "exit code 3: no\\x1b[2J ; way"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest),
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_hostile_and_silent),
        cmocka_unit_test(test_silent),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_last_words),
    };
    return cmocka_run_group_tests(tests, setup, synckit_teardown);
}
