#include "local/local.h"

#include "base/str.h"
#include "local/admission.h"
#include "sys/userns.h"

/* What the record says of the machine. */
static int describe(struct work *w, struct error *err)
{
    const struct conditions *c = &local_of(w)->found;
    const struct image *img = &c->image;
    const char *pin = img->pins[IMAGE_ROOTFS].sha256;
    struct lease_local *l = &w->lease.local;
    (void)str_copy(l->vmm.backend, sizeof l->vmm.backend, c->vmm->name);
    l->vmm.accel = c->accel;
    l->net.mode = c->net_mode;
    if (!c->cfg->sandbox && !*c->jailer_path)
        lease_local_lacks(l, "the VMM is not confined (sandbox: false)");
    else if (c->net_mode == NET_PASTA && userns_check_ids(NULL) < 0)
        lease_local_lacks(l, "the VMM has the caller's own user id");
    lease_local_lacks(l, conditions_apart_lacks(c));
    l->disk_overcommit = c->cfg->disk.overcommit;
    (void)str_copy(l->image_kind, sizeof l->image_kind, img->kind == IMAGE_OURS ? "ours" : "stock");
    (void)str_copy(l->kernel_release, sizeof l->kernel_release, img->kernel_release);
    (void)str_format(l->pin, sizeof l->pin, "%s%s", *pin ? "sha256:" : "none", pin);
    return str_copy(l->rootfs, sizeof l->rootfs, img->rootfs) < 0
               ? error_set(err, ERR_CONFIG, 0, "the path of the root filesystem is too long")
               : 0;
}

static int reserve(struct work *w, struct error *err)
{
    struct local *o = local_of(w);
    const struct image *img = &o->found.image;
    const struct lease *l = &w->lease;
    const char *stock = img->kind == IMAGE_STOCK ? img->open_at[IMAGE_ROOTFS] : NULL;
    const struct admission need = {.memory_mib = l->memory_mib,
                                   .disk_mib = diskroom_disk_mib(l->disk_mib, stock),
                                   .cpus = l->cpus,
                                   .overcommit = l->local.disk_overcommit,
                                   .emulated = l->local.vmm.accel == VMM_TCG};
    o->reservation_fd = admission_reserve(&w->ops->store, &need, NULL, &w->deadline, err);
    return o->reservation_fd < 0 ? -1 : 0;
}

/* On a new host much may be missing at once. */
static int point_to_doctor(struct error *err)
{
    size_t len;
    const struct error was = *err;
    const char *next = error_next(&was, &len);
    if (was.kind != ERR_ENV || !next)
        return -1;
    return error_set(err, was.kind, 0,
                     "%.*s; next: %s; crabbox-fc doctor lists all that is missing", (int)len,
                     was.msg, next);
}

int local_preflight(struct work *w, struct error *err)
{
    struct conditions *c = &local_of(w)->found;
    if (conditions_begin(c, w->ops->cfg, NULL, err) < 0)
        return -1;
    c->state_dir = c->state_at = w->ops->store.path;
    c->cache_fd = w->ops->store.verified_fd;
    c->deadline = w->deadline;
    if (conditions_hold(c, err) < 0)
        return point_to_doctor(err);
    if (describe(w, err) < 0)
        return -1;
    return reserve(w, err);
}
