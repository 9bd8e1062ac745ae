#include "ops/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "ops/access.h"
#include "ops/admission.h"
#include "ops/keeper.h"
#include "ops/step_net.h"
#include "sys/file.h"
#include "sys/proc.h"
#include "sys/trusted.h"

#define SEED_FILE   "seed.iso"
#define UPPER_LABEL "crabbox-upper" /* what our init looks for */

void step_ctx_init(struct step_ctx *c, struct ops *o)
{
    memset(c, 0, sizeof *c);
    c->ops = o;
    c->handle = (struct lease_handle)LEASE_HANDLE_INIT;
    c->image = (struct image)IMAGE_INIT;
    c->keeper_fd = c->reservation_fd = c->netns_fd = c->guest_fd = c->vmm_fd = -1;
}

void step_ctx_close(struct step_ctx *c)
{
    ssh_close(c->conn);
    c->conn = NULL;
    cni_chain_free(&c->chain);
    image_close(&c->image);
    CLOSE_FD(c->netns_fd);
    CLOSE_FD(c->guest_fd);
    CLOSE_FD(c->vmm_fd);
    CLOSE_FD(c->reservation_fd);
    CLOSE_FD(c->keeper_fd);
    lease_handle_close(&c->handle);
}

int step_save(struct step_ctx *c, bool durable, struct error *err)
{
    return store_save(&c->ops->store, &c->handle, &c->lease, durable, err);
}

/* ---- slug ---- */
#define SLUG_TRIES 8

/* A slug that was asked for is this one or none. A made-up one that another lease has is replaced,
 * and written down before it is claimed. */
static int slug_apply(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    for (int tries = 1;; tries++) {
        struct error e = ERROR_INIT;
        if (store_claim_slug(&c->ops->store, c->lease.slug, c->lease.id, &e) == 0)
            return 0;
        if (e.kind != ERR_EXISTS || !c->slug_made_up || tries == SLUG_TRIES) {
            *err = e;
            return -1;
        }
        lease_slug_again(&c->lease);
        if (step_save(c, true, err) < 0)
            return -1;
    }
}

/* The last to be undone: by now the keeper, killed some steps before, has had its time to end. */
static int slug_undo(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    if (keeper_ended(&c->keeper_fd, err) < 0)
        return -1;
    return store_drop_slug(&c->ops->store, c->lease.slug, c->lease.id, err);
}

/* ---- disk: the place for the guest's writes ---- */
static int make_disk(struct step_ctx *c, struct error *err)
{
    if (c->image.kind == IMAGE_OURS) {
        (void)str_copy(c->lease.disk_how, sizeof c->lease.disk_how, "overlay");
        return image_make_disk(c->handle.dirfd, DISK_NEW, c->lease.disk_mib, UPPER_LABEL, err);
    }
    enum clone_how how;
    if (image_clone(c->image.fds[IMAGE_ROOTFS], c->image.rootfs, c->handle.dirfd, DISK_NEW,
                    c->lease.disk_mib, &c->deadline, &how, err) < 0)
        return -1;
    (void)str_copy(c->lease.disk_how, sizeof c->lease.disk_how, clone_how_name(how));
    return how == CLONE_REFLINK ? file_write_new(c->handle.dirfd, DISK_SHARED, "", 0, 0600, err)
                                : 0;
}

static int disk_apply(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    if (make_disk(c, err) < 0)
        return -1;
    return admission_disk_made(&c->ops->store, c->reservation_fd, c->handle.dirfd, &c->deadline,
                               err);
}

static int disk_undo(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    static const char *const names[] = {DISK_FILE, DISK_NEW, DISK_SIZE, DISK_SHARED};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (file_discard(c->handle.dirfd, names[i], err) < 0)
            return -1;
    return 0;
}

/* ---- keys: the client's and the guest's, ssh_config, and the seed that carries them ---- */
static int seed_write(struct step_ctx *c, const char *client_key, const char *host_pem,
                      struct error *err)
{
    const struct lease *l = &c->lease;
    const char *dns[NET_DNS_MAX];
    for (unsigned i = 0; i < l->net.n_dns; i++)
        dns[i] = l->net.dns[i];
    struct seed_spec spec = {
        .lease_id = l->id,
        .hostname = l->name,
        .user = l->user,
        .work_root = l->work_root,
        .authorized_key = client_key,
        .host_key_private = host_pem,
        .host_key_public = l->host_key,
        .nonce = l->nonce,
        .guest_mac = l->net.guest_mac,
        .guest_addr = l->net.guest_addr,
        .gateway = l->net.gateway,
        .dns = dns,
        .n_dns = l->net.n_dns,
        .stock = c->image.kind == IMAGE_STOCK,
    };
    return image_write_seed(c->handle.dirfd, SEED_FILE, &spec, err);
}

static void wipe(struct strbuf *sb)
{
    explicit_bzero(sb->buf, sb->len);
    strbuf_free(sb);
}

static int seed_apply(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    _cleanup_(wipe) struct strbuf client_pem = STRBUF_INIT;
    _cleanup_(wipe) struct strbuf host_pem = STRBUF_INIT;
    char client_key[SSH_PUBKEY_SIZE];
    if (ssh_key_generate(&client_pem, client_key, err) < 0 ||
        ssh_key_generate(&host_pem, c->lease.host_key, err) < 0)
        return -1;
    if (access_write(&c->lease, &c->handle, client_pem.buf, client_pem.len, client_key, err) < 0)
        return -1;
    return seed_write(c, client_key, host_pem.buf, err);
}

static int seed_undo(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    if (access_remove(&c->handle, err) < 0)
        return -1;
    return file_unlink(c->handle.dirfd, SEED_FILE, err);
}

/* ---- keeper ---- */
static int keeper_started(void *ctx, const struct proc_ref *proc, struct error *err)
{
    struct step_ctx *c = ctx;
    c->lease.keeper = *proc;
    return step_save(c, true, err);
}

static int keeper_apply(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    return keeper_start(c->ops, c->lease.id, keeper_started, c, err);
}

static int keeper_undo(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    return keeper_end(&c->lease.keeper, &c->keeper_fd, err);
}

/* ---- vmm ---- */
static int vmm_started(void *ctx, const struct proc_ref *proc, struct error *err)
{
    struct step_ctx *c = ctx;
    c->lease.vmm.proc = *proc;
    return step_save(c, true, err);
}

static void spec_drives(struct vmm_spec *spec, const struct step_ctx *c)
{
    unsigned n = 0;
    if (c->image.kind == IMAGE_OURS) {
        spec->drives[n++] = (struct vmm_drive){"rootfs", c->image.open_at[IMAGE_ROOTFS], true,
                                               true};
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

static const struct vmm_backend *backend_of(struct step_ctx *c, struct error *err)
{
    return vmm_backend_by_name(c->lease.vmm.backend, err);
}

const char *step_vmm_binary(const struct config *cfg)
{
    return str_eq(cfg->vmm, vmm_qemu.name) ? cfg->qemu.binary : cfg->firecracker.binary;
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

/* The VMM has opened its files and is itself an open file: what was checked is what it has. */
static int vmm_check_files(const struct step_ctx *c, struct error *err)
{
    char exe[64];
    (void)str_format(exe, sizeof exe, "/proc/%d/exe", (int)c->lease.vmm.proc.pid);
    _cleanup_close_ int fd = open(exe, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open the VMM's program");
    if (image_unchanged(&c->image, err) < 0 || vmm_check_owner(fd, exe, err) < 0)
        return -1;
    return c->vmm_pin.sha256[0] ? pinned_unchanged(&c->vmm_pin, fd, exe, err) : 0;
}

static int vmm_apply(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    const struct config *cfg = c->ops->cfg;
    const struct vmm_backend *backend = backend_of(c, err);
    if (!backend)
        return -1;
    /* A copy: launch fills the record's reference anew. */
    char accel[sizeof c->lease.vmm.accel];
    memcpy(accel, c->lease.vmm.accel, sizeof accel);
    struct vmm_spec spec = {
        .lease_id = c->lease.id,
        .vm_id = c->lease.name,
        .binary = c->vmm_path,
        .accel = accel,
        .dirfd = c->handle.dirfd,
        .netns_fd = c->netns_fd,
        .cpus = (unsigned)c->lease.cpus,
        .memory_mib = (unsigned)c->lease.memory_mib,
        .kernel = c->image.open_at[IMAGE_KERNEL],
        .initrd = c->image.open_at[IMAGE_INITRD],
        .cmdline = backend->off_words,
        .tap = c->lease.net.tap,
        .guest_mac = c->lease.net.guest_mac,
        .sandbox = cfg->sandbox,
        .no_holes = file_keeps_extents(c->handle.dirfd),
    };
    spec_drives(&spec, c);
    spec_files(&spec, &c->image);
    if (backend->launch(&spec, &c->lease.vmm, vmm_started, c, &c->deadline, err) < 0) {
        if (!strstr(err->msg, spec.binary))
            (void)error_prefix(err, "%s", spec.binary);
        if (err->kind == ERR_ENV)
            (void)error_add_next(err, "crabbox-fc doctor");
        return -1;
    }
    c->vmm_fd = proc_open(&c->lease.vmm.proc, err);
    return c->vmm_fd < 0 ? -1 : vmm_check_files(c, err);
}

static int vmm_undo(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    struct deadline d = deadline_in_ms(c->grace_ms + 10000);
    step_net_hold(c);
    if (vmm_end(&c->lease.vmm, c->handle.dirfd, c->grace_ms, &d, &c->graceful, err) < 0)
        return -1;
    return file_unlink(c->handle.dirfd, VMM_API_SOCK, err);
}

/* ---- boot ---- */
static int boot_apply(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    const struct vmm_backend *backend = backend_of(c, err);
    /* Opened before the guest can send anything, so that its first frame is not missed. */
    c->guest_fd = net_watch_guest(c->netns_fd, &c->lease.net, err);
    if (!backend || c->guest_fd < 0)
        return -1;
    c->boot_us = clock_boot_us();
    return backend->boot(&c->lease.vmm, c->handle.dirfd, &c->deadline, err);
}

/* ---- ready ---- */
/* The nonce comes back only from a guest that read this lease's seed. */
static int check_nonce(struct step_ctx *c, struct error *err)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    struct ssh_io io = SSH_IO_INIT;
    struct ssh_status st;
    io.out = &out;
    io.out_max = 256;
    io.vmm_fd = c->vmm_fd;
    if (ssh_exec(c->conn, "cat " SEED_NONCE_PATH, &io, &c->deadline, &st, err) < 0)
        return -1;
    out.buf[strcspn(out.buf, "\r\n")] = '\0';
    if (!st.exited || st.code != 0 || !str_eq(out.buf, c->lease.nonce))
        return error_set(err, ERR_SSH, 0,
                         "the guest did not return the nonce of its seed drive (" SEED_NONCE_PATH
                         "): it booted from something else than this lease");
    return 0;
}

static int ready_apply(void *ctx, struct error *err)
{
    struct step_ctx *c = ctx;
    char key[64];
    struct ssh_target target;
    struct ssh_wait wait = {.guest_fd = c->guest_fd, .vmm_fd = c->vmm_fd};
    access_target(&c->lease, c->handle.dirfd, key, sizeof key, &target);
    if (ssh_wait_ready(&target, &wait, &c->deadline, &c->conn, &c->ready, err) < 0)
        return -1;
    fd_close_aside(&c->guest_fd); /* no more needed, and slow to close */
    if (check_nonce(c, err) < 0)
        return -1;
    c->lease.last_touched_at = clock_unix_s();
    c->lease.state = LEASE_READY;
    return 0;
}

const struct plan_step ops_steps[] = {
    {"slug", NULL, slug_apply, slug_undo},
    {"disk", NULL, disk_apply, disk_undo},
    {"net", step_net_prepare, step_net_apply, step_net_undo},
    {"seed", NULL, seed_apply, seed_undo},
    {"keeper", NULL, keeper_apply, keeper_undo},
    {"vmm", NULL, vmm_apply, vmm_undo},
    {"boot", NULL, boot_apply, NULL},
    {"ready", NULL, ready_apply, NULL},
};
const size_t ops_steps_len = ARRAY_LEN(ops_steps);

static const char *const step_names[] = {"slug",   "disk", "net",  "seed",
                                         "keeper", "vmm",  "boot", "ready"};
_Static_assert(ARRAY_LEN(step_names) == ARRAY_LEN(ops_steps), "one name a step");
_Static_assert(ARRAY_LEN(ops_steps) <= PLAN_STEPS_MAX, "marks fit the record");

const struct lease_step_names *ops_step_names(void)
{
    static const struct lease_step_names names = {step_names, ARRAY_LEN(step_names)};
    return &names;
}

static int journal(void *ctx, bool durable, struct error *err)
{
    return step_save(ctx, durable, err);
}

static void on_step(void *ctx, size_t step)
{
    struct step_ctx *c = ctx;
    const struct ops_progress *p = &c->ops->progress;
    c->current = step;
    if (p->begin)
        p->begin(p->ctx, ops_steps[step].name);
}

struct plan ops_plan(struct step_ctx *c)
{
    return (struct plan){
        .steps = ops_steps,
        .n_steps = ops_steps_len,
        .marks = c->lease.marks,
        .journal = journal,
        .on_step = on_step,
        .ctx = c,
    };
}
