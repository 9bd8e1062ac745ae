#include "vmm/logcap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/deadline.h"
#include "sys/file.h"
#include "testutil/scratch.h"
#include "vmm/vmm.h"

static int log_fd;

static int setup(void **state)
{
    (void)scratch_open(state);
    log_fd = openat(scratch_fd, VMM_CONSOLE_LOG, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(log_fd >= 0);
    return 0;
}

static int teardown(void **state)
{
    (void)close(log_fd);
    return scratch_close(state);
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
    assert_int_equal(logcap_apply(scratch_fd, VMM_CONSOLE_LOG, &err), 0);
    assert_int_equal(logcap_begin(log_fd), 0);
    assert_int_equal(logcap_apply(scratch_fd, "absent", &err), 0);
}

/* The newest stays, appending goes on where it was, and the reader skips what is gone. */
static void test_the_newest_stays(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct stat st;
    say(0, 700000); /* 10.5 MB */
    assert_true(on_disk() > LOGCAP_MAX);
    assert_int_equal(logcap_apply(scratch_fd, VMM_CONSOLE_LOG, &err), 1);
    assert_true(on_disk() <= 2 * LOGCAP_KEPT);
    say(700000, 700001);
    assert_int_equal(fstat(log_fd, &st), 0);
    char last[16] = "";
    assert_int_equal(pread(log_fd, last, 15, st.st_size - 15), 15);
    assert_string_equal(last, "line 000700000\n");
    off_t begin = logcap_begin(log_fd);
    assert_true(begin > 0 && st.st_size - begin >= LOGCAP_KEPT);
}

/* The VMM may write no file without end, so the hole before the text has one too. */
static void test_the_hole_goes_too(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct stat st;
    for (int i = 0; i < 5; i++) {
        say(i * 700000, (i + 1) * 700000); /* 10.5 MB */
        assert_int_equal(logcap_apply(scratch_fd, VMM_CONSOLE_LOG, &err), 1);
        assert_int_equal(fstat(log_fd, &st), 0);
        assert_true(st.st_size <= LOGCAP_SPAN);
        assert_true(on_disk() <= 2 * LOGCAP_KEPT);
    }
    say(3500000, 3500001);
    assert_int_equal(fstat(log_fd, &st), 0);
    char last[16] = "";
    assert_int_equal(pread(log_fd, last, 15, st.st_size - 15), 15);
    assert_string_equal(last, "line 003500000\n");
    off_t begin = logcap_begin(log_fd);
    assert_true(st.st_size == 15 || (begin > 0 && st.st_size - begin >= LOGCAP_KEPT));
}

/* A VMM that was taken over writes through a mapping, which raises no event; but the file that it
 * maps has to be long first, and that alone brings it back. */
static void test_a_long_file_is_shortened_before_it_is_full(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct stat st;
    size_t size = LOGCAP_SPAN + (1 << 20);
    say(0, 10);
    assert_int_equal(pwrite(log_fd, "x", 1, 0), 1);
    assert_int_equal(ftruncate(log_fd, (off_t)size), 0);
    assert_int_equal(logcap_apply(scratch_fd, VMM_CONSOLE_LOG, &err), 1);
    assert_int_equal(fstat(log_fd, &st), 0);
    assert_true(st.st_size <= LOGCAP_SPAN);
    /* Nor does it keep what the mapping held before. */
    assert_int_equal(ftruncate(log_fd, (off_t)size), 0);
    char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
    assert_true(map != MAP_FAILED);
    memset(map, 'x', size);
    assert_int_equal(logcap_apply(scratch_fd, VMM_CONSOLE_LOG, &err), 1);
    assert_true(on_disk() <= 2 * LOGCAP_KEPT);
    (void)munmap(map, size);
}

/* Of a file that is all hole nobody reads more than a log can be. */
static void test_no_more_is_read_than_a_log_can_be(void **state)
{
    (void)state;
    say(0, 10);
    assert_int_equal(ftruncate(log_fd, (off_t)10 << 30), 0);
    assert_int_equal(logcap_begin(log_fd), ((off_t)10 << 30) - LOGCAP_SPAN);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_small_log_is_left_alone),
        T(test_the_newest_stays),
        T(test_the_hole_goes_too),
        T(test_a_long_file_is_shortened_before_it_is_full),
        T(test_no_more_is_read_than_a_log_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
