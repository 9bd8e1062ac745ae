/* Without descriptors nobody can tell whether a process lives or a lock is held. Then both count as
 * so: on these answers leases are removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/lock.h"
#include "sys/proc.h"
#include "testutil/scratch.h"

#define ROOM 4 /* more descriptors at once than any of it needs */

/* At most `n` more descriptors, from the lowest free one. */
static void allow(const struct rlimit *before, unsigned n)
{
    int lowest = dup(STDERR_FILENO);
    struct rlimit few = {(rlim_t)lowest + n, before->rlim_max};
    (void)close(lowest);
    assert_return_code(setrlimit(RLIMIT_NOFILE, &few), errno);
}

static void a_process_that_can_t_be_looked_at_is_not_gone(void **state)
{
    struct rlimit before;
    struct proc_ref me;
    unsigned failed = 0;
    (void)state;
    assert_int_equal(proc_ref_of(getpid(), &me, NULL), 0);
    assert_return_code(getrlimit(RLIMIT_NOFILE, &before), errno);
    for (unsigned n = 0; n <= ROOM; n++) {
        struct error e = ERROR_INIT;
        allow(&before, n);
        int fd = proc_open(&me, &e);
        bool alive = proc_alive(&me);
        assert_return_code(setrlimit(RLIMIT_NOFILE, &before), errno);
        if (fd >= 0)
            (void)close(fd);
        failed += fd < 0;
        assert_true(fd >= 0 || (e.kind != ERR_NOT_RUNNING && e.sys == EMFILE));
        assert_true(alive);
    }
    assert_in_range(failed, 1, ROOM);
}

static void a_lock_that_can_t_be_looked_at_may_be_held(void **state)
{
    (void)state;
    struct rlimit before;
    _cleanup_close_ int mine = lock_try(scratch_fd, "lock", true, NULL);
    assert_true(mine >= 0);
    assert_return_code(getrlimit(RLIMIT_NOFILE, &before), errno);
    allow(&before, 0);
    int held = lock_is_held(scratch_fd, "lock", NULL);
    bool may = lock_may_be_held(scratch_fd, "lock");
    assert_return_code(setrlimit(RLIMIT_NOFILE, &before), errno);
    assert_int_equal(held, -1);
    assert_true(may);
    assert_true(lock_may_be_held(scratch_fd, "lock"));
    CLOSE_FD(mine);
    assert_false(lock_may_be_held(scratch_fd, "lock"));
    assert_false(lock_may_be_held(scratch_fd, "no lock"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_can_t_be_looked_at_is_not_gone),
        cmocka_unit_test(a_lock_that_can_t_be_looked_at_may_be_held),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
