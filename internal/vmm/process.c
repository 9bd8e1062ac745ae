/* process.c: starts a VMM's program, and explains why it ended.
 *
 * The child is held between fork and exec. Meanwhile its resource limits are set, it is put into
 * its control group, and `started` records it in the lease, so there is never a VMM that no record
 * names. cgroup_verify checks before exec that it is really in the group, because the kernel names
 * no group of a process that has ended. After exec, confine_verify checks that it is really
 * confined.
 *
 * When something fails, the explain functions ask whether the process has ended. If it has, its
 * exit code and the end of its logs are a better message than the broken connection.
 */
#include "vmm/process.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "sys/cgroup.h"
#include "sys/confine.h"
#include "sys/file.h"
#include "vmm/jailer.h"
#include "vmm/logcap.h"
#include "vmm/sandbox.h"

#define TAIL_MAX       400 /* the part of the logs that fits into an error message */
#define DEATH_MS       300 /* from the end of its socket to the end of the process */
#define PROBE_OUT_MAX  4096
#define FILE_LIMIT_MIN (4 * LOGCAP_SPAN) /* a log may pass its limit between two looks */
#define SIGNALS_MAX    1024
#define FILES_MAX      512
#define THREADS_MAX    256 /* 32 processors, and QEMU's 64 threads for its disks */

static int open_log(int dirfd, const char *name, struct error *err)
{
    struct stat st;
    _cleanup_close_ int fd = openat(dirfd, name,
                                    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "open %s in the VMM's directory", name);
    if (st.st_size == 0 && file_in_place(fd, name, err) < 0)
        return -1;
    return TAKE_FD(fd);
}

/* The largest size of a file that the VMM writes: that of its largest disk. So a VMM that was taken
 * over can't make its disk grow beyond the reserved space, or a log grow without end. Some
 * filesystems apply this limit only when a file is written; sys/confine.h prevents the other
 * ways. */
static rlim_t file_limit(const struct vmm_spec *spec)
{
    struct stat st;
    rlim_t max = FILE_LIMIT_MIN;
    for (unsigned i = 0; i < spec->n_drives; i++)
        if (!spec->drives[i].read_only && fstatat(spec->dirfd, spec->drives[i].path, &st, 0) == 0 &&
            (rlim_t)st.st_size > max)
            max = (rlim_t)st.st_size;
    return max;
}

/* Whether only the VMM's own threads count for its limit: those of its user, or since Linux 5.14
 * those that this user has in its user namespace. */
static bool counts_alone(const struct vmm_spec *spec, bool own_user)
{
    struct utsname u;
    unsigned major, minor;
    if (own_user || !spec->userns)
        return own_user;
    return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
           (major > 5 || (major == 5 && minor >= 14));
}

/* Sets limits for the held program. It can't raise them later, because that needs a capability. A
 * core dump would be as large as the guest's memory; a limit of 1 also keeps it from a program that
 * cores are piped to, which 0 does not (core(5)). Pending signals and threads are counted for all
 * processes of a user together (counts_alone). 32 processors and 4 drives need about 400
 * descriptors. */
static int limit_program(const struct vmm_spec *spec, bool own_user, pid_t pid, struct error *err)
{
    const struct {
        int resource;
        rlim_t max;
    } limits[] = {{RLIMIT_FSIZE, file_limit(spec)},
                  {RLIMIT_CORE, 1},
                  {RLIMIT_SIGPENDING, SIGNALS_MAX},
                  {RLIMIT_NOFILE, FILES_MAX},
                  {RLIMIT_NPROC, THREADS_MAX}};
    size_t n = ARRAY_LEN(limits) - !counts_alone(spec, own_user);
    for (size_t i = 0; i < n; i++) {
        struct rlimit now, lower;
        if (prlimit(pid, (__rlimit_resource_t)limits[i].resource, NULL, &now) < 0)
            return error_set(err, ERR_ENV, errno, "look at the limits of %s", spec->binary);
        rlim_t max = now.rlim_max < limits[i].max ? now.rlim_max : limits[i].max;
        lower = (struct rlimit){max, max};
        if (prlimit(pid, (__rlimit_resource_t)limits[i].resource, &lower, NULL) < 0)
            return error_set(err, ERR_ENV, errno, "limit what %s may take", spec->binary);
    }
    return 0;
}

bool vmm_process_is_ending(const struct proc_ref *proc)
{
    struct deadline soon = deadline_in_ms(DEATH_MS);
    struct error why = ERROR_INIT;
    _cleanup_close_ int pidfd = proc_open(proc, &why);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    if (pidfd < 0)
        return why.kind == ERR_NOT_RUNNING;
    return deadline_poll_once(&p, 1, &soon, "the VMM", NULL) > 0;
}

/* `confined`: how it was started. Not an error if the process has ended: the backend sees
 * that next, and tells why. */
static int verify(const struct spawn_spec *confined, const struct proc_ref *proc, struct error *err)
{
    struct error why = ERROR_INIT;
    if (confine_verify(proc->pid, confined, &why) == 0 || vmm_process_is_ending(proc))
        return 0;
    if (err)
        *err = why;
    return -1;
}

int vmm_process_start(const struct vmm_spec *spec, const char *const *argv, int stdin_fd,
                      unsigned ways, struct vmm_ref *ref, vmm_started_fn *started, void *ctx,
                      struct child *child, struct error *err)
{
    _cleanup_close_ int console = open_log(spec->dirfd, VMM_CONSOLE_LOG, err);
    if (console < 0)
        return -1;
    _cleanup_close_ int log = open_log(spec->dirfd, VMM_LOG, err);
    if (log < 0)
        return -1;
    _cleanup_(vmm_sandbox_close) struct vmm_sandbox sandbox = VMM_SANDBOX_INIT;
    bool apart = spec->sandbox || spec->jailer;
    if (apart && vmm_sandbox_make(spec, stdin_fd < 0, &sandbox, err) < 0)
        return -1;
    _cleanup_(jailer_args_free) struct jailer_args by_jailer = {.n = 0};
    if (spec->jailer)
        jailer_args_build(spec, sandbox.user.uid, file_limit(spec), FILES_MAX, argv, &by_jailer);
    struct spawn_spec s = SPAWN_SPEC_INIT;
    s.argv = spec->jailer ? by_jailer.v : argv;
    s.no_holes = spec->no_holes;
    s.stdin_fd = stdin_fd;
    s.stdout_fd = ways & VMM_PRINTS_CONSOLE ? console : log;
    s.own_filters = ways & VMM_FILTERS_ITSELF;
    s.stderr_fd = log;
    s.cwd_fd = spec->dirfd;
    s.netns_fd = spec->netns_fd;
    s.userns_fd = spec->userns ? spec->userns->user_fd : -1;
    s.files = spec->files;
    s.n_files = spec->n_files;
    s.new_session = true;
    s.held = true;
    if (apart)
        vmm_sandbox_use(&sandbox, &s);
    if (spawn(&s, child, err) < 0)
        return -1;
    bool grouped = spec->cgroup && *spec->cgroup;
    if (limit_program(spec, sandbox.uid_fd >= 0, child->pid, err) < 0 ||
        (grouped && cgroup_enter(spec->cgroup, child->pid, err) < 0) ||
        proc_ref_of(child->pid, &ref->proc, err) < 0 ||
        (started && started(ctx, &ref->proc, err) < 0) ||
        (grouped && cgroup_verify(spec->cgroup, child->pid, spec->cgroup_partly, err) < 0)) {
        /* It was never released, so the program has not run at all. */
        child_kill(child);
        return -1;
    }
    if (spawn_release(child, spec->binary, err) < 0)
        return -1;
    ref->uid = sandbox.host.uid;
    bool ours = spec->sandbox && !spec->jailer;
    s.user = s.user ? &sandbox.host : NULL; /* which is what the kernel tells us */
    if (ours && verify(&s, &ref->proc, err) < 0) {
        child_kill(child);
        return -1;
    }
    ref->sandbox = ours;
    return 0;
}

/* The message for a process that has ended. */
static int say_ended(const char *name, const char *doing, const struct exit_status *st,
                     vmm_exit_words_fn *words, int dirfd, struct error *err)
{
    char text[128] = "";
    _cleanup_strbuf_ struct strbuf tail = STRBUF_INIT;
    const char *meaning = st && st->exited && words ? words(st->code) : NULL;
    vmm_log_tail(dirfd, TAIL_MAX, &tail);
    text_flatten(&tail, COMPLAINT_MAX);
    if (st)
        (void)exit_status_text(st, text, sizeof text);
    error_clear(err);
    return error_set(err, ERR_VMM, 0, "%s ended while it was %s%s%s%s%s%s%s%s", name, doing,
                     st ? ": " : "", text, meaning ? " (" : "", meaning ? meaning : "",
                     meaning ? ")" : "", tail.len ? "; " : "; its logs are empty", tail.buf);
}

/* How long to wait for the end of the process: not at all if the failure has another reason. */
static struct deadline death_wait(const struct error *err)
{
    bool other = err->kind == ERR_TIMEOUT || err->kind == ERR_CONFIG;
    return deadline_in_ms(other ? 0 : DEATH_MS);
}

int vmm_process_explain(struct child *child, const struct vmm_spec *spec, const char *name,
                        vmm_exit_words_fn *words, struct error *err)
{
    struct exit_status st;
    struct deadline soon = death_wait(err);
    /* The end of the process does not explain an interrupt by the user. */
    if (err->kind == ERR_CANCELLED || child->pid == 0)
        return -1;
    if (child_wait(child, &soon, &st, NULL) < 0)
        return -1;
    return say_ended(name, "being configured", &st, words, spec->dirfd, err);
}

/* How a dead child ended. It is not reaped here. False if it is not our child or was reaped
 * before. */
static bool peek_status(pid_t pid, struct exit_status *st)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != pid)
        return false;
    *st = (struct exit_status){.exited = info.si_code == CLD_EXITED,
                               .signalled = info.si_code != CLD_EXITED,
                               .code = info.si_code == CLD_EXITED ? info.si_status : 0,
                               .signal = info.si_code == CLD_EXITED ? 0 : info.si_status};
    return true;
}

int vmm_process_explain_boot(const struct vmm_ref *ref, int dirfd, const char *name,
                             vmm_exit_words_fn *words, struct error *err)
{
    struct exit_status st;
    if (!err || err->kind == ERR_CANCELLED)
        return -1;
    struct deadline soon = death_wait(err);
    _cleanup_close_ int pidfd = proc_open(&ref->proc, NULL);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    if (pidfd >= 0 && deadline_poll_once(&p, 1, &soon, name, NULL) < 0)
        return -1; /* it is alive, so the message stays as it is */
    bool known = peek_status(ref->proc.pid, &st);
    return say_ended(name, "starting the guest", known ? &st : NULL, words, dirfd, err);
}

/* The word after `prefix` on the first line, without a trailing '(' comment. */
static int version_word(const char *text, const char *prefix, char *version, size_t size)
{
    if (!str_has_prefix(text, prefix))
        return -1;
    const char *p = text + strlen(prefix);
    if (*p == 'v')
        p++;
    size_t at, n = strcspn(p, " \t\r\n");
    if (n == 0 || n >= size || !isdigit((unsigned char)*p))
        return -1;
    if (!text_ok(p, n, false, &at))
        return -1;
    memcpy(version, p, n);
    version[n] = '\0';
    return 0;
}

int vmm_process_probe(const char *binary, const char *prefix, bool sandbox,
                      const struct deadline *d, char *version, size_t size, struct error *err)
{
    const char *argv[] = {binary, "--version", NULL};
    struct spawn_spec s = SPAWN_SPEC_INIT;
    struct exit_status st;
    char how[128];
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    _cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(vmm_sandbox_close) struct vmm_sandbox confined = VMM_SANDBOX_INIT;
    if (sandbox && vmm_sandbox_probe(binary, &confined, err) < 0)
        return -1;
    s.argv = argv;
    s.cwd_fd = root;
    s.die_with_parent = !sandbox; /* a confined one can't see its parent */
    if (sandbox)
        vmm_sandbox_use(&confined, &s);
    if (spawn_run(&s, d, PROBE_OUT_MAX, &out, NULL, &st, err) < 0)
        return -1;
    if (!st.exited || st.code != 0)
        return error_set(err, ERR_ENV, 0, "%s --version: %s", binary,
                         exit_status_text(&st, how, sizeof how));
    if (version_word(out.buf, prefix, version, size) < 0)
        return error_set(err, ERR_ENV, 0,
                         "%s --version does not answer \"%s…\": is it the right program?", binary,
                         prefix);
    return 0;
}

static bool id_ok(const char *s, size_t max, char extra)
{
    size_t n = s ? strlen(s) : 0;
    if (n == 0 || n > max)
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != extra)
            return false;
    return true;
}

static int check_drives(const struct vmm_spec *spec, struct error *err)
{
    unsigned roots = 0;
    if (spec->n_drives > VMM_DRIVES_MAX)
        return error_set(err, ERR_CONFIG, 0, "at most %d drives", VMM_DRIVES_MAX);
    for (unsigned i = 0; i < spec->n_drives; i++) {
        const struct vmm_drive *drive = &spec->drives[i];
        if (!id_ok(drive->id, 20, '_'))
            return error_set(err, ERR_CONFIG, 0, "drive id \"%s\": letters, digits and _ only",
                             drive->id ? drive->id : "");
        if (!drive->path || !*drive->path)
            return error_set(err, ERR_CONFIG, 0, "drive %s has no file", drive->id);
        for (unsigned j = 0; j < i; j++)
            if (str_eq(drive->id, spec->drives[j].id))
                return error_set(err, ERR_CONFIG, 0, "two drives are called %s", drive->id);
        roots += drive->root;
    }
    if (roots > 1 || (roots == 1 && !spec->drives[0].root))
        return error_set(err, ERR_CONFIG, 0,
                         "there must be one root drive, and it must be the first");
    return 0;
}

int vmm_spec_check(const struct vmm_spec *spec, struct error *err)
{
    if (spec->accel == VMM_ACCEL_UNSET)
        return error_set(err, ERR_CONFIG, 0,
                         "no accelerator is chosen: set accel to kvm (hardware) or tcg "
                         "(emulation, slow)");
    if (!spec->binary || !*spec->binary)
        return error_set(err, ERR_CONFIG, 0, "the VMM's binary is not set");
    if (!id_ok(spec->vm_id, 64, '-'))
        return error_set(err, ERR_CONFIG, 0, "VM id \"%s\": 1 to 64 letters, digits and -",
                         spec->vm_id ? spec->vm_id : "");
    if (!spec->kernel || !*spec->kernel)
        return error_set(err, ERR_CONFIG, 0, "no kernel is set");
    if (spec->cpus < 1 || spec->cpus > 32)
        return error_set(err, ERR_CONFIG, 0, "%u CPUs: 1 to 32 are possible", spec->cpus);
    if (spec->memory_mib < 32)
        return error_set(err, ERR_CONFIG, 0, "%u MiB of memory is too little", spec->memory_mib);
    return check_drives(spec, err);
}
