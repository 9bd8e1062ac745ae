#include "guest/init.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/str.h"

/* Kept open so that the upper drive can be found again once it is out of sight. */
static int upper_fd = -1;

/* Mounts, after making the mount point. */
static int mount_at(const char *source, const char *target, const char *type, unsigned long flags,
                    const char *data, struct error *err)
{
    if (mkdir(target, 0755) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "make mount point %s", target);
    if (mount(source, target, type, flags, data) < 0)
        return error_set(err, ERR_IO, errno, "mount %s on %s", source, target);
    return 0;
}

int mounts_early(struct error *err)
{
    if (mount_at("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755", err) < 0)
        return -1;
    return mount_at("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, err);
}

int mounts_root(const struct drives *d, const char *tmpfs_size, struct error *err)
{
    char options[64];
    if (mount_at(d->root, MOUNT_LOWER, d->fstype, MS_RDONLY, NULL, err) < 0)
        return -1;
    if (*d->upper) {
        if (mount_at(d->upper, "/upper", "ext4", MS_NOATIME, NULL, err) < 0)
            return -1;
    } else {
        (void)str_format(options, sizeof options, "mode=0755,size=%s",
                         *tmpfs_size ? tmpfs_size : "50%");
        if (mount_at("upper", "/upper", "tmpfs", 0, options, err) < 0)
            return -1;
    }
    if ((mkdir("/upper/data", 0755) < 0 && errno != EEXIST) ||
        (mkdir("/upper/work", 0755) < 0 && errno != EEXIST))
        return error_set(err, ERR_IO, errno, "make directories for the overlay");
    upper_fd = *d->upper ? open("/upper", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    return 0;
}

static int mount_runtime(struct error *err)
{
    static const struct {
        const char *source, *target, *type, *data;
        unsigned long flags;
        bool spare; /* some kernels are built without */
    } table[] = {
        {"sysfs", "/new/sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false},
        {"run", "/new/run", "tmpfs", "mode=0755,size=20%", MS_NOSUID | MS_NODEV, false},
        {"devpts", "/new/dev/pts", "devpts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC,
         false},
        {"shm", "/new/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV, false},
        {"mqueue", "/new/dev/mqueue", "mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, true},
        {"cgroup2", "/new/sys/fs/cgroup", "cgroup2", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (mount_at(table[i].source, table[i].target, table[i].type, table[i].flags, table[i].data,
                     table[i].spare ? NULL : err) < 0 &&
            !table[i].spare)
            return -1;
    return 0;
}

/* /dev/fd and friends, which devtmpfs does not make. */
static void link_dev(void)
{
    (void)!symlink("/proc/self/fd", "/dev/fd");
    (void)!symlink("/proc/self/fd/0", "/dev/stdin");
    (void)!symlink("/proc/self/fd/1", "/dev/stdout");
    (void)!symlink("/proc/self/fd/2", "/dev/stderr");
}

/* redirect_dir: a directory of the image can be renamed, and not only copied. */
int mounts_switch(struct error *err)
{
    if (mount_at("overlay", "/new", "overlay", 0,
                 "lowerdir=" MOUNT_LOWER ",upperdir=/upper/data,workdir=/upper/work,"
                 "redirect_dir=on",
                 err) < 0)
        return -1;
    link_dev();
    if (mount_at("/dev", "/new/dev", NULL, MS_MOVE, NULL, err) < 0 ||
        mount_at("/proc", "/new/proc", NULL, MS_MOVE, NULL, err) < 0)
        return -1;
    if (mount_runtime(err) < 0)
        return -1;
    /* pivot_root is not possible from the initial ramfs: move over it instead. */
    if (chdir("/new") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        return error_set(err, ERR_IO, errno, "switch to the guest's root");
    return 0;
}

void mounts_tune(void)
{
    static const struct {
        const char *path, *value;
    } table[] = {
        {"/proc/sys/kernel/pid_max", "4194304"},
        {"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"},
        {"/proc/sys/fs/protected_fifos", "1"},
        {"/proc/sys/fs/protected_regular", "2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        _cleanup_close_ int fd = open(table[i].path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
            (void)!write(fd, table[i].value, strlen(table[i].value));
    }
}

void mounts_finish(void)
{
    char path[64];
    if (upper_fd < 0)
        return; /* writes lived in memory: nothing to save */
    sync();
    (void)mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    (void)str_format(path, sizeof path, "/proc/self/fd/%d", upper_fd);
    if (mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
        console("upper drive stays writable: %s", strerror(errno));
    sync();
}
