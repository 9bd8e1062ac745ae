/* What a guest boots from: kernel, root filesystem, and both as an image. */
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "image/kconfig.h"
#include "local/condition_rows.h"

#define OTHER_KERNEL                                                                               \
    "set firecracker.kernel to one that has it, or unset it and build the default image with "     \
    "scripts/build-image.sh"

static bool is_ours(const struct conditions *c)
{
    return c->image.kind == IMAGE_OURS;
}

/* The row of the whole image fails with its parts. */
static int fail(struct conditions *c, struct error *err)
{
    if (!error_is_set(&c->image_err))
        c->image_err = *err;
    return -1;
}

static void note_file(struct conditions *c, enum image_file f, const char *field)
{
    struct stat st;
    const char *path = image_path(&c->image, f);
    note(c, "field", "%s", is_ours(c) ? "image.dir" : field);
    note(c, "path", "%s", *path || !is_ours(c) ? path : c->cfg->image.dir);
    if (c->note && c->image.fds[f] >= 0 && fstat(c->image.fds[f], &st) == 0)
        note(c, "bytes", "%lld", (long long)st.st_size);
}

/* ---- kernel ---- */

static int open_kernel(struct conditions *c, struct error *err)
{
    if (image_locate(c->cfg, &c->image, err) < 0 || image_open_kernel(&c->image, err) < 0)
        return -1;
    if (!c->vmm->needs_pvh || c->image.kernel_pvh || !str_eq(c->image.kernel_format, "elf-x86_64"))
        return 0;
    return error_set(err, ERR_CONFIG, 0, "kernel %s has no PVH entry, which QEMU needs; next: %s",
                     c->image.kernel,
                     is_ours(c) ? "build the image with scripts/build-image.sh" : OTHER_KERNEL);
}

int check_kernel(struct conditions *c, struct error *err)
{
    struct error e = ERROR_INIT;
    int r = open_kernel(c, &e);
    note_file(c, IMAGE_KERNEL, "firecracker.kernel");
    if (c->image.kernel_format) {
        note(c, "format", "%s", c->image.kernel_format);
        note(c, "pvh", "%s", c->image.kernel_pvh ? "true" : "false");
    }
    if (r == 0)
        return 0;
    *err = e;
    return fail(c, &e);
}

/* What a stock guest needs built in: it boots without an initrd. `seed` options matter only to
 * cloud-init: without them the seed drive is never read and no key ever arrives. */
struct option {
    const char *name;
    bool seed;
};

static void missing_options(const struct conditions *c, struct strbuf *out)
{
    static const struct option always[] = {
        {"VIRTIO_BLK", false},
        {"VIRTIO_NET", false},
#if !defined(__aarch64__) /* there a device tree names the devices */
        {"ACPI", false},
#endif
        {"ISO9660_FS", true}
    };
    for (size_t i = 0; i < ARRAY_LEN(always); i++) {
        char have = kconfig_option(c->kernel_options, always[i].name);
        /* The root filesystem may hold a module for the seed's filesystem. */
        if (have != 'y' && !(always[i].seed && have == 'm'))
            strbuf_addf(out, "%sCONFIG_%s", out->len ? ", " : "", always[i].name);
    }
    const char *bus = c->vmm->bus_option;
    if (kconfig_option(c->kernel_options, bus) != 'y')
        strbuf_addf(out, "%sCONFIG_%s", out->len ? ", " : "", bus);
}

/* Options of a stock kernel, as far as it carries them; the whole file is read for that. */
static bool find_options(struct conditions *c)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    struct error ignored = ERROR_INIT;
    if (c->kernel_options)
        return true;
    if (is_ours(c) || c->image.fds[IMAGE_KERNEL] < 0 ||
        kconfig_extract(c->image.fds[IMAGE_KERNEL], c->image.kernel, &text, &ignored) <= 0)
        return false;
    c->kernel_options = strbuf_detach(&text);
    return true;
}

int probe_kernel_options(struct conditions *c, struct error *err)
{
    _cleanup_strbuf_ struct strbuf missing = STRBUF_INIT;
    bool found = find_options(c);
    note(c, "options", "%s",
         is_ours(c) ? "by the image's manifest"
         : found    ? "embedded"
                    : "unknown");
    if (!found)
        return 0;
    missing_options(c, &missing);
    if (missing.len == 0)
        return 0;
    note(c, "missing", "%s", missing.buf);
    return error_set(err, ERR_CONFIG, 0, "kernel %s was built without %s%s; next: " OTHER_KERNEL,
                     c->image.kernel, missing.buf,
                     strstr(missing.buf, "ISO9660") ? ": cloud-init could never read the seed drive"
                                                    : ": the guest could not boot");
}

/* ---- root filesystem ---- */

int check_rootfs(struct conditions *c, struct error *err)
{
    struct error e = ERROR_INIT;
    const bool located = *c->image.kernel || *c->image.rootfs || !is_ours(c);
    int r = located ? image_open_rootfs(&c->image, &e) : -1;
    note_file(c, IMAGE_ROOTFS, "firecracker.rootfs");
    if (r == 0) {
        note(c, "filesystem", "%s", c->image.rootfs_type);
        return 0;
    }
    *err = located ? e : c->image_err;
    return fail(c, err);
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

int probe_rootfs_driver(struct conditions *c, struct error *err)
{
    const char *driver = driver_of(c->image.rootfs_type);
    if (!driver || !find_options(c) || kconfig_option(c->kernel_options, driver) == 'y')
        return 0;
    return error_set(
        err, ERR_CONFIG, 0,
        "root %s is %s, but kernel %s was built without CONFIG_%s; next: " OTHER_KERNEL,
        c->image.rootfs, c->image.rootfs_type, c->image.kernel, driver);
}

/* ---- both ---- */

/* Whole files are hashed by warmup; doctor only looks at what it remembered. */
static int look_at_pins(struct conditions *c, struct error *err)
{
    static const char *const words[] = {[PINNED_NONE] = "none",
                                        [PINNED_GOOD] = "verified",
                                        [PINNED_UNKNOWN] = "not verified yet",
                                        [PINNED_WRONG] = "wrong"};
    static const char *const details[IMAGE_FILES] = {"pinKernel", "pinInitrd", "pinRootfs"};
    const char *pin = c->image.pins[IMAGE_ROOTFS].sha256;
    bool good = true;
    note(c, "pin", "%s%s", *pin ? "sha256:" : "none", pin);
    for (int f = 0; f < IMAGE_FILES; f++) {
        enum pinned_state state = pinned_look(&c->image.pins[f], image_path(&c->image, f),
                                              c->cache_fd, good ? err : NULL);
        note(c, details[f], "%s", words[state]);
        good = good && state != PINNED_WRONG;
    }
    return good ? 0 : -1;
}

int check_image(struct conditions *c, struct error *err)
{
    note(c, "field", "image.dir");
    note(c, "kind", "%s", is_ours(c) ? "ours" : "stock");
    note(c, "dir", "%s", c->cfg->image.dir);
    if (error_is_set(&c->image_err)) {
        *err = c->image_err;
        return -1;
    }
    if (image_open_rest(c->cfg, &c->image, err) < 0)
        return -1;
    note(c, "kernelRelease", "%s", *c->image.kernel_release ? c->image.kernel_release : "unknown");
    note(c, "filesystem", "%s", c->image.rootfs_type);
    return c->looking ? look_at_pins(c, err)
                      : image_check_pins(&c->image, c->cache_fd, &c->deadline, err);
}
