/* sandbox.c: the list of what a VMM may reach, and the jail that holds nothing else.
 *
 * The VMM finds every file by the name that it has on the host, so the names in its configuration
 * and on its command line are the same with and without a sandbox. Only its own directory,
 * where it starts, is called /vmm there. An image's file that we have open goes by a name like
 * /proc/self/fd/7, and so it does in the jail, where it is a mount of that file.
 *
 * Each name is entered twice: into the jail, so that it is there, and into the Landlock list, which
 * would still hold if there were a way out of the jail.
 */
#include "vmm/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/confine.h"
#include "sys/pathwalk.h"
#include "sys/spawn.h"
#include "sys/uids.h"
#include "sys/userns.h"
#include "vmm/jailer.h"

#define DIRECTORY_MODE 0710 /* the VMM's user can open files there, but not make any */
#define ROOTLESS_MODE  0711 /* the same without root, where its group is ours */

/* Files of the host that every VMM gets. */
static const struct {
    const char *path;
    enum confine_access access;
} host_files[] = {
    {"/usr", CONFINE_EXECUTE}, /* libraries, the loader, QEMU's firmware and modules */
    {"/bin", CONFINE_EXECUTE},
    {"/lib", CONFINE_EXECUTE},
    {"/lib64", CONFINE_EXECUTE},
    {"/etc/ld.so.cache", CONFINE_READ},
    {"/dev/kvm", CONFINE_DEVICE},
    {"/dev/net/tun", CONFINE_DEVICE},
    {"/dev/null", CONFINE_DEVICE},
    {"/dev/urandom", CONFINE_DEVICE},
    {"/sys/devices/system", CONFINE_READ}, /* how many processors there are */
};

static bool has_jail(const struct vmm_sandbox *s)
{
    return s->jail.root_fd >= 0;
}

/* What we have open belongs to the mounts of the host, and only those of our own mount namespace
 * can be copied. So in there it is opened once more, by its name, and has to be the same. */
static int open_again(int dirfd, const char *path, struct error *err)
{
    char link[64], name[PATH_MAX];
    struct stat have, found;
    _cleanup_close_ int was = openat(dirfd, path, O_PATH | O_CLOEXEC);
    (void)str_format(link, sizeof link, "/proc/self/fd/%d", was);
    ssize_t n = was < 0 ? -1 : readlink(link, name, sizeof name - 1);
    name[n < 0 ? 0 : n] = '\0';
    _cleanup_close_ int fd = n < 0 ? -1 : open(name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(was, &have) < 0 || fstat(fd, &found) < 0)
        return error_set(err, ERR_ENV, errno, "let the VMM see %s", n > 0 ? name : path);
    if (have.st_dev != found.st_dev || have.st_ino != found.st_ino)
        return error_set(err, ERR_TRUST, 0,
                         "%s was removed or replaced meanwhile; next: run it again", name);
    return TAKE_FD(fd);
}

static int put_open(struct vmm_sandbox *s, int dirfd, const char *path, const char *at,
                    enum jail_access access, struct error *err)
{
    if (!s->rootless)
        return jail_put(&s->jail, dirfd, path, at, access, true, err);
    _cleanup_close_ int fd = open_again(dirfd, path, err);
    return fd < 0 ? -1 : jail_put(&s->jail, fd, "", at, access, false, err);
}

/* The jailer's child can't have one: Landlock forbids to mount. */
static int landlock(const struct vmm_sandbox *s, int dirfd, const char *path,
                    enum confine_access access, bool optional, struct error *err)
{
    return s->confine_fd < 0 ? 0 : confine_allow(s->confine_fd, dirfd, path, access, optional, err);
}

/* If a directory of the host is a link (/lib to usr/lib), it is a link in the jail, too. */
static int put_in_jail(struct vmm_sandbox *s, const char *path, enum confine_access access,
                       bool optional, struct error *err)
{
    static const enum jail_access in_jail[] = {
        [CONFINE_READ] = JAIL_READ, [CONFINE_EXECUTE] = JAIL_EXECUTE, [CONFINE_WRITE] = JAIL_WRITE};
    char target[PATH_MAX];
    if (access == CONFINE_DEVICE)
        return jail_device(&s->jail, path, err);
    ssize_t n = access == CONFINE_EXECUTE ? readlink(path, target, sizeof target - 1) : -1;
    if (n > 0 && target[0] != '/') {
        target[n] = '\0';
        return jail_link(&s->jail, target, path, err);
    }
    _cleanup_free_ char *at = xasprintf("%s%s", s->root ? s->root : "", path);
    if (str_has_prefix(path, "/proc/self/fd/"))
        return put_open(s, AT_FDCWD, path, at, in_jail[access], err);
    return jail_put(&s->jail, AT_FDCWD, path, at, in_jail[access], optional, err);
}

/* A file or directory of the host, by its absolute path. */
static int allow(struct vmm_sandbox *s, const char *path, enum confine_access access, bool optional,
                 struct error *err)
{
    if (has_jail(s) && put_in_jail(s, path, access, optional, err) < 0)
        return -1;
    /* The jail's devices are nodes of its own, where they can be. */
    if (has_jail(s) && !s->jail.host_devices && access == CONFINE_DEVICE)
        return confine_allow(s->confine_fd, s->jail.root_fd, path + 1, access, true, err);
    return landlock(s, AT_FDCWD, path, access, optional, err);
}

/* In a jail only the file's own mode counts, because the directories above it belong to the jail. A
 * missing file is reported when the VMM is started, or by the VMM. */
static int check_readable(const struct vmm_sandbox *s, const char *path, struct error *err)
{
    char at[32];
    if (!has_jail(s))
        return confine_can_read(path, err);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    (void)str_format(at, sizeof at, "/proc/self/fd/%d", fd);
    return fd < 0 ? 0 : confine_can_read(at, err);
}

/* Whether the file is in one of the host's directories of programs, which the jail has anyway. */
static bool is_among_programs(const char *path)
{
    for (size_t i = 0; i < ARRAY_LEN(host_files); i++)
        if (host_files[i].access == CONFINE_EXECUTE && path_is_below(path, host_files[i].path))
            return true;
    return false;
}

/* Puts the program into the jail under the first of its names, following its links, that is outside
 * of the host's directories of programs. The links before that name are in the jail, but those
 * after it may not be. */
static int put_program(struct vmm_sandbox *s, const char *binary, struct error *err)
{
    struct pathwalk w;
    struct stat st;
    bool link = false;
    for (int more = pathwalk_start(&w, binary); more > 0; more = pathwalk_next(&w, link)) {
        _cleanup_free_ char *name = xasprintf("%s%s", w.at, w.rest);
        if (!is_among_programs(name))
            return jail_put(&s->jail, AT_FDCWD, binary, name, JAIL_EXECUTE, true, err);
        link = lstat(pathwalk_at(&w), &st) == 0 && S_ISLNK(st.st_mode);
    }
    return 0;
}

static int allow_program(struct vmm_sandbox *s, const char *binary, struct error *err)
{
    if (check_readable(s, binary, err) < 0 || (has_jail(s) && put_program(s, binary, err) < 0))
        return -1;
    return confine_allow(s->confine_fd, AT_FDCWD, binary, CONFINE_EXECUTE, true, err);
}

static int allow_host(struct vmm_sandbox *s, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(host_files); i++)
        if (allow(s, host_files[i].path, host_files[i].access, true, err) < 0)
            return -1;
    return 0;
}

/* In its directory, the VMM's user owns the files that the VMM writes, and can read the others by
 * their group. */
static int give(const struct vmm_sandbox *s, int dirfd, const char *name, bool writes,
                struct error *err)
{
    if (!has_jail(s))
        return 0;
    uid_t owner = writes ? s->user.uid : (uid_t)-1;
    /* Without root we are nobody there by the host's rules, and get at its files as their group. */
    gid_t group = s->rootless && writes ? 0 : s->user.gid;
    mode_t mode = writes ? 0660 : 0440;
    _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fchown(fd, owner, group) < 0 ||
        ((!writes || s->rootless) && fchmod(fd, mode) < 0))
        return error_set(err, ERR_IO, errno, "give %s to the VMM", name);
    return 0;
}

/* Allows a file for the guest. If it is missing, the VMM reports that. */
static int allow_file(struct vmm_sandbox *s, const struct vmm_spec *spec, const char *path,
                      bool writes, struct error *err)
{
    enum confine_access access = writes ? CONFINE_WRITE : CONFINE_READ;
    if (!path || !*path)
        return 0;
    if (*path == '/')
        return check_readable(s, path, err) < 0 ? -1 : allow(s, path, access, true, err);
    return give(s, spec->dirfd, path, writes, err);
}

static int allow_directory(struct vmm_sandbox *s, const struct vmm_spec *spec, bool binds,
                           struct error *err)
{
    if (landlock(s, spec->dirfd, ".", binds ? CONFINE_SOCKETS : CONFINE_WRITE, false, err) < 0)
        return -1;
    if (!has_jail(s))
        return 0;
    /* Sticky, so the VMM's user can't remove or rename root's files there. Without root, what the
     * VMM makes there gets our group; nobody else gets into the lease's directory, where it is. */
    mode_t mode = s->rootless ? (binds ? 03773 : ROOTLESS_MODE) : binds ? 01770 : DIRECTORY_MODE;
    if (fchown(spec->dirfd, (uid_t)-1, s->rootless ? 0 : s->user.gid) < 0 ||
        fchmod(spec->dirfd, mode) < 0)
        return error_set(err, ERR_IO, errno, "let the VMM into its directory");
    s->jail.cwd = VMM_SANDBOX_DIR;
    _cleanup_free_ char *at = xasprintf("%s" VMM_SANDBOX_DIR, s->root ? s->root : "");
    return put_open(s, spec->dirfd, ".", at, JAIL_WRITE, err);
}

static int allow_guest(struct vmm_sandbox *s, const struct vmm_spec *spec, bool binds,
                       struct error *err)
{
    if (allow_file(s, spec, spec->kernel, false, err) < 0 ||
        allow_file(s, spec, spec->initrd, false, err) < 0)
        return -1;
    for (unsigned i = 0; i < spec->n_drives; i++)
        if (allow_file(s, spec, spec->drives[i].path, !spec->drives[i].read_only, err) < 0)
            return -1;
    if (allow_file(s, spec, VMM_CONSOLE_LOG, true, err) < 0 ||
        allow_file(s, spec, VMM_LOG, true, err) < 0)
        return -1;
    return allow_directory(s, spec, binds, err);
}

/* The rights for a directory include everything below it, so the VMM could read the keys of a lease
 * there. */
int vmm_sandbox_apart(const char *dir, struct error *err)
{
    char real[PATH_MAX], of_host[PATH_MAX];
    if (!realpath(dir, real))
        return error_set(err, ERR_ENV, errno, "find %s", dir);
    for (size_t i = 0; i < ARRAY_LEN(host_files); i++)
        if (realpath(host_files[i].path, of_host) && path_is_below(real, of_host))
            return error_set(err, ERR_CONFIG, 0,
                             "leases lie below %s, all of which a confined VMM may read; next: set "
                             "CRABBOX_FC_STATE_DIR to a directory elsewhere, such as "
                             "/var/lib/crabbox-fc/state",
                             of_host);
    return 0;
}

/* Who the VMM becomes. A user who is not root needs ids of the user's own for that. */
static int choose_user(const struct vmm_spec *spec, struct vmm_sandbox *s, struct error *err)
{
    const struct userns *ns = spec->userns;
    struct uid_range range = spec->uids;
    s->rootless = ns != NULL;
    if (ns)
        range = (struct uid_range){ns->first, ns->first + ns->more - 1};
    if (ns ? ns->more == 0 : geteuid() != 0)
        return 0;
    s->uid_fd = uid_claim(&range, spec->uids_dir, &s->host.uid, err);
    s->user.uid = s->user.gid = ns ? s->host.uid - range.first + 1 : s->host.uid;
    s->host.gid = ns ? ns->first_gid + s->user.gid - 1 : s->user.gid;
    return s->uid_fd < 0 ? -1 : 0;
}

/* Runs as root: the host's, or of the lease's user namespace. */
static int prepare(const struct vmm_spec *spec, bool binds, struct vmm_sandbox *s,
                   struct error *err)
{
    s->confine_fd = confine_new(err);
    if (s->confine_fd < 0 || (geteuid() == 0 && jail_open(&s->jail, s->user.uid, err) < 0))
        return -1;
    s->jail.host_devices = s->rootless;
    return allow_host(s, err) < 0 || allow_program(s, spec->binary, err) < 0
               ? -1
               : allow_guest(s, spec, binds, err);
}

/* ---- without root: a child in the user namespace prepares it; we get its descriptors ---- */

struct inside {
    const struct vmm_spec *spec;
    bool binds;
    struct vmm_sandbox *s;
    /* Shared with the child: where each mount goes. */
    char (*at)[PATH_MAX];
};

static int prepare_inside(void *arg, int *fds, unsigned max, struct error *err)
{
    const struct inside *in = arg;
    struct vmm_sandbox *s = in->s;
    /* The mounts of the host that we copy have to be those of a namespace of ours. */
    if (unshare(CLONE_NEWNS) < 0)
        return error_set(err, ERR_ENV, errno, "make a mount namespace for the VMM");
    if (prepare(in->spec, in->binds, s, err) < 0)
        return -1;
    if (s->jail.n + 2 > max)
        return error_set(err, ERR_INTERNAL, 0, "too many files for a VMM");
    fds[0] = s->confine_fd;
    fds[1] = s->jail.root_fd;
    for (unsigned i = 0; i < s->jail.n; i++) {
        fds[i + 2] = s->jail.mounts[i].tree_fd;
        (void)str_copy(in->at[i], PATH_MAX, s->jail.mounts[i].at);
    }
    return (int)s->jail.n + 2;
}

static int prepare_rootless(const struct vmm_spec *spec, bool binds, struct vmm_sandbox *s,
                            struct error *err)
{
    int fds[JAIL_MOUNTS_MAX + 2];
    struct inside in = {.spec = spec, .binds = binds, .s = s};
    const size_t size = JAIL_MOUNTS_MAX * sizeof *in.at;
    in.at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (in.at == MAP_FAILED)
        return error_set(err, ERR_ENV, errno, "memory for the VMM's jail");
    int n = userns_run_fds(spec->userns, prepare_inside, &in, fds, ARRAY_LEN(fds), err);
    if (n > 0) {
        s->confine_fd = fds[0];
        s->jail.root_fd = fds[1];
        s->jail.cwd = VMM_SANDBOX_DIR;
        s->jail.n = (unsigned)n - 2;
        for (unsigned i = 0; i < s->jail.n; i++)
            s->jail.mounts[i] = (struct jail_mount){fds[i + 2], xstrdup(in.at[i])};
    }
    (void)munmap(in.at, size);
    return n > 0 ? 0 : -1;
}

static int fill(const struct vmm_spec *spec, bool binds, struct vmm_sandbox *s, struct error *err)
{
    char at[32];
    (void)str_format(at, sizeof at, "/proc/self/fd/%d", spec->dirfd);
    if (vmm_sandbox_apart(at, err) < 0 || choose_user(spec, s, err) < 0)
        return -1;
    if (spec->jailer)
        return jailer_base(spec, s->user.uid, &s->jail, &s->root, err) < 0
                   ? -1
                   : allow_guest(s, spec, binds, err);
    return s->rootless ? prepare_rootless(spec, binds, s, err) : prepare(spec, binds, s, err);
}

int vmm_sandbox_make(const struct vmm_spec *spec, bool binds, struct vmm_sandbox *out,
                     struct error *err)
{
    *out = (struct vmm_sandbox)VMM_SANDBOX_INIT;
    if (fill(spec, binds, out, err) == 0)
        return 0;
    vmm_sandbox_close(out);
    return -1;
}

int vmm_sandbox_probe(const char *binary, struct vmm_sandbox *out, struct error *err)
{
    *out = (struct vmm_sandbox)VMM_SANDBOX_INIT;
    out->user = (struct caller){UID_NOBODY, UID_NOBODY};
    out->confine_fd = confine_new(err);
    if (out->confine_fd >= 0 && (geteuid() != 0 || jail_open(&out->jail, UID_NOBODY, err) == 0) &&
        allow_host(out, err) == 0 && allow_program(out, binary, err) == 0)
        return 0;
    vmm_sandbox_close(out);
    return -1;
}

int vmm_sandbox_bound(const struct vmm_spec *spec, struct error *err)
{
    mode_t mode = spec->userns ? ROOTLESS_MODE : DIRECTORY_MODE;
    if ((!spec->sandbox && !spec->jailer) || (geteuid() != 0 && !spec->userns) ||
        fchmod(spec->dirfd, mode) == 0)
        return 0;
    return error_set(err, ERR_IO, errno, "close the VMM's directory to new files");
}

void vmm_sandbox_use(const struct vmm_sandbox *sandbox, struct spawn_spec *spec)
{
    spec->confine_fd = sandbox->confine_fd;
    if (!has_jail(sandbox))
        return;
    spec->jail = &sandbox->jail;
    if (sandbox->root) {
        /* It closes all descriptors but the first three: an empty file in the place of /dev/null
         * keeps the claim on the id. */
        spec->stdin_fd = sandbox->uid_fd;
        spec->capabilities = JAILER_CAPABILITIES;
        spec->n_files = 0;
        return;
    }
    spec->user = sandbox->user.uid ? &sandbox->user : NULL;
    /* The jail has mounts of the files that it would have inherited, so it gets only the lock of
     * its id. */
    spec->files = &sandbox->uid_fd;
    spec->n_files = sandbox->uid_fd >= 0;
}

void vmm_sandbox_close(struct vmm_sandbox *sandbox)
{
    CLOSE_FD(sandbox->confine_fd);
    CLOSE_FD(sandbox->uid_fd);
    free(sandbox->root);
    sandbox->root = NULL;
    jail_close(&sandbox->jail);
}
