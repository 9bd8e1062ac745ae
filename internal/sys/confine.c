/* confine.c: how a child loses everything that it does not need.
 *
 * The parent prepares the confinement, because it may fail with a message there. confine_new makes
 * a Landlock ruleset that covers every right that this kernel can forbid. confine_allow adds one
 * file or directory with the rights that the child may use there. A rule belongs to the opened file
 * and not to its path, so a file that is put in its place later is not covered.
 *
 * confine_bound and confine_apply run in the child between fork and exec, so they only make system
 * calls. The order matters:
 * 1. Drop all capabilities from the bounding set, so that no exec can give them back. This comes
 *    before the child changes its user, which takes away the right to do it.
 * 2. Set no_new_privs. Landlock and seccomp need that from a process without capabilities, and
 *    setuid programs lose their effect.
 * 3. Drop the ambient, permitted, effective and inheritable capabilities.
 * 4. Apply the Landlock ruleset. From now on, only files on the list can be opened.
 * 5. Apply the filter of system calls (syscalls.c). It comes last, because it refuses the calls of
 *    the steps before.
 *
 * All of this lasts through exec and can't be undone. After the start, the parent calls
 * confine_verify, which reads /proc/PID/status. It checks what the process really has, and not what
 * was asked for.
 */
#include "sys/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/syscalls.h"
#include "sys/uids.h"

/* Newer than the headers of Debian 12; numbers of the kernel's interface. */
#define FS_TRUNCATE  (UINT64_C(1) << 14) /* version 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* version 5 */
#define NET_ALL      UINT64_C(3)         /* version 4: TCP bind and connect */
#define SCOPE_ALL    UINT64_C(3)         /* version 6: abstract sockets, signals */

/* The kernel's struct since version 6. Older kernels take only the first members. */
struct ruleset_attr {
    uint64_t fs, net, scoped;
};

static int create_ruleset(const struct ruleset_attr *attr, size_t size, uint32_t flags)
{
    return (int)syscall(SYS_landlock_create_ruleset, attr, size, flags);
}

int confine_version(void)
{
    int v = create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return v < 0 ? 0 : v;
}

/* Everything that this version can forbid. */
static uint64_t fs_rights(int version)
{
    uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    if (version >= 2)
        all |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        all |= FS_TRUNCATE;
    if (version >= 5)
        all |= FS_IOCTL_DEV;
    return all;
}

int confine_new(struct error *err)
{
    int version = confine_version();
    if (version < 1)
        return error_set(
            err, ERR_ENV, 0,
            "this kernel can't confine the VMM: it has no Landlock, or it is switched off; "
            "next: boot with lsm=landlock,… (CONFIG_SECURITY_LANDLOCK), or accept a VMM "
            "with all of root's rights by --sandbox false");
    const struct ruleset_attr attr = {
        .fs = fs_rights(version), .net = NET_ALL, .scoped = SCOPE_ALL};
    size_t size = version >= 6   ? sizeof attr
                  : version >= 4 ? offsetof(struct ruleset_attr, scoped)
                                 : offsetof(struct ruleset_attr, net);
    int fd = create_ruleset(&attr, size, 0);
    return fd >= 0 ? fd : error_set(err, ERR_ENV, errno, "make a Landlock ruleset");
}

/* The rights of an access, without those that a file can't have. */
static uint64_t rights_of(enum confine_access access, bool directory)
{
    static const uint64_t table[] = {
        [CONFINE_READ] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
        [CONFINE_EXECUTE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                            LANDLOCK_ACCESS_FS_EXECUTE,
        [CONFINE_WRITE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE,
        [CONFINE_SOCKETS] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                            LANDLOCK_ACCESS_FS_MAKE_SOCK,
        [CONFINE_DEVICE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                           FS_IOCTL_DEV,
    };
    uint64_t rights = table[access] & fs_rights(confine_version());
    return directory ? rights : rights & ~(uint64_t)LANDLOCK_ACCESS_FS_READ_DIR;
}

int confine_allow(int confine_fd, int dirfd, const char *path, enum confine_access access,
                  bool optional, struct error *err)
{
    struct stat st;
    _cleanup_close_ int fd = openat(dirfd, path, O_PATH | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && optional)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_ENV, errno, "let a confined program use %s", path);
    const struct landlock_path_beneath_attr rule = {
        .allowed_access = rights_of(access, S_ISDIR(st.st_mode)), .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, confine_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return error_set(err, ERR_ENV, errno, "let a confined program use %s", path);
    return 0;
}

static int set_capabilities(const struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    return (int)syscall(SYS_capset, &head, data);
}

int confine_bound(uint64_t keep)
{
    for (unsigned long cap = 0; cap <= 63; cap++)
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL &&
            errno != EPERM)
            return -1;
    return 0;
}

int confine_apply(int confine_fd, unsigned more)
{
    static const struct __user_cap_data_struct none[2];
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) ||
        set_capabilities(none) < 0 ||
        (confine_fd >= 0 && syscall(SYS_landlock_restrict_self, confine_fd, 0) < 0))
        return -1;
    return syscalls_confine(more);
}

/* ---- checking in advance, and confining ourselves ---- */

struct attempt {
    const char *path;
    int sys;
};

/* Each thread has its own ids and capabilities. This thread gives up root's for good. */
static bool be_nobody(void)
{
    static const struct __user_cap_data_struct none[2];
    uid_t id = UID_NOBODY;
    if (geteuid() != 0)
        return set_capabilities(none) == 0;
    /* A user namespace has few ids, or one. Groups stay there, for the VMM too. */
    if (syscall(SYS_setresgid, id, id, id) < 0) {
        id = UID_NOBODY_INSIDE;
        if (errno != EINVAL)
            return false;
        if (syscall(SYS_setresgid, id, id, id) < 0)
            return errno == EINVAL && set_capabilities(none) == 0;
    } else if (syscall(SYS_setgroups, 0, NULL) < 0) {
        return false;
    }
    return syscall(SYS_setresuid, id, id, id) == 0;
}

int confine_self(struct error *err)
{
    _cleanup_close_ int files = -1;
    /* Without Landlock, the list of calls alone has to do: nothing on it opens a file. */
    if (confine_version() >= 1 && (files = confine_new(err)) < 0)
        return -1;
    if (confine_bound(0) < 0 || !be_nobody() || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        confine_apply(files, SYSCALLS_SETTLED) < 0)
        return error_set(err, ERR_ENV, errno, "give up all rights before a guest is listened to");
    return 0;
}

static void *try_to_open(void *arg)
{
    struct attempt *a = arg;
    _cleanup_close_ int fd = be_nobody()
                                 ? open(a->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
                                 : -1;
    a->sys = fd < 0 ? errno : 0;
    return NULL;
}

int confine_can_read(const char *path, struct error *err)
{
    pthread_t thread;
    struct attempt a = {.path = path};
    int r = pthread_create(&thread, NULL, try_to_open, &a);
    if (r != 0)
        return error_set(err, ERR_INTERNAL, r, "start a thread");
    (void)pthread_join(thread, NULL);
    if (a.sys != EACCES && a.sys != EPERM)
        return 0;
    /* The message has the real name of a file that was given by its descriptor. The directories
     * above such a file don't matter. */
    bool by_fd = str_has_prefix(path, "/proc/self/fd/");
    _cleanup_free_ char *real = realpath(path, NULL);
    return error_set(
        err, ERR_CONFIG, 0,
        "the VMM runs as a user of its own and can't read %s; next: open %s, or accept a VMM with "
        "all of root's rights by --sandbox false",
        real ? real : path,
        by_fd ? "it to others (chmod o+r)"
              : "it and the directories above it to others (chmod o+rX), move it below /var/lib");
}
