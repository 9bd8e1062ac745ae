#include "lease/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static const char *const names[] = {"a", "b", "c"};
static const struct lease_kind kind = {"test", names, ARRAY_LEN(names), false};

/* The table, written out once more by hand. */
static void test_moves(void **state)
{
    static const char *const allowed[] = {
        "creating ready",   "creating releasing",  "ready releasing",
        "releasing broken", "broken releasing",    "creating creating",
        "ready ready",      "releasing releasing", "broken broken"};
    unsigned n = 0;
    (void)state;
    for (int from = LEASE_CREATING; from <= LEASE_BROKEN; from++)
        for (int to = LEASE_CREATING; to <= LEASE_BROKEN; to++) {
            char move[32];
            bool may = false;
            (void)str_format(move, sizeof move, "%s %s", lease_state_name((enum lease_state)from),
                             lease_state_name((enum lease_state)to));
            for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
                may = may || str_eq(allowed[i], move);
            if (lease_may_become(from, (enum lease_state)to) != may)
                fail_msg("%s", move);
            n += may;
        }
    assert_int_equal(n, ARRAY_LEN(allowed));
    assert_true(lease_may_become(LEASE_NEW, LEASE_CREATING));
    assert_false(lease_may_become(LEASE_NEW, LEASE_READY));
}

static void test_rules(void **state)
{
    static const struct {
        enum lease_state state;
        enum plan_mark marks[3];
        int keeper;
        const char *failure, *broken;
    } cases[] = {
        {LEASE_CREATING, {MARK_NONE, MARK_NONE, MARK_NONE}, 0, "", NULL},
        {LEASE_CREATING, {MARK_STARTED, MARK_NONE, MARK_NONE}, 0, "", NULL},
        {LEASE_CREATING, {MARK_DONE, MARK_DONE, MARK_DONE}, 0, "", NULL},
        {LEASE_CREATING, {MARK_DONE, MARK_NONE, MARK_STARTED}, 0, "", "the one before"},
        {LEASE_CREATING, {MARK_STARTED, MARK_STARTED, MARK_NONE}, 0, "", "the one before"},
        {LEASE_CREATING, {MARK_NONE, MARK_DONE, MARK_NONE}, 0, "", "the one before"},
        {LEASE_READY, {MARK_DONE, MARK_DONE, MARK_DONE}, 7, "", NULL},
        {LEASE_READY, {MARK_DONE, MARK_DONE, MARK_DONE}, 0, "", "keeper"},
        {LEASE_READY, {MARK_DONE, MARK_DONE, MARK_STARTED}, 7, "", "not done"},
        {LEASE_RELEASING, {MARK_DONE, MARK_NONE, MARK_STARTED}, 0, "", NULL},
        {LEASE_BROKEN, {MARK_DONE, MARK_NONE, MARK_NONE}, 0, "why", NULL},
        {LEASE_BROKEN, {MARK_DONE, MARK_NONE, MARK_NONE}, 0, "", "no reason"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = ERROR_INIT;
        struct lease l = {.kind = &kind, .state = cases[i].state, .keeper.pid = cases[i].keeper};
        memcpy(l.marks, cases[i].marks, sizeof cases[i].marks);
        (void)str_copy(l.failure, sizeof l.failure, cases[i].failure);
        int r = lease_check(&l, &err);
        assert_int_equal(r, cases[i].broken ? -1 : 0);
        if (cases[i].broken && !strstr(err.msg, cases[i].broken))
            fail_msg("case %zu: %s", i, err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
