/* firecracker.c: runs a guest with Firecracker, through its HTTP API on a socket.
 *
 * launch starts the program and waits until its socket exists and answers. Then configure sends
 * each part of the configuration in a request of its own, reads the whole configuration back, and
 * compares it (firecracker_config.c). boot is one more request. Later requests open a new
 * connection each, so any process can make them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "http/http.h"
#include "sys/confine.h"
#include "sys/file.h"
#include "vmm/firecracker_config.h"
#include "vmm/jailer.h"
#include "vmm/process.h"
#include "vmm/sandbox.h"

#define SERIAL_SINCE_MAJOR 1
#define SERIAL_SINCE_MINOR 14
#define LIMIT_SINCE_MINOR  16 /* of the console, of the same major version */

/* Exit codes as Firecracker documents them. */
static const char *exit_words(int code)
{
    static const struct {
        int code;
        const char *words;
    } known[] = {
        {1, "error; the log says which"},
        {148, "killed by its seccomp filter"},
        {149, "bus error: out of memory or disk, or a truncated file"},
        {150, "segmentation fault"},
        {151, "resource limit on file size or CPU time"},
        {152, "bad configuration"},
        {153, "bad command line: is this Firecracker too old?"},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].code == code)
            return known[i].words;
    return NULL;
}

static int probe(const char *binary, bool sandbox, const struct deadline *d, char *version,
                 size_t size, struct error *err)
{
    return vmm_process_probe(binary, "Firecracker ", sandbox, d, version, size, err);
}

/* An older one drops what it doesn't know of the console, or refuses it. */
static int check_limits(const struct vmm_limits *l, const char *version, struct error *err)
{
    struct fc_version v;
    if (!l->console_bytes || !*version)
        return 0;
    if (fc_version_parse(version, &v, err) < 0)
        return -1;
    if (fc_version_at_least(v, SERIAL_SINCE_MAJOR, LIMIT_SINCE_MINOR))
        return 0;
    return error_set(err, ERR_ENV, 0,
                     "limits.consoleKiB: Firecracker %s can't limit the guest's console; next: "
                     "install Firecracker 1.16 or newer, or set limits.consoleKiB to 0",
                     version);
}

/* The reason for a refusal. It is in another member if Firecracker could not read the request at
 * all. */
static const char *refusal(const cJSON *answer)
{
    const char *why = json_opt_string(answer, "fault_message", NULL);
    return why ? why : json_opt_string(answer, "error", "no reason given");
}

/* One request whose status must be 2xx. The reply (may be NULL) is the caller's. */
static int call(struct http_client *c, const char *method, const char *path, const cJSON *body,
                const struct deadline *d, cJSON **reply, struct error *err)
{
    int status = 0;
    _cleanup_json_ cJSON *answer = NULL;
    if (http_json(c, method, path, body, d, &status, &answer, err) < 0)
        return -1;
    if (status < 200 || status > 299)
        return error_set(err, ERR_VMM, 0, "Firecracker refused %s %s with status %d: %.600s",
                         method, path, status, refusal(answer));
    if (reply)
        *reply = TAKE_PTR(answer);
    return 0;
}

static int put(struct http_client *c, const char *path, const cJSON *body, const struct deadline *d,
               struct error *err)
{
    return call(c, "PUT", path, body, d, NULL, err);
}

/* --- waiting for the socket --- */

#define LOOK_MS 5 /* between looks if there are no events */

/* Watches the VMM's directory. Called before the program starts, so that no event is missed. -1 if
 * the user has no inotify instance left (128 by default, and each keeper has one). */
static int watch_directory(int dirfd)
{
    char path[64];
    _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    (void)str_format(path, sizeof path, "/proc/self/fd/%d", dirfd);
    if (fd < 0 || inotify_add_watch(fd, path, IN_CREATE | IN_MOVED_TO) < 0)
        return -1;
    return TAKE_FD(fd);
}

static void drain_watch(int fd)
{
    char events[4096];
    while (fd >= 0 && read(fd, events, sizeof events) > 0)
        ;
}

/* Waits until something happens in the directory or to the process; without a watch, for a
 * moment. */
static int wait_for_event(int watch, const struct child *child, const struct deadline *d,
                          struct error *err)
{
    struct pollfd p[2] = {{.fd = watch, .events = POLLIN}, {.fd = child->pidfd, .events = POLLIN}};
    struct deadline moment = deadline_sub(d, watch < 0 ? LOOK_MS : INT32_MAX);
    struct error why = ERROR_INIT;
    int r = deadline_poll(p, 2, &moment, "Firecracker's API socket", &why);
    if (r < 0 && !(watch < 0 && why.kind == ERR_TIMEOUT && !deadline_passed(d))) {
        *err = why;
        return -1;
    }
    if (r > 0 && p[1].revents)
        return error_set(err, ERR_VMM, 0, "Firecracker ended before it opened its API socket");
    drain_watch(watch);
    return 0;
}

/* Waits until the socket exists or the process has ended. */
static int wait_socket(int watch, const struct child *child, int dirfd, const struct deadline *d,
                       struct error *err)
{
    struct stat st;
    while (fstatat(dirfd, VMM_API_SOCK, &st, AT_SYMLINK_NOFOLLOW) < 0)
        if (wait_for_event(watch, child, d, err) < 0)
            return -1;
    return 0;
}

/* Makes the first request. The socket appears at bind, but accepts connections only after listen,
 * some microseconds later, and there is no event for that. So a refused connection is tried again
 * after a short wait on the process. */
static int first_call(struct http_client *c, const struct child *child, const struct deadline *d,
                      cJSON **reply, struct error *err)
{
    for (;;) {
        struct error why = ERROR_INIT;
        if (call(c, "GET", "/version", NULL, d, reply, &why) == 0)
            return 0;
        if (why.sys != ECONNREFUSED || deadline_passed(d)) {
            *err = why;
            return -1;
        }
        struct pollfd p = {.fd = child->pidfd, .events = POLLIN};
        struct deadline soon = deadline_sub(d, 1);
        struct error ended = ERROR_INIT;
        if (deadline_poll_once(&p, 1, &soon, "Firecracker's API socket", &ended) > 0 ||
            ended.kind == ERR_CANCELLED) {
            *err = ended.kind ? ended : why;
            return -1;
        }
    }
}

static int read_version(struct http_client *c, const struct child *child, const struct deadline *d,
                        struct vmm_ref *ref, struct fc_version *v, struct error *err)
{
    _cleanup_json_ cJSON *reply = NULL;
    if (first_call(c, child, d, &reply, err) < 0)
        return -1;
    const char *text = json_opt_string(reply, "firecracker_version", "");
    if (fc_version_parse(text, v, err) < 0)
        return -1;
    if (str_copy(ref->version, sizeof ref->version, text) < 0)
        return error_set(err, ERR_VMM, 0, "Firecracker's version is too long: %.80s", text);
    return 0;
}

/* --- configuration --- */

static int put_logger(struct http_client *c, const struct vmm_spec *spec, const struct deadline *d,
                      struct error *err)
{
    _cleanup_json_ cJSON *body = cJSON_CreateObject();
    _cleanup_free_ char *path = fc_path(spec, VMM_LOG);
    (void)cJSON_AddStringToObject(body, "log_path", path);
    (void)cJSON_AddStringToObject(body, "level", "Info");
    (void)cJSON_AddBoolToObject(body, "show_level", true);
    return put(c, "/logger", body, d, err);
}

/* Firecracker writes this file from its beginning and does not append. So the start-up lines that
 * it printed on stdout before are removed first (the log has them, too). */
static int put_serial(struct http_client *c, const struct vmm_spec *spec, const struct deadline *d,
                      struct error *err)
{
    _cleanup_json_ cJSON *body = cJSON_CreateObject();
    _cleanup_close_ int fd = openat(spec->dirfd, VMM_CONSOLE_LOG,
                                    O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "empty %s", VMM_CONSOLE_LOG);
    _cleanup_free_ char *path = fc_path(spec, VMM_CONSOLE_LOG);
    (void)cJSON_AddStringToObject(body, "serial_out_path", path);
    if (spec->limits.console_bytes)
        (void)cJSON_AddItemToObject(body, "rate_limiter", fc_bucket(spec->limits.console_bytes));
    return put(c, "/serial", body, d, err);
}

/* Puts every entry of a list below its own path: /drives/<id>. */
static int put_list(struct http_client *c, const cJSON *intent, const char *list, const char *id,
                    const struct deadline *d, struct error *err)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(intent, list))
    {
        _cleanup_free_ char *path = xasprintf("/%s/%s", list, json_opt_string(e, id, ""));
        if (put(c, path, e, d, err) < 0)
            return -1;
    }
    return 0;
}

static int put_object(struct http_client *c, const cJSON *intent, const char *name,
                      const struct deadline *d, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("/%s", name);
    return put(c, path, cJSON_GetObjectItemCaseSensitive(intent, name), d, err);
}

/* Sends the whole configuration, and then reads it back and compares. */
static int configure(struct http_client *c, const struct vmm_spec *spec, struct fc_version v,
                     const struct deadline *d, struct error *err)
{
    _cleanup_json_ cJSON *intent = fc_intent(spec, err);
    _cleanup_json_ cJSON *actual = NULL;
    if (!intent || put_logger(c, spec, d, err) < 0)
        return -1;
    if (fc_version_at_least(v, SERIAL_SINCE_MAJOR, SERIAL_SINCE_MINOR) &&
        put_serial(c, spec, d, err) < 0)
        return -1;
    if (put_object(c, intent, "machine-config", d, err) < 0 ||
        put_object(c, intent, "boot-source", d, err) < 0 ||
        put_list(c, intent, "drives", "drive_id", d, err) < 0 ||
        put_list(c, intent, "network-interfaces", "iface_id", d, err) < 0 ||
        put_object(c, intent, "entropy", d, err) < 0)
        return -1;
    if (call(c, "GET", "/vm/config", NULL, d, &actual, err) < 0)
        return -1;
    return fc_compare(intent, actual, err);
}

static int connect_and_configure(const struct vmm_spec *spec, struct vmm_ref *ref, int watch,
                                 const struct child *child, const struct deadline *d,
                                 struct error *err)
{
    struct fc_version v;
    /* Opened first, so that it takes its time while Firecracker starts. */
    _cleanup_(cleanup_http_client) struct http_client *c = http_open(spec->dirfd, VMM_API_SOCK,
                                                                     err);
    if (!c || wait_socket(watch, child, spec->dirfd, d, err) < 0 ||
        vmm_sandbox_bound(spec, err) < 0 ||
        (spec->jailer && jailer_verify(child->pid, ref->uid, spec, err) < 0) ||
        read_version(c, child, d, ref, &v, err) < 0 ||
        check_limits(&spec->limits, ref->version, err) < 0)
        return -1;
    return configure(c, spec, v, d, err);
}

static int launch(const struct vmm_spec *spec, struct vmm_ref *ref, vmm_started_fn *started,
                  void *ctx, const struct deadline *d, struct error *err)
{
    /* Its jailer passes the id on. */
    _cleanup_free_ char *sock = fc_path(spec, VMM_API_SOCK);
    const char *argv[] = {spec->binary, "--api-sock", sock, spec->jailer ? NULL : "--id",
                          spec->vm_id,  NULL};
    _cleanup_(child_kill) struct child child = CHILD_INIT;
    struct error why = ERROR_INIT;
    if (vmm_spec_check(spec, err) < 0)
        return -1;
    if (spec->accel != VMM_KVM)
        return error_set(err, ERR_CONFIG, 0,
                         "Firecracker needs accel kvm; for emulation (%s) choose vmm qemu",
                         vmm_accel_name(spec->accel));
    /* Errors such as a command line that is too long are found before anything runs. */
    _cleanup_json_ cJSON *intent = fc_intent(spec, err);
    if (!intent || file_unlink(spec->dirfd, VMM_API_SOCK, err) < 0)
        return -1;
    _cleanup_(fd_close_aside) int watch = watch_directory(spec->dirfd);
    *ref = (struct vmm_ref){.backend = "firecracker", .accel = VMM_KVM};
    if (vmm_process_start(spec, argv, -1, VMM_PRINTS_CONSOLE | VMM_FILTERS_ITSELF, ref, started,
                          ctx, &child, err) < 0)
        return -1;
    if (connect_and_configure(spec, ref, watch, &child, d, &why) < 0) {
        (void)vmm_process_explain(&child, spec, "Firecracker", exit_words, &why);
        if (err)
            *err = why;
        return -1;
    }
    ref->jailer = spec->jailer != NULL;
    ref->sandbox = ref->sandbox || ref->jailer;
    child_release(&child);
    return 0;
}

/* --- a VM that exists --- */

static int action(int dirfd, const char *type, const struct deadline *d, struct error *err)
{
    _cleanup_json_ cJSON *body = cJSON_CreateObject();
    _cleanup_(cleanup_http_client) struct http_client *c = http_open(dirfd, VMM_API_SOCK, err);
    if (!c)
        return -1;
    (void)cJSON_AddStringToObject(body, "action_type", type);
    return put(c, "/actions", body, d, err);
}

/* Firecracker filters its own system calls from the moment the guest runs, unless whoever built it
 * has left that out. If its process is gone, that is seen later. */
static int check_filter(const struct vmm_ref *ref, int before, struct error *err)
{
    struct error why = ERROR_INIT;
    int after = confine_filters(ref->proc.pid, &why);
    if ((before >= 0 && after > before) || vmm_process_is_ending(&ref->proc))
        return 0;
    if (after < 0) {
        if (err)
            *err = why;
        return -1;
    }
    return error_set(err, ERR_VMM, 0,
                     "Firecracker runs the guest without its own filter of system calls; next: set "
                     "firecracker.binary to a release of Firecracker");
}

static int boot(const struct vmm_ref *ref, int dirfd, const struct deadline *d, struct error *err)
{
    struct error why = ERROR_INIT;
    /* The jailer gives it no filter of system calls: that is its own, from here on. */
    int before = confine_filters(ref->proc.pid, NULL);
    if (action(dirfd, "InstanceStart", d, &why) == 0)
        return check_filter(ref, before, err);
    (void)vmm_process_explain_boot(ref, dirfd, "Firecracker", exit_words, &why);
    if (err)
        *err = why;
    return -1;
}

static int shutdown_guest(const struct vmm_ref *ref, int dirfd, const struct deadline *d,
                          struct error *err)
{
    (void)ref;
    return action(dirfd, "SendCtrlAltDel", d, err);
}

/* Our word for a state of Firecracker. */
static const char *state_word(const char *state)
{
    static const char *const words[][2] = {
        {"Not started", "not started"}, {"Running", "running"}, {"Paused", "paused"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(words[i][0], state))
            return words[i][1];
    return "unknown";
}

static int query_status(const struct vmm_ref *ref, int dirfd, const struct deadline *d,
                        struct vmm_status *out, struct error *err)
{
    _cleanup_json_ cJSON *reply = NULL;
    *out = (struct vmm_status){.process_alive = proc_alive(&ref->proc), .state = "gone"};
    if (!out->process_alive)
        return 0;
    (void)str_copy(out->state, sizeof out->state, "unknown");
    _cleanup_(cleanup_http_client) struct http_client *c = http_open(dirfd, VMM_API_SOCK, err);
    if (!c || call(c, "GET", "/", NULL, d, &reply, err) < 0)
        return -1;
    return str_copy(out->state, sizeof out->state, state_word(json_opt_string(reply, "state", "")));
}

static const char *binary(const struct config *cfg)
{
    return cfg->firecracker.binary;
}

static enum vmm_accel accel(const struct config *cfg)
{
    (void)cfg;
    return VMM_KVM;
}

const struct vmm_backend vmm_firecracker = {
    .name = "firecracker",
    .binary_key = "firecracker.binary",
    .binary = binary,
    .accel = accel,
    .install = "install Firecracker 1.8 or newer",
    /* The image's kernel finds its devices through ACPI. */
    .major = 1,
    .minor = 8,
    .older_lacks = "it describes no devices by ACPI",
    .bus_option = "VIRTIO_MMIO",
    .probe = probe,
    .check_limits = check_limits,
    .launch = launch,
    .boot = boot,
    .shutdown = shutdown_guest,
    .status = query_status,
    /* A power-off leaves Firecracker running on x86; a reset ends it. */
    .off_words = "crabbox.off=reboot",
};
