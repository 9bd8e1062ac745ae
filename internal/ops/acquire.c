#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "ops/admission.h"
#include "ops/keeper.h"
#include "ops/ops.h"
#include "ops/step_net.h"
#include "sys/program.h"

int ops_open(struct ops *o, const struct config *cfg, const char *state_dir, bool make,
             int cancel_fd, struct error *err)
{
    char path[PATH_MAX];
    memset(o, 0, sizeof *o);
    o->cfg = cfg;
    o->cancel_fd = cancel_fd;
    o->self_exe = "/proc/self/exe";
    o->store = (struct store)STORE_INIT;
    if (!state_dir && store_default_path(path, err) < 0)
        return -1;
    const char *dir = state_dir ? state_dir : path;
    return make ? store_open(&o->store, dir, ops_kinds, err)
                : store_open_if_there(&o->store, dir, ops_kinds, err);
}

void ops_close(struct ops *o)
{
    store_close(&o->store);
}

struct deadline ops_deadline(const struct ops *o, int64_t ms)
{
    struct deadline d = deadline_in_ms(ms);
    d.cancel_fd = o->cancel_fd;
    return d;
}

/* What is asked for but not built is refused, never ignored. */
static int check_supported(const struct config *cfg, struct error *err)
{
    if (*cfg->firecracker.jailer)
        return error_set(err, ERR_CONFIG, 0,
                         "firecracker.jailer is set to \"%s\", but jailed launch is not built yet; "
                         "next: unset it to run without the jailer",
                         cfg->firecracker.jailer);
    return 0;
}

/* Which VMM and whether hardware or emulation is asked for, never guessed. */
static int choose_vmm(const struct config *cfg, struct vmm_ref *vmm, struct error *err)
{
    const struct vmm_backend *b = vmm_backend_by_name(cfg->vmm, err);
    const char *accel = "kvm";
    if (!b)
        return -1;
    if (b == &vmm_qemu)
        accel = cfg->qemu.accel;
    if (!*accel)
        return error_set(err, ERR_CONFIG, 0,
                         "vmm is qemu, but qemu.accel is not set; next: --accel kvm for hardware "
                         "virtualisation, or --accel tcg to accept slow emulation");
    (void)str_copy(vmm->backend, sizeof vmm->backend, b->name);
    (void)str_copy(vmm->accel, sizeof vmm->accel, accel);
    return 0;
}

static int describe(struct step_ctx *c, const struct ops_acquire *req, struct error *err)
{
    const struct config *cfg = c->ops->cfg;
    struct lease *l = &c->lease;
    uint8_t nonce[16];
    if (lease_identify(l, req->slug, err) < 0)
        return -1;
    l->provider = LEASE_PROVIDER_LOCAL;
    c->slug_made_up = !req->slug || !*req->slug;
    random_bytes(nonce, sizeof nonce);
    str_hex(nonce, sizeof nonce, l->nonce);
    l->keep = req->keep;
    l->created_at = l->last_touched_at = clock_unix_s();
    l->ttl_s = cfg->lease.ttl_ms / 1000;
    l->idle_timeout_s = cfg->lease.idle_timeout_ms / 1000;
    l->stop_timeout_ms = cfg->lease.stop_timeout_ms;
    l->cpus = cfg->firecracker.cpus;
    l->memory_mib = cfg->firecracker.memory_mib;
    l->disk_mib = cfg->firecracker.disk_mib;
    l->local.disk_overcommit = cfg->disk.overcommit;
    l->ssh_port = 22;
    (void)str_copy(l->local.image_kind, sizeof l->local.image_kind,
                   c->image.kind == IMAGE_OURS ? "ours" : "stock");
    (void)str_copy(l->local.kernel_release, sizeof l->local.kernel_release,
                   c->image.kernel_release);
    const char *pin = c->image.pins[IMAGE_ROOTFS].sha256;
    (void)str_format(l->local.pin, sizeof l->local.pin, "%s%s", *pin ? "sha256:" : "none", pin);
    if (str_copy(l->user, sizeof l->user, cfg->firecracker.user) < 0 ||
        str_copy(l->work_root, sizeof l->work_root, cfg->firecracker.work_root) < 0 ||
        str_copy(l->local.rootfs, sizeof l->local.rootfs, c->image.rootfs) < 0)
        return error_set(err, ERR_CONFIG, 0, "user, workRoot or rootfs is too long");
    return 0;
}

/* The VMM's program, found once: what is checked here is what is started. */
static int find_vmm(struct step_ctx *c, struct error *err)
{
    const char *binary = step_vmm_binary(c->ops->cfg);
    if (program_locate(binary, VMM_PROGRAM, NULL, c->vmm_path, err) == 0)
        return 0;
    return err && err->kind == ERR_ENV ? error_add_next(err, "crabbox-fc doctor") : -1;
}

/* Everything that is pinned is what it should be. What is checked here is looked at once more when
 * the VMM has it open. */
static int check_pins(struct step_ctx *c, struct error *err)
{
    const struct config *cfg = c->ops->cfg;
    int cache_fd = c->ops->store.verified_fd;
    c->vmm_pin.what = VMM_PROGRAM;
    if (image_check_pins(&c->image, cache_fd, &c->deadline, err) < 0)
        return -1;
    if (!*cfg->pin.vmm)
        return 0;
    (void)str_copy(c->vmm_pin.sha256, sizeof c->vmm_pin.sha256, cfg->pin.vmm);
    _cleanup_close_ int fd = open(c->vmm_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open " VMM_PROGRAM " %s", c->vmm_path);
    return pinned_check(&c->vmm_pin, fd, c->vmm_path, cache_fd, &c->deadline, err);
}

static int preflight(struct step_ctx *c, const struct ops_acquire *req, struct error *err)
{
    const struct config *cfg = c->ops->cfg;
    if (check_supported(cfg, err) < 0 || choose_vmm(cfg, &c->lease.local.vmm, err) < 0 ||
        net_check_rights(err) < 0 || find_vmm(c, err) < 0 || step_net_check(c, err) < 0 ||
        image_load(cfg, &c->image, err) < 0 || check_pins(c, err) < 0 || describe(c, req, err) < 0)
        return -1;
    const char *stock = c->image.kind == IMAGE_STOCK ? c->image.open_at[IMAGE_ROOTFS] : NULL;
    const struct admission need = {.memory_mib = c->lease.memory_mib,
                                   .disk_mib = diskroom_disk_mib(c->lease.disk_mib, stock),
                                   .cpus = c->lease.cpus,
                                   .overcommit = cfg->disk.overcommit,
                                   .emulated = str_eq(c->lease.local.vmm.accel, "tcg")};
    c->reservation_fd = admission_reserve(&c->ops->store, &need, NULL, &c->deadline, err);
    return c->reservation_fd < 0 ? -1 : 0;
}

/* Undoes a lease that did not become ready. What can't be undone stays recorded as broken. */
static void roll_back(struct step_ctx *c, struct error *err)
{
    struct error undo = ERROR_INIT;
    struct plan plan = ops_plan(c);
    struct store *s = &c->ops->store;
    plan.on_step = NULL;
    c->grace_ms = 0;
    ssh_close(c->conn);
    c->conn = NULL;
    bool has_logs = c->lease.local.vmm.proc.pid > 0;
    /* Its last step may have called it ready. A full disk must not stop the undoing. */
    c->lease.state = LEASE_RELEASING;
    (void)store_save(s, &c->handle, &c->lease, false, NULL);
    if (plan_undo(&plan, &undo) < 0) {
        c->lease.state = LEASE_BROKEN;
        (void)str_format(c->lease.failure, sizeof c->lease.failure, "%.500s", undo.msg);
        (void)store_save(s, &c->handle, &c->lease, true, NULL);
        (void)error_append(err, "; undoing it failed too: %s; next: crabbox-fc cleanup", undo.msg);
        return;
    }
    if (has_logs && store_keep_logs(s, &c->handle, &c->lease, err->msg, NULL) == 0)
        (void)error_append(err, "; next: crabbox-fc logs %s", c->lease.slug);
    if (step_remove(c, &undo) < 0)
        (void)error_append(err, "; %s", undo.msg);
}

/* From here on the lease exists, and somebody ends it whatever becomes of us. */
static int begin(struct step_ctx *c, struct error *err)
{
    struct lease *l = &c->lease;
    if (keeper_start(c->ops, l->id, &l->keeper, &c->keeper_go, err) < 0)
        return -1;
    if (store_create(&c->ops->store, l, &c->handle, err) == 0)
        return 0;
    (void)keeper_end(&l->keeper, NULL);
    return -1;
}

void ops_timing_add(struct ops_timing *t, const char *phase, int64_t us)
{
    if (t->n < OPS_PHASES_MAX)
        t->phases[t->n++] = (__typeof__(t->phases[0])){phase, us};
}

int64_t ops_timing_get(const struct ops_timing *t, const char *phase)
{
    for (size_t i = 0; i < t->n; i++)
        if (str_eq(t->phases[i].phase, phase))
            return t->phases[i].us;
    return 0;
}

static void relate_milestones(struct ssh_ready_times *r, int64_t boot_us)
{
    int64_t *const all[] = {&r->first_frame_us, &r->tcp_us, &r->banner_us, &r->auth_us};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (*all[i])
            *all[i] -= boot_us;
}

static int run_steps(struct step_ctx *c, struct ops_timing *t, struct error *err)
{
    int64_t took[PLAN_STEPS_MAX] = {0};
    struct plan plan = ops_plan(c);
    const struct ops_progress *p = &c->ops->progress;
    plan.took_us = took;
    int r = plan_run(&plan, err);
    for (size_t i = 0; i < ops_steps_len; i++)
        if (took[i])
            ops_timing_add(t, ops_steps[i].name, took[i]);
    if (p->end)
        p->end(p->ctx, ops_steps[c->current].name, took[c->current], r == 0);
    return r;
}

int ops_acquire(struct ops *o, const struct ops_acquire *req, struct lease *out,
                struct ssh_conn **conn, struct ops_timing *timing, struct error *err)
{
    struct ops_timing local = {0};
    struct ops_timing *t = timing ? timing : &local;
    _cleanup_(step_ctx_close) struct step_ctx c;
    int64_t t0 = clock_boot_us();
    step_ctx_init(&c, o);
    c.deadline = ops_deadline(o, o->cfg->firecracker.launch_timeout_ms);
    if (req->slug && ops_release_abandoned(o, req->slug, err) < 0)
        return -1;
    if (preflight(&c, req, err) < 0 || begin(&c, err) < 0)
        return -1;
    ops_timing_add(t, "prepare", clock_boot_us() - t0);
    if (run_steps(&c, t, err) < 0) {
        roll_back(&c, err);
        return -1;
    }
    relate_milestones(&c.ready, c.boot_us);
    t->ready = c.ready;
    t->total_us = clock_boot_us() - t0;
    *out = c.lease;
    if (conn)
        *conn = TAKE_PTR(c.conn);
    return 0;
}

cJSON *ops_timing_json(const struct ops_timing *t)
{
    cJSON *j = cJSON_CreateObject();
    for (size_t i = 0; i < t->n; i++) {
        char key[32];
        (void)str_format(key, sizeof key, "%sUs", t->phases[i].phase);
        json_add_i64(j, key, t->phases[i].us);
    }
    json_add_i64(j, "firstFrameUs", t->ready.first_frame_us);
    json_add_i64(j, "tcpUs", t->ready.tcp_us);
    json_add_i64(j, "bannerUs", t->ready.banner_us);
    json_add_i64(j, "authUs", t->ready.auth_us);
    json_add_i64(j, "totalUs", t->total_us);
    return j;
}
