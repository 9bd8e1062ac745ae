/* The part that reads archives: what it has, and what becomes of its lies. */
#include "fetch/untar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fetch/fetch.h"
#include "testutil/parts.h"
#include "testutil/scratch.h"

static struct fetch_rules named(void)
{
    return (struct fetch_rules){.dirfd = scratch_fd, .name = "got", .limits = {1000, 1 << 20, 0}};
}

struct waiting {
    int fd;
    struct fetch_rules rules;
    struct error err;
    int r;
};

static void *wait_for_archive(void *ctx)
{
    struct waiting *w = ctx;
    struct fetch_result res;
    w->r = fetch_unpack(w->fd, &w->rules, &res, &w->err);
    return NULL;
}

/* What reads the archive has no rights; if it is killed, the transfer has failed. */
static void test_the_part(void **state)
{
    (void)state;
    struct waiting w = {.rules = named(), .err = ERROR_INIT};
    pthread_t thread;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    w.fd = ends[0];
    assert_int_equal(pthread_create(&thread, NULL, wait_for_archive, &w), 0);
    assert_int_equal(kill(part_check(getpid(), "fenced-tar"), SIGKILL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(w.r, -1);
    assert_string_equal(w.err.msg, "the process that reads the guest's archive is gone: killed by "
                                   "signal 9 (Killed)");
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void lied(const struct untar_head *heads, size_t n, const char *why)
{
    struct child none = CHILD_INIT;
    struct fetch_rules rules = named();
    struct fetch_result res;
    struct error err = ERROR_INIT;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(write(ends[1], &heads[i], sizeof heads[i]), sizeof heads[i]);
        for (uint32_t k = 0; k < heads[i].len && k < 8; k++)
            assert_int_equal(write(ends[1], "\x1b", 1), 1);
    }
    (void)close(ends[1]);
    assert_int_equal(unpack_entries(ends[0], &none, &rules, &res, &err), -1);
    if (!strstr(err.msg, why) || strchr(err.msg, '\x1b'))
        fail_msg("\"%s\" instead of \"%s\"", err.msg, why);
    (void)close(ends[0]);
}

/* A part that was taken over says what it likes. */
static void test_lies_of_the_part(void **state)
{
    static const struct untar_head
        file = {.kind = UNTAR_FILE, .len = 1, .has_name = true, .has_size = true},
        unnamed = {.kind = UNTAR_FILE, .has_size = true}, data = {.kind = UNTAR_DATA, .len = 4},
        before = {.kind = UNTAR_DATA, .len = 4, .offset = -2}, done = {.kind = UNTAR_DONE},
        end = {.kind = UNTAR_END},
        less = {.kind = UNTAR_FILE, .len = 1, .has_name = true, .has_size = true, .size = -1},
        large = {.kind = UNTAR_FILE, .len = UINT32_MAX}, strange = {.kind = 77}, zero = {.kind = 0},
        failed = {.kind = UNTAR_FAILED, .len = 3};
    static const char nonsense[] = "answers nonsense";
    (void)state;
    lied(&strange, 1, nonsense);
    lied(&zero, 1, nonsense);
    lied(&large, 1, nonsense);
    lied(&done, 1, nonsense);
    lied(&data, 1, nonsense);
    lied(&file, 1, "is gone");
    lied(&unnamed, 1, "not asked for");
    lied(&less, 1, "without a size");
    lied(&failed, 1, "can't be read: \\x1b\\x1b\\x1b");
    lied((const struct untar_head[]){file, end}, 2, nonsense);
    lied((const struct untar_head[]){file, file}, 2, nonsense);
    lied((const struct untar_head[]){file, data}, 2, "more of a file");
    lied((const struct untar_head[]){file, before}, 2, "more of a file");
    assert_int_equal(faccessat(scratch_fd, "got", F_OK, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_part),
        cmocka_unit_test(test_lies_of_the_part),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
