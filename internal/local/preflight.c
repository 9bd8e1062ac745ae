#include "local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "local/admission.h"
#include "local/step_net.h"
#include "sys/program.h"

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

/* The VMM's program, found once: what is checked here is what is started. */
static int find_vmm(struct work *w, struct error *err)
{
    const struct config *cfg = w->ops->cfg;
    const char *binary = str_eq(cfg->vmm, vmm_qemu.name) ? cfg->qemu.binary
                                                         : cfg->firecracker.binary;
    if (program_locate(binary, VMM_PROGRAM, NULL, local_of(w)->vmm_path, err) == 0)
        return 0;
    return err && err->kind == ERR_ENV ? error_add_next(err, "crabbox-fc doctor") : -1;
}

/* Everything that is pinned is what it should be. What is checked here is looked at once more when
 * the VMM has it open. */
static int check_pins(struct work *w, struct error *err)
{
    struct local *o = local_of(w);
    const char *pin = w->ops->cfg->pin.vmm;
    int cache_fd = w->ops->store.verified_fd;
    o->vmm_pin.what = VMM_PROGRAM;
    if (image_check_pins(&o->image, cache_fd, &w->deadline, err) < 0)
        return -1;
    if (!*pin)
        return 0;
    (void)str_copy(o->vmm_pin.sha256, sizeof o->vmm_pin.sha256, pin);
    _cleanup_close_ int fd = open(o->vmm_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open " VMM_PROGRAM " %s", o->vmm_path);
    return pinned_check(&o->vmm_pin, fd, o->vmm_path, cache_fd, &w->deadline, err);
}

/* What the record says of the machine. */
static int describe(struct work *w, struct error *err)
{
    const struct config *cfg = w->ops->cfg;
    const struct image *img = &local_of(w)->image;
    const char *pin = img->pins[IMAGE_ROOTFS].sha256;
    struct lease_local *l = &w->lease.local;
    l->disk_overcommit = cfg->disk.overcommit;
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
    const struct lease *l = &w->lease;
    const char *stock = o->image.kind == IMAGE_STOCK ? o->image.open_at[IMAGE_ROOTFS] : NULL;
    const struct admission need = {.memory_mib = l->memory_mib,
                                   .disk_mib = diskroom_disk_mib(l->disk_mib, stock),
                                   .cpus = l->cpus,
                                   .overcommit = l->local.disk_overcommit,
                                   .emulated = str_eq(l->local.vmm.accel, "tcg")};
    o->reservation_fd = admission_reserve(&w->ops->store, &need, NULL, &w->deadline, err);
    return o->reservation_fd < 0 ? -1 : 0;
}

int local_preflight(struct work *w, struct error *err)
{
    const struct config *cfg = w->ops->cfg;
    if (check_supported(cfg, err) < 0 || choose_vmm(cfg, &w->lease.local.vmm, err) < 0 ||
        net_check_rights(err) < 0 || find_vmm(w, err) < 0 || step_net_check(w, err) < 0 ||
        image_load(cfg, &local_of(w)->image, err) < 0 || check_pins(w, err) < 0 ||
        describe(w, err) < 0)
        return -1;
    return reserve(w, err);
}
