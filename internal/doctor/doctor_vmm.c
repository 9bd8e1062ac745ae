/* doctor's checks of what runs a guest and what it boots from: the host, KVM, the VMM programs,
 * kernel and root filesystem. */
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "doctor/doctor_check.h"
#include "sys/userns.h"

#define SLOW_CREATE_US 30000 /* of KVM_CREATE_VM: hosts without favordynmods, or nx_huge_pages */

/* Whom the CPU names as its hypervisor; "none" on bare metal, and on CPUs that can't say. */
static void hypervisor(char *out, size_t size)
{
    (void)str_copy(out, size, "none");
#if defined(__x86_64__)
    unsigned eax, ebx = 0, ecx = 0, edx = 0;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & (1u << 31)))
        return;
    __cpuid(0x40000000, eax, ebx, ecx, edx);
    char name[13] = "";
    memcpy(name, &ebx, 4);
    memcpy(name + 4, &ecx, 4);
    memcpy(name + 8, &edx, 4);
    text_copy(out, size, name);
#endif
}

static const char *detail(const struct doctor_check *c, const char *key)
{
    return json_opt_string(c->details, key, "");
}

void doctor_host(struct doctor_ctx *ctx, struct doctor_check *c)
{
    char vendor[64];
    hypervisor(vendor, sizeof vendor);
    check_detail(c, "hypervisor", "%s", vendor);
    if (check_condition(ctx, c))
        check_ok(c, "linux %s %s%s", detail(c, "kernel"), detail(c, "arch"),
                 str_has_prefix(vendor, "TCG") ? ", on an emulated CPU (TCG)" : "");
}

void doctor_user(struct doctor_ctx *ctx, struct doctor_check *c)
{
    unsigned uid = (unsigned)geteuid();
    struct error err = ERROR_INIT;
    if (!check_condition(ctx, c))
        return;
    if (ctx->on.net_mode != NET_PASTA) {
        check_ok(c, uid ? "uid %u, with root's rights over the network" : "root (uid %u)", uid);
    } else if (userns_check_ids(&err) == 0) {
        check_ok(c,
                 "uid %u without root: each lease is in a user namespace of yours, and its VMM is "
                 "an id of its own there",
                 uid);
    } else {
        (void)error_prefix(&err,
                           "uid %u without root: each lease is in a user namespace of yours, "
                           "but its VMM has your own id",
                           uid);
        check_error(c, DOCTOR_WARNING, &err, "");
    }
}

void doctor_kvm(struct doctor_ctx *ctx, struct doctor_check *c)
{
    const struct kvm_report *r = &ctx->on.kvm;
    if (!check_condition(ctx, c))
        return;
    if (r->create_vm_us > SLOW_CREATE_US) {
        check_warn(c, "runs 64-bit guest code, but creating a VM takes %lld ms",
                   (long long)(r->create_vm_us / 1000));
        check_fix(c, "mount -o remount,favordynmods /sys/fs/cgroup; and see nx_huge_pages of kvm");
        return;
    }
    check_ok(c, "runs 64-bit guest code; a VM is created in %.1f ms",
             (double)r->create_vm_us / 1e3);
}

void doctor_binary(struct doctor_ctx *ctx, struct doctor_check *c)
{
    if (check_condition(ctx, c))
        check_ok(c, "Firecracker %s at %s", ctx->on.vmm_version, ctx->on.vmm_path);
}

void doctor_jailer(struct doctor_ctx *ctx, struct doctor_check *c)
{
    if (check_condition(ctx, c))
        check_ok(c, "%s starts Firecracker", ctx->on.jailer_path);
}

void doctor_qemu(struct doctor_ctx *ctx, struct doctor_check *c)
{
    if (check_condition(ctx, c))
        check_ok(c, "QEMU %s, accel %s%s", ctx->on.vmm_version, vmm_accel_name(ctx->on.accel),
                 ctx->on.accel == VMM_TCG ? " (emulation, as configured)" : "");
}

void doctor_sandbox(struct doctor_ctx *ctx, struct doctor_check *c)
{
    if (!check_condition(ctx, c))
        return;
    if (*ctx->on.jailer_path) {
        check_ok(c, "Firecracker's jailer confines the VMM: see the check jailer");
        return;
    }
    if (!ctx->on.cfg->sandbox) {
        check_warn(c, "switched off: the VMM runs with all that crabbox-fc itself may");
        check_fix(c, "set sandbox to true");
        return;
    }
    const char *lacks = conditions_apart_lacks(&ctx->on);
    if (*lacks) {
        check_warn(c, "%s", lacks);
        check_fix(c, "put sudo before crabbox-fc, or start it without capabilities");
        return;
    }
    check_ok(c, "the VMM gets no capabilities and only the guest's files (Landlock %s)",
             detail(c, "landlock"));
}

void doctor_cgroup(struct doctor_ctx *ctx, struct doctor_check *c)
{
    if (!check_condition(ctx, c))
        return;
    if (!*ctx->on.lacks) {
        check_ok(c, "each lease gets a control group below %s, with limits by its size",
                 ctx->on.cfg->cgroup);
        return;
    }
    if (ctx->on.net_mode == NET_PASTA) {
        check_warn(c, "leases have no control group, because only root can make one");
        check_fix(c, "none is needed (docs/ROOTLESS.md); if you want one, put sudo before "
                     "crabbox-fc");
        return;
    }
    check_warn(c, "leases are made without this: %s", ctx->on.lacks);
    check_fix(c, "give this host control groups with memory, pids and cpu, and set isolation to "
                 "strict");
}

/* ---- what it boots from ---- */

static bool is_ours(const struct doctor_ctx *ctx)
{
    return ctx->on.image.kind == IMAGE_OURS;
}

void doctor_kernel(struct doctor_ctx *ctx, struct doctor_check *c)
{
    if (check_condition(ctx, c))
        check_ok(c, "vmlinux %s%s", ctx->on.image.kernel,
                 is_ours(ctx) || ctx->on.kernel_options
                     ? ""
                     : "; its options can't be known (no CONFIG_IKCONFIG)");
}

void doctor_rootfs(struct doctor_ctx *ctx, struct doctor_check *c)
{
    if (check_condition(ctx, c))
        check_ok(c, "%s %s", ctx->on.image.rootfs_type, ctx->on.image.rootfs);
}

void doctor_image(struct doctor_ctx *ctx, struct doctor_check *c)
{
    const struct image *img = &ctx->on.image;
    if (!check_condition(ctx, c))
        return;
    if (is_ours(ctx))
        check_ok(c, "%s: kernel %s, shared %s root", img->dir, img->kernel_release,
                 img->rootfs_type);
    else
        check_ok(c, "stock image: %s root, cloned for each lease, pin %s", img->rootfs_type,
                 *img->pins[IMAGE_ROOTFS].sha256 ? "set" : "none");
}
