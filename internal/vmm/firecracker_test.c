/* The firecracker backend against the stand-in, which takes the same command line and is as strict
 * as the real one. No guest is started here: whole leases are tried elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "standin/standin_fault.h"
#include "testutil/vmmfix.h"
#include "vmm/vmm.h"

static const char *standin;

static int setup(void **state)
{
    *state = vmmfix_make(standin, VMM_KVM);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    return vmmfix_drop(*state);
}

/* What the stand-in does wrong from now on (standin_fault.h). */
static void set_fault(const struct vmmfix *f, const char *text)
{
    struct error err = ERROR_INIT;
    if (faults_write(f->dir, (const char *const[]){text, NULL}, &err) < 0)
        fail_msg("%s", err.msg);
}

static void launch_ok(struct vmmfix *f)
{
    struct error err = ERROR_INIT;
    if (vmm_firecracker.launch(&f->spec, &f->ref, vmmfix_on_started, f, &f->d, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(f->started, 1);
}

static void end_it(struct vmmfix *f)
{
    struct error err = ERROR_INIT;
    if (vmm_end(&f->ref, f->dirfd, 5000, &f->d, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    assert_false(proc_alive(&f->ref.proc));
}

static void launches_configured(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    struct vmm_status st = {0};
    int64_t before = clock_boot_ms();
    launch_ok(f);
    print_message("launch took %lld ms\n", (long long)(clock_boot_ms() - before));
    assert_string_equal(f->ref.backend, "firecracker");
    assert_int_equal(f->ref.accel, VMM_KVM);
    assert_true(str_has_prefix(f->ref.version, "1."));
    assert_int_equal(getsid(f->ref.proc.pid), f->ref.proc.pid);
    assert_int_equal(vmm_firecracker.status(&f->ref, f->dirfd, &f->d, &st, &err), 0);
    assert_true(st.process_alive);
    assert_string_equal(st.state, "not started");
    end_it(f);
    assert_int_equal(vmm_firecracker.status(&f->ref, f->dirfd, &f->d, &st, &err), 0);
    assert_string_equal(st.state, "gone");
}

/* A version that does not know /serial yet gets the same, without it. */
static void old_version_gets_no_newer_field(void **state)
{
    set_fault(*state, "CRABBOX_STANDIN_VERSION=1.13.1");
    launch_ok(*state);
    assert_string_equal(((struct vmmfix *)*state)->ref.version, "1.13.1");
    end_it(*state);
}

/* What a crash leaves behind makes the real one refuse to start. */
static void stale_socket_is_removed(void **state)
{
    struct vmmfix *f = *state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)str_format(a.sun_path, sizeof a.sun_path, "%s/%s", f->dir, VMM_API_SOCK);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    launch_ok(f);
    end_it(f);
}

#ifndef __SANITIZE_ADDRESS__ /* whose runtime a confined stand-in can't start */
/* Taken over, it can make no further names in its directory. */
static void confined_it_makes_one_socket_only(void **state)
{
    struct vmmfix *f = *state;
    struct stat st, sock;
    f->spec.sandbox = true;
    launch_ok(f);
    assert_int_equal(fstat(f->dirfd, &st), 0);
    assert_int_equal(fstatat(f->dirfd, VMM_API_SOCK, &sock, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(sock.st_uid, f->ref.uid);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_gid, f->ref.uid);
    assert_int_equal(st.st_mode & 07777, 0710);
    end_it(f);
}
#endif

static void expect_failure(struct vmmfix *f, enum err_kind kind, const char *word)
{
    struct error err = ERROR_INIT;
    int r = vmm_firecracker.launch(&f->spec, &f->ref, vmmfix_on_started, f, &f->d, &err);
    assert_int_equal(r, -1);
    if (err.kind != kind || !strstr(err.msg, word))
        fail_msg("kind %s: %s", error_kind_name(err.kind), err.msg);
    assert_false(f->ref.proc.pid > 0 && proc_alive(&f->ref.proc));
}

/* The stand-in takes the limiters as strictly as the real one, and tells them back. */
static void limits_are_taken(void **state)
{
    struct vmmfix *f = *state;
    f->spec.limits = (struct vmm_limits){
        .disk_bytes = 8 << 20, .disk_ops = 500, .console_bytes = 64 << 10};
    set_fault(f, "CRABBOX_STANDIN_VERSION=1.16.1");
    launch_ok(f);
    end_it(f);
}

/* An older one would leave the console without a limit. */
static void old_version_limits_no_console(void **state)
{
    struct vmmfix *f = *state;
    f->spec.limits.console_bytes = 64 << 10;
    set_fault(f, "CRABBOX_STANDIN_VERSION=1.13.1");
    expect_failure(f, ERR_ENV,
                   "Firecracker 1.13.1 can't limit the guest's console; next: install "
                   "Firecracker 1.16");
    f->started = 0;
    f->spec.limits = (struct vmm_limits){.disk_ops = 500};
    launch_ok(f);
    end_it(f);
}

/* Its group was removed meanwhile, or the machine has none. */
static void no_group_is_refused_unless_accepted(void **state)
{
    struct vmmfix *f = *state;
    f->spec.cgroup = "crabbox-fc-test-absent/cbx_0123456789ab";
    expect_failure(f, ERR_ENV, "control group");
    f->started = 0;
    f->spec.cgroup_partly = true;
    launch_ok(f);
    end_it(f);
}

static void exit_at_once_is_explained(void **state)
{
    set_fault(*state, "CRABBOX_STANDIN_EXIT=148");
    expect_failure(*state, ERR_VMM, "exit code 148 (killed by its seccomp filter)");
}

static void no_socket_ends_at_the_deadline(void **state)
{
    struct vmmfix *f = *state;
    set_fault(*state, "CRABBOX_STANDIN_NO_SOCKET=1");
    f->d = deadline_in_ms(300);
    expect_failure(f, ERR_TIMEOUT, "Firecracker's API socket");
}

static void refusal_is_told(void **state)
{
    set_fault(*state, "CRABBOX_STANDIN_REFUSE=PUT /drives/upper");
    expect_failure(*state, ERR_VMM, "refused PUT /drives/upper with status 400");
}

/* Firecracker's HTTP server has words of its own, and its JSON is none. */
static void unread_request_is_told(void **state)
{
    set_fault(*state, "CRABBOX_STANDIN_UNREADABLE=PUT /machine-config");
    expect_failure(*state, ERR_VMM, "with status 400: told to by CRABBOX_STANDIN_UNREADABLE");
}

static void silence_ends_at_the_deadline(void **state)
{
    struct vmmfix *f = *state;
    set_fault(*state, "CRABBOX_STANDIN_HANG=PUT /machine-config");
    f->d = deadline_in_ms(4000); /* until then it has to get as far as that */
    expect_failure(f, ERR_TIMEOUT, "PUT /machine-config");
}

static void garbage_is_an_error(void **state)
{
    set_fault(*state, "CRABBOX_STANDIN_GARBAGE=GET /version");
    expect_failure(*state, ERR_VMM, "GET /version");
}

static void death_in_the_middle_is_explained(void **state)
{
    set_fault(*state, "CRABBOX_STANDIN_DIE=PUT /drives/root");
    expect_failure(*state, ERR_VMM, "killed by signal 9");
}

static void death_at_boot_is_explained(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    set_fault(*state, "CRABBOX_STANDIN_DIE=PUT /actions");
    launch_ok(f);
    assert_int_equal(vmm_firecracker.boot(&f->ref, f->dirfd, &f->d, &err), -1);
    assert_int_equal(err.kind, ERR_VMM);
    if (!strstr(err.msg, "Firecracker ended while it was starting the guest: killed by signal 9"))
        fail_msg("%s", err.msg);
    end_it(f);
}

static void refused_boot_keeps_its_reason(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    set_fault(*state, "CRABBOX_STANDIN_REFUSE=PUT /actions");
    launch_ok(f);
    assert_int_equal(vmm_firecracker.boot(&f->ref, f->dirfd, &f->d, &err), -1);
    if (!strstr(err.msg, "refused PUT /actions with status 400"))
        fail_msg("%s", err.msg);
    assert_true(proc_alive(&f->ref.proc));
    end_it(f);
}

static void lies_are_found(void **state)
{
    set_fault(*state, "CRABBOX_STANDIN_ALTER=machine-config.vcpu_count=7");
    expect_failure(*state, ERR_VMM, "7 for machine-config.vcpu_count, asked for 2");
    set_fault(*state, "CRABBOX_STANDIN_ALTER=drives.0.is_read_only");
    expect_failure(*state, ERR_VMM, "is_read_only");
}

static void missing_files_are_named(void **state)
{
    struct vmmfix *f = *state;
    f->spec.drives[1].path = "no-such-drive";
    expect_failure(f, ERR_VMM, "/drives/upper");
    f->spec.kernel = "no-such-kernel";
    expect_failure(f, ERR_VMM, "/boot-source");
}

static void emulation_is_refused(void **state)
{
    struct vmmfix *f = *state;
    f->spec.accel = VMM_TCG;
    expect_failure(f, ERR_CONFIG, "choose vmm qemu");
    f->spec.accel = VMM_ACCEL_UNSET;
    expect_failure(f, ERR_CONFIG, "accel");
    assert_int_equal(f->started, 0);
}

static void bad_ids_are_refused(void **state)
{
    struct vmmfix *f = *state;
    f->spec.vm_id = "cbx_1";
    expect_failure(f, ERR_CONFIG, "cbx_1");
    f->spec.vm_id = "cbx-1";
    f->spec.drives[0].id = "a-b";
    expect_failure(f, ERR_CONFIG, "a-b");
    f->spec.drives[0].id = "upper";
    expect_failure(f, ERR_CONFIG, "two drives");
}

static void cancel_leaves_nothing(void **state)
{
    struct vmmfix *f = *state;
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    _cleanup_close_ int r = p[0];
    _cleanup_close_ int w = p[1];
    assert_int_equal(write(w, "x", 1), 1);
    f->d.cancel_fd = r;
    expect_failure(f, ERR_CANCELLED, "interrupted");
    assert_int_equal(f->started, 1);
}

static void probe_tells_version(void **state)
{
    struct vmmfix *f = *state;
    char version[64];
    struct error err = ERROR_INIT;
    int r = vmm_firecracker.probe(standin, false, &f->d, version, sizeof version, &err);
    if (r < 0)
        fail_msg("%s", err.msg);
    assert_true(str_has_prefix(version, "1."));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(launches_configured),
        T(old_version_gets_no_newer_field),
        T(stale_socket_is_removed),
#ifndef __SANITIZE_ADDRESS__
        T(confined_it_makes_one_socket_only),
#endif
        T(limits_are_taken),
        T(old_version_limits_no_console),
        T(no_group_is_refused_unless_accepted),
        T(exit_at_once_is_explained),
        T(no_socket_ends_at_the_deadline),
        T(refusal_is_told),
        T(unread_request_is_told),
        T(silence_ends_at_the_deadline),
        T(garbage_is_an_error),
        T(death_in_the_middle_is_explained),
        T(death_at_boot_is_explained),
        T(refused_boot_keeps_its_reason),
        T(lies_are_found),
        T(missing_files_are_named),
        T(emulation_is_refused),
        T(bad_ids_are_refused),
        T(cancel_leaves_nothing),
        T(probe_tells_version),
    };
    standin = vmmfix_tool("standin-firecracker");
    const char *lacks = standin ? vmmfix_enter() : "build/tools/standin-firecracker";
    if (lacks) {
        print_message("skipped: this machine lacks %s\n", lacks);
        return getenv("CI") ? 1 : 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
