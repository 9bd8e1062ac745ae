/* doctor's checks of what a guest boots from: kernel, root filesystem, and both as an image. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "doctor/doctor_check.h"
#include "image/kconfig.h"
#include "image/manifest.h"
#include "image/probe.h"
#include "local/local.h"
#include "ops/ops.h"

#define BUILD_IMAGE "scripts/build-image.sh"

static bool is_ours(const struct doctor_ctx *ctx)
{
    return *ctx->cfg->image.dir != '\0';
}

/* Names the two files, out of image.json or out of the configuration. */
static int locate(struct doctor_ctx *ctx, struct error *err)
{
    const struct config *cfg = ctx->cfg;
    struct manifest m;
    if (!is_ours(ctx)) {
        if (str_copy(ctx->kernel, sizeof ctx->kernel, cfg->firecracker.kernel) < 0 ||
            str_copy(ctx->rootfs, sizeof ctx->rootfs, cfg->firecracker.rootfs) < 0)
            return error_set(err, ERR_CONFIG, ENAMETOOLONG,
                             "firecracker.kernel or firecracker.rootfs");
        return 0;
    }
    if (image_manifest_read(cfg->image.dir, &m, err) < 0)
        return -1;
    if (str_format(ctx->kernel, sizeof ctx->kernel, "%s/%s", cfg->image.dir, m.kernel.name) < 0 ||
        str_format(ctx->rootfs, sizeof ctx->rootfs, "%s/%s", cfg->image.dir, m.rootfs.name) < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "image.dir");
    return 0;
}

/* A file that is not there is the host's lack; one that is there and wrong was named wrongly. */
static const char *class_of_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && access(path, R_OK) == 0 ? CLASS_CONFIG : CLASS_ENV;
}

static void fix_file(const struct doctor_ctx *ctx, struct doctor_check *c, const char *field)
{
    if (is_ours(ctx))
        check_fix(c, "build the image: " BUILD_IMAGE " (or set image.dir to a finished one)");
    else
        check_fix(c, "set %s to a file of that kind, or unset it and build the default image: %s",
                  field, BUILD_IMAGE);
}

/* A file that can't be used, or is in a place where others could exchange it. */
static void fail_file(const struct doctor_ctx *ctx, struct doctor_check *c, const char *path,
                      const char *field, const struct error *err)
{
    if (err->kind == ERR_TRUST) {
        check_error(c, DOCTOR_FAILED, err, "");
        return;
    }
    check_fail(c, class_of_file(path), "%s", err->msg);
    fix_file(ctx, c, field);
}

/* Opens what `field` names and says what stands in the way. Returns a descriptor. */
static int open_file(struct doctor_ctx *ctx, struct doctor_check *c, const char *field,
                     const char *what, const char *path, int64_t *size)
{
    struct error err = ERROR_INIT;
    check_detail(c, "field", "%s", is_ours(ctx) ? "image.dir" : field);
    check_detail(c, "path", "%s", *path || !is_ours(ctx) ? path : ctx->cfg->image.dir);
    if (!*path && !is_ours(ctx)) {
        check_fail(c, CLASS_CONFIG, "%s is blank", field);
        fix_file(ctx, c, field);
        return -1;
    }
    if (!*path) {
        fail_file(ctx, c, ctx->cfg->image.dir, field, &ctx->image_err);
        return -1;
    }
    int fd = probe_open(path, what, size, &err);
    if (fd < 0) {
        fail_file(ctx, c, path, field, &err);
        return -1;
    }
    check_detail(c, "bytes", "%lld", (long long)*size);
    return fd;
}

/* What a stock guest needs built in: it boots without an initrd. `seed` options matter only to
 * cloud-init: without them the seed drive is never read and no key ever arrives. */
struct option {
    const char *name;
    bool seed;
};

static void missing_options(const struct doctor_ctx *ctx, const char *text, struct strbuf *out)
{
    static const struct option always[] = {
        {"VIRTIO_BLK", false},
        {"VIRTIO_NET", false},
#if !defined(__aarch64__) /* there a device tree names the devices */
        {"ACPI", false},
#endif
        {"ISO9660_FS", true}
    };
    const bool qemu = str_eq(ctx->vmm, "qemu");
    for (size_t i = 0; i < ARRAY_LEN(always); i++) {
        char have = kconfig_option(text, always[i].name);
        /* The root filesystem may hold a module for the seed's filesystem. */
        if (have != 'y' && !(always[i].seed && have == 'm'))
            strbuf_addf(out, "%sCONFIG_%s", out->len ? ", " : "", always[i].name);
    }
    const char *bus = qemu ? "VIRTIO_PCI" : "VIRTIO_MMIO";
    if (kconfig_option(text, bus) != 'y')
        strbuf_addf(out, "%sCONFIG_%s", out->len ? ", " : "", bus);
}

/* Options of a stock kernel, as far as it carries them. False after a verdict of failure. */
static bool kernel_options(struct doctor_ctx *ctx, struct doctor_check *c, int fd)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf missing = STRBUF_INIT;
    struct error err = ERROR_INIT;
    int found = kconfig_extract(fd, ctx->kernel, &text, &err);
    check_detail(c, "options", "%s", found > 0 ? "embedded" : "unknown");
    if (found <= 0)
        return true;
    ctx->kernel_options = strbuf_detach(&text);
    missing_options(ctx, ctx->kernel_options, &missing);
    if (missing.len == 0)
        return true;
    check_detail(c, "missing", "%s", missing.buf);
    check_fail(c, CLASS_CONFIG, "kernel %s was built without %s%s", ctx->kernel, missing.buf,
               strstr(missing.buf, "ISO9660") ? ": cloud-init could never read the seed drive"
                                              : ": the guest could not boot");
    check_fix(c,
              "set firecracker.kernel to one with these options, or unset it and build the default "
              "image: " BUILD_IMAGE);
    return false;
}

void doctor_kernel(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct error err = ERROR_INIT;
    struct kernel_info info;
    int64_t size = 0;
    if (locate(ctx, &ctx->image_err) < 0)
        ctx->kernel[0] = ctx->rootfs[0] = '\0';
    _cleanup_close_ int fd = open_file(ctx, c, "firecracker.kernel", "kernel", ctx->kernel, &size);
    if (fd < 0)
        return;
    if (probe_kernel(fd, ctx->kernel, &info, &err) < 0) {
        check_fail(c, CLASS_CONFIG, "%s", err.msg);
        fix_file(ctx, c, "firecracker.kernel");
        return;
    }
    check_detail(c, "format", "%s", info.format == KERNEL_ELF_X86_64 ? "elf-x86_64" : "arm64");
    check_detail(c, "pvh", "%s", info.pvh ? "true" : "false");
    if (info.format != KERNEL_OF_HOST) {
        check_fail(c, CLASS_CONFIG, "kernel %s is for another machine: this host is %s",
                   ctx->kernel, HOST_ARCH);
        fix_file(ctx, c, "firecracker.kernel");
        return;
    }
    if (str_eq(ctx->vmm, "qemu") && !info.pvh) {
        check_fail(c, CLASS_CONFIG, "kernel %s has no PVH entry, which QEMU needs", ctx->kernel);
        fix_file(ctx, c, "firecracker.kernel");
        return;
    }
    if (is_ours(ctx))
        check_detail(c, "options", "by the image's manifest");
    else if (!kernel_options(ctx, c, fd))
        return;
    check_ok(c, "vmlinux %s%s", ctx->kernel,
             is_ours(ctx) || ctx->kernel_options
                 ? ""
                 : "; its options can't be known (no CONFIG_IKCONFIG)");
}

/* The kernel option that mounts a root of this type; built in, for there is no initrd. */
static const char *driver_of(const char *type)
{
    static const struct {
        const char *type, *option;
    } table[] = {
        {"ext4", "EXT4_FS"},      {"xfs", "XFS_FS"},     {"btrfs", "BTRFS_FS"},
        {"squashfs", "SQUASHFS"}, {"erofs", "EROFS_FS"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (str_eq(table[i].type, type))
            return table[i].option;
    return NULL;
}

void doctor_rootfs(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct error err = ERROR_INIT;
    struct rootfs_info info;
    int64_t size = 0;
    _cleanup_close_ int fd = open_file(ctx, c, "firecracker.rootfs", "root filesystem", ctx->rootfs,
                                       &size);
    if (fd < 0)
        return;
    if (probe_rootfs(fd, ctx->rootfs, size, &info, &err) < 0) {
        check_fail(c, CLASS_CONFIG, "%s", err.msg);
        fix_file(ctx, c, "firecracker.rootfs");
        return;
    }
    check_detail(c, "filesystem", "%s", info.type);
    const char *driver = driver_of(info.type);
    if (ctx->kernel_options && driver && kconfig_option(ctx->kernel_options, driver) != 'y') {
        check_fail(c, CLASS_CONFIG, "root %s is %s, but kernel %s was built without CONFIG_%s",
                   ctx->rootfs, info.type, ctx->kernel, driver);
        fix_file(ctx, c, "firecracker.rootfs");
        return;
    }
    check_ok(c, "%s %s", info.type, ctx->rootfs);
}

/* Whole files are hashed by warmup; here only what it remembered is looked at. */
static bool judge_pins(const struct doctor_ctx *ctx, const struct image *img,
                       struct doctor_check *c)
{
    static const char *const words[] = {[PINNED_NONE] = "none",
                                        [PINNED_GOOD] = "verified",
                                        [PINNED_UNKNOWN] = "not verified yet",
                                        [PINNED_WRONG] = "wrong"};
    static const char *const details[IMAGE_FILES] = {"pinKernel", "pinInitrd", "pinRootfs"};
    struct store s = STORE_INIT;
    bool good = true;
    if (*ctx->state_dir)
        (void)store_open_existing(&s, ctx->state_dir, local_kinds, NULL);
    const char *pin = img->pins[IMAGE_ROOTFS].sha256;
    check_detail(c, "pin", "%s%s", *pin ? "sha256:" : "none", pin);
    for (int f = 0; f < IMAGE_FILES; f++) {
        const char *path = image_path(img, f);
        enum pinned_state state = pinned_look(&img->pins[f], path, s.verified_fd);
        check_detail(c, details[f], "%s", words[state]);
        if (state != PINNED_WRONG || !good)
            continue;
        good = false;
        check_fail(c, CLASS_CONFIG, "%s is not what its pin says", path);
        check_fix(c, "find out who changed it, and build or install it again");
    }
    store_close(&s);
    return good;
}

void doctor_image(struct doctor_ctx *ctx, struct doctor_check *c)
{
    _cleanup_(image_close) struct image img = IMAGE_INIT;
    struct error err = ERROR_INIT;
    const char *dir = ctx->cfg->image.dir;
    check_detail(c, "field", "image.dir");
    check_detail(c, "kind", "%s", is_ours(ctx) ? "ours" : "stock");
    check_detail(c, "dir", "%s", dir);
    if (image_load(ctx->cfg, &img, &err) < 0) {
        fail_file(ctx, c, is_ours(ctx) ? dir : ctx->kernel,
                  "firecracker.kernel and firecracker.rootfs", &err);
        return;
    }
    check_detail(c, "kernelRelease", "%s", *img.kernel_release ? img.kernel_release : "unknown");
    check_detail(c, "filesystem", "%s", img.rootfs_type);
    if (!judge_pins(ctx, &img, c))
        return;
    if (is_ours(ctx))
        check_ok(c, "%s: kernel %s, shared %s root", dir, img.kernel_release, img.rootfs_type);
    else
        check_ok(c, "stock image: %s root, cloned for each lease, pin %s", img.rootfs_type,
                 *img.pins[IMAGE_ROOTFS].sha256 ? "set" : "none");
}
