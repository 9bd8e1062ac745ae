/* image.c: finds the files of an image, opens them once, and checks them.
 *
 * There are two kinds. An image of ours is a directory with image.json, which names kernel, initrd
 * and root and has their hashes. A stock image is two files that the configuration names. Both go
 * through the same functions: image_locate fills the paths, image_open_kernel, image_open_rootfs
 * and image_open_rest open and probe the files, and set_pin takes over the pins. Later,
 * image_check_pins hashes the open files, and image_unchanged compares them once more after the VMM
 * has opened them.
 */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "image/manifest.h"
#include "image/probe.h"
#include "sys/file.h"
#include "sys/trusted.h"

#define BUILD "scripts/build-image.sh"

static const char *const file_words[IMAGE_FILES] = {"kernel", "initrd", "root filesystem"};

/* Adds the next step to an error about one of the image's files, unless it has one already. */
static int refuse(const struct image *img, const char *field, struct error *err)
{
    if (!err)
        return -1;
    if (img->kind == IMAGE_OURS)
        return error_append(err, "; next: build the image with " BUILD
                                 ", or set image.dir to a finished one");
    return error_append(err,
                        "; next: set %s to another file, or unset firecracker.kernel and "
                        "firecracker.rootfs and build the default image with " BUILD,
                        field);
}

/* The error if a file of a stock image is not set. The user has to name both. */
static int refuse_blank(const struct image *img, enum image_file f, struct error *err)
{
    static const char *const keys[] = {
        [IMAGE_KERNEL] = "firecracker.kernel", [IMAGE_ROOTFS] = "firecracker.rootfs"};
    const enum image_file other = f == IMAGE_KERNEL ? IMAGE_ROOTFS : IMAGE_KERNEL;
    if (!*image_path(img, other))
        return error_set(err, ERR_CONFIG, 0,
                         "no image is configured; next: build the default image with " BUILD
                         " and set image.dir to it, or set firecracker.kernel and "
                         "firecracker.rootfs");
    return error_set(err, ERR_CONFIG, 0,
                     "%s is set but %s is not: a stock image needs both; next: set %s", keys[other],
                     keys[f], keys[f]);
}

/* Opens a file once; the image keeps the descriptor. */
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

static int check_kernel(struct image *img, struct error *err)
{
    int64_t size = 0;
    struct kernel_info info;
    int fd = open_file(img, IMAGE_KERNEL, &size, err);
    if (fd < 0 || probe_kernel(fd, img->kernel, &info, err) < 0)
        return -1;
    img->kernel_format = info.format == KERNEL_ELF_X86_64 ? "elf-x86_64" : "arm64";
    if (info.format != KERNEL_OF_HOST)
        return error_set(err, ERR_CONFIG, 0, "kernel %s is for another machine; this host is %s",
                         img->kernel, HOST_ARCH);
    img->kernel_pvh = info.pvh;
    return 0;
}

int image_open_kernel(struct image *img, struct error *err)
{
    if (img->kind == IMAGE_STOCK && !*img->kernel)
        return refuse_blank(img, IMAGE_KERNEL, err);
    return check_kernel(img, err) < 0 ? refuse(img, "firecracker.kernel", err) : 0;
}

/* A root that all leases share is mounted read-only, so a journal in it can't be replayed. */
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
    if (*img->rootfs_type && !str_eq(img->rootfs_type, info.type))
        return error_set(err, ERR_CONFIG, 0, "%s holds %s, but " MANIFEST_NAME " says %s",
                         img->rootfs, info.type, img->rootfs_type);
    return str_copy(img->rootfs_type, sizeof img->rootfs_type, info.type);
}

int image_open_rootfs(struct image *img, struct error *err)
{
    if (img->kind == IMAGE_STOCK && !*img->rootfs)
        return refuse_blank(img, IMAGE_ROOTFS, err);
    return check_rootfs(img, err) < 0 ? refuse(img, "firecracker.rootfs", err) : 0;
}

/* Opens the directory. A missing one is the most common first error, so it has a message of its
 * own. */
static int open_dir(const char *dir, struct error *err)
{
    struct error e = ERROR_INIT;
    int fd = probe_open_path(dir, "image directory", O_RDONLY | O_DIRECTORY, &e);
    if (fd >= 0)
        return fd;
    if (e.sys == ENOENT)
        return error_set(err, ERR_ENV, 0, "image directory %s does not exist", dir);
    if (e.sys == ENOTDIR)
        return error_set(err, ERR_CONFIG, 0, "image.dir %s is not a directory", dir);
    if (err)
        *err = e;
    return -1;
}

static int read_manifest(const char *dir, struct manifest *m, struct error *err)
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
        return error_set(err, ERR_ENV, 0, "%s does not exist, so %s is not a finished image", path,
                         dir);
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

/* Both the manifest and the configuration may pin a file. If both do, they must agree. */
static int set_pin(struct image *img, enum image_file f, const char *config, struct error *err)
{
    struct pinned *p = &img->pins[f];
    static const char *const keys[IMAGE_FILES] = {"pin.kernel", "pin.initrd", "pin.rootfs"};
    p->what = file_words[f];
    if (!*config)
        return 0;
    if (p->sha256[0] && !str_eq(p->sha256, config))
        return error_set(err, ERR_CONFIG, 0,
                         "%s is %s, but %s/" MANIFEST_NAME
                         " pins the %s as %s; next: take the image "
                         "that was meant, or set %s again",
                         keys[f], config, img->dir, p->what, p->sha256, keys[f]);
    if (!*image_path(img, f))
        return error_set(err, ERR_CONFIG, 0, "%s is set, but the image has no %s; next: unset %s",
                         keys[f], p->what, keys[f]);
    return str_copy(p->sha256, sizeof p->sha256, config);
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

static int locate_ours(const char *dir, struct image *img, struct error *err)
{
    struct manifest m;
    if (str_copy(img->dir, sizeof img->dir, dir) < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "image.dir");
    if (read_manifest(dir, &m, err) < 0 || join(img->kernel, dir, m.kernel.name, err) < 0 ||
        join(img->initrd, dir, m.initrd.name, err) < 0 ||
        join(img->rootfs, dir, m.rootfs.name, err) < 0)
        return refuse(img, "image.dir", err);
    const struct manifest_file *const files[IMAGE_FILES] = {&m.kernel, &m.initrd, &m.rootfs};
    for (int f = 0; f < IMAGE_FILES; f++)
        (void)str_copy(img->pins[f].sha256, sizeof img->pins[f].sha256, files[f]->sha256);
    (void)str_copy(img->rootfs_type, sizeof img->rootfs_type, m.rootfs_type);
    return str_copy(img->kernel_release, sizeof img->kernel_release, m.kernel_release);
}

int image_locate(const struct config *cfg, struct image *img, struct error *err)
{
    const struct config_firecracker *fc = &cfg->firecracker;
    img->kind = cfg->image.dir && *cfg->image.dir ? IMAGE_OURS : IMAGE_STOCK;
    if (img->kind == IMAGE_OURS)
        return locate_ours(cfg->image.dir, img, err);
    if (str_copy(img->kernel, sizeof img->kernel, fc->kernel) < 0 ||
        str_copy(img->rootfs, sizeof img->rootfs, fc->rootfs) < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "firecracker.kernel or firecracker.rootfs");
    return 0;
}

int image_open_rest(const struct config *cfg, struct image *img, struct error *err)
{
    int64_t size = 0;
    if (*img->initrd && open_file(img, IMAGE_INITRD, &size, err) < 0)
        return refuse(img, "image.dir", err);
    if (set_pin(img, IMAGE_KERNEL, cfg->pin.kernel, err) < 0 ||
        set_pin(img, IMAGE_INITRD, cfg->pin.initrd, err) < 0)
        return -1;
    return set_pin(img, IMAGE_ROOTFS, cfg->pin.rootfs, err);
}

int image_load(const struct config *cfg, struct image *out, struct error *err)
{
    struct image img = IMAGE_INIT;
    if (image_locate(cfg, &img, err) == 0 && image_open_kernel(&img, err) == 0 &&
        image_open_rootfs(&img, err) == 0 && image_open_rest(cfg, &img, err) == 0) {
        *out = img;
        return 0;
    }
    image_close(&img);
    return -1;
}
