/* Leases whose directory is not as this version makes it: the VMM's files beside the record, as
 * earlier versions had them, or no directory of the VMM, or something else in its place. */
#include <signal.h>

#include "e2e/e2e.h"

/* Has the only lease as an earlier version made it. */
static void make_it_earlier(void)
{
    e2e_shell("cd \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*; mv vmm/* .; rmdir vmm\n"
              "test -S api.sock; test -e disk.img");
}

static void kill_vmm(const char *slug)
{
    assert_int_equal(kill(e2e_vmm_pid(slug), SIGKILL), 0);
}

/* Stopped in good order: through the socket that is beside the record. */
static void test_a_lease_of_an_earlier_version(void **state)
{
    (void)state;
    e2e_warmup("old");
    make_it_earlier();
    e2e_shell("test \"$(\"$0\" list --json | jq -r '.[].state')\" = ready");
    _cleanup_bed_result_ struct bed_result logs = BED_RUN(&bed, "logs", "old");
    bed_assert_code(logs, 0);
    bed_assert_has(logs.out.buf, "==> console.log <==\nconsole: ");
    E2E_OK("run", "--id", "old", "--no-sync", "-q", "--", "true");
    e2e_shell("\"$0\" stop --json old | jq -e '.[0].graceful' >/dev/null");
    bed_assert_clean(&bed);
}

static void test_an_earlier_one_expires(void **state)
{
    (void)state;
    E2E_OK("warmup", "-q", "--slug", "old", "--ttl", "3s");
    make_it_earlier();
    e2e_wait_until_none();
}

static void test_an_earlier_one_is_cleaned_up(void **state)
{
    (void)state;
    e2e_warmup("old");
    make_it_earlier();
    kill_vmm("old");
    e2e_shell(
        "until [ \"$(\"$0\" list --json | jq -r '.[].state')\" = dead ]; do sleep 0.05; done");
    E2E_OK("cleanup");
    bed_assert_clean(&bed);
}

/* What became of the VMM's directory, and what `logs` says then. */
static const struct {
    const char *becomes, *says;
} damages[] = {
    {"", NULL},
    {"ln -s \"$outside\" vmm", "open the directory vmm of the lease, which was replaced"},
    {"ln -s nowhere vmm", "open the directory vmm of the lease, which was replaced"},
    {"echo text >vmm", "open the directory vmm of the lease, which was replaced"},
    {"mkfifo vmm", "open the directory vmm of the lease, which was replaced"},
};

/* A directory outside that a link leads to; it has all the names that are removed with a lease. */
static void make_outside(void)
{
    e2e_shell("mkdir -p ../outside; cd ../outside; for f in api.sock disk.img disk.new seed.iso "
              "console.log vmm.log; do echo canary >$f; done");
}

static void damaged_lease(size_t i, const char *ttl)
{
    E2E_OK("warmup", "-q", "--slug", "odd", "--ttl", ttl);
    _cleanup_free_ char *line = xasprintf(
        "outside=$PWD/../outside; "
        "cd \"$CRABBOX_FC_STATE_DIR\"/leases/cbx_*; rm -r vmm; %s",
        damages[i].becomes);
    E2E_EXEC_OK("sh", "-ec", line);
}

static void outside_is_untouched(void)
{
    e2e_shell("test \"$(cat ../outside/* | uniq -c | tr -d ' ')\" = 6canary");
}

static void test_without_the_directory_of_the_vmm(void **state)
{
    (void)state;
    make_outside();
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        damaged_lease(i, "1h");
        e2e_shell("test \"$(\"$0\" list --json | jq -r '.[].state')\" = ready");
        E2E_OK("run", "--id", "odd", "--no-sync", "-q", "--", "true");
        _cleanup_bed_result_ struct bed_result logs = BED_RUN(&bed, "logs", "odd");
        bed_assert_code(logs, damages[i].says ? 1 : 0);
        if (damages[i].says) {
            bed_assert_has(logs.err.buf, damages[i].says);
            bed_assert_has(logs.err.buf, BED_NEXT "end the lease by crabbox-fc stop");
        }
        e2e_stop("odd");
        bed_assert_clean(&bed);
        outside_is_untouched();
    }
}

static void test_cleanup_without_the_directory_of_the_vmm(void **state)
{
    (void)state;
    make_outside();
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        damaged_lease(i, "1h");
        kill_vmm("odd");
        e2e_shell("until [ \"$(\"$0\" list --json | jq -r '.[].state')\" = dead ]; do sleep 0.05; "
                  "done");
        E2E_OK("cleanup");
        bed_assert_clean(&bed);
        outside_is_untouched();
    }
}

static void test_expiry_without_the_directory_of_the_vmm(void **state)
{
    (void)state;
    make_outside();
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        damaged_lease(i, "3s");
        e2e_wait_until_none();
        outside_is_untouched();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_a_lease_of_an_earlier_version),
        E2E_TEST(test_an_earlier_one_expires),
        E2E_TEST(test_an_earlier_one_is_cleaned_up),
        E2E_TEST(test_without_the_directory_of_the_vmm),
        E2E_TEST(test_cleanup_without_the_directory_of_the_vmm),
        E2E_TEST(test_expiry_without_the_directory_of_the_vmm),
    };
    return E2E_MAIN(tests);
}
