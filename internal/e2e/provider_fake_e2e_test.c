/* The suite of every provider with one whose machines have no address (fake.h), and what becomes of
 * a lease while its provider can't tell whether the machine is there. */
#include <signal.h>
#include <unistd.h>

#include "e2e/fake.h"
#include "e2e/provider_suite.h"

static void kill_machine(const char *slug)
{
    _cleanup_json_ cJSON *j = e2e_status(slug);
    struct error err = ERROR_INIT;
    int fd = fake_call(json_opt_string(j, "leaseId", ""), FAKE_END, &err);
    if (fd < 0)
        fail_msg("%s", err.msg);
    (void)close(fd);
}

static const struct suite suite = {
    .program = "tools/crabbox-fc-fake", .provider = "fake", .kill_machine = kill_machine};

#define SET_UNKNOWN   "touch \"$(echo \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*)/" FAKE_UNKNOWN "\""
#define CLEAR_UNKNOWN "rm \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*/" FAKE_UNKNOWN

static void assert_unknown(const char *slug)
{
    _cleanup_bed_result_ struct bed_result s = BED_RUN(&bed, "status", slug);
    bed_assert_code(s, 5);
    bed_assert_has(s.out.buf, "state     unknown");
    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "list", "--json");
    bed_assert_code(l, 0);
    bed_assert_has(l.out.buf, "\"unknown\"");
    _cleanup_bed_result_ struct bed_result c = BED_RUN(&bed, "cleanup", "--json");
    bed_assert_code(c, 0);
    bed_assert_has(c.out.buf, "can't be found out now");
    bed_assert_has(c.out.buf, "\"keep\"");
}

static void test_unknown_is_neither_ready_nor_dead(void **state)
{
    (void)state;
    e2e_warmup("far");
    e2e_shell(SET_UNKNOWN);
    assert_unknown("far");
    E2E_OK("run", "--id", "far", "--no-sync", "-q", "--", "true"); /* it may be there */
    e2e_shell(CLEAR_UNKNOWN);
    E2E_OK("status", "far");
    kill_machine("far");
    e2e_shell(SET_UNKNOWN);
    assert_unknown("far");
    e2e_shell(CLEAR_UNKNOWN "\nwhile \"$0\" status far >/dev/null; do :; done");
    E2E_CODE(5, "status", "far");
    e2e_shell(SET_UNKNOWN);
    e2e_stop("far"); /* a stop that somebody types ends it all the same */
}

/* Its keeper doesn't end it either, until it is known again. */
static void test_unknown_when_its_time_is_over(void **state)
{
    (void)state;
    E2E_OK("warmup", "-q", "--slug", "far", "--ttl", "3s");
    e2e_shell(SET_UNKNOWN "\nuntil \"$0\" list | grep -q 'once its state is known'; do :; done");
    assert_unknown("far");
    e2e_shell(CLEAR_UNKNOWN);
    e2e_wait_until_none();
}

/* Nor one whose maker died half-way; and its name stays taken. */
static void test_unknown_half_way(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_STANDIN_GUEST", "deaf");
    struct child c = e2e_warmup_stuck("far");
    bed_clear_faults(&bed);
    e2e_shell(SET_UNKNOWN);
    e2e_signal(&c, SIGKILL);
    assert_true(e2e_wait(&c, 60000).signalled);
    assert_unknown("far");
    /* It may still be there, so its slug stays taken. */
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "far");
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "slug=far-");
    e2e_shell(CLEAR_UNKNOWN);
    e2e_shell("$0 stop -q $($0 list --json | jq -r '.[].slug' | grep far-)");
    e2e_wait_until_none();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_unknown_is_neither_ready_nor_dead),
        E2E_TEST(test_unknown_when_its_time_is_over),
        E2E_TEST(test_unknown_half_way),
    };
    int failed = provider_suite(&suite);
    return failed + E2E_GROUP(tests, suite_open, e2e_close);
}
