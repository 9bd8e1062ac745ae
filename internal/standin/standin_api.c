#include "standin/standin_api.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "standin/standin_fault.h"
#include "standin/standin_schema.h"

#define CMDLINE_SIZE 2048 /* with the closing zero */

enum when { BEFORE = 1, AFTER = 2, ANY = BEFORE | AFTER };

struct route {
    const char *method;
    const char *path; /* one that ends in '/' takes an id */
    enum when when;
    const struct field *fields; /* NULL: no body */
    const char *id_field;
    unsigned since;
    int (*run)(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
               struct error *err);
    const char *section; /* of /vm/config */
};

static int refuse(struct error *err, const char *why)
{
    return error_set(err, ERR_USAGE, 0, "%s", why);
}

/* Replaces a section of the configuration by what the body says, over the defaults. */
static void store(cJSON *section, const cJSON *body)
{
    for (const cJSON *v = body->child; v; v = v->next) {
        cJSON_DeleteItemFromObjectCaseSensitive(section, v->string);
        cJSON_AddItemToObject(section, v->string, cJSON_Duplicate(v, true));
    }
}

static cJSON *defaults(const char *json)
{
    cJSON *j = cJSON_Parse(json);
    if (!j)
        abort();
    return j;
}

void api_init(struct standin *s)
{
    s->config = defaults(
        "{\"drives\":[],\"boot-source\":{},\"machine-config\":{\"vcpu_count\":1,"
        "\"mem_size_mib\":128,\"smt\":false,\"track_dirty_pages\":false,\"huge_pages\":\"None\"},"
        "\"balloon\":null,\"cpu-config\":null,\"logger\":null,\"metrics\":null,"
        "\"mmds-config\":null,\"network-interfaces\":[],\"vsock\":null,\"entropy\":null}");
    if (s->minor >= 14) {
        cJSON_AddArrayToObject(s->config, "pmem");
        cJSON_AddNullToObject(s->config, "memory-hotplug");
    }
}

/* ---- GET ---- */

static int get_instance(struct standin *s, const struct route *route, cJSON *body,
                        struct reply *out, struct error *err)
{
    (void)route, (void)body, (void)err;
    out->body = cJSON_CreateObject();
    cJSON_AddStringToObject(out->body, "id", s->id);
    cJSON_AddStringToObject(out->body, "state",
                            s->paused    ? "Paused"
                            : s->started ? "Running"
                                         : "Not started");
    cJSON_AddStringToObject(out->body, "vmm_version", s->version);
    cJSON_AddStringToObject(out->body, "app_name", "Firecracker");
    return 0;
}

static int get_version(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                       struct error *err)
{
    (void)route, (void)body, (void)err;
    out->body = cJSON_CreateObject();
    cJSON_AddStringToObject(out->body, "firecracker_version", s->version);
    return 0;
}

static int get_config(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                      struct error *err)
{
    (void)route, (void)body, (void)err;
    out->body = cJSON_Duplicate(s->config, true);
    fault_alter(out->body);
    return 0;
}

static int get_section(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                       struct error *err)
{
    (void)body, (void)err;
    out->body = cJSON_Duplicate(cJSON_GetObjectItem(s->config, route->section), true);
    return 0;
}

/* ---- PUT before the start ---- */

static int put_section(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                       struct error *err)
{
    (void)out, (void)err;
    cJSON *section = cJSON_GetObjectItem(s->config, route->section);
    if (cJSON_IsObject(section))
        store(section, body);
    else
        cJSON_ReplaceItemInObject(s->config, route->section, cJSON_Duplicate(body, true));
    return 0;
}

static int put_entropy(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                       struct error *err)
{
    (void)route, (void)out, (void)err;
    cJSON *entropy = defaults("{\"rate_limiter\":null}");
    store(entropy, body);
    cJSON_ReplaceItemInObject(s->config, "entropy", entropy);
    return 0;
}

static int put_machine(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                       struct error *err)
{
    int64_t cpus = json_opt_i64(body, "vcpu_count", 1);
    if (json_opt_bool(body, "smt", false) && cpus > 1 && cpus % 2)
        return refuse(err, "with smt the vCPU count must be 1 or even");
    return put_section(s, route, body, out, err);
}

static int open_file(const char *path, int flags, const char *what, int *fd, struct error *err)
{
    _cleanup_close_ int f = open(path, flags | O_CLOEXEC);
    struct stat st;
    if (f < 0 || fstat(f, &st) < 0)
        return error_set(err, ERR_USAGE, errno, "the %s file %s can't be opened", what, path);
    if (S_ISDIR(st.st_mode))
        return error_set(err, ERR_USAGE, EISDIR, "the %s file %s", what, path);
    if (*fd >= 0)
        (void)close(*fd);
    *fd = TAKE_FD(f);
    return 0;
}

static int check_cmdline(const char *args, const char *more, struct error *err)
{
    if (strlen(args) + strlen(more) >= CMDLINE_SIZE)
        return refuse(err, "the kernel command line is too long");
    return 0;
}

static int put_boot(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                    struct error *err)
{
    const char *initrd = json_opt_string(body, "initrd_path", NULL);
    if (check_cmdline(json_opt_string(body, "boot_args", ""), "", err) < 0)
        return -1;
    if (open_file(json_opt_string(body, "kernel_image_path", ""), O_RDONLY, "kernel", &s->kernel_fd,
                  err) < 0)
        return -1;
    if (initrd && open_file(initrd, O_RDONLY, "initrd", &s->initrd_fd, err) < 0)
        return -1;
    cJSON_ReplaceItemInObject(
        s->config, "boot-source",
        defaults("{\"kernel_image_path\":\"\",\"initrd_path\":null,\"boot_args\":null}"));
    return put_section(s, route, body, out, err);
}

static struct standin_drive *drive_slot(struct standin *s, const char *id)
{
    for (unsigned i = 0; i < s->n_drives; i++)
        if (str_eq(s->drives[i].id, id))
            return &s->drives[i];
    if (s->n_drives == STANDIN_DRIVES_MAX)
        return NULL;
    struct standin_drive *d = &s->drives[s->n_drives];
    d->fd = -1;
    (void)str_copy(d->id, sizeof d->id, id);
    return d;
}

/* Puts an entry into a list of /vm/config, in place of one with the same id. */
static void list_put(cJSON *list, const char *id_field, const char *id, cJSON *entry)
{
    int i = 0;
    for (const cJSON *e = list->child; e; e = e->next, i++)
        if (str_eq(json_opt_string(e, id_field, ""), id)) {
            cJSON_ReplaceItemInArray(list, i, entry);
            return;
        }
    cJSON_AddItemToArray(list, entry);
}

/* True if another drive is the root device already. */
static bool other_root(const cJSON *drives, const char *id)
{
    for (const cJSON *e = drives->child; e; e = e->next)
        if (json_opt_bool(e, "is_root_device", false) &&
            !str_eq(json_opt_string(e, "drive_id", ""), id))
            return true;
    return false;
}

static int put_drive(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                     struct error *err)
{
    (void)out;
    const char *id = json_opt_string(body, "drive_id", "");
    const char *path = json_opt_string(body, "path_on_host", NULL);
    cJSON *drives = cJSON_GetObjectItem(s->config, "drives");
    if (!path)
        return refuse(err, "missing field `path_on_host`");
    if (json_opt_bool(body, "is_root_device", false) && other_root(drives, id))
        return refuse(err, "a root device is configured already");
    struct standin_drive *d = drive_slot(s, id);
    if (!d)
        return refuse(err, "too many drives");
    int flags = json_opt_bool(body, "is_read_only", false) ? O_RDONLY : O_RDWR;
    if (open_file(path, flags, "backing", &d->fd, err) < 0)
        return -1;
    s->n_drives += d == &s->drives[s->n_drives];
    cJSON *entry = defaults(
        "{\"drive_id\":\"\",\"partuuid\":null,\"is_root_device\":false,\"cache_type\":\"Unsafe\","
        "\"is_read_only\":false,\"path_on_host\":\"\",\"rate_limiter\":null,"
        "\"io_engine\":\"Sync\",\"socket\":null}");
    store(entry, body);
    list_put(drives, route->id_field, id, entry);
    return 0;
}

static bool is_mac(const char *mac)
{
    for (size_t i = 0; i < 17; i++)
        if (i % 3 == 2 ? mac[i] != ':' : !isxdigit((unsigned char)mac[i]))
            return false;
    return mac[17] == '\0';
}

static int put_net(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                   struct error *err)
{
    (void)out;
    const char *mac = json_opt_string(body, "guest_mac", "06:00:00:00:00:01");
    if (!is_mac(mac))
        return refuse(err, "guest_mac is not a MAC address");
    if (s->tap_fd >= 0)
        (void)close(s->tap_fd);
    s->tap_fd = standin_tap_open(json_opt_string(body, "host_dev_name", ""), err);
    if (s->tap_fd < 0)
        return -1;
    (void)str_copy(s->mac, sizeof s->mac, mac);
    cJSON *entry = defaults("{\"iface_id\":\"\",\"host_dev_name\":\"\",\"guest_mac\":null,"
                            "\"rx_rate_limiter\":null,\"tx_rate_limiter\":null}");
    store(entry, body);
    list_put(cJSON_GetObjectItem(s->config, "network-interfaces"), route->id_field,
             json_opt_string(body, "iface_id", ""), entry);
    return 0;
}

static int put_logger(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                      struct error *err)
{
    const char *path = json_opt_string(body, "log_path", NULL);
    _cleanup_close_ int fd = -1;
    if (path && open_file(path, O_WRONLY | O_APPEND | O_NONBLOCK, "log", &fd, err) < 0)
        return -1;
    return put_section(s, route, body, out, err);
}

/* The output file must be there already: the real one does not create it. */
static int put_serial(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                      struct error *err)
{
    (void)route, (void)out;
    int fd = -1;
    const char *path = json_opt_string(body, "serial_out_path", NULL);
    if (!path)
        return 0;
    if (open_file(path, O_WRONLY | O_APPEND, "serial output", &fd, err) < 0)
        return -1;
    s->console_fd = fd;
    return 0;
}

static int accept_body(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                       struct error *err)
{
    (void)s, (void)route, (void)body, (void)out, (void)err;
    return 0;
}

/* ---- actions ---- */

static int check_kernel(const struct standin *s, struct error *err)
{
    Elf64_Ehdr h;
    if (s->kernel_fd < 0)
        return refuse(err, "the microVM has no kernel configured");
    if (pread(s->kernel_fd, &h, sizeof h, 0) != (ssize_t)sizeof h ||
        memcmp(h.e_ident, ELFMAG, SELFMAG) != 0)
        return refuse(err, "the kernel is not an uncompressed ELF file");
    return 0;
}

/* The words that the real one adds when it starts: they too must fit. */
static int check_full_cmdline(const struct standin *s, struct error *err)
{
    const cJSON *drives = cJSON_GetObjectItem(s->config, "drives");
    const cJSON *nets = cJSON_GetObjectItem(s->config, "network-interfaces");
    int devices = cJSON_GetArraySize(drives) + cJSON_GetArraySize(nets) +
                  cJSON_IsObject(cJSON_GetObjectItem(s->config, "entropy"));
    _cleanup_strbuf_ struct strbuf more = STRBUF_INIT;
    strbuf_adds(&more, other_root(drives, "") ? " pci=off root=/dev/vda ro" : " pci=off");
    for (int i = 0; i < devices; i++)
        strbuf_addf(&more, " virtio_mmio.device=4K@0xc000%d000:%d", i + 1, i + 5);
    const cJSON *boot = cJSON_GetObjectItem(s->config, "boot-source");
    return check_cmdline(json_opt_string(boot, "boot_args", ""), more.buf, err);
}

/* As Firecracker does when the guest runs; this filter lets everything pass. */
static int filter_itself(struct error *err)
{
    struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog filter = {.len = 1, .filter = &all};
    if (fault_get("NO_FILTER") || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0)
        return 0;
    return error_set(err, ERR_ENV, errno, "install the seccomp filter");
}

static int put_action(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                      struct error *err)
{
    (void)route, (void)out;
    const char *action = json_opt_string(body, "action_type", "");
    if (str_eq(action, "InstanceStart")) {
        if (s->started)
            return refuse(err, "not supported after the microVM has started");
        if (check_kernel(s, err) < 0 || check_full_cmdline(s, err) < 0)
            return -1;
        /* Its guests need root's rights: without, none comes to life. */
        if ((geteuid() == 0 && standin_guest_start(s, err) < 0) || filter_itself(err) < 0)
            return -1;
        s->started = true;
        fault_mark();
    } else if (!s->started) {
        return refuse(err, "not supported before the microVM has started");
    } else if (str_eq(action, "SendCtrlAltDel")) {
        if (!fault_get("IGNORE_SHUTDOWN"))
            standin_guest_ctrl_alt_del(s);
    }
    return 0;
}

static int patch_vm(struct standin *s, const struct route *route, cJSON *body, struct reply *out,
                    struct error *err)
{
    (void)route, (void)out, (void)err;
    s->paused = str_eq(json_opt_string(body, "state", ""), "Paused");
    return 0;
}

/* ---- the table ---- */

static const struct route routes[] = {
    {"GET", "/", ANY, NULL, NULL, 0, get_instance, NULL},
    {"GET", "/version", ANY, NULL, NULL, 0, get_version, NULL},
    {"GET", "/vm/config", ANY, NULL, NULL, 0, get_config, NULL},
    {"GET", "/machine-config", ANY, NULL, NULL, 0, get_section, "machine-config"},
    {"PUT", "/machine-config", BEFORE, schema_machine, NULL, 0, put_machine, "machine-config"},
    {"PATCH", "/machine-config", BEFORE, schema_machine_patch, NULL, 0, put_machine,
     "machine-config"},
    {"PUT", "/boot-source", BEFORE, schema_boot, NULL, 0, put_boot, "boot-source"},
    {"PUT", "/drives/", BEFORE, schema_drive, "drive_id", 0, put_drive, "drives"},
    {"PATCH", "/drives/", AFTER, schema_drive_patch, "drive_id", 0, accept_body, NULL},
    {"PUT", "/network-interfaces/", BEFORE, schema_net, "iface_id", 0, put_net, NULL},
    {"PATCH", "/network-interfaces/", AFTER, schema_net_patch, "iface_id", 0, accept_body, NULL},
    {"PUT", "/vsock", BEFORE, schema_vsock, NULL, 0, put_section, "vsock"},
    {"PUT", "/logger", BEFORE, schema_logger, NULL, 0, put_logger, "logger"},
    {"PUT", "/metrics", BEFORE, schema_metrics, NULL, 0, put_section, "metrics"},
    {"PUT", "/serial", BEFORE, schema_serial, NULL, 14, put_serial, NULL},
    {"PUT", "/balloon", BEFORE, schema_balloon, NULL, 0, put_section, "balloon"},
    {"PUT", "/entropy", BEFORE, schema_entropy, NULL, 0, put_entropy, NULL},
    {"PUT", "/cpu-config", BEFORE, schema_any, NULL, 0, put_section, "cpu-config"},
    {"PUT", "/mmds/config", BEFORE, schema_mmds_config, NULL, 0, put_section, "mmds-config"},
    {"PUT", "/mmds", ANY, schema_any, NULL, 0, accept_body, NULL},
    {"PUT", "/actions", ANY, schema_action, NULL, 0, put_action, NULL},
    {"PATCH", "/vm", AFTER, schema_vm, NULL, 0, patch_vm, NULL},
};

static bool is_resource_id(const char *id)
{
    size_t n = strlen(id);
    return n > 0 && n <= 64 &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

/* The route of a request; `id` gets what follows the path of one that takes an id. */
static const struct route *find_route(const struct standin *s, const struct request *r,
                                      const char **id)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        const struct route *t = &routes[i];
        if (!str_eq(t->method, r->method) || t->since > s->minor)
            continue;
        if (t->id_field ? str_has_prefix(r->path, t->path) : str_eq(r->path, t->path)) {
            *id = t->id_field ? r->path + strlen(t->path) : NULL;
            return t;
        }
    }
    return NULL;
}

static int check_body(const struct standin *s, const struct route *t, const char *id,
                      const cJSON *body, struct error *err)
{
    if (schema_check(body, t->fields, s->minor, err) < 0)
        return -1;
    if (id && !str_eq(json_opt_string(body, t->id_field, ""), id))
        return refuse(err, "the id in the path is not the id in the body");
    return 0;
}

static int dispatch(struct standin *s, const struct request *r, struct reply *out,
                    struct error *err)
{
    const char *id = NULL;
    _cleanup_json_ cJSON *body = NULL;
    const struct route *t = find_route(s, r, &id);
    if (!t || (id && !is_resource_id(id)))
        return error_set(err, ERR_USAGE, 0, "invalid request method or path: %s %s", r->method,
                         r->path);
    if (!t->fields != !r->body_len)
        return refuse(err, t->fields ? "the request has no body" : "the request has a body");
    if (t->fields && !(body = json_parse(r->body, r->body_len, "the body", err)))
        return -1;
    if (t->fields && check_body(s, t, id, body, err) < 0)
        return -1;
    if (!(t->when & (s->started ? AFTER : BEFORE)))
        return error_set(err, ERR_USAGE, 0, "not supported %s the microVM has started",
                         s->started ? "after" : "before");
    return t->run(s, t, body, out, err);
}

struct reply api_handle(struct standin *s, const struct request *r)
{
    struct error err = ERROR_INIT;
    struct reply out = {0};
    if (fault_hits("REFUSE", r))
        (void)refuse(&err, "refused because CRABBOX_STANDIN_REFUSE says so");
    else
        (void)dispatch(s, r, &out, &err);
    if (error_is_set(&err)) {
        cJSON_Delete(out.body);
        out.status = 400;
        out.body = cJSON_CreateObject();
        cJSON_AddStringToObject(out.body, "fault_message", err.msg);
    } else {
        out.status = out.body ? 200 : 204;
    }
    return out;
}
