#include "vmm/logcap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/deadline.h"
#include "sys/file.h"
#include "vmm/vmm.h"

static char dir[64];
static int dir_fd, log_fd;

static int setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    (void)str_format(dir, sizeof dir, "%s/logcap.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    log_fd = openat(dir_fd, VMM_CONSOLE_LOG, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(log_fd >= 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    (void)close(log_fd);
    (void)close(dir_fd);
    assert_int_equal(dir_remove_tree(AT_FDCWD, dir, &err), 0);
    return 0;
}

/* Lines that say where they stand. */
static void say(int from, int to)
{
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    for (int i = from; i < to; i++)
        strbuf_addf(&text, "line %09d\n", i);
    assert_int_equal(fd_write_all(log_fd, text.buf, text.len, "log", &err), 0);
}

static int64_t on_disk(void)
{
    struct stat st;
    assert_int_equal(fstat(log_fd, &st), 0);
    return (int64_t)st.st_blocks * 512;
}

static void test_a_small_log_is_left_alone(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    say(0, 1000);
    assert_int_equal(logcap_apply(dir_fd, VMM_CONSOLE_LOG, &err), 0);
    assert_int_equal(logcap_begin(log_fd), 0);
    assert_int_equal(logcap_apply(dir_fd, "absent", &err), 0);
}

/* The newest stays, appending goes on where it was, and the reader skips what is gone. */
static void test_the_newest_stays(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct stat st;
    say(0, 700000); /* 10.5 MB */
    assert_true(on_disk() > LOGCAP_MAX);
    assert_int_equal(logcap_apply(dir_fd, VMM_CONSOLE_LOG, &err), 1);
    assert_true(on_disk() <= 2 * LOGCAP_KEPT);
    say(700000, 700001);
    assert_int_equal(fstat(log_fd, &st), 0);
    char last[16] = "";
    assert_int_equal(pread(log_fd, last, 15, st.st_size - 15), 15);
    assert_string_equal(last, "line 000700000\n");
    off_t begin = logcap_begin(log_fd);
    assert_true(begin > 0 && st.st_size - begin >= LOGCAP_KEPT);
}

/* Through the thread, with a file that comes later than it, as a VMM's does. */
static void test_a_flood_is_kept_small(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    const char *name = strrchr(dir, '/') + 1;
    _cleanup_free_ char *parent = xasprintf("%.*s", (int)(name - dir), dir);
    int parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the thread keeps it */
    assert_int_equal(unlinkat(dir_fd, VMM_CONSOLE_LOG, 0), 0);
    _cleanup_close_ int told = logcap_start(parent_fd, name, &err);
    assert_true(told >= 0);
    (void)close(log_fd);
    log_fd = openat(dir_fd, VMM_CONSOLE_LOG, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct deadline d = deadline_in_ms(20000);
    int line = 0;
    for (int64_t most = 0;
         !deadline_passed(&d) && (most < 2 * LOGCAP_MAX || on_disk() > LOGCAP_MAX);
         most += 15 * 1000) {
        say(line, line + 1000);
        line += 1000;
    }
    while (!deadline_passed(&d) && on_disk() > LOGCAP_MAX)
        (void)poll(NULL, 0, 20);
    assert_true(on_disk() <= LOGCAP_MAX);
    struct stat st;
    assert_int_equal(fstat(log_fd, &st), 0);
    assert_true(st.st_size >= 2 * LOGCAP_MAX);
    /* Meanwhile it is told of files that come whole, as records do, and of nothing else. */
    struct pollfd p = {.fd = told, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(file_write_new(dir_fd, "record", "new", 3, 0600, &err), 0);
    assert_int_equal(poll(&p, 1, 20000), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_small_log_is_left_alone),
        T(test_the_newest_stays),
        T(test_a_flood_is_kept_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
