#include "vmm/process.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "sys/file.h"

#define TAIL_MAX      400 /* what fits into an error message beside its own words */
#define DEATH_MS      300 /* from a closed socket to a process that shows as ended */
#define PROBE_OUT_MAX 4096

static int open_log(int dirfd, const char *name, struct error *err)
{
    int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open %s in the lease directory", name);
    return fd;
}

int vmm_process_start(const struct vmm_spec *spec, const char *const *argv, int stdin_fd,
                      bool console_on_stdout, struct vmm_ref *ref, vmm_started_fn *started,
                      void *ctx, struct child *child, struct error *err)
{
    _cleanup_close_ int console = open_log(spec->dirfd, VMM_CONSOLE_LOG, err);
    if (console < 0)
        return -1;
    _cleanup_close_ int log = open_log(spec->dirfd, VMM_LOG, err);
    if (log < 0)
        return -1;
    struct spawn_spec s = SPAWN_SPEC_INIT;
    s.argv = argv;
    s.stdin_fd = stdin_fd;
    s.stdout_fd = console_on_stdout ? console : log;
    s.stderr_fd = log;
    s.cwd_fd = spec->dirfd;
    s.netns_fd = spec->netns_fd;
    s.new_session = true;
    s.held = true;
    if (spawn(&s, child, err) < 0)
        return -1;
    if (proc_ref_of(child->pid, &ref->proc, err) < 0 ||
        (started && started(ctx, &ref->proc, err) < 0)) {
        /* Never released, so nothing of the program has run. */
        child_kill(child);
        return -1;
    }
    return spawn_release(child, spec->binary, err);
}

int vmm_process_explain(struct child *child, const struct vmm_spec *spec, const char *name,
                        vmm_exit_words_fn *words, struct error *err)
{
    struct exit_status st;
    struct deadline soon = deadline_in_ms(DEATH_MS);
    char text[128];
    _cleanup_strbuf_ struct strbuf tail = STRBUF_INIT;
    /* Neither the user's interrupt nor a refusal is explained by the process's end. */
    if (err->kind == ERR_CANCELLED || child->pid == 0)
        return -1;
    if (err->kind == ERR_TIMEOUT || err->kind == ERR_CONFIG)
        soon = deadline_in_ms(0);
    if (child_wait(child, &soon, &st, NULL) < 0)
        return -1;
    (void)exit_status_text(&st, text, sizeof text);
    const char *meaning = st.exited && words ? words(st.code) : NULL;
    vmm_log_tail(spec->dirfd, TAIL_MAX, &tail);
    error_clear(err);
    return error_set(err, ERR_VMM, 0, "%s ended while it was being configured: %s%s%s%s%s%s", name,
                     text, meaning ? " (" : "", meaning ? meaning : "", meaning ? ")" : "",
                     tail.len ? "\n" : "; its logs are empty", tail.buf);
}

/* The word after `prefix` on the first line, without a trailing '(' comment. */
static int version_word(const char *text, const char *prefix, char *version, size_t size)
{
    if (!str_has_prefix(text, prefix))
        return -1;
    const char *p = text + strlen(prefix);
    if (*p == 'v')
        p++;
    size_t n = strcspn(p, " \t\r\n");
    if (n == 0 || n >= size || !isdigit((unsigned char)*p))
        return -1;
    for (size_t i = 0; i < n; i++)
        if (!isgraph((unsigned char)p[i]))
            return -1;
    memcpy(version, p, n);
    version[n] = '\0';
    return 0;
}

int vmm_process_probe(const char *binary, const char *prefix, const struct deadline *d,
                      char *version, size_t size, struct error *err)
{
    const char *argv[] = {binary, "--version", NULL};
    struct spawn_spec s = SPAWN_SPEC_INIT;
    struct exit_status st;
    char how[128];
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    s.argv = argv;
    s.die_with_parent = true;
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
        return error_set(err, ERR_CONFIG, 0, "the root drive is one, and the first");
    return 0;
}

int vmm_spec_check(const struct vmm_spec *spec, struct error *err)
{
    if (!spec->accel || !*spec->accel)
        return error_set(err, ERR_CONFIG, 0,
                         "no accelerator is chosen: set accel to kvm (hardware) or tcg "
                         "(emulation, slow)");
    if (!str_eq(spec->accel, "kvm") && !str_eq(spec->accel, "tcg"))
        return error_set(err, ERR_CONFIG, 0, "accel \"%s\": kvm or tcg", spec->accel);
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
