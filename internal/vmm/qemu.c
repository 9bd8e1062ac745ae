/* qemu.c: runs a guest with QEMU, through QMP on a socket.
 *
 * The whole configuration is on the command line (qemu_config.c). launch makes the control socket,
 * starts QEMU with the guest paused, and then asks over QMP for accelerator, drives, processors and
 * memory, and compares the answers with the spec. boot sends `cont`.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "vmm/process.h"
#include "vmm/qemu_config.h"
#include "vmm/qmp.h"

static int probe(const char *binary, bool sandbox, const struct deadline *d, char *version,
                 size_t size, struct error *err)
{
    return vmm_process_probe(binary, "QEMU emulator version ", sandbox, d, version, size, err);
}

static const char *exit_words(int code)
{
    return code == 1 ? "it refused its command line or could not open a device or file" : NULL;
}

static int query(struct qmp *q, const char *command, const struct deadline *d, cJSON **reply,
                 struct error *err)
{
    return qmp_execute(q, command, NULL, d, reply, err);
}

/* It has no limiter for a character device, whatever its version. */
static int check_limits(const struct vmm_limits *l, const char *version, struct error *err)
{
    (void)version;
    if (!l->console_bytes)
        return 0;
    return error_set(err, ERR_CONFIG, 0,
                     "limits.consoleKiB: QEMU can't limit the guest's console; next: set "
                     "limits.consoleKiB to 0, or vmm to firecracker (1.16 or newer)");
}

static int compare_limits(struct qmp *q, const struct vmm_spec *spec, const struct deadline *d,
                          struct error *err)
{
    for (unsigned i = 0; i < spec->n_drives && qemu_limits_drives(&spec->limits); i++) {
        const char *id = spec->drives[i].id;
        _cleanup_free_ char *path = xasprintf("/objects/" QEMU_GROUP_PREFIX "%s", id);
        _cleanup_json_ cJSON *property = cJSON_CreateObject();
        _cleanup_json_ cJSON *limits = NULL;
        (void)cJSON_AddStringToObject(property, "path", path);
        (void)cJSON_AddStringToObject(property, "property", "limits");
        if (qmp_execute(q, "qom-get", property, d, &limits, err) < 0 ||
            qemu_check_limits(&spec->limits, id, limits, err) < 0)
            return -1;
    }
    return 0;
}

/* Asks QEMU for its settings and compares them with the spec. */
static int compare(struct qmp *q, const struct vmm_spec *spec, const struct deadline *d,
                   struct error *err)
{
    _cleanup_json_ cJSON *kvm = NULL;
    _cleanup_json_ cJSON *state = NULL;
    _cleanup_json_ cJSON *nodes = NULL;
    _cleanup_json_ cJSON *cpus = NULL;
    _cleanup_json_ cJSON *memory = NULL;
    _cleanup_json_ cJSON *flat = cJSON_CreateObject();
    (void)cJSON_AddBoolToObject(flat, "flat", true);
    if (query(q, "query-kvm", d, &kvm, err) < 0 || query(q, "query-status", d, &state, err) < 0 ||
        qmp_execute(q, "query-named-block-nodes", flat, d, &nodes, err) < 0 ||
        query(q, "query-cpus-fast", d, &cpus, err) < 0 ||
        query(q, "query-memory-size-summary", d, &memory, err) < 0)
        return -1;
    if (qemu_check_accel(spec, kvm, err) < 0 || qemu_check_paused(state, err) < 0 ||
        qemu_check_drives(spec, nodes, err) < 0)
        return -1;
    return qemu_check_size(spec, cpus, memory, err) < 0 ? -1 : compare_limits(q, spec, d, err);
}

static int connect_and_compare(const struct vmm_spec *spec, struct vmm_ref *ref,
                               const struct deadline *d, struct error *err)
{
    _cleanup_(qmp_close) struct qmp q = QMP_INIT;
    if (qmp_open(&q, spec->dirfd, VMM_API_SOCK, d, ref->version, sizeof ref->version, err) < 0)
        return -1;
    return compare(&q, spec, d, err);
}

/* The control socket already listens before QEMU exists, and QEMU inherits it as its stdin. So the
 * first connection need not wait, and it breaks at the moment when QEMU ends. */
static int start(const struct vmm_spec *spec, const struct qemu_args *args, struct vmm_ref *ref,
                 vmm_started_fn *started, void *ctx, struct child *child, struct error *err)
{
    const char *argv[QEMU_ARGS_MAX + 1] = {NULL};
    for (unsigned i = 0; i < args->n; i++)
        argv[i] = args->v[i];
    _cleanup_close_ int listener = qmp_listen(spec->dirfd, VMM_API_SOCK, err);
    if (listener < 0)
        return -1;
    return vmm_process_start(spec, argv, listener, 0, ref, started, ctx, child, err);
}

static int launch(const struct vmm_spec *spec, struct vmm_ref *ref, vmm_started_fn *started,
                  void *ctx, const struct deadline *d, struct error *err)
{
    _cleanup_(qemu_args_free) struct qemu_args args = {.n = 0};
    _cleanup_(child_kill) struct child child = CHILD_INIT;
    struct error why = ERROR_INIT;
    if (vmm_spec_check(spec, err) < 0 || check_limits(&spec->limits, "", err) < 0)
        return -1;
    *ref = (struct vmm_ref){.backend = "qemu", .accel = spec->accel};
    qemu_args_build(spec, &args);
    if (start(spec, &args, ref, started, ctx, &child, err) < 0)
        return -1;
    if (connect_and_compare(spec, ref, d, &why) < 0) {
        (void)vmm_process_explain(&child, spec, "QEMU", exit_words, &why);
        if (err)
            *err = why;
        return -1;
    }
    child_release(&child);
    return 0;
}

static int simple_command(int dirfd, const char *command, const struct deadline *d,
                          struct error *err)
{
    _cleanup_(qmp_close) struct qmp q = QMP_INIT;
    if (qmp_open(&q, dirfd, VMM_API_SOCK, d, NULL, 0, err) < 0)
        return -1;
    return qmp_execute(&q, command, NULL, d, NULL, err);
}

static int boot(const struct vmm_ref *ref, int dirfd, const struct deadline *d, struct error *err)
{
    struct error why = ERROR_INIT;
    if (simple_command(dirfd, "cont", d, &why) == 0)
        return 0;
    (void)vmm_process_explain_boot(ref, dirfd, "QEMU", exit_words, &why);
    if (err)
        *err = why;
    return -1;
}

static int shutdown_guest(const struct vmm_ref *ref, int dirfd, const struct deadline *d,
                          struct error *err)
{
    (void)ref;
    return simple_command(dirfd, "system_powerdown", d, err);
}

static int query_status(const struct vmm_ref *ref, int dirfd, const struct deadline *d,
                        struct vmm_status *out, struct error *err)
{
    _cleanup_(qmp_close) struct qmp q = QMP_INIT;
    _cleanup_json_ cJSON *reply = NULL;
    *out = (struct vmm_status){.process_alive = proc_alive(&ref->proc), .state = "gone"};
    if (!out->process_alive)
        return 0;
    (void)str_copy(out->state, sizeof out->state, "unknown");
    if (qmp_open(&q, dirfd, VMM_API_SOCK, d, NULL, 0, err) < 0 ||
        query(&q, "query-status", d, &reply, err) < 0)
        return -1;
    return str_copy(out->state, sizeof out->state,
                    qemu_state_word(json_opt_string(reply, "status", "")));
}

static const char *binary(const struct config *cfg)
{
    return cfg->qemu.binary;
}

/* The configuration accepts only these words. */
static enum vmm_accel accel(const struct config *cfg)
{
    enum vmm_accel a = VMM_ACCEL_UNSET;
    (void)vmm_accel_by_name(cfg->qemu.accel, &a, NULL);
    return a;
}

const struct vmm_backend vmm_qemu = {
    .name = "qemu",
    .binary_key = "qemu.binary",
    .binary = binary,
    .accel = accel,
    .install = "as root: apt-get install qemu-system-x86",
    .needs_pvh = true,
    .bus_option = "VIRTIO_PCI",
    .probe = probe,
    .check_limits = check_limits,
    .launch = launch,
    .boot = boot,
    .shutdown = shutdown_guest,
    .status = query_status,
    .off_words = "",
};
