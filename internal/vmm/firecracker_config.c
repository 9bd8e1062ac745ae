#include "vmm/firecracker_config.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "vmm/sandbox.h"

/* Firecracker's own default words, which it uses only if no others are given: a fast reset that
 * ends the VMM, and no probing for missing devices (half a second for i8042). But there is one
 * serial port instead of none, because a guest that fails prints the reason on the console, and the
 * kernel does not test its own ciphers. */
#define BASE_WORDS                                                                                 \
    "reboot=k panic=1 8250.nr_uarts=1 i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce "      \
    "console=ttyS0 quiet loglevel=1 cryptomgr.notests=1"

int fc_version_parse(const char *text, struct fc_version *out, struct error *err)
{
    unsigned n[2] = {0, 0};
    const char *p = *text == 'v' ? text + 1 : text;
    for (int i = 0; i < 2; i++) {
        if (!isdigit((unsigned char)*p))
            return error_set(err, ERR_VMM, 0, "\"%.32s\" is not a Firecracker version", text);
        for (; isdigit((unsigned char)*p) && n[i] < 100000; p++)
            n[i] = n[i] * 10 + (unsigned)(*p - '0');
        if (i == 0 && *p++ != '.')
            return error_set(err, ERR_VMM, 0, "\"%.32s\" is not a Firecracker version", text);
    }
    *out = (struct fc_version){n[0], n[1]};
    return 0;
}

bool fc_version_at_least(struct fc_version v, unsigned major, unsigned minor)
{
    return v.major > major || (v.major == major && v.minor >= minor);
}

static void add_number(cJSON *obj, const char *key, unsigned value)
{
    (void)cJSON_AddNumberToObject(obj, key, value);
}

static void add_string(cJSON *obj, const char *key, const char *value)
{
    (void)cJSON_AddStringToObject(obj, key, value);
}

static bool has_net(const struct vmm_spec *spec)
{
    return spec->tap && *spec->tap;
}

static size_t boot_args_room(const struct vmm_spec *spec)
{
    size_t devices = spec->n_drives + (has_net(spec) ? 1 : 0) + 1; /* the last gives entropy */
    return FC_CMDLINE_SIZE - sizeof FC_OWN_WORDS - devices * strlen(FC_DEVICE_WORD);
}

static int add_boot_source(cJSON *intent, const struct vmm_spec *spec, struct error *err)
{
    cJSON *boot = cJSON_AddObjectToObject(intent, "boot-source");
    bool initrd = spec->initrd && *spec->initrd;
    bool more = spec->cmdline && *spec->cmdline;
    _cleanup_strbuf_ struct strbuf args = STRBUF_INIT;
    strbuf_adds(&args, BASE_WORDS);
    /* The initrd has the kernel's modules, so loading can be switched off only without one. */
    if (!initrd)
        strbuf_adds(&args, " nomodule");
    strbuf_addf(&args, "%s%s", more ? " " : "", more ? spec->cmdline : "");
    if (args.len > boot_args_room(spec))
        return error_set(err, ERR_CONFIG, 0,
                         "the kernel command line is %zu bytes; Firecracker has room for %zu",
                         args.len, boot_args_room(spec));
    _cleanup_free_ char *kernel = fc_path(spec, spec->kernel);
    _cleanup_free_ char *initrd_path = fc_path(spec, initrd ? spec->initrd : "");
    add_string(boot, "kernel_image_path", kernel);
    if (initrd)
        add_string(boot, "initrd_path", initrd_path);
    add_string(boot, "boot_args", args.buf);
    return 0;
}

char *fc_path(const struct vmm_spec *spec, const char *path)
{
    bool inside = spec->jailer && *path != '/';
    return xasprintf("%s%s", inside ? VMM_SANDBOX_DIR "/" : "", path);
}

cJSON *fc_bucket(int64_t each_second)
{
    cJSON *bucket = cJSON_CreateObject();
    (void)cJSON_AddNumberToObject(bucket, "size", (double)each_second);
    add_number(bucket, "refill_time", 1000);
    return bucket;
}

static void add_limiter(cJSON *drive, const struct vmm_limits *l)
{
    if (!l->disk_bytes && !l->disk_ops)
        return;
    cJSON *limiter = cJSON_AddObjectToObject(drive, "rate_limiter");
    if (l->disk_bytes)
        (void)cJSON_AddItemToObject(limiter, "bandwidth", fc_bucket(l->disk_bytes));
    if (l->disk_ops)
        (void)cJSON_AddItemToObject(limiter, "ops", fc_bucket(l->disk_ops));
}

static void add_drives(cJSON *intent, const struct vmm_spec *spec)
{
    cJSON *drives = cJSON_AddArrayToObject(intent, "drives");
    for (unsigned i = 0; i < spec->n_drives; i++) {
        cJSON *d = cJSON_CreateObject();
        add_string(d, "drive_id", spec->drives[i].id);
        _cleanup_free_ char *path = fc_path(spec, spec->drives[i].path);
        add_string(d, "path_on_host", path);
        (void)cJSON_AddBoolToObject(d, "is_root_device", spec->drives[i].root);
        (void)cJSON_AddBoolToObject(d, "is_read_only", spec->drives[i].read_only);
        add_limiter(d, &spec->limits);
        (void)cJSON_AddItemToArray(drives, d);
    }
}

static void add_network(cJSON *intent, const struct vmm_spec *spec)
{
    cJSON *list = cJSON_AddArrayToObject(intent, "network-interfaces");
    char mac[32] = "";
    if (!has_net(spec))
        return;
    cJSON *n = cJSON_CreateObject();
    add_string(n, "iface_id", "eth0");
    add_string(n, "host_dev_name", spec->tap);
    if (spec->guest_mac && str_copy(mac, sizeof mac, spec->guest_mac) == 0 && *mac) {
        /* Firecracker reports it in lower case. */
        for (char *p = mac; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        add_string(n, "guest_mac", mac);
    }
    (void)cJSON_AddItemToArray(list, n);
}

cJSON *fc_intent(const struct vmm_spec *spec, struct error *err)
{
    _cleanup_json_ cJSON *intent = cJSON_CreateObject();
    cJSON *machine = cJSON_AddObjectToObject(intent, "machine-config");
    add_number(machine, "vcpu_count", spec->cpus);
    add_number(machine, "mem_size_mib", spec->memory_mib);
    if (add_boot_source(intent, spec, err) < 0)
        return NULL;
    add_drives(intent, spec);
    add_network(intent, spec);
    /* An empty object: the device has no settings. QEMU's guests have one, too. */
    (void)cJSON_AddObjectToObject(intent, "entropy");
    return TAKE_PTR(intent);
}

/* The id of an entry of a list, or NULL. */
static const char *entry_id(const cJSON *entry)
{
    const char *id = json_opt_string(entry, "drive_id", NULL);
    return id ? id : json_opt_string(entry, "iface_id", NULL);
}

static const cJSON *find_entry(const cJSON *list, const char *id)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, list)
    {
        const char *has = entry_id(e);
        if (id && has && str_eq(has, id))
            return e;
    }
    return NULL;
}

static int compare_value(const char *where, const cJSON *want, const cJSON *have,
                         struct error *err);

static int compare_object(const char *where, const cJSON *want, const cJSON *have,
                          struct error *err)
{
    const cJSON *w;
    if (!cJSON_IsObject(have))
        return error_set(err, ERR_VMM, 0, "Firecracker's configuration has no %s", where);
    cJSON_ArrayForEach(w, want)
    {
        _cleanup_free_ char *at = xasprintf("%s%s%s", where, *where ? "." : "", w->string);
        if (compare_value(at, w, cJSON_GetObjectItemCaseSensitive(have, w->string), err) < 0)
            return -1;
    }
    return 0;
}

static int compare_list(const char *where, const cJSON *want, const cJSON *have, struct error *err)
{
    const cJSON *w;
    int wanted = cJSON_GetArraySize(want), there = cJSON_GetArraySize(have);
    if (!cJSON_IsArray(have) || wanted != there)
        return error_set(err, ERR_VMM, 0, "Firecracker's configuration has %d %s, asked for %d",
                         cJSON_IsArray(have) ? there : 0, where, wanted);
    cJSON_ArrayForEach(w, want)
    {
        const char *id = entry_id(w);
        _cleanup_free_ char *at = xasprintf("%s[%s]", where, id ? id : "?");
        if (compare_value(at, w, find_entry(have, id), err) < 0)
            return -1;
    }
    return 0;
}

static int compare_value(const char *where, const cJSON *want, const cJSON *have, struct error *err)
{
    if (cJSON_IsObject(want))
        return compare_object(where, want, have, err);
    if (cJSON_IsArray(want))
        return compare_list(where, want, have, err);
    if (have && cJSON_Compare(want, have, true))
        return 0;
    _cleanup_free_ char *asked = json_print(want, false);
    _cleanup_free_ char *got = have ? json_print(have, false) : xstrdup("nothing");
    return error_set(err, ERR_VMM, 0, "Firecracker's configuration has %.200s for %s, asked for %s",
                     got, where, asked);
}

int fc_compare(const cJSON *intent, const cJSON *actual, struct error *err)
{
    if (!cJSON_IsObject(actual))
        return error_set(err, ERR_VMM, 0, "Firecracker's configuration is not an object");
    return compare_object("", intent, actual, err);
}
