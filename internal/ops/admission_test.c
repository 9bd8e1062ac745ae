#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "ops/admission.h"
#include "ops/ops.h"
#include "sys/file.h"

struct fixture {
    char path[64];
    struct store store;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)str_copy(f->path, sizeof f->path, "/tmp/crabbox-admission-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    assert_int_equal(store_open(&f->store, f->path, ops_step_names(), NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    assert_int_equal(dir_remove_tree(AT_FDCWD, f->path, NULL), 0);
    free(f);
    return 0;
}

static const struct admission small = {.memory_mib = 512, .cpus = 2};
static const struct host_room plenty = {HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT,
                                        HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT};

static void each_shortage_is_told_with_figures(void **state)
{
    struct fixture *f = *state;
    static const struct {
        struct host_room room;
        const char *needs, *has;
    } cases[] = {
        {{559, 999, 9999, 999, 999, 999}, "needs 560 MiB", "559 MiB"},
        {{999, 17, 9999, 999, 999, 999}, "needs 18", "17"},
        {{999, 999, 255, 999, 999, 999}, "needs 256", "255"},
        {{999, 999, 9999, 39, 999, 999}, "needs 40", "39"},
        {{999, 999, 9999, 999, 63, 999}, "needs 64 MiB", "63 MiB"},
        {{999, 999, 9999, 999, 999, 31}, "needs 32", "31"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = ERROR_INIT;
        assert_int_equal(admission_reserve(&f->store, &small, &cases[i].room, NULL, &e), -1);
        assert_int_equal(e.kind, ERR_ENV);
        if (!strstr(e.msg, cases[i].needs) || !strstr(e.msg, cases[i].has) ||
            !strstr(e.msg, "next: "))
            fail_msg("%s", e.msg);
    }
    struct host_room just = {560, 18, 256, 40, 64, 32};
    int fd = admission_reserve(&f->store, &small, &just, NULL, NULL);
    assert_true(fd >= 0);
    (void)close(fd);
}

/* What is being made counts, and only while it is. */
static void leases_in_the_making_count(void **state)
{
    struct fixture *f = *state;
    struct host_room room = plenty;
    struct error e = ERROR_INIT;
    int held[3];
    room.memory_mib = 3 * 560;
    for (int i = 0; i < 3; i++)
        assert_true((held[i] = admission_reserve(&f->store, &small, &room, NULL, NULL)) >= 0);
    assert_int_equal(admission_reserve(&f->store, &small, &room, NULL, &e), -1);
    if (!strstr(e.msg, "the 3 being made now 1680 MiB"))
        fail_msg("%s", e.msg);
    (void)close(held[1]); /* a gap in the middle */
    held[1] = admission_reserve(&f->store, &small, &room, NULL, NULL);
    assert_true(held[1] >= 0);
    error_clear(&e);
    assert_int_equal(admission_reserve(&f->store, &small, &room, NULL, &e), -1);
    for (int i = 0; i < 3; i++)
        (void)close(held[i]);
    held[0] = admission_reserve(&f->store, &small, &room, NULL, NULL);
    assert_true(held[0] >= 0);
    (void)close(held[0]);
}

static void a_dead_process_reserves_nothing(void **state)
{
    struct fixture *f = *state;
    struct host_room room = plenty;
    int ready[2];
    char byte;
    room.memory_mib = 560;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (admission_reserve(&f->store, &small, &room, NULL, NULL) >= 0)
            (void)!write(ready[1], "x", 1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(admission_reserve(&f->store, &small, &room, NULL, NULL), -1);
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    int fd = admission_reserve(&f->store, &small, &room, NULL, NULL);
    assert_true(fd >= 0);
    (void)close(fd);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

/* Of many at once exactly as many are let in as there is room for. */
static void many_at_once_fill_the_host_and_no_more(void **state)
{
    enum { N = 24, ROOM = 10 };
    struct fixture *f = *state;
    struct host_room room = plenty;
    int done[2], hold[2], in = 0;
    pid_t pids[N];
    room.memory_mib = ROOM * 560;
    assert_int_equal(pipe(done), 0);
    assert_int_equal(pipe(hold), 0);
    for (int i = 0; i < N; i++)
        if ((pids[i] = fork()) == 0) {
            char c = admission_reserve(&f->store, &small, &room, NULL, NULL) >= 0 ? 'y' : 'n';
            (void)!write(done[1], &c, 1);
            (void)close(hold[1]);
            (void)!read(hold[0], &c, 1); /* until the parent closes its end */
            _exit(0);
        }
    for (int i = 0; i < N; i++) {
        char c = 0;
        assert_int_equal(read(done[0], &c, 1), 1);
        in += c == 'y';
    }
    (void)close(hold[1]);
    for (int i = 0; i < N; i++)
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    assert_int_equal(in, ROOM);
    (void)close(hold[0]);
    (void)close(done[0]);
    (void)close(done[1]);
}

/* An emulated guest of 1 GiB fits a host with 2 GiB free. */
static void an_emulated_guest_fits(void **state)
{
    struct fixture *f = *state;
    struct admission a = {.memory_mib = 1024, .cpus = 2, .emulated = true};
    struct host_room room = plenty;
    room.memory_mib = 2048;
    int fd = admission_reserve(&f->store, &a, &room, NULL, NULL);
    assert_true(fd >= 0);
    (void)close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_shortage_is_told_with_figures),
        T(leases_in_the_making_count),
        T(a_dead_process_reserves_nothing),
        T(many_at_once_fill_the_host_and_no_more),
        T(an_emulated_guest_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
