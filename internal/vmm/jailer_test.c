/* Firecracker's jailer, played by a double as strict as the real one, with the stand-in as its
 * Firecracker: who and where the VMM is then, and that nothing is left of it, whenever it dies. No
 * guest comes to life, because the stand-in needs root's rights for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "sys/cgroup.h"
#include "sys/file.h"
#include "sys/uids.h"
#include "testutil/scratch.h"
#include "testutil/vmmfix.h"
#include "vmm/vmm.h"

#define BASE "/run/crabbox-fc/jailer"

static char standin[4096], jailer[4096], group[CGROUP_NAME_SIZE];

static int setup(void **state)
{
    struct vmmfix *f = vmmfix_make(standin, VMM_KVM);
    if (f)
        f->spec.jailer = jailer;
    *state = f;
    return f ? str_format(group, sizeof group, "crabbox-fc-test-%s", strrchr(f->dir, '/') + 1) : -1;
}

/* The base is empty on the host, and no mount is there. */
static void assert_nothing_left(void)
{
    _cleanup_strbuf_ struct strbuf mounts = STRBUF_INIT;
    struct error err = ERROR_INIT;
    unsigned n = 0;
    DIR *d = opendir(BASE);
    assert_non_null(d);
    while (readdir(d))
        n++;
    (void)closedir(d);
    assert_int_equal(n, 2);
    assert_int_equal(file_read_at(AT_FDCWD, "/proc/self/mounts", 1 << 20, &mounts, &err), 0);
    assert_null(strstr(mounts.buf, " " BASE));
}

static int teardown(void **state)
{
    assert_nothing_left();
    int r = vmmfix_drop(*state);
    return cgroup_end(group, NULL, NULL) < 0 ? -1 : r;
}

static void launch_ok(struct vmmfix *f)
{
    struct error err = ERROR_INIT;
    if (vmm_firecracker.launch(&f->spec, &f->ref, vmmfix_on_started, f, &f->d, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(f->started, 1);
}

static bool exists_for(const struct vmmfix *f, const char *path)
{
    struct stat st;
    char at[512];
    (void)str_format(at, sizeof at, "/proc/%d/root%s", (int)f->ref.proc.pid, path);
    return lstat(at, &st) == 0;
}

static void it_is_nobody_in_a_root_of_its_own(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    struct stat st;
    char at[64];
    struct vmm_status status = {0};
    launch_ok(f);
    assert_true(f->ref.jailer && f->ref.sandbox);
    assert_in_range(f->ref.uid, f->spec.uids.first, f->spec.uids.last);
    (void)str_format(at, sizeof at, "/proc/%d", (int)f->ref.proc.pid);
    assert_int_equal(stat(at, &st), 0);
    assert_int_equal(st.st_uid, f->ref.uid);
    assert_true(exists_for(f, "/vmm/upper.img") && exists_for(f, "/dev/kvm"));
    assert_false(exists_for(f, "/etc") || exists_for(f, f->dir) || exists_for(f, "/proc/1"));
    /* Its directory is closed to new files once the socket is there. */
    assert_int_equal(fstat(f->dirfd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0710);
    assert_int_equal(vmm_firecracker.boot(&f->ref, f->dirfd, &f->d, &err), 0);
    assert_int_equal(vmm_firecracker.status(&f->ref, f->dirfd, &f->d, &status, &err), 0);
    assert_string_equal(status.state, "running");
    assert_int_equal(vmm_end(&f->ref, f->dirfd, 0, &f->d, NULL, &err), 0);
}

/* Two at once have two ids: the jailer keeps the claim, though it closes all it inherits. */
static void two_have_two_ids(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    uid_t other;
    launch_ok(f);
    f->spec.uids.first = f->ref.uid;
    _cleanup_close_ int fd = uid_claim(&f->spec.uids, UID_DIRECTORY, &other, &err);
    assert_true(fd >= 0 && other != f->ref.uid);
    assert_int_equal(vmm_end(&f->ref, f->dirfd, 0, &f->d, NULL, &err), 0);
}

/* It has eight steps: whichever it dies before, the next launch of the same name meets nothing. */
static void killed_between_any_two_steps(void **state)
{
    struct vmmfix *f = *state;
    char id[64];
    unsigned launched = 0;
    for (unsigned step = 1; launched == 0; step++) {
        struct error err = ERROR_INIT;
        assert_in_range(step, 1, 20);
        (void)str_format(id, sizeof id, "cbx-0000-die%u", step);
        f->spec.vm_id = id;
        launched = vmm_firecracker.launch(&f->spec, &f->ref, vmmfix_on_started, f, &f->d, &err) ==
                   0;
        assert_int_equal(f->started, step);
        assert_true(launched || strstr(err.msg, "exit code 77"));
        assert_true(launched || !proc_alive(&f->ref.proc));
        assert_nothing_left();
    }
    assert_int_equal(f->started, 9);
    assert_int_equal(vmm_end(&f->ref, f->dirfd, 0, &f->d, NULL, NULL), 0);
}

/* By SIGKILL from outside, when the deadline passes. */
static void killed_at_any_moment(void **state)
{
    struct vmmfix *f = *state;
    for (unsigned i = 0; i < 40; i++) {
        struct error err = ERROR_INIT;
        struct deadline soon = deadline_in_ms(i % 20);
        f->ref = (struct vmm_ref){.uid = 0};
        (void)vmm_firecracker.launch(&f->spec, &f->ref, vmmfix_on_started, f, &soon, &err);
        assert_int_equal(vmm_end(&f->ref, f->dirfd, 0, &f->d, NULL, NULL), 0);
        assert_nothing_left();
    }
    f->started = 0;
    launch_ok(f);
    assert_int_equal(vmm_end(&f->ref, f->dirfd, 0, &f->d, NULL, NULL), 0);
}

/* What it prints is in the message. */
static void what_it_refuses_is_said(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    f->spec.binary = "/bin/true";
    assert_int_equal(vmm_firecracker.launch(&f->spec, &f->ref, vmmfix_on_started, f, &f->d, &err),
                     -1);
    assert_non_null(strstr(err.msg, "the name of the exec file has no \"firecracker\""));
}

/* A program in its place that starts Firecracker as it is. */
static void one_that_jails_nothing_is_found(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *script = xasprintf(
        "#!/bin/sh\ncd /proc/self/cwd || exit\nexec %s --id x --api-sock %s/api.sock\n", standin,
        f->dir);
    _cleanup_free_ char *path = xasprintf("%s/jailer", f->dir);
    assert_int_equal(file_write_new(f->dirfd, "jailer", script, strlen(script), 0755, &err), 0);
    f->spec.jailer = path;
    assert_int_equal(vmm_firecracker.launch(&f->spec, &f->ref, vmmfix_on_started, f, &f->d, &err),
                     -1);
    assert_non_null(strstr(err.msg, "no root directory of its own; next: "));
    assert_false(proc_alive(&f->ref.proc));
}

#define LEAVE                                                                                      \
    "for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do echo %d >$f; "         \
    "done 2>/dev/null\n"

static int leave_group(void *ctx, const struct proc_ref *proc, struct error *err)
{
    _cleanup_free_ char *line = xasprintf(LEAVE, (int)proc->pid);
    (void)run_program((const char *const[]){"/bin/sh", "-c", line, NULL}, NULL);
    return vmmfix_on_started(ctx, proc, err);
}

static void assert_found_outside(struct vmmfix *f, vmm_started_fn *started)
{
    struct error err = ERROR_INIT;
    assert_int_equal(vmm_firecracker.launch(&f->spec, &f->ref, started, f, &f->d, &err), -1);
    if (!strstr(err.msg, "is not in the control group"))
        fail_msg("%s", err.msg);
    assert_false(proc_alive(&f->ref.proc));
}

/* By itself: a jailer still has root's rights then. And one that something else has moved. */
static void outside_its_group_it_is_found(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    const struct cgroup_limits limits = {.memory = 1 << 30, .tasks = 100};
    _cleanup_free_ char *script = xasprintf("#!/bin/sh\n" LEAVE "exec %s \"$@\"\n", 0, jailer);
    _cleanup_free_ char *path = xasprintf("%s/jailer", f->dir);
    assert_int_equal(file_write_new(f->dirfd, "jailer", script, strlen(script), 0755, &err), 0);
    if (cgroup_look(group, NULL, &err) < 0) {
        print_message("no usable control groups here: %s\n", err.msg);
        return;
    }
    must(cgroup_make(group, &limits, NULL, &err), &err);
    f->spec.cgroup = group;
    launch_ok(f);
    must(vmm_end(&f->ref, f->dirfd, 0, &f->d, NULL, &err), &err);
    f->spec.jailer = path;
    assert_found_outside(f, vmmfix_on_started);
    f->spec.jailer = NULL;
    assert_found_outside(f, leave_group);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(it_is_nobody_in_a_root_of_its_own), T(two_have_two_ids),
        T(killed_between_any_two_steps),      T(killed_at_any_moment),
        T(what_it_refuses_is_said),           T(one_that_jails_nothing_is_found),
        T(outside_its_group_it_is_found),
    };
    const char *lacks = vmmfix_enter();
    const char *found = vmmfix_tool("standin-firecracker");
    if (found)
        (void)str_copy(standin, sizeof standin, found);
    found = found ? vmmfix_tool("standin-jailer") : NULL;
    if (lacks || !found) {
        print_message("%s: lacks %s\n", getenv("CI") ? "failed" : "skipped",
                      lacks ? lacks : "the stand-ins");
        return getenv("CI") != NULL;
    }
    (void)str_copy(jailer, sizeof jailer, found);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
