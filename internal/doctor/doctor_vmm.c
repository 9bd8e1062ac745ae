/* doctor's checks of what runs a guest: the host, KVM, the VMM programs. */
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "doctor/doctor_check.h"
#include "local/local.h"
#include "net/net.h"
#include "sys/confine.h"
#include "sys/file.h"
#include "sys/kvm.h"
#include "sys/trusted.h"
#include "vmm/sandbox.h"
#include "vmm/vmm.h"

#define PROBE_MS       5000  /* for a program to say its version, libraries from a cold disk too */
#define SLOW_CREATE_US 30000 /* of KVM_CREATE_VM: hosts without favordynmods, or nx_huge_pages */

#define USE_EMULATION "--vmm qemu --qemu-accel tcg"

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

void doctor_host(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct utsname u;
    char vendor[64];
    (void)ctx;
    if (uname(&u) < 0) {
        check_fail(c, CLASS_ENV, "the kernel does not say what it is");
        return;
    }
    check_detail(c, "os", "linux");
    check_detail(c, "arch", "%s", u.machine);
    check_detail(c, "kernel", "%s", u.release);
    hypervisor(vendor, sizeof vendor);
    check_detail(c, "hypervisor", "%s", vendor);
    if (!str_eq(u.machine, "x86_64")) {
        check_fail(c, CLASS_ENV, "%s hosts are not supported yet", u.machine);
        check_fix(c, "use an x86_64 host");
        return;
    }
    check_ok(c, "linux %s %s%s", u.release, u.machine,
             str_has_prefix(vendor, "TCG") ? ", on an emulated CPU (TCG)" : "");
}

static void kvm_details(struct doctor_check *c, const struct kvm_report *r)
{
    check_detail(c, "stage", "%s", kvm_stage_name(r->stage));
    if (r->api_version > 0)
        check_detail(c, "apiVersion", "%d", r->api_version);
    if (r->create_vm_us >= 0)
        check_detail(c, "createVmUs", "%lld", (long long)r->create_vm_us);
    if (r->create_vcpu_us >= 0)
        check_detail(c, "createVcpuUs", "%lld", (long long)r->create_vcpu_us);
    if (r->run_us >= 0)
        check_detail(c, "guestRunUs", "%lld", (long long)r->run_us);
    if (r->exit_reason != 0)
        check_detail(c, "exitReason", "%u", r->exit_reason);
    if (r->suberror != 0)
        check_detail(c, "suberror", "%u", r->suberror);
    check_detail(c, "xrstorTested", "%s", r->xrstor_tested ? "true" : "false");
}

/* Whoever is in the group of /dev/kvm may use it, where the group may. */
static void kvm_access_fix(struct doctor_check *c)
{
    struct stat st;
    struct group group, *g = NULL;
    char names[4096];
    if (stat("/dev/kvm", &st) == 0 && (st.st_mode & 060) == 060 && st.st_gid)
        (void)getgrgid_r(st.st_gid, &group, names, sizeof names, &g);
    if (g)
        check_fix(c, "usermod -aG %s \"$USER\", then log in again", g->gr_name);
    else
        check_fix(c, "as root: setfacl -m \"u:$USER:rw\" /dev/kvm");
}

static void kvm_fix(struct doctor_check *c, const struct kvm_report *r)
{
    if (r->stage == KVM_STAGE_OPEN && (r->sys == EACCES || r->sys == EPERM))
        kvm_access_fix(c);
    else if (r->stage == KVM_STAGE_OPEN)
        check_fix(c, "modprobe kvm_intel or modprobe kvm_amd; in a virtual machine first turn on "
                     "nested virtualisation on its host; or accept emulation: " USE_EMULATION);
    else if (r->stage == KVM_STAGE_CREATE_VM && r->sys == EBUSY)
        check_fix(c, "stop the other hypervisor that holds the CPU's virtualisation");
    else
        check_fix(c,
                  "use a host whose KVM has hardware page tables (bare metal, or a VM with nested "
                  "virtualisation); or accept emulation: " USE_EMULATION);
}

/* Root, or a user with the capabilities that a lease's network takes. */
void doctor_user(struct doctor_ctx *ctx, struct doctor_check *c)
{
    unsigned uid = (unsigned)geteuid();
    (void)ctx;
    check_detail(c, "uid", "%u", uid);
    if (net_check_rights(NULL) == 0) {
        check_ok(c, uid ? "uid %u, with root's rights over the network" : "root (uid %u)", uid);
        return;
    }
    check_fail(c, CLASS_ENV, "uid %u can't make a lease: that takes root's rights", uid);
    check_fix(c, "sudo crabbox-fc doctor, and sudo for each command on leases");
}

void doctor_kvm(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct kvm_report r;
    struct error err = ERROR_INIT;
    check_detail(c, "path", "/dev/kvm");
    if (str_eq(ctx->accel, "tcg")) {
        check_skip(c, "not needed: emulation is configured (vmm: qemu, qemu.accel: tcg)");
        return;
    }
    if (kvm_probe(&r, &ctx->deadline, &err) < 0) {
        check_fail(c, CLASS_ENV, "could not be checked: %s", err.msg);
        check_fix(c, "run doctor again; it needs to start one more process");
        return;
    }
    kvm_details(c, &r);
    if (!r.works) {
        check_fail(c, CLASS_ENV, "%s", r.reason);
        kvm_fix(c, &r);
        return;
    }
    if (r.create_vm_us > SLOW_CREATE_US) {
        check_warn(c, "runs 64-bit guest code, but creating a VM takes %lld ms",
                   (long long)(r.create_vm_us / 1000));
        check_fix(c, "mount -o remount,favordynmods /sys/fs/cgroup; and see nx_huge_pages of kvm");
        return;
    }
    check_ok(c, "runs 64-bit guest code; a VM is created in %.1f ms", (double)r.create_vm_us / 1e3);
}

/* Common to both VMMs: where the program is and what it says. True if it answered. */
static bool probe_program(struct doctor_ctx *ctx, struct doctor_check *c, const char *field,
                          const char *configured, const struct vmm_backend *vmm, char *version,
                          size_t size)
{
    struct program p;
    const char *path = p.path;
    struct error err = ERROR_INIT;
    const struct deadline d = deadline_sub(&ctx->deadline, PROBE_MS);
    check_detail(c, "field", "%s", field);
    check_detail(c, "configured", "%s", configured);
    if (!*configured) {
        check_fail(c, CLASS_CONFIG, "%s is blank", field);
        check_fix(c, "set %s to the program's path", field);
        return false;
    }
    if (!find_program(configured, &p)) {
        check_fail(c, CLASS_ENV, "%s: there is no program %s%s", field, configured,
                   strchr(configured, '/') ? "" : " in PATH");
        if (vmm == &vmm_qemu)
            check_fix(c, "apt-get install qemu-system-x86, or set %s", field);
        else
            check_fix(c, "install Firecracker 1.8 or newer and set %s to its path", field);
        return false;
    }
    check_detail(c, "path", "%s", path);
    if (trusted_path(NULL, path, VMM_PROGRAM, &err) < 0) {
        check_error(c, DOCTOR_FAILED, &err, "");
        return false;
    }
    if (vmm->probe(path, &d, version, size, &err) < 0) {
        check_fail(c, CLASS_ENV, "%s", err.msg);
        _cleanup_free_ char *quoted = str_shell_quoted(path);
        check_fix(c, "run: %s --version; set %s to a program that answers", quoted, field);
        return false;
    }
    check_detail(c, "version", "%s", version);
    return true;
}

/* The image's kernel finds its devices through ACPI, which Firecracker has since 1.8. */
static bool too_old(const char *version)
{
    unsigned major = 0, minor = 0;
    const char *digits = version + strcspn(version, "0123456789");
    if (sscanf(digits, "%u.%u", &major, &minor) != 2)
        return false;
    return major < 1 || (major == 1 && minor < 8);
}

void doctor_binary(struct doctor_ctx *ctx, struct doctor_check *c)
{
    char version[64] = "";
    if (!str_eq(ctx->vmm, "firecracker")) {
        check_skip(c, "not needed: vmm is %s", ctx->vmm);
        return;
    }
    if (!probe_program(ctx, c, "firecracker.binary", ctx->cfg->firecracker.binary, &vmm_firecracker,
                       version, sizeof version))
        return;
    if (too_old(version)) {
        check_fail(c, CLASS_ENV, "Firecracker %s is too old: it describes no devices by ACPI",
                   version);
        check_fix(c, "install Firecracker 1.8 or newer and set firecracker.binary to its path");
        return;
    }
    check_ok(c, "Firecracker %s at %s", version, json_opt_string(c->details, "path", ""));
}

void doctor_jailer(struct doctor_ctx *ctx, struct doctor_check *c)
{
    const char *jailer = ctx->cfg->firecracker.jailer;
    check_detail(c, "field", "firecracker.jailer");
    check_detail(c, "configured", "%s", jailer);
    if (!*jailer) {
        check_skip(c, "no jailer is configured");
        return;
    }
    check_fail(c, CLASS_CONFIG, "firecracker.jailer is set, but jailed launch isn't built yet");
    check_fix(c, "unset firecracker.jailer");
}

void doctor_qemu(struct doctor_ctx *ctx, struct doctor_check *c)
{
    char version[64] = "";
    if (!str_eq(ctx->vmm, "qemu")) {
        check_skip(c, "not needed: vmm is %s", ctx->vmm);
        return;
    }
    check_detail(c, "accel", "%s", ctx->accel);
    if (!probe_program(ctx, c, "qemu.binary", ctx->cfg->qemu.binary, &vmm_qemu, version,
                       sizeof version))
        return;
    if (!*ctx->accel) {
        check_fail(c, CLASS_CONFIG, "qemu.accel is not chosen");
        check_fix(c, "set qemu.accel to kvm (hardware) or tcg (emulation), or --qemu-accel kvm");
        return;
    }
    check_ok(c, "QEMU %s, accel %s%s", version, ctx->accel,
             str_eq(ctx->accel, "tcg") ? " (emulation, as configured)" : "");
}

/* Files that root may read and a confined VMM may not. */
static bool readable_without_rights(const struct doctor_ctx *ctx, struct doctor_check *c)
{
    const char *const paths[] = {ctx->kernel, ctx->rootfs};
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        char at[32];
        /* By descriptor, as a lease's VMM opens it: the directories above don't count. */
        _cleanup_close_ int fd = open(paths[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        (void)str_format(at, sizeof at, "/proc/self/fd/%d", fd);
        if (fd < 0 || confine_can_read(at, &err) == 0)
            continue;
        check_fail(c, CLASS_CONFIG, "%s can't be read by a VMM without root's rights", paths[i]);
        _cleanup_free_ char *quoted = str_shell_quoted(paths[i]);
        check_fix(c, "chmod o+r %s", quoted);
        return false;
    }
    return true;
}

void doctor_sandbox(struct doctor_ctx *ctx, struct doctor_check *c)
{
    int version = confine_version();
    check_detail(c, "landlock", "%d", version);
    if (!ctx->cfg->sandbox) {
        check_warn(c, "switched off: the VMM runs with all that crabbox-fc itself may");
        check_fix(c, "set sandbox to true");
    } else if (version == 0) {
        check_fail(c, CLASS_ENV, "this kernel has no Landlock, which confines the VMM");
        check_fix(c, "boot with lsm=landlock added to the kernel's list, or accept less: --sandbox "
                     "false");
    } else if (vmm_sandbox_apart(ctx->state_ancestor, NULL) < 0) {
        check_fail(c, CLASS_CONFIG, "a confined VMM could read the leases in %s", ctx->state_dir);
        check_fix(c, "set CRABBOX_FC_STATE_DIR to a directory that is not below /usr or /lib, "
                     "such as /var/lib/crabbox-fc/state");
    } else if (readable_without_rights(ctx, c)) {
        check_ok(c, "the VMM gets no capabilities and only the guest's files (Landlock %d)",
                 version);
    }
}
