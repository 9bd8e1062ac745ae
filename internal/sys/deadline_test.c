#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "sys/deadline.h"
#include "sys/spawn.h"

static void poll_ends_at_the_deadline(void **state)
{
    struct error e = ERROR_INIT;
    struct deadline d = deadline_in_ms(20);
    _cleanup_close_ int never = eventfd(0, EFD_CLOEXEC);
    struct pollfd p = {.fd = never, .events = POLLIN};
    (void)state;
    assert_int_equal(deadline_poll(&p, 1, &d, "the test", &e), -1);
    assert_int_equal(e.kind, ERR_TIMEOUT);
    assert_non_null(strstr(e.msg, "20 ms waiting for the test"));
    assert_true(deadline_passed(&d));
}

/* A flood keeps a descriptor ready at all times. */
static void what_is_ready_stretches_no_deadline(void **state)
{
    struct error e = ERROR_INIT;
    struct deadline past = deadline_in_ms(-1);
    struct deadline coming = deadline_in_ms(60000);
    _cleanup_close_ int ready = eventfd(1, EFD_CLOEXEC);
    _cleanup_close_ int cancel = eventfd(1, EFD_CLOEXEC);
    struct pollfd p = {.fd = ready, .events = POLLIN};
    (void)state;
    assert_int_equal(deadline_poll(&p, 1, &coming, "the test", &e), 1);
    assert_int_equal(p.revents, POLLIN);
    assert_int_equal(deadline_poll(&p, 1, &past, "the test", &e), -1);
    assert_int_equal(e.kind, ERR_TIMEOUT);
    assert_int_equal(p.fd, ready);
    /* A single wait loses nothing that is there. */
    assert_int_equal(deadline_poll_once(&p, 1, &past, "the test", &e), 1);
    assert_int_equal(p.revents, POLLIN);
    /* The user comes first. */
    past.cancel_fd = cancel;
    error_clear(&e);
    assert_int_equal(deadline_poll(&p, 1, &past, "the test", &e), -1);
    assert_int_equal(e.kind, ERR_CANCELLED);
}

/* A process that ended is known to have ended, though nobody asked in time. */
static void an_end_is_seen_after_the_deadline(void **state)
{
    struct error e = ERROR_INIT;
    struct deadline past = deadline_in_ms(-1);
    struct deadline coming = deadline_in_ms(60000);
    const char *const argv[] = {"/bin/true", NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct exit_status st;
    struct child c;
    (void)state;
    spec.argv = argv;
    assert_int_equal(spawn(&spec, &c, &e), 0);
    struct pollfd p = {.fd = c.pidfd, .events = POLLIN};
    assert_int_equal(deadline_poll(&p, 1, &coming, "the test", &e), 1);
    assert_int_equal(child_wait(&c, &past, &st, &e), 0);
    assert_int_equal(st.code, 0);
}

static void poll_ends_on_cancel(void **state)
{
    struct error e = ERROR_INIT;
    struct deadline d = deadline_in_ms(5000);
    _cleanup_close_ int never = eventfd(0, EFD_CLOEXEC);
    _cleanup_close_ int cancel = eventfd(1, EFD_CLOEXEC);
    struct pollfd p = {.fd = never, .events = POLLIN};
    (void)state;
    d.cancel_fd = cancel;
    assert_int_equal(deadline_poll(&p, 1, &d, "the test", &e), -1);
    assert_int_equal(e.kind, ERR_CANCELLED);
    struct deadline sub = deadline_sub(&d, 100);
    assert_int_equal(sub.cancel_fd, cancel);
    assert_true(sub.at_ms < d.at_ms);
}

static void times_of_files(void **state)
{
    (void)state;
    assert_true(clock_ns((struct timespec){2, 5}) == 2000000005);
    assert_true(clock_ns((struct timespec){-2, 5}) == -1999999995);
    assert_true(clock_ns((struct timespec){INT64_C(1) << 34, 0}) == INT64_MAX);
    assert_true(clock_ns((struct timespec){INT64_MAX / 1000000000, 999999999}) == INT64_MAX);
    assert_true(clock_ns((struct timespec){INT64_MIN, 0}) == INT64_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poll_ends_at_the_deadline),
        cmocka_unit_test(what_is_ready_stretches_no_deadline),
        cmocka_unit_test(an_end_is_seen_after_the_deadline),
        cmocka_unit_test(poll_ends_on_cancel),
        cmocka_unit_test(times_of_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
