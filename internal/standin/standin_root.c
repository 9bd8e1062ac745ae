#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "standin/standin.h"

#define NEW_ROOT "/mnt/root"

static int mount_at(const char *source, const char *target, const char *type, unsigned long flags,
                    const char *data, struct error *err)
{
    if (mkdir(target, 0755) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "make mount point %s", target);
    if (mount(source, target, type, flags, data) < 0)
        return error_set(err, ERR_IO, errno, "mount %s", target);
    return 0;
}

/* In a user namespace nobody makes devices: the host's own is mounted there. */
static int bind_device(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    (void)close(fd);
    return mount(path + strlen(NEW_ROOT), path, NULL, MS_BIND, NULL);
}

/* The few devices that a shell and an SSH server want. */
static int make_dev(struct error *err)
{
    static const struct {
        const char *path;
        unsigned minor, major;
    } nodes[] = {
        {NEW_ROOT "/dev/null", 3, 1},    {NEW_ROOT "/dev/zero", 5, 1},
        {NEW_ROOT "/dev/full", 7, 1},    {NEW_ROOT "/dev/random", 8, 1},
        {NEW_ROOT "/dev/urandom", 9, 1}, {NEW_ROOT "/dev/tty", 0, 5},
    };
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        if ((mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0 ||
             chmod(nodes[i].path, 0666) < 0) &&
            bind_device(nodes[i].path) < 0)
            return error_set(err, ERR_IO, errno, "make %s", nodes[i].path);
    if (symlink("pts/ptmx", NEW_ROOT "/dev/ptmx") < 0 ||
        symlink("/proc/self/fd", NEW_ROOT "/dev/fd") < 0)
        return error_set(err, ERR_IO, errno, "make links in /dev");
    return 0;
}

/* One entry of the host's root directory: a link, or a directory under an overlay of its own. What
 * has further mounts in it can't have one, and the guest does without. */
static int mount_part(const char *name, struct error *err)
{
    char target[PATH_MAX];
    struct stat st;
    _cleanup_free_ char *host = xasprintf("/%s", name), *at = xasprintf(NEW_ROOT "/%s", name);
    _cleanup_free_ char *upper = xasprintf("/mnt/parts/upper-%s", name);
    _cleanup_free_ char *work = xasprintf("/mnt/parts/work-%s", name);
    _cleanup_free_ char *options = xasprintf("lowerdir=%s,upperdir=%s,workdir=%s,userxattr", host,
                                             upper, work);
    if (lstat(host, &st) < 0 || !(S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)))
        return 0;
    ssize_t n = readlink(host, target, sizeof target - 1);
    target[n < 0 ? 0 : n] = '\0';
    if (n > 0 && symlink(target, at) < 0)
        return error_set(err, ERR_IO, errno, "make %s", at);
    if (n > 0)
        return 0;
    if (mkdir(at, 0755) < 0 || mkdir(upper, 0755) < 0 || mkdir(work, 0755) < 0)
        return error_set(err, ERR_IO, errno, "make directories for %s", at);
    (void)mount("overlay", at, "overlay", 0, options);
    return 0;
}

/* In a user namespace the root as a whole can't be a layer: it has mounts that must stay. */
static int mount_parts(struct error *err)
{
    static const char *const own[] = {".", "..", "mnt", "proc", "sys", "run", "tmp", "dev"};
    static const char shadow[] = NEW_ROOT "/etc/shadow";
    _cleanup_closedir_ DIR *d = opendir("/");
    if (mkdir("/mnt/parts", 0755) < 0 || mount(NEW_ROOT, NEW_ROOT, NULL, MS_BIND, NULL) < 0)
        return error_set(err, ERR_IO, errno, "make a directory for the overlays");
    for (const struct dirent *e; d && (e = readdir(d));) {
        bool skip = false;
        for (size_t i = 0; i < ARRAY_LEN(own); i++)
            skip = skip || str_eq(e->d_name, own[i]);
        if (!skip && mount_part(e->d_name, err) < 0)
            return -1;
    }
    /* The host's is closed to us; nobody logs in by a password. */
    (void)unlink(shadow);
    int fd = open(shadow, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0640);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "make %s", shadow);
    (void)close(fd);
    return 0;
}

/* The host's files under an overlay in memory. All of it is in a mount namespace of the guest's
 * own, so nothing shows outside and nothing has to be taken away. */
static int mount_root(struct error *err)
{
    static const struct {
        const char *source, *target, *type, *data;
        unsigned long flags;
    } table[] = {
        {"guest", "/mnt", "tmpfs", "mode=0755", 0},
        {"proc", NEW_ROOT "/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"sysfs", NEW_ROOT "/sys", "sysfs", NULL, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"run", NEW_ROOT "/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV},
        {"tmp", NEW_ROOT "/tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV},
        {"dev", NEW_ROOT "/dev", "tmpfs", "mode=0755", MS_NOSUID},
        {"devpts", NEW_ROOT "/dev/pts", "devpts", "newinstance,mode=0620,gid=5,ptmxmode=0666",
         MS_NOSUID | MS_NOEXEC},
        {"shm", NEW_ROOT "/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV},
    };
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_set(err, ERR_IO, errno, "make mounts private");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (mount_at(table[i].source, table[i].target, table[i].type, table[i].flags, table[i].data,
                     err) < 0)
            return -1;
        if (i > 0)
            continue;
        if (mkdir("/mnt/upper", 0755) < 0 || mkdir("/mnt/work", 0755) < 0 ||
            mkdir(NEW_ROOT, 0755) < 0)
            return error_set(err, ERR_IO, errno, "make directories for the overlay");
        if (mount("overlay", NEW_ROOT, "overlay", 0,
                  "lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work") < 0 &&
            mount_parts(err) < 0)
            return -1;
    }
    return make_dev(err);
}

static int switch_root(struct error *err)
{
    if (chdir(NEW_ROOT) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return error_set(err, ERR_IO, errno, "switch to the guest's root");
    return 0;
}

int standin_root_enter(struct error *err)
{
    return mount_root(err) < 0 ? -1 : switch_root(err);
}
