#include "vmm/qemu_config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* A reset ends QEMU (-no-reboot), so a panic has to reset at once. The kernel's tests of its own
 * ciphers would take a fifth of an emulated boot (0.5 of 2.6 CPU-seconds, Debian's 6.1 cloud
 * kernel). */
#define BASE_WORDS "reboot=t panic=-1 console=ttyS0 quiet loglevel=1 cryptomgr.notests=1"

static void add(struct qemu_args *a, const char *arg)
{
    if (a->n == QEMU_ARGS_MAX)
        abort(); /* the list below has grown past its array: a bug, found by the first test */
    a->v[a->n++] = xstrdup(arg);
    a->v[a->n] = NULL;
}

static void add2(struct qemu_args *a, const char *option, const char *value)
{
    add(a, option);
    add(a, value);
}

static void __attribute__((format(printf, 3, 4)))
add2f(struct qemu_args *a, const char *option, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    _cleanup_free_ char *value = xvasprintf(fmt, ap);
    va_end(ap);
    add2(a, option, value);
}

static void add_json(struct qemu_args *a, const char *option, const cJSON *j)
{
    _cleanup_free_ char *text = json_print(j, false);
    add2(a, option, text);
}

#define LIMITED_PREFIX "limited-" /* no drive's name has a '-' */

bool qemu_limits_drives(const struct vmm_limits *l)
{
    return l->disk_bytes || l->disk_ops;
}

/* What goes between a drive and its device. */
static void add_throttle(struct qemu_args *a, const struct vmm_drive *drive,
                         const struct vmm_limits *l, bool discards)
{
    _cleanup_free_ char *group = xasprintf(QEMU_GROUP_PREFIX "%s", drive->id);
    _cleanup_free_ char *name = xasprintf(LIMITED_PREFIX "%s", drive->id);
    _cleanup_json_ cJSON *object = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(object, "qom-type", "throttle-group");
    (void)cJSON_AddStringToObject(object, "id", group);
    cJSON *limits = cJSON_AddObjectToObject(object, "limits");
    if (l->disk_bytes)
        json_add_i64(limits, "bps-total", l->disk_bytes);
    if (l->disk_ops)
        json_add_i64(limits, "iops-total", l->disk_ops);
    add_json(a, "-object", object);
    _cleanup_json_ cJSON *node = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(node, "driver", "throttle");
    (void)cJSON_AddStringToObject(node, "node-name", name);
    (void)cJSON_AddStringToObject(node, "throttle-group", group);
    (void)cJSON_AddStringToObject(node, "file", drive->id);
    (void)cJSON_AddBoolToObject(node, "read-only", drive->read_only);
    if (discards) /* each node passes them on only if it has this */
        (void)cJSON_AddStringToObject(node, "discard", "unmap");
    add_json(a, "-blockdev", node);
}

/* Drives are deleted with their lease, so flushing them to the host's disk would be useless. They
 * need no locks: shared read-only files are opened by many guests at once, and a disk belongs to
 * one lease. */
static void add_drive(struct qemu_args *a, const struct vmm_spec *spec, unsigned index)
{
    const struct vmm_drive *drive = &spec->drives[index];
    bool discards = !spec->no_holes && !drive->read_only;
    bool limited = qemu_limits_drives(&spec->limits);
    _cleanup_json_ cJSON *node = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(node, "driver", "raw");
    (void)cJSON_AddStringToObject(node, "node-name", drive->id);
    (void)cJSON_AddBoolToObject(node, "read-only", drive->read_only);
    cJSON *cache = cJSON_AddObjectToObject(node, "cache");
    (void)cJSON_AddBoolToObject(cache, "no-flush", true);
    if (discards)
        (void)cJSON_AddStringToObject(node, "discard", "unmap");
    cJSON *file = cJSON_AddObjectToObject(node, "file");
    (void)cJSON_AddStringToObject(file, "driver", "file");
    (void)cJSON_AddStringToObject(file, "filename", drive->path);
    (void)cJSON_AddBoolToObject(file, "read-only", drive->read_only);
    if (discards)
        (void)cJSON_AddStringToObject(file, "discard", "unmap");
    (void)cJSON_AddStringToObject(file, "locking", "off");
    add_json(a, "-blockdev", node);
    if (limited)
        add_throttle(a, drive, &spec->limits, discards);
    add2f(a, "-device", "virtio-blk-pci,drive=%s%s,serial=%s,disable-legacy=on,addr=0x%x",
          limited ? LIMITED_PREFIX : "", drive->id, drive->id, 0x10 + index);
}

static void add_network(struct qemu_args *a, const struct vmm_spec *spec)
{
    if (!spec->tap || !*spec->tap)
        return;
    bool mac = spec->guest_mac && *spec->guest_mac;
    add2f(a, "-netdev", "tap,id=net0,ifname=%s,script=no,downscript=no,vhost=off", spec->tap);
    add2f(a, "-device", "virtio-net-pci,netdev=net0,disable-legacy=on,romfile=,addr=0x8%s%s",
          mac ? ",mac=" : "", mac ? spec->guest_mac : "");
}

/* Adds only what is needed: no default devices, no display, no configuration of the user, no
 * reboot. The guest waits (-S) until boot. Its memory is not shared with other guests (mem-merge,
 * if the host runs ksmd), so it can't learn anything about them from the time that a write
 * takes. Nor is it in a core dump of QEMU, if the host makes one in spite of the limit. */
static void add_machine(struct qemu_args *a, const struct vmm_spec *spec)
{
    bool kvm = spec->accel == VMM_KVM;
    add2f(a, "-name", "crabbox-%s,debug-threads=on", spec->vm_id);
    /* The machine is not microvm: under emulation, a kernel there has no second clock to calibrate
     * the TSC, and hangs. */
    add2(a, "-M",
         "q35,usb=off,vmport=off,smbus=off,sata=off,hpet=off,mem-merge=off,"
         "dump-guest-core=off");
    /* Translated code is kept up to this many MiB (by default a GiB); admission includes it. */
    add2(a, "-accel", kvm ? "kvm" : "tcg,thread=multi,tb-size=128");
    /* The guest can't run guests of its own. */
    add2(a, "-cpu", kvm ? "host,-vmx,-svm" : "max,la57=off");
    add2f(a, "-smp", "%u", spec->cpus);
    add2f(a, "-m", "%uM", spec->memory_mib);
    add(a, "-no-user-config");
    add(a, "-nodefaults");
    add(a, "-no-reboot");
    add(a, "-S");
    add2(a, "-display", "none");
    /* A confined QEMU is limited to a shorter list (sys/syscalls.h) and can't add a filter of its
     * own. */
    if (!spec->sandbox)
        add2(a, "-sandbox",
             "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    add2f(a, "-chardev", "socket,id=qmp,fd=%d,server=on,wait=off", QEMU_QMP_FD);
    add2(a, "-mon", "chardev=qmp,mode=control");
    add2(a, "-chardev", "file,id=console,path=" VMM_CONSOLE_LOG ",append=on");
    add2(a, "-serial", "chardev:console");
}

static void add_kernel(struct qemu_args *a, const struct vmm_spec *spec)
{
    bool more = spec->cmdline && *spec->cmdline;
    add2(a, "-kernel", spec->kernel);
    if (spec->initrd && *spec->initrd)
        add2(a, "-initrd", spec->initrd);
    add2f(a, "-append", BASE_WORDS "%s%s", more ? " " : "", more ? spec->cmdline : "");
}

void qemu_args_build(const struct vmm_spec *spec, struct qemu_args *out)
{
    *out = (struct qemu_args){.n = 0};
    add(out, spec->binary);
    add_machine(out, spec);
    add_kernel(out, spec);
    for (unsigned i = 0; i < spec->n_drives; i++)
        add_drive(out, spec, i);
    add_network(out, spec);
    add2(out, "-device", "virtio-rng-pci,disable-legacy=on,addr=0x9");
}

void qemu_args_free(struct qemu_args *a)
{
    for (unsigned i = 0; i < a->n; i++)
        free(a->v[i]);
    *a = (struct qemu_args){.n = 0};
}

int qemu_check_accel(const struct vmm_spec *spec, const cJSON *kvm, struct error *err)
{
    bool enabled;
    if (json_get_bool(kvm, "enabled", &enabled, NULL) < 0)
        return error_set(err, ERR_VMM, 0, "QEMU does not report which accelerator it uses");
    if (enabled != (spec->accel == VMM_KVM))
        return error_set(err, ERR_VMM, 0, "QEMU runs with %s, asked for accel %s",
                         enabled ? "kvm" : "emulation", vmm_accel_name(spec->accel));
    return 0;
}

int qemu_check_paused(const cJSON *status, struct error *err)
{
    bool running;
    if (json_get_bool(status, "running", &running, NULL) < 0 || running ||
        !str_eq(json_opt_string(status, "status", ""), "prelaunch"))
        return error_set(err, ERR_VMM, 0,
                         "QEMU's guest is not waiting to be started (status %.40s)",
                         json_opt_string(status, "status", "unknown"));
    return 0;
}

int qemu_check_drives(const struct vmm_spec *spec, const cJSON *nodes, struct error *err)
{
    for (unsigned i = 0; i < spec->n_drives; i++) {
        const struct vmm_drive *drive = &spec->drives[i];
        const cJSON *n, *found = NULL;
        bool ro;
        cJSON_ArrayForEach(n, nodes)
        {
            if (str_eq(json_opt_string(n, "node-name", ""), drive->id))
                found = n;
        }
        if (!found || json_get_bool(found, "ro", &ro, NULL) < 0)
            return error_set(err, ERR_VMM, 0, "QEMU has no drive %s", drive->id);
        if (ro != drive->read_only)
            return error_set(err, ERR_VMM, 0, "QEMU's drive %s is %s, asked for the opposite",
                             drive->id, ro ? "read-only" : "writable");
        if (!str_eq(json_opt_string(found, "file", ""), drive->path))
            return error_set(err, ERR_VMM, 0, "QEMU's drive %s is %.200s, asked for %.200s",
                             drive->id, json_opt_string(found, "file", "nothing"), drive->path);
    }
    return 0;
}

int qemu_check_limits(const struct vmm_limits *l, const char *id, const cJSON *has,
                      struct error *err)
{
    int64_t bytes = json_opt_i64(has, "bps-total", -1), ops = json_opt_i64(has, "iops-total", -1);
    if (bytes == l->disk_bytes && ops == l->disk_ops)
        return 0;
    return error_set(err, ERR_VMM, 0,
                     "QEMU limits drive %s to %lld bytes and %lld requests a second, asked for "
                     "%lld and %lld (0: no limit)",
                     id, (long long)bytes, (long long)ops, (long long)l->disk_bytes,
                     (long long)l->disk_ops);
}

int qemu_check_size(const struct vmm_spec *spec, const cJSON *cpus, const cJSON *memory,
                    struct error *err)
{
    int64_t bytes = json_opt_i64(memory, "base-memory", -1);
    int n = cJSON_IsArray(cpus) ? cJSON_GetArraySize(cpus) : -1;
    if (n != (int)spec->cpus)
        return error_set(err, ERR_VMM, 0, "QEMU has %d CPUs, asked for %u", n, spec->cpus);
    if (bytes != (int64_t)spec->memory_mib * 1024 * 1024)
        return error_set(err, ERR_VMM, 0, "QEMU has %lld bytes of memory, asked for %u MiB",
                         (long long)bytes, spec->memory_mib);
    return 0;
}

const char *qemu_state_word(const char *status)
{
    static const char *const words[][2] = {
        {"prelaunch", "not started"}, {"running", "running"},       {"paused", "paused"},
        {"suspended", "paused"},      {"shutdown", "paused"},       {"io-error", "paused"},
        {"internal-error", "paused"}, {"guest-panicked", "paused"},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(words[i][0], status))
            return words[i][1];
    return "unknown";
}
