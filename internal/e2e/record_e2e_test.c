/* Records that this version would not write: of schema 1, in every state, and such as nobody can
 * read, each in the place of the record of a whole lease. */
#include <signal.h>

#include "e2e/chaos.h"
#include "e2e/e2e.h"
#include "local/local.h"

static struct store store;

static int setup(void **state)
{
    (void)e2e_open(state);
    return store_open(&store, bed.state, local_kinds, NULL);
}

static int teardown(void **state)
{
    store_close(&store);
    return e2e_close(state);
}

/* Puts what jq makes of the only lease's record in its place, in one step as the program does. */
static void alter(const char *filter)
{
    E2E_EXEC_OK("sh", "-ec",
                "cd \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*; jq \"$0\" lease.json >../../altered\n"
                "mv ../../altered lease.json",
                filter);
}

static void wait_for_state(const char *state)
{
    E2E_EXEC_OK("sh", "-ec",
                "until [ \"$(\"$0\" list --json | jq -r '.[].state')\" = \"$1\" ]; do sleep 0.05; "
                "done",
                bed.program, state);
}

/* ---- schema 1: the members of "local" stood beside the others, and there was no provider ---- */

#define SCHEMA_1 "del(.provider) + .local | del(.local) | .schema = 1"

/* It is used as any other, and is of this version's schema once something in it has changed. */
static void test_schema_1_that_is_ready(void **state)
{
    (void)state;
    e2e_warmup("old");
    alter(SCHEMA_1);
    wait_for_state("ready");
    e2e_shell("\"$0\" status --json old | jq -e '.provider == \"firecracker\" and .endedBy == "
              "\"keeper\" and .vmm.pid > 1' >/dev/null\n"
              "jq -e '.schema == 1' \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*/lease.json >/dev/null");
    E2E_OK("run", "--id", "old", "--no-sync", "-q", "--", "true");
    E2E_OK("heartbeat", "old");
    e2e_shell("jq -e '.schema == 2 and .local.vmm.pid > 1' "
              "\"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*/lease.json >/dev/null");
    e2e_stop("old");
    bed_assert_clean(&bed);
}

static void test_schema_1_that_expires(void **state)
{
    (void)state;
    E2E_OK("warmup", "-q", "--slug", "old", "--ttl", "3s");
    alter(SCHEMA_1);
    e2e_wait_until_none();
}

/* Whoever made or removed it died: the keeper finishes it. */
static void test_schema_1_that_is_unfinished(void **state)
{
    static const char *const filters[] = {SCHEMA_1 " | .state = \"creating\"",
                                          SCHEMA_1 " | .state = \"creating\" | .steps.ready = "
                                                   "\"started\"",
                                          SCHEMA_1 " | .state = \"releasing\""};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        e2e_warmup("old");
        alter(filters[i]);
        e2e_wait_until_none();
    }
}

/* Without a keeper, a person does. Also one whose undo failed. */
static void test_schema_1_without_a_keeper(void **state)
{
    static const struct {
        const char *filter, *shown;
    } rows[] = {
        {SCHEMA_1 " | .state = \"creating\"", "interrupted"},
        {SCHEMA_1 " | .state = \"releasing\"", "interrupted"},
        {SCHEMA_1 " | .state = \"broken\" | .failure = \"undo net: busy\"", "broken"},
    };
    static const char *const ends[][3] = {{"stop", "old", NULL}, {"cleanup", NULL}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t k = 0; k < ARRAY_LEN(ends); k++) {
            e2e_warmup("old");
            assert_true(chaos_kill_keeper(&store, "old"));
            alter(rows[i].filter);
            wait_for_state(rows[i].shown);
            _cleanup_bed_result_ struct bed_result r = bed_run(&bed, ends[k]);
            bed_assert_code(r, 0);
            bed_assert_clean(&bed);
        }
}

/* Made half-way: the VMM is there and has not begun. */
static void test_schema_1_of_a_maker_that_died(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_STANDIN_HANG", "PUT /actions");
    struct child c = e2e_warmup_stuck("old");
    assert_true(chaos_kill_keeper(&store, "old"));
    e2e_signal(&c, SIGKILL);
    (void)e2e_wait(&c, 60000);
    alter(SCHEMA_1);
    wait_for_state("interrupted");
    E2E_OK("cleanup");
    bed_assert_clean(&bed);
}

/* ---- records that can't be read ---- */

#define USE_THE_VERSION "use the version of crabbox-fc that made it"

static const struct {
    const char *filter, *why, *next;
} unreadable[] = {
    /* Of newer versions. */
    {".schema = 3", "record of schema 3, this program reads 1 to 2", USE_THE_VERSION},
    {".provider = \"cloud\"", "a lease of provider \"cloud\", which this program doesn't know",
     USE_THE_VERSION},
    {".steps.volume = \"done\"", "unknown step or mark \"volume\"", USE_THE_VERSION},
    {".steps.disk = \"half\"", "unknown step or mark \"disk\"", USE_THE_VERSION},
    {SCHEMA_1 " | .steps.jail = \"started\"", "unknown step or mark \"jail\"", USE_THE_VERSION},
    {".state = \"paused\"", "unknown state \"paused\"", USE_THE_VERSION},
    /* Half of one schema and half of the other. */
    {".schema = 1", "\"imageKind\"", NULL},
    {SCHEMA_1 " | .schema = 2", "\"provider\"", NULL},
    {". + .local | del(.local)", "\"local\" is missing", NULL},
    {SCHEMA_1 " | del(.vmm)", "vmm: ", NULL},
    /* Spoiled. */
    {".steps.disk = 1", "unknown step or mark \"disk\"", USE_THE_VERSION},
    {"del(.steps)", "\"steps\" is missing", NULL},
    {".id = \"cbx_000000000000\"", "the record in it is that of lease cbx_000000000000", NULL},
    {"empty", "not valid JSON", NULL},
};

static void is_refused(size_t i, const char *const *args)
{
    _cleanup_bed_result_ struct bed_result r = bed_run(&bed, args);
    bed_assert_code(r, 1);
    bed_assert_has(r.err.buf, unreadable[i].why);
    if (unreadable[i].next)
        bed_assert_has(r.err.buf, unreadable[i].next);
    else if (str_eq(args[0], "stop"))
        bed_assert_has(r.err.buf, BED_NEXT "crabbox-fc doctor, ");
}
#define IS_REFUSED(i, ...) is_refused((i), (const char *const[]){__VA_ARGS__, NULL})

/* Whatever is typed says what is wrong and what to do. */
static void is_said(size_t i, const char *id)
{
    wait_for_state("broken");
    _cleanup_bed_result_ struct bed_result l = BED_RUN(&bed, "list", "--json");
    _cleanup_json_ cJSON *rows = e2e_json(&l);
    const char *reason = json_opt_string(cJSON_GetArrayItem(rows, 0), "reason", "");
    bed_assert_has(reason, unreadable[i].why);
    IS_REFUSED(i, "stop", id);
    IS_REFUSED(i, "heartbeat", id);
    IS_REFUSED(i, "run", "--no-sync", "--id", id, "--", "true");
    _cleanup_bed_result_ struct bed_result c = BED_RUN(&bed, "cleanup");
    bed_assert_code(c, 1);
    bed_assert_has(c.out.buf, unreadable[i].why);
}

/* Its keeper leaves, too: nothing in such a record can be acted upon. Once the record is as it was,
 * the lease is ended as any other. */
static void test_records_that_nobody_can_read(void **state)
{
    (void)state;
    e2e_warmup("odd");
    _cleanup_json_ cJSON *j = e2e_status("odd");
    const char *id = json_opt_string(j, "leaseId", "?");
    pid_t vmm = e2e_vmm_pid("odd");
    for (size_t i = 0; i < ARRAY_LEN(unreadable); i++) {
        e2e_shell("cp -a \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*/lease.json ../good");
        alter(unreadable[i].filter);
        is_said(i, id);
        e2e_shell("mv ../good \"$(echo \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*)/lease.json\"");
        assert_int_equal(e2e_vmm_pid("odd"), vmm);
    }
    e2e_shell("\"$0\" status --json odd | jq -e '.endedBy == \"cleanup\"' >/dev/null");
    E2E_OK("run", "--id", "odd", "--no-sync", "-q", "--", "true");
    e2e_stop("odd");
    bed_assert_clean(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_schema_1_that_is_ready),        E2E_TEST(test_schema_1_that_expires),
        E2E_TEST(test_schema_1_that_is_unfinished),   E2E_TEST(test_schema_1_without_a_keeper),
        E2E_TEST(test_schema_1_of_a_maker_that_died), E2E_TEST(test_records_that_nobody_can_read),
    };
    return E2E_GROUP(tests, setup, teardown);
}
