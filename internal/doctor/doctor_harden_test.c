/* doctor on the host's own hardening: what the kernel says in files of a made-up /proc and /sys,
 * and what becomes of it. None of it keeps a lease from being made, so nothing fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "doctor/doctor_check.h"
#include "testutil/scratch.h"

#define CPU "sys/devices/system/cpu/"

/* A file below the scratch directory; NULL removes it. */
static void say(const char *path, const char *text)
{
    _cleanup_free_ char *at = xasprintf("%s/%s", scratch_dir, path);
    _cleanup_free_ char *line = xasprintf("mkdir -p \"$(dirname %s)\"; printf '%%s\\n' \"$0\" >%s",
                                          at, at);
    _cleanup_free_ char *remove = xasprintf("rm -f %s", at);
    const char *const argv[] = {"/bin/sh", "-c", text ? line : remove, text ? text : "sh", NULL};
    assert_int_equal(run_program(argv, NULL), 0);
}

static void judge(doctor_fn *fn, int landlock, enum doctor_status status, const char *part)
{
    struct doctor_ctx ctx = {.root = scratch_dir, .landlock = landlock};
    struct doctor_check c = {.status = DOCTOR_FAILED, .details = cJSON_CreateObject()};
    fn(&ctx, &c);
    const char *fix = json_opt_string(c.details, "fix", "");
    if (c.status != status || !strstr(c.message, part) ||
        (status == DOCTOR_WARNING) != (*fix != '\0'))
        fail_msg("%s: %s; fix: %s", doctor_status_name(c.status), c.message, fix);
    cJSON_Delete(c.details);
}
#define OK(fn, part)   judge(fn, 3, DOCTOR_OK, part)
#define WARN(fn, part) judge(fn, 3, DOCTOR_WARNING, part)

static void test_equal_pages(void **state)
{
    (void)state;
    OK(doctor_ksm, "merges no equal pages");
    say("sys/kernel/mm/ksm/run", "1");
    WARN(doctor_ksm, "leases don't ask for it");
    say("sys/kernel/mm/ksm/run", "0");
    OK(doctor_ksm, "");
}

static void test_threads_of_a_core(void **state)
{
    (void)state;
    OK(doctor_smt, "no two threads");
    say(CPU "smt/active", "1");
    WARN(doctor_smt, "two threads share");
    say(CPU "smt/active", "0");
    OK(doctor_smt, "");
}

static void test_flaws_of_the_processor(void **state)
{
    (void)state;
    WARN(doctor_cpu, "doesn't show");
    say(CPU "vulnerabilities/meltdown", "Not affected");
    say(CPU "vulnerabilities/mds", "Mitigation: Clear CPU buffers; SMT vulnerable");
    OK(doctor_cpu, "protects against all");
    say(CPU "vulnerabilities/retbleed", "Vulnerable");
    say(CPU "vulnerabilities/itlb_multihit", "KVM: Vulnerable");
    say(CPU "vulnerabilities/srbds", "Unknown: Dependent on hypervisor status");
    WARN(doctor_cpu, "of others: itlb_multihit, retbleed, srbds");
}

static void test_memory_on_a_disk(void **state)
{
    (void)state;
    static const char head[] = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority";
    say("proc/swaps", head);
    OK(doctor_swap, "never written to a disk");
    _cleanup_free_ char *zram = xasprintf("%s\n/dev/zram0 partition 100 0 100", head);
    say("proc/swaps", zram);
    OK(doctor_swap, "");
    _cleanup_free_ char *disk = xasprintf("%s\n/swapfile file 100 0 -2", zram);
    say("proc/swaps", disk);
    WARN(doctor_swap, "written to /swapfile, and stays");
}

static void test_cores(void **state)
{
    (void)state;
    say("proc/sys/kernel/core_pattern", "core");
    OK(doctor_cores, ": core)");
    say("proc/sys/kernel/core_pattern", "|/bin/true %P");
    OK(doctor_cores, ": |/bin/true %P)");
    say("open/core", "#!/bin/sh");
    _cleanup_free_ char *open = scratch_in("|%/open/core");
    _cleanup_free_ char *harm = scratch_in("chmod 777 %/open/core");
    assert_int_equal(run_program((const char *const[]){"/bin/sh", "-c", harm, NULL}, NULL), 0);
    say("proc/sys/kernel/core_pattern", open);
    WARN(doctor_cores, "the program for cores");
    say("proc/sys/fs/suid_dumpable", "1");
    WARN(doctor_cores, "leaves a core dump");
}

static void test_user_namespaces(void **state)
{
    (void)state;
    OK(doctor_userns, "nobody on the host");
    say("proc/sys/user/max_user_namespaces", "9000");
    OK(doctor_userns, "everybody on the host");
    say("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1");
    OK(doctor_userns, "some programs on the host");
    say("proc/sys/kernel/unprivileged_userns_clone", "0");
    OK(doctor_userns, "root on the host");
}

static void test_landlock(void **state)
{
    (void)state;
    judge(doctor_landlock, 0, DOCTOR_SKIP, "no Landlock");
    judge(doctor_landlock, 2, DOCTOR_WARNING, "version 2: a VMM that was taken over");
    judge(doctor_landlock, 3, DOCTOR_OK, "version 3: ");
}

static void test_control_groups(void **state)
{
    (void)state;
    judge(doctor_cgroups, 3, DOCTOR_SKIP, "no control groups");
    say("sys/fs/cgroup/memory/cgroup.procs", "1");
    WARN(doctor_cgroups, "version 1: ");
    say("sys/fs/cgroup/unified/cgroup.controllers", "");
    WARN(doctor_cgroups, "version 1: ");
    say("sys/fs/cgroup/cgroup.controllers", "cpu memory pids");
    OK(doctor_cgroups, "with the controllers cpu memory pids");
}

static void test_directories_of_programs(void **state)
{
    (void)state;
    _cleanup_free_ char *make = scratch_in("mkdir -p %/bin; chmod 777 %/bin");
    _cleanup_free_ char *path = scratch_in("/usr/bin::%/bin:bin");
    _cleanup_free_ char *before = xstrdup(getenv("PATH"));
    assert_int_equal(run_program((const char *const[]){"/bin/sh", "-c", make, NULL}, NULL), 0);
    assert_int_equal(setenv("PATH", path, 1), 0);
    WARN(doctor_paths, "the directory in PATH");
    assert_int_equal(setenv("PATH", "/usr/bin::bin", 1), 0);
    OK(doctor_paths, "what the 1 directories in PATH have");
    assert_int_equal(setenv("PATH", before, 1), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_open, scratch_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_equal_pages),
        T(test_threads_of_a_core),
        T(test_flaws_of_the_processor),
        T(test_memory_on_a_disk),
        T(test_cores),
        T(test_user_namespaces),
        T(test_landlock),
        T(test_control_groups),
        T(test_directories_of_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
