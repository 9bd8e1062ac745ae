/* A lease with limits: all of them at once, through the whole program. What each of them does is
 * tried where it is made (net/rates_test.c, vmm). */
#include <string.h>

#include "e2e/e2e.h"
#include "sys/cgroup.h"

static void test_a_lease_has_its_limits(void **state)
{
    (void)state;
    bed_setenv(&bed, "CRABBOX_STANDIN_VERSION", "1.16.1");
    E2E_OK("warmup", "-q", "--slug", "a", "--limit-network-in-mib", "50", "--limit-network-out-mib",
           "40", "--limit-network-packets", "90000", "--limit-disk-mib", "60", "--limit-disk-ops",
           "500", "--limit-console-kib", "64");
    E2E_OK("run", "--id", "a", "-q", "--no-sync", "--", "true");
    char pid[32];
    (void)str_format(pid, sizeof pid, "%d", (int)e2e_vmm_pid("a"));
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "nsenter", "-t", pid, "-n", "nft",
                                                        "list", "ruleset");
    bed_assert_code(r, 0);
    bed_assert_has(r.out.buf, "limit rate over 50 mbytes/second burst 6400 kbytes drop");
    bed_assert_has(r.out.buf, "limit rate over 40 mbytes/second burst 5 mbytes drop");
    bed_assert_has(r.out.buf, "limit rate over 90000/second burst 11250 packets drop");
    e2e_stop("a");
}

/* Half a processor, where the machine has groups for it: in both versions of them the kernel says
 * it in microseconds of a tenth of a second. */
static void test_a_lease_has_its_part_of_a_processor(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    E2E_OK("warmup", "-q", "--slug", "a", "--limit-cpu-percent", "50");
    _cleanup_json_ cJSON *j = e2e_status("a");
    const char *group = json_opt_string(cJSON_GetObjectItem(j, "vmm"), "cgroup", "");
    _cleanup_free_ char *script = xasprintf(
        "cd /sys/fs/cgroup; cat cpu/%s/cpu.cfs_quota_us %s/cpu.max 2>/dev/null | cut -d' ' -f1",
        group, group);
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(&bed, "sh", "-c", script);
    bool usable = cgroup_look(bed.cgroup, NULL, &err) == 0;
    e2e_stop("a");
    assert_string_equal(r.out.buf ? r.out.buf : "", usable ? "50000\n" : "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_a_lease_has_its_limits),
        E2E_TEST(test_a_lease_has_its_part_of_a_processor),
    };
    return E2E_MAIN(tests);
}
