#include "e2e/bed.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "e2e/bed_internal.h"
#include "standin/standin_fault.h"
#include "sys/cgroup.h"
#include "sys/file.h"

#define OUTPUT_MAX (4u << 20)

/* Ends the running test: the bed is what it stands on. */
static void must(int r, const struct error *err)
{
    if (r < 0)
        fail_msg("test bed: %s", err->msg);
}

bool bed_supported(void)
{
    if (geteuid() != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWNET | CLONE_NEWNS) < 0);
    int status = -1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int bed_skip_group(size_t n_tests)
{
    const char *ci = getenv("CI");
    print_message("[  SKIPPED ] the test bed needs root and namespaces\n");
    print_message(" %zu SKIPPED TEST(S)\n", n_tests);
    return ci && str_eq(ci, "true") ? 1 : 0;
}

static void write_sysctl(const char *path, const char *value)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        fail_msg("test bed: set %s: %s", path, strerror(errno));
}

pid_t bed_enter_net(void)
{
    struct error err = ERROR_INIT;
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
        fail_msg("test bed: make namespaces: %s", strerror(errno));
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        fail_msg("test bed: make mounts private: %s", strerror(errno));
    write_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
    pid_t pid = bed_outside_start(&err);
    must(pid, &err);
    return pid;
}

void bed_leave_net(pid_t outside)
{
    (void)kill(outside, SIGKILL);
    (void)waitpid(outside, NULL, 0);
}

/* build/test/<module>/<program> → build */
static void find_build(struct bed *b)
{
    /* Asked once: in a chroot the link shows another path after the first bed's new mounts. */
    static char exe[PATH_MAX];
    ssize_t n = *exe ? (ssize_t)strlen(exe) : readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n < 0 ? 0 : n] = '\0';
    const char *cut = strstr(exe, "/test/");
    if (!cut)
        fail_msg("test bed: %s is not below build/test", exe);
    (void)str_format(b->build, sizeof b->build, "%.*s", (int)(cut - exe), exe);
}

static void need_program(const char *path)
{
    if (access(path, X_OK) < 0)
        fail_msg("test bed: %s is missing: run make all tools first", path);
}

static void make_dir(char out[PATH_MAX], const struct bed *b, const char *name)
{
    (void)str_format(out, PATH_MAX, "%s/%s", b->dir, name);
    if (mkdir(out, 0700) < 0)
        fail_msg("test bed: make %s: %s", out, strerror(errno));
}

static size_t env_find(const struct bed *b, const char *name)
{
    size_t i = 0, n = strlen(name);
    while (b->env[i] && (strncmp(b->env[i], name, n) != 0 || b->env[i][n] != '='))
        i++;
    return i;
}

/* What the stand-in is told does not go through the program under test. */
static void pass_faults(struct bed *b)
{
    struct error err = ERROR_INIT;
    must(faults_write(b->dir, (const char *const *)b->env, &err), &err);
}

void bed_setenv(struct bed *b, const char *name, const char *value)
{
    size_t i = env_find(b, name), last = i;
    while (b->env[last])
        last++;
    if (last + 1 >= BED_ENV_MAX)
        fail_msg("test bed: too many variables");
    bool there = i < last;
    free(b->env[i]);
    b->env[i] = value ? xasprintf("%s=%s", name, value) : NULL;
    if (!value && there) {
        b->env[i] = b->env[last - 1];
        b->env[last - 1] = NULL;
    }
    if (str_has_prefix(name, "CRABBOX_STANDIN_"))
        pass_faults(b);
}

/* A build in a checkout of another user's, as with sudo or in a container: its programs are that
 * user's, and so is the word that they are good. */
static void name_owner(struct bed *b, const char *binary)
{
    struct stat st;
    char uid[32];
    if (stat(binary, &st) < 0 || st.st_uid == 0)
        return;
    (void)str_format(uid, sizeof uid, "%u", (unsigned)st.st_uid);
    bed_setenv(b, "SUDO_UID", uid);
}

static void set_env(struct bed *b)
{
    static const char *const passed[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"};
    _cleanup_free_ char *binary = xasprintf("%s/tools/standin-firecracker", b->build);
    need_program(binary);
    if (b->user.uid == 0)
        name_owner(b, binary);
    bed_setenv(b, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    bed_setenv(b, "HOME", b->home);
    bed_setenv(b, "LC_ALL", "C.UTF-8");
    bed_setenv(b, "CRABBOX_FC_STATE_DIR", b->state);
    bed_setenv(b, "CRABBOX_FC_IMAGE_DIR", b->image);
    bed_setenv(b, "CRABBOX_FC_NETWORK_DNS", BED_OUTSIDE);
    bed_setenv(b, "CRABBOX_FIRECRACKER_NETWORK", "nat");
    bed_setenv(b, "CRABBOX_FC_SANDBOX", "false");      /* the stand-in makes its guest as root */
    bed_setenv(b, "CRABBOX_FC_ISOLATION", "degraded"); /* the machine may have no control groups */
    bed_setenv(b, "CRABBOX_FC_CGROUP", b->cgroup);
    bed_setenv(b, "CRABBOX_FC_LEASE_STOP_TIMEOUT", "5s");
    bed_setenv(b, "CRABBOX_FIRECRACKER_BINARY", binary);
    bed_setenv(b, "CRABBOX_FIRECRACKER_CPUS", "1");
    bed_setenv(b, "CRABBOX_FIRECRACKER_MEMORY_MIB", "128");
    bed_setenv(b, "CRABBOX_FIRECRACKER_DISK_MIB", "64");
    bed_setenv(b, "CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT", "20s");
    for (size_t i = 0; i < ARRAY_LEN(passed); i++)
        if (getenv(passed[i]))
            bed_setenv(b, passed[i], getenv(passed[i]));
}

void bed_clear_faults(struct bed *b)
{
    for (size_t i = 0; i < BED_ENV_MAX; i++) {
        free(b->env[i]);
        b->env[i] = NULL;
    }
    set_env(b);
    pass_faults(b);
}

static int take_residue(const struct bed *b, struct residue *out, struct error *err)
{
    struct residue_scope scope = {.state_dir = b->state, .cgroup = b->cgroup, .ancestor = getpid()};
    return residue_take(&scope, out, err);
}

void bed_open(struct bed *b)
{
    struct error err = ERROR_INIT;
    *b = (struct bed){.run_timeout_ms = 60000, .settle_ms = 3000};
    const char *tmp = getenv("TMPDIR");
    find_build(b);
    b->outside = bed_enter_net();
    /* Whatever the program leaves behind becomes our child and is found. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (str_format(b->dir, sizeof b->dir, "%s/crabbox-bed.XXXXXX", tmp ? tmp : "/tmp") < 0 ||
        !mkdtemp(b->dir))
        fail_msg("test bed: make a directory: %s", strerror(errno));
    (void)str_format(b->cgroup, sizeof b->cgroup, "crabbox-fc-test-%s", strrchr(b->dir, '.') + 1);
    (void)str_format(b->state, sizeof b->state, "%s/state", b->dir);
    (void)str_format(b->program, sizeof b->program, "%s/crabbox-fc", b->build);
    need_program(b->program);
    make_dir(b->image, b, "image");
    make_dir(b->work, b, "work");
    make_dir(b->home, b, "home");
    set_env(b);
    must(bed_make_image(b->image, &err), &err);
    must(take_residue(b, &b->before, &err), &err);
}

/* SIGKILLs every process that is there beyond the baseline: they are all descendants of ours. */
static void kill_left(const char *lines)
{
    for (const char *p = lines; (p = strstr(p, "process ")); p++) {
        int pid = 0;
        if (sscanf(p, "process %d", &pid) == 1 && pid > 1)
            (void)kill(pid, SIGKILL);
    }
}

/* The groups of leases that are left, and the one above them. Bounded, because a group that can't
 * be removed would keep the test from ending. */
static void remove_groups(const struct bed *b, char *lines)
{
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(60000);
    for (char *line; (line = strsep(&lines, "\n"));)
        if (str_has_prefix(line, "cgroup "))
            must(cgroup_end(strstr(line, b->cgroup), &d, &err), &err);
    must(cgroup_end(b->cgroup, &d, &err), &err);
}

void bed_close(struct bed *b)
{
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf lines = STRBUF_INIT;
    if (!*b->dir)
        return;
    /* After a failed test: what it left must not outlive the program. */
    if (bed_residue(b, &lines))
        kill_left(lines.buf);
    bed_leave_net(b->outside);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    remove_groups(b, lines.buf);
    residue_free(&b->before);
    for (size_t i = 0; i < BED_ENV_MAX; i++)
        free(b->env[i]);
    must(dir_remove_tree(AT_FDCWD, b->dir, &err), &err);
    *b = (struct bed){0};
}

/* ---- programs ---- */

void bed_result_free(struct bed_result *r)
{
    strbuf_free(&r->out);
    strbuf_free(&r->err);
}

static struct spawn_spec bed_spec(struct bed *b, const char *const *argv, int cwd)
{
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    spec.argv = argv;
    spec.envp = (const char *const *)b->env;
    spec.cwd_fd = cwd;
    spec.any_owner = true;
    spec.user = b->user.uid ? &b->user : NULL;
    return spec;
}

struct bed_result bed_exec(struct bed *b, const char *const *argv)
{
    struct error err = ERROR_INIT;
    struct bed_result r = {.out = STRBUF_INIT, .err = STRBUF_INIT};
    _cleanup_close_ int cwd = open(b->work, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct spawn_spec spec = bed_spec(b, argv, cwd);
    struct deadline d = deadline_in_ms(b->run_timeout_ms);
    int64_t start = clock_boot_ms();
    must(spawn_run(&spec, &d, OUTPUT_MAX, &r.out, &r.err, &r.st, &err), &err);
    r.took_ms = clock_boot_ms() - start;
    return r;
}

/* crabbox-fc before the arguments; the caller frees the vector. */
static const char **with_program(const struct bed *b, const char *const *args)
{
    size_t n = 0;
    while (args[n])
        n++;
    const char **argv = xcalloc(n + 2, sizeof *argv);
    argv[0] = b->program;
    memcpy(argv + 1, args, n * sizeof *args);
    return argv;
}

struct bed_result bed_run(struct bed *b, const char *const *args)
{
    const char **argv = with_program(b, args);
    struct bed_result r = bed_exec(b, argv);
    free(argv);
    return r;
}

struct child bed_start(struct bed *b, int stdout_fd, const char *const *args)
{
    struct error err = ERROR_INIT;
    struct child c;
    const char **argv = with_program(b, args);
    _cleanup_close_ int cwd = open(b->work, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct spawn_spec spec = bed_spec(b, argv, cwd);
    spec.stdout_fd = stdout_fd;
    spec.stderr_fd = STDERR_FILENO;
    must(spawn(&spec, &c, &err), &err);
    free(argv);
    return c;
}

/* ---- what is left ---- */

/* Waits a little for the first process of a list to end, else for time to pass. */
static void let_end(const char *lines)
{
    int pid = 0;
    const char *p = strstr(lines, "process ");
    if (p)
        (void)sscanf(p, "process %d", &pid);
    _cleanup_close_ int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    (void)poll(&pfd, 1, fd >= 0 ? 200 : 20);
}

size_t bed_residue(struct bed *b, struct strbuf *lines)
{
    struct error err = ERROR_INIT;
    struct deadline d = deadline_in_ms(b->settle_ms);
    for (;;) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_residue_ struct residue now = {0};
        must(take_residue(b, &now, &err), &err);
        size_t n = residue_diff(&b->before, &now, &text);
        if (n == 0 || deadline_passed(&d)) {
            strbuf_adds(lines, text.buf);
            return n;
        }
        let_end(text.buf);
    }
}

void bed_check_code(const struct bed_result *r, int want, const char *file, int line)
{
    if (r->st.exited && r->st.code == want)
        return;
    print_error("exit code %d (signal %d) instead of %d\nstdout: %s\nstderr: %s\n", r->st.code,
                r->st.signal, want, r->out.buf, r->err.buf);
    _fail(file, line);
}

void bed_check_has(const char *text, const char *part, const char *file, int line)
{
    if (strstr(text, part))
        return;
    print_error("\"%s\" is not in: %s\n", part, text);
    _fail(file, line);
}

void bed_check_clean(struct bed *b, const char *file, int line)
{
    _cleanup_strbuf_ struct strbuf lines = STRBUF_INIT;
    if (bed_residue(b, &lines) == 0)
        return;
    print_error("left over:\n%s", lines.buf);
    _fail(file, line);
}

void bed_rebase(struct bed *b)
{
    struct error err = ERROR_INIT;
    residue_free(&b->before);
    must(take_residue(b, &b->before, &err), &err);
}

/* Stops every lease that is there and takes what is still left as the new baseline. */
static void remove_leases(struct bed *b)
{
    _cleanup_bed_result_ struct bed_result r = BED_EXEC(
        b, "sh", "-c",
        "for l in \"$CRABBOX_FC_STATE_DIR\"/leases/*; do \"$0\" stop \"${l##*/}\"; done; "
        "rm -rf \"$CRABBOX_FC_STATE_DIR\"",
        b->program);
    _cleanup_strbuf_ struct strbuf lines = STRBUF_INIT;
    (void)bed_residue(b, &lines);
    kill_left(lines.buf);
    bed_rebase(b);
}

void bed_after_each(struct bed *b)
{
    _cleanup_strbuf_ struct strbuf lines = STRBUF_INIT;
    bed_clear_faults(b);
    if (bed_residue(b, &lines) == 0)
        return;
    remove_leases(b);
    print_error("left over:\n%s", lines.buf);
    _fail(__FILE__, __LINE__);
}

bool bed_wait_file(const struct bed *b, const char *path, int64_t ms)
{
    struct error err = ERROR_INIT;
    _cleanup_free_ char *full = xasprintf("%s/%s", b->dir, path);
    _cleanup_free_ char *dir = xstrdup(full);
    *strrchr(dir, '/') = '\0';
    _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    struct deadline d = deadline_in_ms(ms);
    if (inotify_add_watch(fd, dir, IN_CREATE | IN_MOVED_TO) < 0)
        fail_msg("test bed: watch %s: %s", dir, strerror(errno));
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    struct stat st;
    while (lstat(full, &st) < 0) {
        char events[4096];
        if (deadline_poll(&pfd, 1, &d, path, &err) < 0)
            return false;
        (void)!read(fd, events, sizeof events);
    }
    return true;
}
