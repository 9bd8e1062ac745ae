#include "vmm/vmm.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"

#define ASK_MS 2000 /* for the VMM to accept the request; the guest's own time comes after it */

static const struct vmm_backend *const backends[] = {&vmm_firecracker, &vmm_qemu};

const struct vmm_backend *vmm_backend_by_name(const char *name, struct error *err)
{
    if (!name || !*name)
        return error_null(err, ERR_CONFIG, 0, "no VMM is chosen: set vmm to firecracker or qemu");
    for (size_t i = 0; i < ARRAY_LEN(backends); i++)
        if (str_eq(backends[i]->name, name))
            return backends[i];
    return error_null(err, ERR_CONFIG, 0, "VMM \"%s\" is unknown: firecracker or qemu", name);
}

int vmm_dir_open(int lease_fd, struct error *err)
{
    int fd = openat(lease_fd, VMM_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        fd = fcntl(lease_fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0)
        return fd;
    if (errno == ENOTDIR)
        return error_set(err, ERR_STATE, ENOTDIR,
                         "open the directory " VMM_DIR
                         " of the lease, which was replaced; next: end the lease by crabbox-fc "
                         "stop");
    return error_set(err, ERR_IO, errno, "open the directory " VMM_DIR " of the lease");
}

/* Asks the guest to shut down and waits. True if the process ended by itself; after an error it has
 * to be killed. */
static bool end_gracefully(const struct vmm_ref *ref, int dirfd, int pidfd, int64_t grace_ms,
                           const struct deadline *d)
{
    struct error why = ERROR_INIT;
    struct vmm_status now = {0};
    struct deadline grace = deadline_sub(d, grace_ms);
    struct deadline ask = deadline_sub(&grace, ASK_MS);
    const struct vmm_backend *b = vmm_backend_by_name(ref->backend, &why);
    if (!b || grace_ms <= 0)
        return false;
    /* A guest that was not started, or is paused, can't answer. */
    if (b->status(ref, dirfd, &ask, &now, &why) < 0 || !str_eq(now.state, "running") ||
        b->shutdown(ref, dirfd, &ask, &why) < 0) {
        log_debug("no graceful end of process %d: %s", (int)ref->proc.pid,
                  error_is_set(&why) ? why.msg : now.state);
        return false;
    }
    return pidfd_wait(pidfd, &grace, &why) == 0;
}

int vmm_end(const struct vmm_ref *ref, int dirfd, int64_t grace_ms, const struct deadline *d,
            bool *graceful, struct error *err)
{
    struct error gone = ERROR_INIT;
    bool ignored;
    if (!graceful)
        graceful = &ignored;
    *graceful = false;
    if (ref->proc.pid <= 0)
        return 0;
    _cleanup_close_ int pidfd = proc_open(&ref->proc, &gone);
    if (pidfd < 0) {
        if (gone.kind == ERR_NOT_RUNNING)
            return 0;
        if (err)
            *err = gone;
        return -1;
    }
    if (end_gracefully(ref, dirfd, pidfd, grace_ms, d)) {
        *graceful = true;
        return 0;
    }
    if (pidfd_signal(pidfd, SIGKILL, err) < 0)
        return -1;
    /* Wait for the end of a killed process even if the user interrupts now, or if the guest's time
     * has used up the deadline. */
    struct deadline after_kill = deadline_in_ms(10000);
    return pidfd_wait(pidfd, &after_kill, err);
}

static const char *const accel_names[] = {
    [VMM_ACCEL_UNSET] = "", [VMM_KVM] = "kvm", [VMM_TCG] = "tcg"};

const char *vmm_accel_name(enum vmm_accel a)
{
    return accel_names[a];
}

int vmm_accel_by_name(const char *name, enum vmm_accel *out, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(accel_names); i++)
        if (str_eq(name, accel_names[i])) {
            *out = (enum vmm_accel)i;
            return 0;
        }
    return error_set(err, ERR_CONFIG, 0, "accel \"%s\": kvm or tcg", SHOWN(name));
}

cJSON *vmm_ref_to_json(const struct vmm_ref *ref)
{
    cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(j, "backend", ref->backend);
    (void)cJSON_AddStringToObject(j, "accel", vmm_accel_name(ref->accel));
    (void)cJSON_AddStringToObject(j, "version", ref->version);
    if (ref->sandbox)
        (void)cJSON_AddBoolToObject(j, "sandbox", true);
    if (ref->jailer)
        (void)cJSON_AddBoolToObject(j, "jailer", true);
    proc_ref_add_json(j, &ref->proc);
    return j;
}

int vmm_ref_from_json(const cJSON *j, struct vmm_ref *out, struct error *err)
{
    struct vmm_ref ref = {0};
    const char *accel;
    if (!cJSON_IsObject(j))
        return error_set(err, ERR_STATE, 0, "the VMM's record is not an object");
    if (json_copy_string(j, "backend", ref.backend, sizeof ref.backend, err) < 0 ||
        json_get_string(j, "accel", &accel, err) < 0 ||
        json_copy_string(j, "version", ref.version, sizeof ref.version, err) < 0 ||
        proc_ref_from_json(j, &ref.proc, err) < 0)
        return -1;
    if (vmm_accel_by_name(accel, &ref.accel, NULL) < 0)
        return error_set(err, ERR_STATE, 0, "unknown accel \"%s\"", SHOWN(accel));
    ref.sandbox = json_opt_bool(j, "sandbox", false);
    ref.jailer = json_opt_bool(j, "jailer", false);
    *out = ref;
    return 0;
}

/* The guest decides what is in a log, so it is cleaned. */
static void add_plain(struct strbuf *out, const char *text, size_t len)
{
    text_add_lines(out, text, len);
    if (out->len && out->buf[out->len - 1] != '\n')
        strbuf_addc(out, '\n');
}

/* Adds the end of one file, from the beginning of a line. */
static void add_tail(int dirfd, const char *name, size_t max, struct strbuf *out)
{
    struct stat st;
    _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 || max == 0)
        return;
    size_t want = (uint64_t)st.st_size < max ? (size_t)st.st_size : max;
    _cleanup_free_ char *text = xcalloc(1, want);
    ssize_t n = pread(fd, text, want, st.st_size - (off_t)want);
    if (n <= 0)
        return;
    const char *p = text;
    size_t len = (size_t)n;
    const char *nl = memchr(p, '\n', len);
    if ((uint64_t)st.st_size > want && nl && nl + 1 < text + len) {
        len -= (size_t)(nl + 1 - p);
        p = nl + 1;
    }
    strbuf_addf(out, "%s:\n", name);
    add_plain(out, p, len);
}

void vmm_log_tail(int dirfd, size_t max, struct strbuf *out)
{
    add_tail(dirfd, VMM_LOG, max, out);
    add_tail(dirfd, VMM_CONSOLE_LOG, max, out);
}
