#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "image/manifest.h"
#include "image/probe.h"
#include "sys/file.h"
#include "sys/trusted.h"

#define BUILD_HINT "build the default image with scripts/build-image.sh, or set image.dir"

static const char *const file_words[IMAGE_FILES] = {"kernel", "initrd", "root filesystem"};

/* Opens a file for good: the descriptor is the image's. */
static int open_file(struct image *img, enum image_file f, int64_t *size, struct error *err)
{
    int fd = img->fds[f] = probe_open(image_path(img, f), file_words[f], size, err);
    if (fd >= 0)
        (void)str_format(img->open_at[f], sizeof img->open_at[f], "/proc/self/fd/%d", fd);
    return fd;
}

void image_close(struct image *img)
{
    for (int f = 0; f < IMAGE_FILES; f++)
        CLOSE_FD(img->fds[f]);
}

/* Kernel and root: what both kinds of image share. */
static int check_kernel(struct image *img, struct error *err)
{
    int64_t size = 0;
    struct kernel_info info;
    int fd = open_file(img, IMAGE_KERNEL, &size, err);
    if (fd < 0 || probe_kernel(fd, img->kernel, &info, err) < 0)
        return -1;
    if (info.format != KERNEL_OF_HOST)
        return error_set(err, ERR_CONFIG, 0, "kernel %s is for another machine; this host is %s",
                         img->kernel, HOST_ARCH);
    img->kernel_pvh = info.pvh;
    return 0;
}

/* A root that all leases share is mounted read-only: a journal that wants replay can't be. */
static int check_rootfs(struct image *img, struct error *err)
{
    int64_t size = 0;
    struct rootfs_info info;
    int fd = open_file(img, IMAGE_ROOTFS, &size, err);
    if (fd < 0 || probe_rootfs(fd, img->rootfs, size, &info, err) < 0)
        return -1;
    if (img->kind == IMAGE_OURS && info.needs_recovery) {
        _cleanup_free_ char *quoted = str_shell_quoted(img->rootfs);
        return error_set(err, ERR_CONFIG, 0,
                         "root filesystem %s was not unmounted cleanly and is shared read-only; "
                         "next: e2fsck -f %s, or build the image again",
                         img->rootfs, quoted);
    }
    return str_copy(img->rootfs_type, sizeof img->rootfs_type, info.type);
}

static int check_initrd(struct image *img, struct error *err)
{
    int64_t size = 0;
    return open_file(img, IMAGE_INITRD, &size, err) < 0 ? -1 : 0;
}

/* The directory itself: its absence is the commonest first error, so it gets the best hint. */
static int open_dir(const char *dir, struct error *err)
{
    struct error e = ERROR_INIT;
    int fd = probe_open_path(dir, "image directory", O_RDONLY | O_DIRECTORY, &e);
    if (fd >= 0)
        return fd;
    if (e.sys == ENOENT)
        return error_set(err, ERR_CONFIG, 0, "image directory %s does not exist; " BUILD_HINT, dir);
    if (e.sys == ENOTDIR)
        return error_set(err, ERR_CONFIG, 0, "image.dir %s is not a directory; " BUILD_HINT, dir);
    if (err)
        *err = e;
    return -1;
}

int image_manifest_read(const char *dir, struct manifest *m, struct error *err)
{
    char path[PATH_MAX];
    struct stat st;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_close_ int fd = open_dir(dir, err);
    if (fd < 0)
        return -1;
    if (str_format(path, sizeof path, "%s/" MANIFEST_NAME, dir) < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "image directory %s", dir);
    if (trusted_path(NULL, path, MANIFEST_WHAT, err) < 0)
        return -1;
    if (fstatat(fd, MANIFEST_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return error_set(err, ERR_CONFIG, 0,
                         "%s does not exist: %s is no finished image; " BUILD_HINT, path, dir);
    if (file_read_at(fd, MANIFEST_NAME, MANIFEST_MAX, &text, err) < 0) {
        if (err)
            err->kind = ERR_CONFIG;
        return error_prefix(err, "image directory %s", dir);
    }
    return image_manifest_parse(text.buf, text.len, path, m, err);
}

static int join(char dst[static PATH_MAX], const char *dir, const char *name, struct error *err)
{
    if (str_format(dst, PATH_MAX, "%s/%s", dir, name) < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "image file %s", name);
    return 0;
}

/* Both the manifest and the configuration may pin a file: then they must agree. */
static int set_pin(struct image *img, enum image_file f, const char *manifest, const char *config,
                   struct error *err)
{
    struct pinned *p = &img->pins[f];
    static const char *const keys[IMAGE_FILES] = {"pin.kernel", "pin.initrd", "pin.rootfs"};
    const char *pin = *config ? config : manifest;
    p->what = file_words[f];
    if (*manifest && *config && !str_eq(manifest, config))
        return error_set(err, ERR_CONFIG, 0,
                         "%s is %s, but %s/" MANIFEST_NAME
                         " pins the %s as %s; next: take the image "
                         "that was meant, or set %s anew",
                         keys[f], config, img->dir, p->what, manifest, keys[f]);
    if (*pin && !*image_path(img, f))
        return error_set(err, ERR_CONFIG, 0, "%s is set, but the image has no %s", keys[f],
                         p->what);
    return str_copy(p->sha256, sizeof p->sha256, pin);
}

static int set_pins(struct image *img, const struct manifest *m, const struct config *cfg,
                    struct error *err)
{
    const struct manifest none = {0};
    m = m ? m : &none;
    if (set_pin(img, IMAGE_KERNEL, m->kernel.sha256, cfg->pin.kernel, err) < 0 ||
        set_pin(img, IMAGE_INITRD, m->initrd.sha256, cfg->pin.initrd, err) < 0)
        return -1;
    return set_pin(img, IMAGE_ROOTFS, m->rootfs.sha256, cfg->pin.rootfs, err);
}

const char *image_path(const struct image *img, enum image_file f)
{
    return f == IMAGE_KERNEL ? img->kernel : f == IMAGE_INITRD ? img->initrd : img->rootfs;
}

int image_check_pins(struct image *img, int cache_fd, const struct deadline *d, struct error *err)
{
    for (int f = 0; f < IMAGE_FILES; f++)
        if (*image_path(img, f) &&
            pinned_check(&img->pins[f], img->fds[f], image_path(img, f), cache_fd, d, err) < 0)
            return -1;
    return 0;
}

int image_unchanged(const struct image *img, struct error *err)
{
    for (int f = 0; f < IMAGE_FILES; f++)
        if (*image_path(img, f) &&
            pinned_unchanged(&img->pins[f], img->fds[f], image_path(img, f), err) < 0)
            return -1;
    return 0;
}

static int load_ours(const struct config *cfg, struct image *img, struct error *err)
{
    struct manifest m;
    const char *dir = cfg->image.dir;
    img->kind = IMAGE_OURS;
    if (image_manifest_read(dir, &m, err) < 0)
        return -1;
    if (str_copy(img->dir, sizeof img->dir, dir) < 0 ||
        join(img->kernel, dir, m.kernel.name, err) < 0 ||
        join(img->initrd, dir, m.initrd.name, err) < 0 ||
        join(img->rootfs, dir, m.rootfs.name, err) < 0)
        return -1;
    if (check_kernel(img, err) < 0 || check_initrd(img, err) < 0 || check_rootfs(img, err) < 0)
        return -1;
    if (!str_eq(img->rootfs_type, m.rootfs_type))
        return error_set(err, ERR_CONFIG, 0,
                         "%s holds %s, but " MANIFEST_NAME " says %s: build the image again",
                         img->rootfs, img->rootfs_type, m.rootfs_type);
    (void)str_copy(img->kernel_release, sizeof img->kernel_release, m.kernel_release);
    return set_pins(img, &m, cfg, err);
}

static int load_stock(const struct config *cfg, struct image *img, struct error *err)
{
    const struct config_firecracker *fc = &cfg->firecracker;
    img->kind = IMAGE_STOCK;
    if (!*fc->kernel && !*fc->rootfs)
        return error_set(err, ERR_CONFIG, 0,
                         "no image is configured: " BUILD_HINT
                         ", or set firecracker.kernel and firecracker.rootfs");
    if (!*fc->kernel || !*fc->rootfs)
        return error_set(err, ERR_CONFIG, 0,
                         "firecracker.%s is set but firecracker.%s is not: a stock image needs "
                         "both",
                         *fc->kernel ? "kernel" : "rootfs", *fc->kernel ? "rootfs" : "kernel");
    if (str_copy(img->kernel, sizeof img->kernel, fc->kernel) < 0 ||
        str_copy(img->rootfs, sizeof img->rootfs, fc->rootfs) < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "firecracker.kernel or firecracker.rootfs");
    if (check_kernel(img, err) < 0)
        return error_append(err, " (firecracker.kernel)");
    if (check_rootfs(img, err) < 0)
        return error_append(err, " (firecracker.rootfs)");
    return set_pins(img, NULL, cfg, err);
}

int image_load(const struct config *cfg, struct image *out, struct error *err)
{
    struct image img = IMAGE_INIT;
    bool ours = cfg->image.dir && *cfg->image.dir;
    int r = ours ? load_ours(cfg, &img, err) : load_stock(cfg, &img, err);
    if (r == 0)
        *out = img;
    else
        image_close(&img);
    return r;
}
