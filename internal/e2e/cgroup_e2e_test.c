/* The control group of a lease. Where the machine has no usable ones, as in a container, the tests
 * hold that a lease is refused there unless it is asked for without. */
#include "e2e/e2e.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/cgroup.h"
#include "sys/deadline.h"
#include "sys/proc.h"

#define HIDDEN "mount -t tmpfs none /sys/fs"

static bool usable;

static int open_bed(void **state)
{
    struct error err = ERROR_INIT;
    int r = e2e_open(state);
    usable = r == 0 && cgroup_look(bed.cgroup, NULL, &err) == 0;
    return r;
}

/* The group of a ready lease, as its status says; the caller frees it. */
static char *group_of(const char *slug)
{
    _cleanup_json_ cJSON *j = e2e_status(slug);
    return xstrdup(json_opt_string(cJSON_GetObjectItem(j, "vmm"), "cgroup", ""));
}

/* What a lease lacks, as its status says; the caller frees it. */
static char *lacks_of(const char *slug)
{
    _cleanup_json_ cJSON *j = e2e_status(slug);
    return xstrdup(json_opt_string(cJSON_GetObjectItem(j, "vmm"), "lacks", ""));
}

static void test_a_lease_has_a_group(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    bed_setenv(&bed, "CRABBOX_FC_ISOLATION", "strict");
    if (!usable) {
        _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "one");
        bed_assert_code(r, 1);
        bed_assert_has(r.err.buf, "--isolation degraded");
        return;
    }
    e2e_warmup("one");
    _cleanup_free_ char *group = group_of("one"), *lacks = lacks_of("one");
    assert_string_equal(lacks, "the VMM is not confined (sandbox: false)");
    if (cgroup_verify(group, e2e_vmm_pid("one"), false, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(cgroup_verify(group, getpid(), false, &err), -1);
    e2e_stop("one");
}

/* A guest of the stand-in is processes of this host: so is what a VMM would start. */
static void test_nothing_outlives_the_lease(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    e2e_warmup("one");
    _cleanup_free_ char *group = group_of("one");
    if (!usable) {
        e2e_stop("one");
        return;
    }
    const char *const argv[] = {"/bin/sleep", "1000", NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct child child = CHILD_INIT;
    struct exit_status st;
    struct deadline d = deadline_in_ms(60000);
    spec.argv = argv;
    if (spawn(&spec, &child, &err) < 0 || cgroup_enter(group, child.pid, &err) < 0)
        fail_msg("%s", err.msg);
    e2e_stop("one");
    if (child_wait(&child, &d, &st, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(st.signal, SIGKILL);
}

static void test_a_dead_vmm_leaves_no_group(void **state)
{
    (void)state;
    e2e_warmup("one");
    if (kill(e2e_vmm_pid("one"), SIGKILL) < 0)
        fail_msg("kill the VMM");
    E2E_OK("stop", "one");
}

/* As in a container. */
static void test_what_the_host_lacks_is_refused_or_named(void **state)
{
    (void)state;
    static const char lack[] = "no control group for memory, pids, cpu: no cgroup filesystem is "
                               "mounted";
    e2e_shell(HIDDEN);
    bed_setenv(&bed, "CRABBOX_FC_ISOLATION", "strict");
    _cleanup_bed_result_ struct bed_result refused = BED_RUN(&bed, "warmup", "--slug", "one");
    bed_setenv(&bed, "CRABBOX_FC_ISOLATION", "degraded");
    _cleanup_bed_result_ struct bed_result made = BED_RUN(&bed, "warmup", "--slug", "one");
    _cleanup_bed_result_ struct bed_result list = BED_RUN(&bed, "list");
    _cleanup_bed_result_ struct bed_result status = BED_RUN(&bed, "status", "one");
    _cleanup_bed_result_ struct bed_result run = BED_RUN(&bed, "run", "--id", "one", "--no-sync",
                                                         "--", "true");
    _cleanup_bed_result_ struct bed_result doctor = BED_RUN(&bed, "doctor");
    _cleanup_bed_result_ struct bed_result stop = BED_RUN(&bed, "stop", "one");
    e2e_shell("umount /sys/fs");
    bed_assert_code(refused, 1);
    bed_assert_has(refused.err.buf, lack);
    bed_assert_has(refused.err.buf, "--isolation degraded");
    bed_assert_code(made, 0);
    bed_assert_has(list.out.buf, "firecracker/kvm (degraded)");
    bed_assert_has(status.out.buf, lack);
    bed_assert_code(run, 0);
    bed_assert_has(run.err.buf, "isolation=degraded (the VMM is not confined (sandbox: false); ");
    bed_assert_has(run.err.buf, lack);
    bed_assert_has(doctor.out.buf, lack);
    bed_assert_code(stop, 0);
}

/* Whoever's code is run can't ask for less. */
static void test_a_repository_may_not_weaken_it(void **state)
{
    (void)state;
    static const char text[] = "isolation: degraded\ncgroup: mine\n";
    e2e_write_file(".crabbox-fc.yaml", text, strlen(text));
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "--slug", "one");
    e2e_shell("rm .crabbox-fc.yaml");
    bed_assert_code(r, 2);
    bed_assert_has(r.err.buf, "isolation");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_a_lease_has_a_group),
        E2E_TEST(test_nothing_outlives_the_lease),
        E2E_TEST(test_a_dead_vmm_leaves_no_group),
        E2E_TEST(test_what_the_host_lacks_is_refused_or_named),
        E2E_TEST(test_a_repository_may_not_weaken_it),
    };
    return E2E_GROUP(tests, open_bed, e2e_close);
}
