#include "sys/pinned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"
#include "testutil/scratch.h"

static char path[PATH_MAX];
static int cache_fd;
static struct pinned pin;

static void write_file(const char *text)
{
    struct error err = ERROR_INIT;
    if (file_write_new(AT_FDCWD, path, text, strlen(text), 0600, &err) < 0)
        fail_msg("%s", err.msg);
}

static void pin_content(const char *text)
{
    struct error err = ERROR_INIT;
    assert_int_equal(sha256_bytes(text, strlen(text), pin.sha256, &err), 0);
}

static int setup(void **state)
{
    (void)scratch_open(state);
    (void)str_format(path, sizeof path, "%s/file", scratch_dir);
    _cleanup_free_ char *cache = xasprintf("%s/cache", scratch_dir);
    assert_int_equal(mkdir(cache, 0700), 0);
    cache_fd = open(cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pin = (struct pinned){.what = "kernel"};
    pinned_settled_ns = 0;
    write_file("right");
    pin_content("right");
    return 0;
}

static int teardown(void **state)
{
    (void)close(cache_fd);
    return scratch_close(state);
}

static int check(struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return pinned_check(&pin, fd, path, cache_fd, NULL, err);
}

static int unchanged(struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    return pinned_unchanged(&pin, fd, path, err);
}

static void refused(enum err_kind kind, const char *message)
{
    struct error err = ERROR_INIT;
    assert_int_equal(check(&err), -1);
    assert_int_equal(err.kind, kind);
    if (!strstr(err.msg, message))
        fail_msg("\"%s\" is not in: %s", message, err.msg);
}

static void accepted(void)
{
    struct error err = ERROR_INIT;
    if (check(&err) < 0)
        fail_msg("%s", err.msg);
}

static void test_the_right_file_is_read_once(void **state)
{
    (void)state;
    assert_int_equal(pinned_look(&pin, path, cache_fd, NULL), PINNED_UNKNOWN);
    accepted();
    assert_int_equal(pinned_look(&pin, path, cache_fd, NULL), PINNED_GOOD);
    accepted();
    /* What was remembered is what decides: a pin that says something else needs no reading either.
     */
    struct error looked = ERROR_INIT, checked = ERROR_INIT;
    pin_content("left");
    assert_int_equal(pinned_look(&pin, path, cache_fd, &looked), PINNED_WRONG);
    refused(ERR_CONFIG, "is not the pinned one");
    assert_int_equal(check(&checked), -1);
    assert_string_equal(looked.msg, checked.msg);
}

static void test_another_file_is_refused(void **state)
{
    (void)state;
    write_file("wrong");
    refused(ERR_CONFIG, "is not the pinned one: its sha256 is "
                        "8810ad581e59f2bc3928b261707a71308f7e139eb04820366dc4d5c18d980225");
}

/* Nothing that is remembered helps: who may write it could change it the next moment. */
static void test_a_file_that_others_may_write_is_refused(void **state)
{
    (void)state;
    accepted();
    assert_int_equal(chmod(path, 0602), 0);
    refused(ERR_TRUST, "can be changed by any user");
    assert_int_equal(chmod(path, 0600), 0);
    accepted();
    if (geteuid() != 0)
        return;
    assert_int_equal(chown(path, 54321, 0), 0);
    refused(ERR_TRUST, "is owned by uid 54321");
}

/* Same size, same time of modification: only the time of the inode's change gives it away. */
static void test_a_change_that_hides_is_seen(void **state)
{
    (void)state;
    struct stat st;
    accepted();
    assert_int_equal(stat(path, &st), 0);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "wrong", 5), 5);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(futimens(fd, times), 0);
    refused(ERR_CONFIG, "is not the pinned one");
}

static void test_a_file_put_in_its_place_is_seen(void **state)
{
    (void)state;
    accepted();
    write_file("wrong"); /* by rename */
    refused(ERR_CONFIG, "is not the pinned one");
    write_file("right");
    accepted();
}

/* A file that changed a moment ago could change again and keep its times. */
static void test_a_fresh_file_is_not_remembered(void **state)
{
    (void)state;
    pinned_settled_ns = INT64_C(3600000000000);
    accepted();
    assert_int_equal(pinned_look(&pin, path, cache_fd, NULL), PINNED_UNKNOWN);
}

static void test_what_is_used_is_what_was_checked(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    accepted();
    assert_int_equal(unchanged(&err), 0);
    write_file("right"); /* the same bytes, another file */
    assert_int_equal(unchanged(&err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
}

static void test_without_a_pin_the_file_must_still_stay(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    pin.sha256[0] = '\0';
    assert_int_equal(pinned_look(&pin, path, cache_fd, NULL), PINNED_NONE);
    accepted();
    assert_int_equal(unchanged(&err), 0);
    write_file("other");
    assert_int_equal(unchanged(&err), -1);
}

static void test_what_is_no_file_is_refused(void **state)
{
    (void)state;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    refused(ERR_CONFIG, "is not a file");
}

/* Nothing in the cache is believed that does not fit to the letter, and it does not grow for ever.
 */
static void test_a_cache_that_was_tampered_with(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct stat st;
    char name[64];
    accepted();
    assert_int_equal(stat(path, &st), 0);
    (void)str_format(name, sizeof name, "%lx-%lx", (unsigned long)st.st_dev,
                     (unsigned long)st.st_ino);
    static const char *const bad[] = {"", "5 0 0 x\n", "garbage", "-1 -1 -1 "};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(file_write_new(cache_fd, name, bad[i], strlen(bad[i]), 0600, &err), 0);
        assert_int_equal(pinned_look(&pin, path, cache_fd, NULL), PINNED_UNKNOWN);
    }
    for (int i = 0; i < 100; i++) {
        (void)str_format(name, sizeof name, "old-%d", i);
        assert_int_equal(file_write_new(cache_fd, name, "x", 1, 0600, &err), 0);
    }
    accepted();
    _cleanup_closedir_ DIR *d = fdopendir(dup(cache_fd));
    size_t n = 0;
    for (rewinddir(d); readdir(d);)
        n++;
    assert_int_equal(n, 3); /* . and .. and the newest */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_the_right_file_is_read_once),
        T(test_another_file_is_refused),
        T(test_a_file_that_others_may_write_is_refused),
        T(test_a_change_that_hides_is_seen),
        T(test_a_file_put_in_its_place_is_seen),
        T(test_a_fresh_file_is_not_remembered),
        T(test_what_is_used_is_what_was_checked),
        T(test_without_a_pin_the_file_must_still_stay),
        T(test_what_is_no_file_is_refused),
        T(test_a_cache_that_was_tampered_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
