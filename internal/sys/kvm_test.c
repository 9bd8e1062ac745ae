/* The KVM probe tells the truth either way: its report is checked for consistency on any host, and
 * the failures that can be arranged (no device, no time, a cancel) are arranged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <linux/kvm.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "sys/kvm.h"

/* Nothing of a probe is left: no child, no descriptor. */
static unsigned open_fds(void)
{
    unsigned n = 0;
    _cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    return n;
}

static void assert_no_child(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void report_is_consistent(void **state)
{
    (void)state;
    struct kvm_report r;
    struct error err = ERROR_INIT;
    unsigned fds = open_fds();
    assert_int_equal(kvm_probe(&r, NULL, &err), 0);
    assert_false(error_is_set(&err));
    assert_no_child();
    assert_int_equal(open_fds(), fds);

    assert_int_equal(r.works, r.stage == KVM_STAGE_DONE);
    assert_int_equal(r.works, r.reason[0] == '\0');
    assert_false(r.timed_out);
    if (r.stage > KVM_STAGE_API)
        assert_int_equal(r.api_version, KVM_API_VERSION);
    if (r.stage > KVM_STAGE_CREATE_VM)
        assert_true(r.create_vm_us >= 0);
    if (r.stage > KVM_STAGE_CREATE_VCPU)
        assert_true(r.create_vcpu_us >= 0);
    if (r.stage >= KVM_STAGE_BOOT)
        assert_true(r.run_us >= 0 && (r.exit_reason != 0 || r.sys != 0));
    if (r.works) {
        assert_int_equal(r.exit_reason, KVM_EXIT_HLT);
        assert_int_equal(r.sys, 0);
    }
    if (r.exit_reason == KVM_EXIT_INTERNAL_ERROR)
        assert_non_null(strstr(r.reason, "KVM internal error"));
    print_message("kvm: %s%s\n", r.works ? "works" : "does not work: ", r.reason);
}

/* A probe with no time left is killed, says so, and never counts as working. */
static void no_time_is_a_failure(void **state)
{
    (void)state;
    struct kvm_report r;
    const struct deadline none = deadline_in_ms(0);
    assert_int_equal(kvm_probe(&r, &none, NULL), 0);
    assert_no_child();
    assert_int_equal(r.works, r.stage == KVM_STAGE_DONE);
    if (r.timed_out) {
        assert_false(r.works);
        assert_non_null(strstr(r.reason, "in time"));
    }
}

static void cancel_ends_it(void **state)
{
    (void)state;
    int ends[2];
    struct kvm_report r;
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(60000);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    d.cancel_fd = ends[0];
    assert_int_equal(kvm_probe(&r, &d, &err), -1);
    assert_int_equal(err.kind, ERR_CANCELLED);
    assert_no_child();
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* In a mount namespace of its own, with nothing (or a stranger) at /dev/kvm. */
static int probe_with_dev(bool fake_device)
{
    struct kvm_report r;
    if (unshare(CLONE_NEWNS) < 0)
        return 77;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 1;
    if (fake_device ? mount("/dev/null", "/dev/kvm", NULL, MS_BIND, NULL) < 0
                    : mount("none", "/dev", "tmpfs", 0, NULL) < 0)
        return fake_device && errno == ENOENT ? 0 : 77;
    if (kvm_probe(&r, NULL, NULL) < 0 || r.works || r.reason[0] == '\0')
        return 2;
    if (fake_device)
        return r.stage == KVM_STAGE_API && r.sys == ENOTTY ? 0 : 3;
    return r.stage == KVM_STAGE_OPEN && r.sys == ENOENT && strstr(r.reason, "/dev/kvm") ? 0 : 4;
}

static void run_apart(bool fake_device)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(probe_with_dev(fake_device));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        assert_null(getenv("CI"));
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void absent_device_is_named(void **state)
{
    (void)state;
    run_apart(false);
}

static void another_device_is_refused(void **state)
{
    (void)state;
    run_apart(true);
}

static void stages_have_names(void **state)
{
    (void)state;
    for (int s = 0; s <= KVM_STAGE_DONE; s++)
        assert_string_not_equal(kvm_stage_name((enum kvm_stage)s), "unknown");
    assert_string_equal(kvm_stage_name((enum kvm_stage)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(report_is_consistent),
        cmocka_unit_test(no_time_is_a_failure),
        cmocka_unit_test(cancel_ends_it),
        cmocka_unit_test(absent_device_is_named),
        cmocka_unit_test(another_device_is_refused),
        cmocka_unit_test(stages_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
