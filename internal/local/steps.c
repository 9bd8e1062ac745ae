/* steps.c: the steps that make a lease on this host, as a table for plan.c.
 *
 * keeper lets the lease's keeper go on, which was started just before the first record
 * (ops/acquire.c). slug claims the name. disk makes the VMM's directory and in it the guest's disk.
 * net makes the namespace, links and rules. seed makes the keys and the drive that brings them to
 * the guest. vmm starts the VMM and configures it. boot lets the guest run. ready waits until the
 * guest answers over SSH with the secret of its seed.
 *
 * Each undo reads only the record, because it may run in another process much later. What a step
 * needs only while the lease is made (open files, namespaces) is in struct local.
 *
 * If a step fails, explain makes the expensive checks of the preconditions that may be the cause
 * (conditions.h). If one of them fails, its message replaces the step's.
 */
#include "local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "local/admission.h"
#include "local/step_cgroup.h"
#include "local/step_net.h"
#include "net/pasta.h"
#include "ops/access.h"
#include "sys/file.h"
#include "sys/hash.h"
#include "sys/proc.h"
#include "sys/trusted.h"

#define SEED_FILE   "seed.iso"
#define UPPER_LABEL "crabbox-upper" /* what our init looks for */

/* ---- what the steps share ---- */

static void begin(struct work *w)
{
    struct local *o = xcalloc(1, sizeof *o);
    o->found.image = (struct image)IMAGE_INIT;
    o->reservation_fd = o->netns_fd = o->vmm_fd = -1;
    o->userns = (struct userns)USERNS_INIT;
    w->own = o;
}

static void end(struct work *w)
{
    struct local *o = local_of(w);
    if (!o)
        return;
    conditions_release(&o->found);
    CLOSE_FD(o->netns_fd);
    userns_close(&o->userns);
    CLOSE_FD(o->vmm_fd);
    CLOSE_FD(o->reservation_fd);
    free(o);
    w->own = NULL;
}

/* The VMM's directory, opened once and kept. A lease with something else in its place is undone as
 * if nothing were there. */
static int vmm_dir(struct work *w, struct error *err)
{
    int *fd = &local_of(w)->vmm_fd;
    struct error e = ERROR_INIT;
    if (*fd >= 0)
        return *fd;
    if ((*fd = vmm_dir_open(w->handle.dirfd, &e)) < 0 && e.sys == ENOTDIR)
        *fd = fcntl(w->handle.dirfd, F_DUPFD_CLOEXEC, 0);
    if (*fd < 0 && err)
        *err = e;
    return *fd;
}

#define EXPLAIN_MS 10000
#define SAID_MAX   8192 /* bytes of each of the VMM's logs */

/* A step has failed. A condition that takes too long to be looked at each time may be the cause,
 * and then it is the better message. */
static int explain(struct work *w, const char *step, struct error *err)
{
    struct conditions *c = &local_of(w)->found;
    _cleanup_strbuf_ struct strbuf said = STRBUF_INIT;
    /* Whoever hung in the chain of plugins would hang again. */
    bool plugin_hung = err && err->kind == ERR_TIMEOUT && str_eq(step, "net");
    if (!err || err->kind == ERR_CANCELLED || plugin_hung)
        return -1;
    strbuf_addf(&said, "%s\n", err->msg);
    vmm_log_tail(vmm_dir(w, NULL), SAID_MAX, &said);
    c->deadline = ops_deadline(w->ops, EXPLAIN_MS); /* the lease's own may have passed */
    conditions_explain(c, step, said.buf, err);
    return -1;
}

/* ---- disk: the VMM's directory, and in it the place for the guest's writes ---- */
static int make_vmm_dir(struct work *w, struct error *err)
{
    if (mkdirat(w->handle.dirfd, VMM_DIR, 0700) < 0)
        return error_set(err, ERR_IO, errno, "create %s/" VMM_DIR, w->handle.path);
    return vmm_dir(w, err) < 0 ? -1 : 0;
}

static int make_disk(struct work *w, struct error *err)
{
    int dir = vmm_dir(w, err);
    if (local_of(w)->found.image.kind == IMAGE_OURS) {
        (void)str_copy(w->lease.local.disk_how, sizeof w->lease.local.disk_how, "overlay");
        return image_make_disk(dir, DISK_NEW, w->lease.disk_mib, UPPER_LABEL, err);
    }
    enum clone_how how;
    if (image_clone(local_of(w)->found.image.fds[IMAGE_ROOTFS], local_of(w)->found.image.rootfs,
                    dir, DISK_NEW, w->lease.disk_mib, &w->deadline, &how, err) < 0)
        return -1;
    (void)str_copy(w->lease.local.disk_how, sizeof w->lease.local.disk_how, clone_how_name(how));
    return how == CLONE_REFLINK ? file_write_new(w->handle.dirfd, DISK_SHARED, "", 0, 0600, err)
                                : 0;
}

static int disk_apply(void *ctx, struct error *err)
{
    struct work *w = ctx;
    if (make_vmm_dir(w, err) < 0 || make_disk(w, err) < 0)
        return -1;
    return admission_disk_made(&w->ops->store, local_of(w)->reservation_fd, w->handle.dirfd,
                               vmm_dir(w, err), &w->deadline, err);
}

static int disk_undo(void *ctx, struct error *err)
{
    struct work *w = ctx;
    int dir = vmm_dir(w, err);
    if (dir < 0 || file_discard(dir, DISK_FILE, err) < 0 || file_discard(dir, DISK_NEW, err) < 0 ||
        file_unlink(w->handle.dirfd, DISK_SIZE, err) < 0)
        return -1;
    return file_unlink(w->handle.dirfd, DISK_SHARED, err);
}

/* ---- keys: the client's and the guest's, ssh_config, and the seed that carries them ---- */
static int seed_write(struct work *w, const char *client_key, const char *host_pem,
                      struct error *err)
{
    const struct lease *l = &w->lease;
    const char *dns[NET_DNS_MAX];
    for (unsigned i = 0; i < l->local.net.n_dns; i++)
        dns[i] = l->local.net.dns[i];
    struct seed_spec spec = {
        .lease_id = l->id,
        .hostname = l->name,
        .user = l->user,
        .work_root = l->work_root,
        .authorized_key = client_key,
        .host_key_private = host_pem,
        .host_key_public = l->host_key,
        .nonce = l->nonce,
        .guest_mac = l->local.net.guest_mac,
        .guest_addr = l->local.net.guest_addr,
        .gateway = l->local.net.gateway,
        .dns = dns,
        .n_dns = l->local.net.n_dns,
        .dns_search = l->local.net.dns_search,
        .dns_options = l->local.net.dns_options,
        .stock = local_of(w)->found.image.kind == IMAGE_STOCK,
    };
    int dir = vmm_dir(w, err);
    return dir < 0 ? -1 : image_write_seed(dir, SEED_FILE, &spec, err);
}

static int seed_apply(void *ctx, struct error *err)
{
    struct work *w = ctx;
    _cleanup_(strbuf_wipe) struct strbuf host_pem = STRBUF_INIT;
    char client_key[SSH_PUBKEY_SIZE];
    if (work_make_keys(w, client_key, &host_pem, err) < 0)
        return -1;
    return seed_write(w, client_key, host_pem.buf, err);
}

static int seed_undo(void *ctx, struct error *err)
{
    struct work *w = ctx;
    if (access_remove(&w->handle, err) < 0)
        return -1;
    int dir = vmm_dir(w, err);
    return dir < 0 ? -1 : file_unlink(dir, SEED_FILE, err);
}

/* ---- vmm ---- */
static int vmm_started(void *ctx, const struct proc_ref *proc, struct error *err)
{
    struct work *w = ctx;
    w->lease.local.vmm.proc = *proc;
    return work_save(w, true, err);
}

static void spec_drives(struct vmm_spec *spec, const struct work *w)
{
    unsigned n = 0;
    if (local_of(w)->found.image.kind == IMAGE_OURS) {
        spec->drives[n++] = (struct vmm_drive){
            "rootfs", local_of(w)->found.image.open_at[IMAGE_ROOTFS], true, true};
        spec->drives[n++] = (struct vmm_drive){"seed", SEED_FILE, true, false};
        spec->drives[n++] = (struct vmm_drive){"disk", DISK_FILE, false, false};
    } else {
        spec->drives[n++] = (struct vmm_drive){"rootfs", DISK_FILE, false, true};
        spec->drives[n++] = (struct vmm_drive){"seed", SEED_FILE, true, false};
    }
    spec->n_drives = n;
}

/* What the VMM reads of the image it opens by our descriptors: what was checked is what it gets. A
 * stock root was cloned and stays with us. */
static void spec_files(struct vmm_spec *spec, const struct image *img)
{
    for (int f = 0; f < IMAGE_FILES; f++)
        if (img->fds[f] >= 0 && !(f == IMAGE_ROOTFS && img->kind == IMAGE_STOCK))
            spec->files[spec->n_files++] = img->fds[f];
}

static const struct vmm_backend *backend_of(struct work *w, struct error *err)
{
    return vmm_backend_by_name(w->lease.local.vmm.backend, err);
}

/* What runs may be another program than the one that was found: that one may be a script. */
static int vmm_check_owner(int fd, const char *exe, struct error *err)
{
    char path[PATH_MAX];
    struct stat st;
    ssize_t n = readlink(exe, path, sizeof path - 1);
    if (n < 0)
        return error_set(err, ERR_IO, errno, "look for the VMM's program");
    if (fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "look at the VMM's program");
    path[n] = '\0';
    /* Then the path has " (deleted)" at its end, and there is no telling who could put the file
     * there. */
    if (st.st_nlink == 0)
        return error_set(err, ERR_TRUST, 0,
                         "the " VMM_PROGRAM " %s was removed or replaced while it was starting; "
                         "next: run it again",
                         path);
    return trusted_fd(fd, path, VMM_PROGRAM, err) < 0 ? -1
                                                      : trusted_path(NULL, path, VMM_PROGRAM, err);
}

/* The jailer has copied the program, and gave the copy to the VMM's user: its content counts. */
static int vmm_check_copy(const struct work *w, int fd, const char *exe, struct error *err)
{
    const char *path = local_of(w)->found.vmm_path;
    const struct pinned *pin = &local_of(w)->found.vmm_pin;
    char is[SHA256_HEX_SIZE], was[SHA256_HEX_SIZE];
    _cleanup_close_ int original = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (original < 0)
        return error_set(err, ERR_IO, errno, "open the " VMM_PROGRAM " %s", path);
    if ((pin->sha256[0] && pinned_unchanged(pin, original, path, err) < 0) ||
        sha256_fd(fd, exe, &w->deadline, is, err) < 0 ||
        sha256_fd(original, path, &w->deadline, was, err) < 0)
        return -1;
    return str_eq(is, was) ? 0
                           : error_set(err, ERR_TRUST, 0,
                                       "the jailer started something else than the " VMM_PROGRAM
                                       " %s; next: run it again",
                                       path);
}

/* The VMM has opened its files and is itself an open file: what was checked is what it has. */
static int vmm_check_files(const struct work *w, struct error *err)
{
    char exe[64];
    (void)str_format(exe, sizeof exe, "/proc/%d/exe", (int)w->lease.local.vmm.proc.pid);
    _cleanup_close_ int fd = open(exe, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open the VMM's program");
    if (w->lease.local.vmm.jailer)
        return image_unchanged(&local_of(w)->found.image, err) < 0
                   ? -1
                   : vmm_check_copy(w, fd, exe, err);
    if (image_unchanged(&local_of(w)->found.image, err) < 0 || vmm_check_owner(fd, exe, err) < 0)
        return -1;
    return local_of(w)->found.vmm_pin.sha256[0]
               ? pinned_unchanged(&local_of(w)->found.vmm_pin, fd, exe, err)
               : 0;
}

/* By the disk: the directory doesn't show what lies below its filesystem. */
static bool disk_keeps_extents(int dir)
{
    _cleanup_close_ int fd = openat(dir, DISK_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && file_keeps_extents(fd);
}

static int vmm_apply(void *ctx, struct error *err)
{
    struct work *w = ctx;
    const struct config *cfg = w->ops->cfg;
    const struct vmm_backend *backend = backend_of(w, err);
    int dir = vmm_dir(w, err);
    if (!backend || dir < 0)
        return -1;
    _cleanup_free_ char *own_ids = xasprintf("%s/uids", w->ops->store.path);
    bool rootless = local_of(w)->userns.user_fd >= 0;
    struct vmm_spec spec = {
        .lease_id = w->lease.id,
        .vm_id = w->lease.name,
        .binary = local_of(w)->found.vmm_path,
        .jailer = *local_of(w)->found.jailer_path ? local_of(w)->found.jailer_path : NULL,
        .accel = w->lease.local.vmm.accel,
        .dirfd = dir,
        .netns_fd = local_of(w)->netns_fd,
        .userns = rootless ? &local_of(w)->userns : NULL,
        .cpus = (unsigned)w->lease.cpus,
        .memory_mib = (unsigned)w->lease.memory_mib,
        .kernel = local_of(w)->found.image.open_at[IMAGE_KERNEL],
        .initrd = local_of(w)->found.image.open_at[IMAGE_INITRD],
        .cmdline = backend->off_words,
        .tap = w->lease.local.net.tap,
        .guest_mac = w->lease.local.net.guest_mac,
        .cgroup = w->lease.local.cgroup,
        .cgroup_partly = local_of(w)->found.degraded,
        .sandbox = cfg->sandbox,
        .limits = local_of(w)->found.limits,
        .uids = local_of(w)->found.uids,
        .uids_dir = rootless ? own_ids : UID_DIRECTORY,
        .no_holes = disk_keeps_extents(dir),
    };
    spec_drives(&spec, w);
    spec_files(&spec, &local_of(w)->found.image);
    if (backend->launch(&spec, &w->lease.local.vmm, vmm_started, w, &w->deadline, err) < 0) {
        if (err && !strstr(err->msg, spec.binary))
            (void)error_prefix(err, "%s", spec.binary);
        return explain(w, "vmm", err);
    }
    if (conditions_check_version(&local_of(w)->found, w->lease.local.vmm.version, err) < 0)
        return -1;
    w->gone_fd = proc_open(&w->lease.local.vmm.proc, err);
    return w->gone_fd < 0 ? -1 : vmm_check_files(w, err);
}

static int vmm_undo(void *ctx, struct error *err)
{
    struct work *w = ctx;
    struct deadline d = deadline_in_ms(w->grace_ms + 10000);
    int dir = vmm_dir(w, err);
    if (dir < 0)
        return -1;
    step_net_hold(w);
    if (vmm_end(&w->lease.local.vmm, dir, w->grace_ms, &d, &w->graceful, err) < 0)
        return -1;
    return file_unlink(dir, VMM_API_SOCK, err);
}

/* ---- boot ---- */
static int boot_apply(void *ctx, struct error *err)
{
    struct work *w = ctx;
    const struct vmm_backend *backend = backend_of(w, err);
    /* Opened before the guest can send anything, so that its first frame is not missed. */
    w->guest_fd = step_net_watch_guest(w, err);
    if (!backend || w->guest_fd < 0)
        return -1;
    w->boot_us = clock_boot_us();
    return backend->boot(&w->lease.local.vmm, vmm_dir(w, err), &w->deadline, err) < 0
               ? explain(w, "boot", err)
               : 0;
}

/* ---- net and ready: shared ones, with an eye on their cause ---- */

static int net_prepare(void *ctx, struct error *err)
{
    return step_net_prepare(ctx, err) < 0 ? explain(ctx, "net", err) : 0;
}

static int net_apply_step(void *ctx, struct error *err)
{
    return step_net_apply(ctx, err) < 0 ? explain(ctx, "net", err) : 0;
}

static int ready_apply(void *ctx, struct error *err)
{
    return work_ready_apply(ctx, err) < 0 ? explain(ctx, "ready", err) : 0;
}

/* ---- the provider ---- */

static const struct plan_step steps[] = {
    {"keeper", NULL, work_keeper_apply, NULL},
    {"slug", NULL, work_slug_apply, work_slug_undo},
    {"disk", NULL, disk_apply, disk_undo},
    {"net", net_prepare, net_apply_step, step_net_undo},
    {"seed", NULL, seed_apply, seed_undo},
    {"cgroup", step_cgroup_prepare, step_cgroup_apply, step_cgroup_undo},
    {"vmm", NULL, vmm_apply, vmm_undo},
    {"boot", NULL, boot_apply, NULL},
    {"ready", NULL, ready_apply, NULL},
};
static const char *const step_names[] = {"keeper", "slug", "disk", "net",  "seed",
                                         "cgroup", "vmm",  "boot", "ready"};
_Static_assert(ARRAY_LEN(step_names) == ARRAY_LEN(steps), "one name a step");
_Static_assert(ARRAY_LEN(steps) <= PLAN_STEPS_MAX, "marks fit the record");

/* The rest of the directory is small. */
static int undone(struct work *w, struct error *err)
{
    int dir = vmm_dir(w, err);
    if (dir < 0 || file_discard(dir, VMM_CONSOLE_LOG, err) < 0)
        return -1;
    return file_discard(dir, VMM_LOG, err);
}

static bool has_logs(const struct lease *l)
{
    return l->local.vmm.proc.pid > 0;
}

static enum life life(const struct lease *l)
{
    struct error err = ERROR_INIT;
    _cleanup_close_ int fd = proc_open(&l->local.vmm.proc, &err);
    if (fd >= 0)
        return LIFE_THERE;
    return err.kind == ERR_NOT_RUNNING ? LIFE_GONE : LIFE_UNKNOWN;
}

static int watch(const struct lease *l, struct error *err)
{
    return proc_open(&l->local.vmm.proc, err);
}

/* Without root the guest's address leads there only within the lease's namespaces, which the VMM
 * has as well. */
static int connect_from_within(const void *ctx, struct error *err)
{
    const struct lease *l = ctx;
    _cleanup_userns_ struct userns ns = USERNS_INIT;
    if (userns_of(&l->local.vmm.proc, &ns, err) == 0)
        return pasta_socket(&ns, err);
    if (err->kind == ERR_NOT_RUNNING)
        err->kind = ERR_VMM; /* no later attempt makes sense */
    return -1;
}

static bool is_rootless(const struct lease *l)
{
    return l->local.net.mode == NET_PASTA;
}

static void target(const struct lease *l, struct ssh_target *t)
{
    t->host = is_rootless(l) ? l->local.net.guest_addr : l->local.net.lease_addr;
    t->port = (uint16_t)l->ssh_port;
    t->socket = is_rootless(l) ? connect_from_within : NULL;
    t->dial_ctx = l;
}

static struct machine_words words(const struct lease *l)
{
    return (struct machine_words){.vmm = l->local.vmm.backend,
                                  .accel = vmm_accel_name(l->local.vmm.accel),
                                  .address = is_rootless(l) ? l->local.net.guest_addr
                                                            : l->local.net.lease_addr,
                                  .emulated = l->local.vmm.accel == VMM_TCG,
                                  .lacks = l->local.lacks};
}

static void add_json(const struct lease *l, cJSON *j)
{
    const struct lease_local *o = &l->local;
    cJSON *vmm = cJSON_AddObjectToObject(j, "vmm");
    (void)cJSON_AddStringToObject(vmm, "backend", o->vmm.backend);
    (void)cJSON_AddStringToObject(vmm, "accel", vmm_accel_name(o->vmm.accel));
    (void)cJSON_AddBoolToObject(vmm, "emulated", words(l).emulated);
    (void)cJSON_AddStringToObject(vmm, "version", o->vmm.version);
    (void)cJSON_AddBoolToObject(vmm, "sandbox", o->vmm.sandbox);
    (void)cJSON_AddStringToObject(vmm, "isolation", *o->lacks ? "degraded" : "strict");
    (void)cJSON_AddStringToObject(vmm, "lacks", o->lacks);
    (void)cJSON_AddStringToObject(vmm, "cgroup", o->cgroup);
    (void)cJSON_AddBoolToObject(vmm, "jailer", o->vmm.jailer);
    json_add_i64(vmm, "pid", o->vmm.proc.pid);
    (void)cJSON_AddBoolToObject(cJSON_GetObjectItemCaseSensitive(j, "machine"), "diskOvercommit",
                                o->disk_overcommit);
    cJSON *image = cJSON_AddObjectToObject(j, "image");
    (void)cJSON_AddStringToObject(image, "kind", o->image_kind);
    (void)cJSON_AddStringToObject(image, "rootfs", o->rootfs);
    (void)cJSON_AddStringToObject(image, "kernelRelease", o->kernel_release);
    (void)cJSON_AddStringToObject(image, "pin", o->pin);
    (void)cJSON_AddStringToObject(image, "disk", o->disk_how);
    (void)cJSON_AddStringToObject(cJSON_GetObjectItemCaseSensitive(j, "labels"), "network",
                                  net_mode_name(o->net.mode));
}

/* Whoever looks around holds it for milliseconds. */
#define GATE_WAIT_MS 60000

static int hold_disk(struct ops *o, const struct lease *l, int64_t *mib, struct error *err)
{
    struct deadline d = ops_deadline(o, GATE_WAIT_MS);
    return admission_hold_disk(&o->store, l->local.disk_overcommit, mib, NULL, &d, err);
}

const struct provider provider_local = {
    .kind = {LEASE_PROVIDER_LOCAL, step_names, ARRAY_LEN(step_names), true},
    .steps = steps,
    .begin = begin,
    .end = end,
    .preflight = local_preflight,
    .undone = undone,
    .has_logs = has_logs,
    .hold_disk = hold_disk,
    .life = life,
    .watch = watch,
    .target = target,
    .words = words,
    .add_json = add_json,
};
const struct lease_kind *const local_kinds[] = {&provider_local.kind, NULL};
