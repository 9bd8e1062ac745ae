/* A program in the place of the VMM tries to get past the whole fence that a VMM has: the jail, a
 * user of its own, namespaces, Landlock, the filter of system calls, limits and the control group.
 * It is started as QEMU, as Firecracker and by Firecracker's jailer are, by the same function. What
 * is refused there is possible without the fence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#include "base/cleanup.h"
#include "sys/cgroup.h"
#include "sys/confine.h"
#include "sys/file.h"
#include "testutil/attempts.h"
#include "testutil/scratch.h"
#include "testutil/vmmfix.h"
#include "vmm/jailer.h"
#include "vmm/process.h"
#include "vmm/qmp.h"
#include "vmm/sandbox.h"

enum way { AS_QEMU, AS_FIRECRACKER, BY_JAILER };

static char taken[4096], jailer[4096], neighbour[PATH_MAX], group[CGROUP_NAME_SIZE];
static int host_ns;
static bool has_group;

/* ---- the host: another lease, services, a key, a control group ---- */

static void listen_at(int family, const void *at, socklen_t size)
{
    int s = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s, at, size), 0);
    assert_int_equal(listen(s, 64), 0); /* until this program ends */
}

static void make_services(void)
{
    struct sockaddr_un path = {.sun_family = AF_UNIX}, name = path;
    struct sockaddr_in port = {.sin_family = AF_INET, .sin_port = htons(ATTEMPT_PORT)};
    assert_int_equal(str_format(path.sun_path, sizeof path.sun_path, "%s/listens", neighbour), 0);
    listen_at(AF_UNIX, &path, sizeof path);
    assert_int_equal(str_copy(name.sun_path + 1, sizeof name.sun_path - 1, neighbour), 0);
    listen_at(AF_UNIX, &name,
              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name.sun_path + 1)));
    assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &port.sin_addr), 1);
    listen_at(AF_INET, &port, sizeof port);
}

/* In a session keyring of this program's, which goes with it: the caller's would keep the key. */
static void make_key(void)
{
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0)
        (void)syscall(SYS_add_key, "user", ATTEMPT_KEY, "x", 1UL, KEY_SPEC_SESSION_KEYRING);
}

static int make_host(void **state)
{
    struct error err = ERROR_INIT;
    char parent[CGROUP_PARENT_MAX];
    const struct cgroup_limits limits = {.memory = 512 << 20, .tasks = 512};
    assert_int_equal(scratch_open(state), 0);
    (void)str_copy(neighbour, sizeof neighbour, scratch_dir);
    must(file_write_new(scratch_fd, "key", "key\n", 4, 0644, &err), &err);
    must(file_write_new(scratch_fd, "disk", "disk\n", 5, 0666, &err), &err);
    make_services();
    make_key();
    (void)str_format(parent, sizeof parent, "crabbox-fc-test-%s", strrchr(neighbour, '/') + 1);
    (void)str_format(group, sizeof group, "%s/cbx_000000000007", parent);
    has_group = cgroup_look(parent, NULL, &err) == 0;
    if (has_group)
        must(cgroup_make(group, &limits, NULL, &err), &err);
    else
        print_message("without a control group: %s\n", err.msg);
    host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    return unshare(CLONE_NEWNET); /* that of the lease */
}

static int drop_host(void **state)
{
    struct error err = ERROR_INIT;
    must(cgroup_end(group, NULL, &err), &err);
    *strrchr(group, '/') = '\0';
    must(cgroup_end(group, NULL, &err), &err);
    return scratch_close(state);
}

/* ---- a lease: a record and keys, and a directory for the VMM ---- */

static int setup(void **state)
{
    struct vmmfix *f = vmmfix_make(taken, VMM_KVM);
    struct error err = ERROR_INIT;
    *state = f;
    assert_non_null(f);
    must(file_write_new(f->dirfd, "key", "key\n", 4, 0644, &err), &err);
    assert_int_equal(mkdirat(f->dirfd, VMM_DIR, 0700), 0);
    int own = vmm_dir_open(f->dirfd, &err);
    must(own, &err);
    (void)close(f->dirfd);
    f->spec.dirfd = f->dirfd = own;
    must(file_write_new(own, "write", "text\n", 5, 0600, &err), &err);
    must(file_write_new(own, "other", "text\n", 5, 0600, &err), &err);
    _cleanup_close_ int fd = openat(own, "write", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, ATTEMPT_LIMIT), 0);
    f->spec.kernel = "";
    f->spec.drives[0] = (struct vmm_drive){.id = "write", .path = "write"};
    f->spec.n_drives = 1;
    f->spec.sandbox = true;
    f->spec.cgroup = has_group ? group : NULL;
    return 0;
}

static int teardown(void **state)
{
    return vmmfix_drop(*state);
}

static void wait_for_socket(const struct vmmfix *f)
{
    struct stat st;
    const struct timespec moment = {0, 1000000};
    while (fstatat(f->dirfd, VMM_API_SOCK, &st, 0) < 0) {
        assert_false(deadline_passed(&f->d));
        (void)nanosleep(&moment, NULL);
    }
}

/* What the backends do until a guest may run. */
static void start(struct vmmfix *f, enum way way, const char *const *argv, struct child *child)
{
    struct error err = ERROR_INIT;
    unsigned ways = way == AS_QEMU ? 0 : VMM_PRINTS_CONSOLE | VMM_FILTERS_ITSELF;
    assert_true(unlinkat(f->dirfd, "go", 0) == 0 || errno == ENOENT);
    assert_true(unlinkat(f->dirfd, VMM_API_SOCK, 0) == 0 || errno == ENOENT);
    f->spec.jailer = way == BY_JAILER ? jailer : NULL;
    _cleanup_close_ int s = way == AS_QEMU ? qmp_listen(f->dirfd, VMM_API_SOCK, &err) : -1;
    assert_true(s >= 0 || way != AS_QEMU);
    must(vmm_process_start(&f->spec, argv, s, ways, &f->ref, vmmfix_on_started, f, child, &err),
         &err);
    if (has_group)
        must(cgroup_verify(group, child->pid, false, &err), &err);
    if (way == AS_QEMU)
        return;
    wait_for_socket(f);
    if (way == BY_JAILER)
        must(jailer_verify(child->pid, f->ref.uid, &f->spec, &err), &err);
    must(vmm_sandbox_bound(&f->spec, &err), &err);
}

static int code_of(const struct exit_status *st)
{
    return st->exited ? st->code : 128 + st->signal;
}

static const char *const *argv_of(enum way way, const char *name)
{
    static char pid[16];
    static const char *argv[8];
    unsigned n = 0;
    (void)str_format(pid, sizeof pid, "%d", (int)getpid());
    argv[n++] = taken;
    if (way != AS_QEMU) {
        argv[n++] = "--api-sock";
        argv[n++] = VMM_API_SOCK;
    }
    argv[n++] = "attempt";
    argv[n++] = name;
    argv[n++] = pid;
    argv[n++] = neighbour;
    argv[n] = NULL;
    return argv;
}

static void let_go(const struct vmmfix *f)
{
    struct error err = ERROR_INIT;
    /* Without root the VMM may own its directory, so the mode is not what keeps files out of it.
     * (Firecracker's jailer needs root, and has no Landlock.) */
    if (!f->spec.jailer)
        assert_int_equal(fchmod(f->dirfd, 0777), 0);
    must(file_write_new(f->dirfd, "go", "", 0, 0444, &err), &err);
}

/* Its exit code; `log` (may be NULL) gets what it printed. */
static int run_behind(struct vmmfix *f, enum way way, const char *const *argv, struct strbuf *log)
{
    struct error err = ERROR_INIT;
    struct exit_status st;
    _cleanup_(child_kill) struct child child = CHILD_INIT;
    f->d = deadline_in_ms(60000);
    start(f, way, argv, &child);
    let_go(f);
    must(child_wait(&child, &f->d, &st, &err), &err);
    if (log)
        must(file_read_at(f->dirfd, VMM_LOG, 65536, log, &err), &err);
    return code_of(&st);
}

struct result {
    const char *name;
    int code;
};

static void check(const struct result *r, int got)
{
    if (!attempt_came_to(got, r->code))
        fail_msg("%s comes to %d instead of %d", r->name, got, r->code);
}

/* Those that kill have a process each, and the others are made one after the other by one. */
static void attempt(struct vmmfix *f, enum way way, const struct result *results, size_t n)
{
    _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf log = STRBUF_INIT;
    for (size_t i = 0; i < n; i++)
        if (results[i].code == ATTEMPT_KILLED)
            check(&results[i], run_behind(f, way, argv_of(way, results[i].name), NULL));
        else
            strbuf_addf(&names, "%s%s", names.len ? "," : "", results[i].name);
    assert_int_equal(run_behind(f, way, argv_of(way, names.buf), &log), 0);
    const char *at = log.buf;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(results[i].name);
        if (results[i].code == ATTEMPT_KILLED)
            continue;
        if (strncmp(at, results[i].name, len) != 0 || at[len] != ' ')
            fail_msg("%s was not tried: %s", results[i].name, at);
        check(&results[i], (int)strtol(at + len, NULL, 10));
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
}

static struct result result_of(const struct attempt *a, const struct result *other, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(other[i].name, a->name))
            return other[i];
    return (struct result){a->name, a->confined};
}

/* Everything that is in attempts.h; `other`: the results that differ from those of its rows. */
static void attempt_all(struct vmmfix *f, enum way way, const struct result *other, size_t n)
{
    struct result all[256];
    size_t n_all = 0;
    const struct attempt *a;
    for (size_t i = 0; (a = attempt_at(i)) && n_all < ARRAY_LEN(all); i++)
        all[n_all++] = result_of(a, other, n);
    for (size_t i = 0; i < n_attempts_on_host && n_all < ARRAY_LEN(all); i++)
        all[n_all++] = result_of(&attempts_on_host[i], other, n);
    assert_true(n_all < ARRAY_LEN(all));
    attempt(f, way, all, n_all);
}

/* Its files are as they were. */
static void assert_untouched(const struct vmmfix *f)
{
    struct stat st;
    assert_int_equal(fstatat(f->dirfd, "other", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(fstatat(f->dirfd, "write", &st, 0), 0);
    assert_true(st.st_blocks * 512L <= ATTEMPT_LIMIT);
    if (confine_version() >= 3)
        assert_int_equal(st.st_size, ATTEMPT_LIMIT);
}

static int one_page(void)
{
    return confine_version() >= 3 ? EACCES : 0;
}

static void taken_qemu_gets_nowhere(void **state)
{
    const struct result other[] = {{"by_thread", ESRCH}, {"one_page", one_page()}};
    attempt_all(*state, AS_QEMU, other, ARRAY_LEN(other));
    assert_untouched(*state);
}

/* The guest runs only after Firecracker has added its own filter, which takes this away. */
static void taken_firecracker_gets_nowhere(void **state)
{
    const struct result other[] = {{"by_thread", ESRCH},
                                   {"one_page", one_page()},
                                   {"filter_calls", 0},
                                   {"filter_calls_too", 0}};
    attempt_all(*state, AS_FIRECRACKER, other, ARRAY_LEN(other));
    assert_untouched(*state);
}

/* The jailer gives it no filter and no Landlock; until Firecracker has added its own filter, these
 * are what holds. */
static const struct result by_jailer[] = {
    /* files */
    {"neighbours_key", ENOENT},
    {"neighbours_disk", ENOENT},
    {"own_key", ENOENT},
    {"passwords", ENOENT},
    {"root_of_first", ENOENT},
    {"files_of_self", ENOENT},
    {"runtime_directory", ENOENT},
    {"control_groups", ENOENT},
    {"handler_of_cores", ENOENT},
    {"processor", ENOENT},
    {"device", ENOENT},
    {"new_file", EACCES},
    {"own_node", EACCES},
    {"run_from_disk", EPERM},
    {"open_to_all", EPERM},
    {"given_away", EPERM},
    {"shorter_by_name", EACCES},
    {"attribute_by_name", EACCES},
    {"made_older", EACCES},
    {"directory", EACCES},
    {"symbolic_link", EACCES},
    {"renamed", EACCES},
    {"unnamed_file", EACCES},
    {"by_handle", ATTEMPT_REFUSED},
    {"far_write", EFBIG},
    {"longer", EFBIG},
    /* services */
    {"service", ENOENT},
    {"service_without_file", ECONNREFUSED},
    {"service_of_network", ENETUNREACH},
    /* processes */
    {"signalled", ESRCH},
    {"everybody_signalled", ESRCH},
    {"thread_signalled", ESRCH},
    {"by_thread", ESRCH},
    {"signal_queued", ESRCH},
    {"named", ESRCH},
    {"traced", ESRCH},
    {"memory_read", ESRCH},
    {"memory_written", ESRCH},
    {"memory_moved", ESRCH},
    {"limits_of_another", ESRCH},
    {"scheduled", ESRCH},
    {"placed", ESRCH},
    {"less_io", ESRCH},
    {"less_time", ESRCH},
    /* rights */
    {"be_root", EPERM},
    {"with_groups", EPERM},
    {"with_capabilities", EPERM},
    {"mounted", EPERM},
    {"new_filesystem", EPERM},
    {"tree_copied", EPERM},
    {"writable_again", EPERM},
    {"unmounted", EPERM},
    {"other_root", EPERM},
    {"host_restarted", EPERM},
    {"host_named", EPERM},
    {"clock_set", EPERM},
    {"swapped", EPERM},
    {"accounted", EPERM},
    {"module_loaded", ATTEMPT_REFUSED},
    /* as much as it can get */
    {"inherited", EBADF},
    {"many_threads", EAGAIN},
    {"many_files", EMFILE},
};

static void taken_firecracker_of_the_jailer_gets_nowhere(void **state)
{
    struct vmmfix *f = *state;
    attempt(f, BY_JAILER, by_jailer, ARRAY_LEN(by_jailer));
    assert_untouched(f);
}

/* The counterpart: the same program, started as root without anything of it. */
static void without_the_fence_it_gets_there(void **state)
{
    struct vmmfix *f = *state;
    let_go(f);
    for (size_t i = 0; i < n_attempts_on_host; i++) {
        const struct attempt *a = &attempts_on_host[i];
        struct error err = ERROR_INIT;
        struct exit_status st;
        struct spawn_spec spec = SPAWN_SPEC_INIT;
        if (a->plain == ATTEMPT_NEVER)
            continue;
        spec.argv = argv_of(AS_QEMU, a->name);
        spec.cwd_fd = f->dirfd;
        spec.netns_fd = host_ns;
        must(spawn_run(&spec, &f->d, 4096, NULL, NULL, &st, &err), &err);
        if (!attempt_came_to(code_of(&st), a->plain))
            fail_msg("without the fence, %s comes to %d instead of %d", a->name, code_of(&st),
                     a->plain);
    }
}

/* All numbers that the filter does not list are refused, behind the fence as well. */
static void no_other_call_is_there(void **state)
{
    const char *const argv[] = {taken, "walk", NULL};
    _cleanup_strbuf_ struct strbuf log = STRBUF_INIT;
    assert_int_equal(run_behind(*state, AS_QEMU, argv, &log), 0);
    assert_string_equal(log.buf, "");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(taken_qemu_gets_nowhere),
        T(taken_firecracker_gets_nowhere),
        T(taken_firecracker_of_the_jailer_gets_nowhere),
        T(without_the_fence_it_gets_there),
        T(no_other_call_is_there),
    };
    const char *found = vmmfix_tool("taken-firecracker");
    if (found)
        (void)str_copy(taken, sizeof taken, found);
    found = found ? vmmfix_tool("standin-jailer") : NULL;
    if (geteuid() != 0 || !found) {
        print_message("%s: lacks %s\n", getenv("CI") ? "failed" : "skipped",
                      found ? "root" : "taken-firecracker or standin-jailer");
        return getenv("CI") != NULL;
    }
    (void)str_copy(jailer, sizeof jailer, found);
    return cmocka_run_group_tests(tests, make_host, drop_host);
}
