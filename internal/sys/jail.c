/* jail.c: how a child gets a root directory that has only what it needs.
 *
 * The parent makes a tmpfs that is attached nowhere (fsmount), and in it the directories and empty
 * files that mounts will cover, links and device nodes. Of each file or directory of the host it
 * takes a copy of the mount, attached nowhere either (open_tree), and makes it private and
 * read-only. A child that is killed at any moment leaves nothing, because these mounts only exist
 * by their descriptors.
 *
 * The child attaches the tmpfs on top of its root, and the copies in it. pivot_root then makes the
 * tmpfs the root and puts the old one on top of it, from where it is taken away. The working
 * directory moves into the jail, since it would be a way out.
 *
 * pivot_root can't leave an initramfs. There the child first puts a copy of all mounts on top of
 * its root and makes that its root. pivot_root then leaves the copy. The initramfs below it stays,
 * but no path leads to it, and a program without CAP_SYS_CHROOT can't get there.
 *
 * The device nodes are the jail's own, because nodes of the host belong to root, and a mount of
 * them would be closed to the user of the jail.
 */
#include "sys/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define ROOT_SIZE   "256k" /* directories and empty files */
#define ROOT_INODES "256"
#define HOST_NAME   "vmm"

static int cant(const char *what, struct error *err)
{
    return error_set(err, ERR_ENV, errno,
                     "%s for the VMM; next: run as root with CAP_SYS_ADMIN on Linux 5.12 or newer, "
                     "or accept a VMM with all of root's rights by --sandbox false",
                     what);
}

/* What is mounted on a directory that is no mount could show on the host as well. */
static int check_root(struct error *err)
{
    struct statx st;
    if (statx(AT_FDCWD, "/", 0, 0, &st) < 0)
        return cant("look at the root directory", err);
    if (st.stx_attributes_mask & ~st.stx_attributes & STATX_ATTR_MOUNT_ROOT)
        return error_set(err, ERR_ENV, 0,
                         "the root directory here was set by chroot and is not a mount, so the VMM "
                         "can't get another one; next: mount --bind DIR DIR before chroot DIR, or "
                         "accept a VMM with all of root's rights by --sandbox false");
    return 0;
}

static int open_tmpfs(struct jail *j, const char *size, unsigned attributes, struct error *err)
{
    if (check_root(err) < 0)
        return -1;
    _cleanup_close_ int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", ROOT_INODES, 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return cant("make a root directory", err);
    j->root_fd = fsmount(fs, FSMOUNT_CLOEXEC, attributes);
    return j->root_fd < 0 ? cant("make a root directory", err) : 0;
}

int jail_open(struct jail *j, uid_t owner, struct error *err)
{
    *j = (struct jail)JAIL_INIT;
    j->owner = owner;
    return open_tmpfs(j, ROOT_SIZE, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
}

int jail_open_at(struct jail *j, uid_t owner, const char *base, uint64_t bytes, struct error *err)
{
    char size[24];
    *j = (struct jail)JAIL_INIT;
    j->owner = owner;
    j->base = base;
    (void)str_format(size, sizeof size, "%llu", (unsigned long long)bytes);
    return open_tmpfs(j, size, MOUNT_ATTR_NOSUID, err);
}

/* Makes the directories above a name in the jail. */
static int make_way(int root_fd, const char *at, struct error *err)
{
    _cleanup_free_ char *way = xstrdup(at);
    for (char *slash = strchr(way, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdirat(root_fd, way, 0755) < 0 && errno != EEXIST)
            return cant("make a directory", err);
        *slash = '/';
    }
    return 0;
}

static int make_point(int root_fd, const char *at, bool directory, struct error *err)
{
    if (make_way(root_fd, at, err) < 0)
        return -1;
    int r = directory ? mkdirat(root_fd, at, 0755) : mknodat(root_fd, at, S_IFREG | 0444, 0);
    return r < 0 && errno != EEXIST ? cant("make a mount point", err) : 0;
}

static int restrict_tree(int tree, enum jail_access access, unsigned deep)
{
    static const uint64_t attributes[] = {
        [JAIL_READ] = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC,
        [JAIL_EXECUTE] = MOUNT_ATTR_RDONLY,
        [JAIL_WRITE] = MOUNT_ATTR_NOEXEC,
        [JAIL_DEVICE] = MOUNT_ATTR_NOEXEC,
    };
    const uint64_t no_devices = access == JAIL_DEVICE ? 0 : MOUNT_ATTR_NODEV;
    struct mount_attr attr = {.attr_set = attributes[access] | MOUNT_ATTR_NOSUID | no_devices,
                              .propagation = MS_PRIVATE};
    return mount_setattr(tree, "", AT_EMPTY_PATH | deep, &attr, sizeof attr);
}

/* A copy of the mount, and whether it has further ones in it: without root, the kernel gives no
 * copy of a directory alone if that would show what a mount hides. */
static int copy_mount(int dirfd, const char *path, unsigned *deep)
{
    *deep = 0;
    const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
    int tree = open_tree(dirfd, path, flags);
    if (tree >= 0 || errno != EINVAL)
        return tree;
    *deep = AT_RECURSIVE;
    return open_tree(dirfd, path, flags | AT_RECURSIVE);
}

int jail_directory(struct jail *j, const char *at, struct error *err)
{
    return make_point(j->root_fd, at + strspn(at, "/"), true, err);
}

int jail_put(struct jail *j, int dirfd, const char *path, const char *at, enum jail_access access,
             bool optional, struct error *err)
{
    struct stat st;
    at += strspn(at, "/");
    unsigned deep;
    _cleanup_close_ int tree = copy_mount(dirfd, path, &deep);
    if (tree < 0 && errno == ENOENT && optional)
        return 0;
    if (tree < 0 || fstat(tree, &st) < 0)
        return error_set(err, ERR_ENV, errno, "let the VMM see %s", path);
    /* The kernel can't mount a file that has no name any more. */
    if (st.st_nlink == 0)
        return error_set(err, ERR_TRUST, 0,
                         "a file of the VMM was removed or replaced meanwhile; next: run it again");
    if (j->n == JAIL_MOUNTS_MAX)
        return error_set(err, ERR_INTERNAL, 0, "too many files for a VMM");
    if (restrict_tree(tree, access, deep) < 0)
        return error_set(err, ERR_ENV, errno, "restrict what the VMM may do with %s", path);
    if (make_point(j->root_fd, at, S_ISDIR(st.st_mode), err) < 0)
        return -1;
    j->mounts[j->n++] = (struct jail_mount){.tree_fd = TAKE_FD(tree), .at = xstrdup(at)};
    return 0;
}

int jail_device(struct jail *j, const char *path, struct error *err)
{
    struct stat st;
    const char *at = path + strspn(path, "/");
    if (stat(path, &st) < 0)
        return errno == ENOENT ? 0 : error_set(err, ERR_ENV, errno, "look at %s", path);
    if (!S_ISCHR(st.st_mode))
        return error_set(err, ERR_ENV, 0, "%s is not a character device", path);
    if (j->host_devices)
        return jail_put(j, AT_FDCWD, path, path, JAIL_DEVICE, true, err);
    if (make_way(j->root_fd, at, err) < 0)
        return -1;
    if (mknodat(j->root_fd, at, S_IFCHR | 0600, st.st_rdev) < 0 ||
        fchownat(j->root_fd, at, j->owner, j->owner, 0) < 0)
        return cant("make a device", err);
    return 0;
}

int jail_link(struct jail *j, const char *target, const char *at, struct error *err)
{
    at += strspn(at, "/");
    if (make_way(j->root_fd, at, err) < 0)
        return -1;
    return symlinkat(target, j->root_fd, at) < 0 ? cant("make a link", err) : 0;
}

static int attach(const struct jail *j)
{
    struct mount_attr sealed = {.attr_set = MOUNT_ATTR_RDONLY};
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        move_mount(j->root_fd, "", AT_FDCWD, j->base ? j->base : "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -1;
    for (unsigned i = 0; i < j->n; i++)
        if (move_mount(j->mounts[i].tree_fd, "", j->root_fd, j->mounts[i].at,
                       MOVE_MOUNT_F_EMPTY_PATH) < 0)
            return -1;
    return j->base ? 0 : mount_setattr(j->root_fd, "", AT_EMPTY_PATH, &sealed, sizeof sealed);
}

/* An initramfs is one of these two. Other roots that are could be left, but there the copy does no
 * harm. */
static bool maybe_initramfs(void)
{
    struct statfs fs;
    return statfs("/", &fs) == 0 && (fs.f_type == RAMFS_MAGIC || fs.f_type == TMPFS_MAGIC);
}

static int copy_root(void)
{
    if (!maybe_initramfs())
        return 0;
    int tree = open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(tree) < 0 ||
        chroot(".") < 0)
        return -1;
    return close(tree);
}

int jail_enter(const struct jail *j)
{
    if (copy_root() < 0)
        return -1;
    if (j->base)
        return attach(j) < 0 ? -1 : sethostname(HOST_NAME, sizeof HOST_NAME - 1);
    if (attach(j) < 0 || fchdir(j->root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir(j->cwd ? j->cwd : "/") < 0)
        return -1;
    return sethostname(HOST_NAME, sizeof HOST_NAME - 1);
}

void jail_close(struct jail *j)
{
    for (unsigned i = 0; i < j->n; i++) {
        CLOSE_FD(j->mounts[i].tree_fd);
        free(j->mounts[i].at);
    }
    j->n = 0;
    CLOSE_FD(j->root_fd);
}
