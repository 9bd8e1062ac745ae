/* The real QEMU, emulating, in a network namespace of the test's own: paused, asked, ended.
 * No guest code runs, so the "kernel" is a minimal ELF file that QEMU accepts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "sys/file.h"
#include "testutil/vmmfix.h"
#include "vmm/qmp.h"
#include "vmm/sandbox.h"
#include "vmm/vmm.h"

#define QEMU "/usr/bin/qemu-system-x86_64"

/* Missing pieces of the machine are a skip at a desk and a failure in CI. */
static bool missing(const char *what)
{
    if (getenv("CI"))
        fail_msg("this machine lacks %s", what);
    print_message("skipped: this machine lacks %s\n", what);
    return true;
}

/* As a lease has it by default: confined. */
static int setup(void **state)
{
    struct vmmfix *f = vmmfix_make(QEMU, VMM_TCG);
    if (f)
        f->spec.sandbox = true;
    *state = f;
    return f ? 0 : -1;
}

static int teardown(void **state)
{
    return vmmfix_drop(*state);
}

static int refuse_started(void *ctx, const struct proc_ref *proc, struct error *err)
{
    struct vmmfix *f = ctx;
    f->ref.proc = *proc;
    f->started++;
    return error_set(err, ERR_IO, ENOSPC, "write the record");
}

static void launch_ok(struct vmmfix *f)
{
    struct error err = ERROR_INIT;
    if (vmm_qemu.launch(&f->spec, &f->ref, vmmfix_on_started, f, &f->d, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(f->started, 1);
}

static void end_it(struct vmmfix *f)
{
    bool graceful = true;
    struct error err = ERROR_INIT;
    if (vmm_end(&f->ref, f->dirfd, 3600000, &f->d, &graceful, &err) < 0)
        fail_msg("%s", err.msg);
    assert_false(graceful);
    assert_false(proc_alive(&f->ref.proc));
}

static void launches_paused_and_ends(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    struct vmm_status st = {0};
    launch_ok(f);
    assert_string_equal(f->ref.backend, "qemu");
    assert_int_equal(f->ref.accel, VMM_TCG);
    assert_true(f->ref.version[0] >= '1' && f->ref.version[0] <= '9');
    assert_int_equal(vmm_qemu.status(&f->ref, f->dirfd, &f->d, &st, &err), 0);
    assert_true(st.process_alive);
    assert_string_equal(st.state, "not started");
    /* A guest that has not begun is not waited for, whatever grace it has. */
    end_it(f);
    assert_int_equal(vmm_qemu.status(&f->ref, f->dirfd, &f->d, &st, &err), 0);
    assert_false(st.process_alive);
    assert_string_equal(st.state, "gone");
    assert_int_equal(vmm_end(&f->ref, f->dirfd, 5000, &f->d, NULL, &err), 0);
}

/* A lease's kernel and root are named by descriptors: what was checked is what QEMU opens, though
 * other files have their names by now. */
static void opens_what_it_inherits(void **state)
{
    struct vmmfix *f = *state;
    char kernel[32], root[32];
    struct error err = ERROR_INIT;
    int kernel_fd = openat(f->dirfd, "vmlinux", O_RDONLY | O_CLOEXEC);
    int root_fd = openat(f->dirfd, "root,base=1.img", O_RDONLY | O_CLOEXEC);
    (void)str_format(kernel, sizeof kernel, "/proc/self/fd/%d", kernel_fd);
    (void)str_format(root, sizeof root, "/proc/self/fd/%d", root_fd);
    f->spec.kernel = kernel;
    f->spec.drives[0].path = root;
    f->spec.files[0] = kernel_fd;
    f->spec.files[1] = root_fd;
    f->spec.n_files = 2;
    assert_int_equal(renameat(f->dirfd, "vmlinux", f->dirfd, "old"), 0);
    assert_int_equal(file_write_new(f->dirfd, "vmlinux", "no", 2, 0644, NULL), 0);
    assert_int_equal(renameat(f->dirfd, "root,base=1.img", f->dirfd, "old.img"), 0);
    launch_ok(f);
    end_it(f);
    /* One that nothing names any more can't be mounted. */
    assert_int_equal(unlinkat(f->dirfd, "old", 0), 0);
    f->started = 0;
    assert_int_equal(vmm_qemu.launch(&f->spec, &f->ref, NULL, NULL, &f->d, &err), -1);
    assert_int_equal(err.kind, ERR_TRUST);
    assert_non_null(strstr(err.msg, "was removed or replaced meanwhile; next: run it again"));
    (void)close(kernel_fd);
    (void)close(root_fd);
}

static void boot_lets_it_run(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    struct vmm_status st = {0};
    launch_ok(f);
    if (vmm_qemu.boot(&f->ref, f->dirfd, &f->d, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(vmm_qemu.status(&f->ref, f->dirfd, &f->d, &st, &err), 0);
    assert_string_equal(st.state, "running");
    assert_int_equal(vmm_qemu.shutdown(&f->ref, f->dirfd, &f->d, &err), 0);
    bool graceful = true;
    assert_int_equal(vmm_end(&f->ref, f->dirfd, 200, &f->d, &graceful, &err), 0);
    assert_false(graceful); /* this kernel only halts */
    assert_false(proc_alive(&f->ref.proc));
}

/* The VMM is alone in a session, so a terminal's Ctrl-C can't reach it; its logs are private. */
static void stands_apart(void **state)
{
    struct vmmfix *f = *state;
    struct stat st;
    launch_ok(f);
    assert_int_equal(getsid(f->ref.proc.pid), f->ref.proc.pid);
    assert_int_equal(fstatat(f->dirfd, VMM_LOG, &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(fstatat(f->dirfd, VMM_CONSOLE_LOG, &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    end_it(f);
}

/* Whoever takes QEMU over finds no secret of the caller's in its memory. */
static void has_no_variable_of_ours(void **state)
{
    struct vmmfix *f = *state;
    char path[64];
    static const char want[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin\0LC_ALL=C";
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    struct error err = ERROR_INIT;
    assert_int_equal(setenv("DEPLOY_TOKEN", "hunter2", 1), 0);
    launch_ok(f);
    assert_int_equal(unsetenv("DEPLOY_TOKEN"), 0);
    (void)str_format(path, sizeof path, "/proc/%d/environ", (int)f->ref.proc.pid);
    assert_int_equal(file_read_at(AT_FDCWD, path, 65536, &text, &err), 0);
    assert_int_equal(text.len, sizeof want);
    assert_memory_equal(text.buf, want, sizeof want);
    end_it(f);
}

/* What QEMU says when it is told to open a file of the host: "" when it could. */
static void open_by_qemu(struct vmmfix *f, const char *path, bool writes, char *says, size_t size)
{
    struct error err = ERROR_INIT;
    _cleanup_(qmp_close) struct qmp q = QMP_INIT;
    _cleanup_json_ cJSON *node = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(node, "driver", "file");
    (void)cJSON_AddStringToObject(node, "node-name", "spy");
    (void)cJSON_AddStringToObject(node, "filename", path);
    (void)cJSON_AddBoolToObject(node, "read-only", !writes);
    if (writes) { /* as a drive has it, but for the lock, which the drive holds */
        (void)cJSON_AddStringToObject(node, "discard", "unmap");
        (void)cJSON_AddStringToObject(node, "locking", "off");
    }
    if (qmp_open(&q, f->dirfd, VMM_API_SOCK, &f->d, NULL, 0, &err) < 0)
        fail_msg("%s", err.msg);
    (void)qmp_execute(&q, "blockdev-add", node, &f->d, NULL, &err);
    (void)str_format(says, size, "%.*s", (int)size - 1, err.msg);
}

/* As if a guest had taken QEMU over and had it open what it likes. */
static void confined_qemu_reads_no_file_of_the_host(void **state)
{
    struct vmmfix *f = *state;
    char says[512];
    launch_ok(f);
    assert_true(f->ref.sandbox);
    open_by_qemu(f, "/etc/passwd", false, says, sizeof says);
    assert_non_null(strstr(says, "No such file or directory"));
    open_by_qemu(f, "/proc/1/environ", false, says, sizeof says);
    assert_non_null(strstr(says, "No such file or directory"));
    end_it(f);
    /* The same question to one that is not. */
    f->started = 0;
    f->spec.sandbox = false;
    launch_ok(f);
    assert_false(f->ref.sandbox);
    open_by_qemu(f, "/etc/passwd", false, says, sizeof says);
    assert_string_equal(says, "");
    end_it(f);
}

/* The keys and the record of a lease are one directory above. */
static void confined_qemu_reads_no_key_of_its_lease(void **state)
{
    struct vmmfix *f = *state;
    static const char text[512] = "key";
    char says[512];
    int lease = f->dirfd;
    assert_int_equal(file_write_new(lease, "key", text, sizeof text, 0644, NULL), 0);
    assert_int_equal(mkdirat(lease, VMM_DIR, 0700), 0);
    f->spec.dirfd = f->dirfd = vmm_dir_open(lease, NULL);
    assert_int_equal(renameat(lease, f->spec.kernel, f->dirfd, f->spec.kernel), 0);
    assert_int_equal(file_write_new(f->dirfd, "own", text, sizeof text, 0600, NULL), 0);
    f->spec.n_drives = 0;
    launch_ok(f);
    assert_int_equal(fchownat(f->dirfd, "own", f->ref.uid, f->ref.uid, 0), 0);
    open_by_qemu(f, "../key", false, says, sizeof says);
    assert_non_null(strstr(says, "No such file or directory"));
    open_by_qemu(f, "own", true, says, sizeof says);
    assert_string_equal(says, "");
    end_it(f);
    (void)close(f->dirfd);
    f->spec.dirfd = f->dirfd = lease;
}

/* What it only reads belongs to root. */
static void confined_qemu_writes_no_seed(void **state)
{
    struct vmmfix *f = *state;
    static const char text[512] = "seed";
    char says[512];
    assert_int_equal(file_write_new(f->dirfd, "seed", text, sizeof text, 0400, NULL), 0);
    f->spec.drives[f->spec.n_drives++] = (struct vmm_drive){"seed", "seed", true, false};
    launch_ok(f);
    open_by_qemu(f, "seed", true, says, sizeof says);
    assert_non_null(strstr(says, "Permission denied"));
    open_by_qemu(f, "seed", false, says, sizeof says);
    assert_string_equal(says, "");
    end_it(f);
}

/* The right to read programs would be one to read the keys of a lease among them. */
static void no_lease_lies_among_programs(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    int own = f->spec.dirfd;
    f->spec.dirfd = open("/usr/share", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct vmm_sandbox sandbox;
    assert_int_equal(vmm_sandbox_make(&f->spec, false, &sandbox, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.msg, "below /usr"));
    (void)close(f->spec.dirfd);
    f->spec.dirfd = own;
    error_clear(&err);
    assert_int_equal(vmm_sandbox_apart("/usr", &err), -1);
    error_clear(&err);
    assert_int_equal(vmm_sandbox_apart("/var/lib", &err), 0);
}

/* Nor does it make names there: as many files as it likes would take all inodes of the host. */
static void confined_qemu_makes_no_socket(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    struct stat st;
    static const char text[] =
        "{\"id\":\"more\",\"backend\":{\"type\":\"socket\",\"data\":{\"server\":true,"
        "\"wait\":false,\"addr\":{\"type\":\"unix\",\"data\":{\"path\":\"more\"}}}}}";
    _cleanup_json_ cJSON *args = json_parse(text, sizeof text - 1, "test", &err);
    _cleanup_(qmp_close) struct qmp q = QMP_INIT;
    launch_ok(f);
    if (qmp_open(&q, f->dirfd, VMM_API_SOCK, &f->d, NULL, 0, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(qmp_execute(&q, "chardev-add", args, &f->d, NULL, &err), -1);
    assert_int_equal(fstatat(f->dirfd, "more", &st, AT_SYMLINK_NOFOLLOW), -1);
    end_it(f);
}

/* Its only drive, one that it may write. */
static int give_disk(struct vmmfix *f, int64_t size)
{
    int fd = openat(f->dirfd, "disk", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    f->spec.drives[0] = (struct vmm_drive){"disk", "disk", false, false};
    f->spec.n_drives = 1;
    return fd;
}

/* The hard limit in a row of /proc/PID/limits; prlimit would need a capability. */
static long limit_of(const struct vmmfix *f, const char *row)
{
    char path[64];
    long soft = -1, hard = -1;
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    (void)str_format(path, sizeof path, "/proc/%d/limits", (int)f->ref.proc.pid);
    assert_int_equal(file_read_at(AT_FDCWD, path, 65536, &text, &err), 0);
    const char *at = strstr(text.buf, row);
    assert_non_null(at);
    (void)sscanf(at + strlen(row), "%ld %ld", &soft, &hard);
    return hard;
}

/* And as if it had it grow its disk: it has what was reserved for it and no more, nor a core. */
static void no_file_of_qemu_grows_beyond_its_disk(void **state)
{
    struct vmmfix *f = *state;
    const int64_t size = INT64_C(80) << 20;
    struct error err = ERROR_INIT;
    struct stat st;
    _cleanup_(qmp_close) struct qmp q = QMP_INIT;
    _cleanup_json_ cJSON *resize = cJSON_CreateObject();
    _cleanup_close_ int fd = give_disk(f, size);
    launch_ok(f);
    assert_int_equal(limit_of(f, "Max file size "), size);
    assert_in_range(limit_of(f, "Max core file size "), 0, 1);
    assert_in_range(limit_of(f, "Max pending signals "), 1, 1024);
    assert_in_range(limit_of(f, "Max open files "), 1, 512);
    assert_in_range(limit_of(f, "Max processes "), 1, 256);
    (void)cJSON_AddStringToObject(resize, "node-name", "disk");
    (void)cJSON_AddNumberToObject(resize, "size", 1099511627776.0);
    assert_int_equal(qmp_open(&q, f->dirfd, VMM_API_SOCK, &f->d, NULL, 0, &err), 0);
    assert_int_equal(qmp_execute(&q, "block_resize", resize, &f->d, NULL, &err), -1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, size);
    qmp_close(&q);
    end_it(f);
}

/* Nor smaller, which would look as if it needed less of the host. */
static void no_disk_of_qemu_shrinks(void **state)
{
    struct vmmfix *f = *state;
    const int64_t size = INT64_C(80) << 20;
    struct error err = ERROR_INIT;
    struct stat st;
    _cleanup_(qmp_close) struct qmp q = QMP_INIT;
    _cleanup_json_ cJSON *resize = cJSON_CreateObject();
    _cleanup_close_ int fd = give_disk(f, size);
    launch_ok(f);
    (void)cJSON_AddStringToObject(resize, "node-name", "disk");
    (void)cJSON_AddNumberToObject(resize, "size", 1048576.0);
    assert_int_equal(qmp_open(&q, f->dirfd, VMM_API_SOCK, &f->d, NULL, 0, &err), 0);
    assert_int_equal(qmp_execute(&q, "block_resize", resize, &f->d, NULL, &err), -1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, size);
    qmp_close(&q);
    end_it(f);
}

/* Has QEMU do what a guest would ask of its disk, on the node of open_by_qemu. */
static void disk_io(struct vmmfix *f, const char *command)
{
    struct error err = ERROR_INIT;
    _cleanup_(qmp_close) struct qmp q = QMP_INIT;
    _cleanup_json_ cJSON *args = cJSON_CreateObject();
    _cleanup_free_ char *line = xasprintf("qemu-io spy \"%s\"", command);
    (void)cJSON_AddStringToObject(args, "command-line", line);
    if (qmp_open(&q, f->dirfd, VMM_API_SOCK, &f->d, NULL, 0, &err) < 0 ||
        qmp_execute(&q, "human-monitor-command", args, &f->d, NULL, &err) < 0)
        fail_msg("%s", err.msg);
}

static int64_t blocks_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_blocks;
}

/* Our filter of calls is the only one, and takes neither discard nor zeroes away. */
static void confined_qemu_discards_and_zeroes(void **state)
{
    struct vmmfix *f = *state;
    char path[64], says[512], byte = 1;
    struct error err = ERROR_INIT;
    const int64_t mib = 2048; /* in blocks */
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_close_ int fd = give_disk(f, INT64_C(80) << 20);
    launch_ok(f);
    (void)str_format(path, sizeof path, "/proc/%d/status", (int)f->ref.proc.pid);
    assert_int_equal(file_read_at(AT_FDCWD, path, 65536, &text, &err), 0);
    assert_non_null(strstr(text.buf, "\nSeccomp_filters:\t1\n"));
    open_by_qemu(f, "disk", true, says, sizeof says);
    assert_string_equal(says, "");
    disk_io(f, "write -P 7 0 8M");
    disk_io(f, "flush");
    assert_true(blocks_of(fd) >= 8 * mib);
    disk_io(f, "write -z 0 1M");
    assert_int_equal(pread(fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 0);
    assert_int_equal(pread(fd, &byte, 1, 1 << 20), 1);
    assert_int_equal(byte, 7);
    disk_io(f, "discard 0 8M");
    assert_true(blocks_of(fd) < mib);
    end_it(f);
}

static void unwritten_record_runs_nothing(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    struct stat st;
    struct vmm_ref ref;
    assert_int_equal(vmm_qemu.launch(&f->spec, &ref, refuse_started, f, &f->d, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
    assert_non_null(strstr(err.msg, "write the record"));
    assert_int_equal(f->started, 1);
    assert_false(proc_alive(&f->ref.proc));
    assert_int_equal(fstatat(f->dirfd, VMM_LOG, &st, 0), 0);
    assert_int_equal(st.st_size, 0);
}

static void expect_failure(struct vmmfix *f, enum err_kind kind, const char *word)
{
    struct error err = ERROR_INIT;
    assert_int_equal(vmm_qemu.launch(&f->spec, &f->ref, vmmfix_on_started, f, &f->d, &err), -1);
    if (err.kind != kind || !strstr(err.msg, word))
        fail_msg("kind %s: %s", error_kind_name(err.kind), err.msg);
    assert_false(f->ref.proc.pid > 0 && proc_alive(&f->ref.proc));
}

static void missing_kernel_is_named(void **state)
{
    struct vmmfix *f = *state;
    f->spec.kernel = "no-such-kernel";
    expect_failure(f, ERR_VMM, "no-such-kernel");
}

static void missing_drive_is_named(void **state)
{
    struct vmmfix *f = *state;
    f->spec.drives[1].path = "no-such-drive";
    expect_failure(f, ERR_VMM, "no-such-drive");
}

static void missing_binary_is_named(void **state)
{
    struct vmmfix *f = *state;
    f->spec.binary = "/no/such/qemu";
    expect_failure(f, ERR_ENV, "/no/such/qemu");
}

static void accel_is_never_guessed(void **state)
{
    struct vmmfix *f = *state;
    f->spec.accel = VMM_ACCEL_UNSET;
    expect_failure(f, ERR_CONFIG, "accel");
    assert_int_equal(f->started, 0);
}

static void passed_deadline_leaves_nothing(void **state)
{
    struct vmmfix *f = *state;
    struct error err = ERROR_INIT;
    struct deadline now = deadline_in_ms(0);
    assert_int_equal(vmm_qemu.launch(&f->spec, &f->ref, vmmfix_on_started, f, &now, &err), -1);
    assert_int_equal(err.kind, ERR_TIMEOUT);
    assert_false(proc_alive(&f->ref.proc));
}

static void probe_tells_version(void **state)
{
    struct vmmfix *f = *state;
    char version[64];
    struct error err = ERROR_INIT;
    assert_int_equal(vmm_qemu.probe(QEMU, false, &f->d, version, sizeof version, &err), 0);
    assert_true(version[0] >= '1' && version[0] <= '9');
    assert_int_equal(vmm_firecracker.probe(QEMU, false, &f->d, version, sizeof version, &err), -1);
    assert_int_equal(err.kind, ERR_ENV);
    error_clear(&err);
    assert_int_equal(vmm_qemu.probe("/no/such/qemu", false, &f->d, version, sizeof version, &err),
                     -1);
    assert_int_equal(err.kind, ERR_ENV);
}

/* The jail has the program by each name that it has on the host. */
static void confined_program_is_found_through_links(void **state)
{
    struct vmmfix *f = *state;
    char version[64], path[128];
    static const char *const names[] = {"first", "current/qemu"};
    struct error err = ERROR_INIT;
    assert_int_equal(symlinkat("second", f->dirfd, "first"), 0);
    assert_int_equal(symlinkat(QEMU, f->dirfd, "second"), 0);
    assert_int_equal(mkdirat(f->dirfd, "v1", 0755), 0);
    assert_int_equal(symlinkat("v1", f->dirfd, "current"), 0);
    assert_int_equal(symlinkat("../second", f->dirfd, "v1/qemu"), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)str_format(path, sizeof path, "%s/%s", f->dir, names[i]);
        if (vmm_qemu.probe(path, true, &f->d, version, sizeof version, &err) < 0)
            fail_msg("%s: %s", names[i], err.msg);
    }
    (void)str_format(path, sizeof path, "%s", QEMU + strlen("/usr"));
    if (vmm_qemu.probe(path, true, &f->d, version, sizeof version, &err) < 0)
        fail_msg("%s: %s", path, err.msg);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(launches_paused_and_ends),
        T(opens_what_it_inherits),
        T(boot_lets_it_run),
        T(stands_apart),
        T(has_no_variable_of_ours),
        T(confined_qemu_reads_no_file_of_the_host),
        T(confined_qemu_reads_no_key_of_its_lease),
        T(confined_qemu_writes_no_seed),
        T(no_lease_lies_among_programs),
        T(confined_qemu_makes_no_socket),
        T(no_file_of_qemu_grows_beyond_its_disk),
        T(no_disk_of_qemu_shrinks),
        T(confined_qemu_discards_and_zeroes),
        T(unwritten_record_runs_nothing),
        T(missing_kernel_is_named),
        T(missing_drive_is_named),
        T(missing_binary_is_named),
        T(accel_is_never_guessed),
        T(passed_deadline_leaves_nothing),
        T(probe_tells_version),
        T(confined_program_is_found_through_links),
    };
    if (access(QEMU, X_OK) < 0 && missing("qemu-system-x86"))
        return 0;
    const char *lacks = vmmfix_enter();
    if (lacks && missing(lacks))
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
