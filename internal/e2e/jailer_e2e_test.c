/* A lease whose Firecracker is started by a jailer, through the whole program. The stand-in can't
 * bring a guest to life there (it needs root's rights for that), so no lease gets ready; what is
 * tried is that nothing is left of one, however its making ends. */
#include <signal.h>
#include <string.h>

#include "e2e/e2e.h"

#define JAILED "--start-time-us=1" /* an argument that the jailer gives Firecracker */

static void use_jailer(void)
{
    _cleanup_free_ char *path = xasprintf("%s/tools/standin-jailer", bed.build);
    bed_setenv(&bed, "CRABBOX_FIRECRACKER_JAILER", path);
}

static void test_a_guest_that_never_answers(void **state)
{
    (void)state;
    use_jailer();
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "-q", "--slug", "a",
                                                       "--firecracker-launch-timeout", "3s");
    bed_assert_code(r, 5);
    assert_false(e2e_there("a"));
    assert_int_equal(e2e_processes(JAILED), 0);
}

/* The jail's device nodes and its copy of Firecracker are not on the filesystem of the leases. */
static void test_a_state_directory_without_devices_and_programs(void **state)
{
    (void)state;
    use_jailer();
    _cleanup_free_ char *dir = xasprintf("%s/restricted", bed.dir);
    E2E_EXEC_OK("mkdir", "-m", "700", dir);
    E2E_EXEC_OK("mount", "-t", "tmpfs", "-o", "nodev,nosuid,noexec,mode=700", "none", dir);
    bed_setenv(&bed, "CRABBOX_FC_STATE_DIR", dir);
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "warmup", "-q", "--slug", "a",
                                                       "--firecracker-launch-timeout", "3s");
    bed_assert_code(r, 5);
    bed_clear_faults(&bed);
    E2E_EXEC_OK("umount", dir);
    E2E_EXEC_OK("rmdir", dir);
}

static void test_the_keeper_undoes_it(void **state)
{
    (void)state;
    use_jailer();
    struct child c = BED_START(&bed, -1, "warmup", "-q", "--slug", "a");
    e2e_wait_processes(JAILED, 1);
    e2e_signal(&c, SIGKILL);
    (void)e2e_wait(&c, 10000);
    e2e_wait_until_none();
    e2e_wait_processes(JAILED, 0);
}

static void test_doctor_knows_it(void **state)
{
    (void)state;
    use_jailer();
    _cleanup_bed_result_ struct bed_result r = BED_RUN(&bed, "doctor");
    bed_assert_has(r.out.buf, "ok       jailer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E_TEST(test_a_guest_that_never_answers),
        E2E_TEST(test_a_state_directory_without_devices_and_programs),
        E2E_TEST(test_the_keeper_undoes_it),
        E2E_TEST(test_doctor_knows_it),
    };
    return E2E_MAIN(tests);
}
