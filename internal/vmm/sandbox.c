#include "vmm/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sys/confine.h"

/* The host's own, for every VMM. */
static const struct {
    const char *path;
    enum confine_access access;
} host_files[] = {
    {"/usr", CONFINE_EXECUTE}, /* libraries, the loader, QEMU's firmware and modules */
    {"/lib", CONFINE_EXECUTE},
    {"/lib64", CONFINE_EXECUTE},
    {"/etc/ld.so.cache", CONFINE_READ},
    {"/dev/kvm", CONFINE_DEVICE},
    {"/dev/net/tun", CONFINE_DEVICE},
    {"/dev/null", CONFINE_DEVICE},
    {"/dev/urandom", CONFINE_READ},
    {"/sys/devices/system", CONFINE_READ}, /* how many processors there are */
};

/* A file elsewhere, for the guest: also readable by its mode, since no capability helps. */
static int allow_file(int fd, const char *path, bool writes, struct error *err)
{
    if (!path || *path != '/')
        return 0;
    if (confine_can_read(path, err) < 0)
        return -1;
    /* Of a file that is not there the VMM itself says so. */
    return confine_allow(fd, AT_FDCWD, path, writes ? CONFINE_WRITE : CONFINE_READ, true, err);
}

static int allow_guest(int fd, const struct vmm_spec *spec, bool binds, struct error *err)
{
    if (allow_file(fd, spec->kernel, false, err) < 0 ||
        allow_file(fd, spec->initrd, false, err) < 0)
        return -1;
    for (unsigned i = 0; i < spec->n_drives; i++)
        if (allow_file(fd, spec->drives[i].path, !spec->drives[i].read_only, err) < 0)
            return -1;
    return spec->dirfd < 0 ? 0
                           : confine_allow(fd, spec->dirfd, ".",
                                           binds ? CONFINE_SOCKETS : CONFINE_WRITE, false, err);
}

/* A right that a directory has, all below it have: a lease there would give its keys away. */
int vmm_sandbox_apart(const char *dir, struct error *err)
{
    char real[PATH_MAX], of_host[PATH_MAX];
    if (!realpath(dir, real))
        return error_set(err, ERR_ENV, errno, "find %s", dir);
    for (size_t i = 0; i < ARRAY_LEN(host_files); i++) {
        size_t len = realpath(host_files[i].path, of_host) ? strlen(of_host) : 0;
        if (len && str_has_prefix(real, of_host) && (real[len] == '/' || !real[len]))
            return error_set(err, ERR_CONFIG, 0,
                             "leases lie below %s, all of which a confined VMM may read; next: set "
                             "CRABBOX_FC_STATE_DIR to a directory elsewhere, such as "
                             "/var/lib/crabbox-fc/state",
                             of_host);
    }
    return 0;
}

int vmm_sandbox(const struct vmm_spec *spec, bool binds, struct error *err)
{
    const char *binary = spec->binary;
    char at[32];
    (void)str_format(at, sizeof at, "/proc/self/fd/%d", spec->dirfd);
    if (spec->dirfd >= 0 && vmm_sandbox_apart(at, err) < 0)
        return -1;
    _cleanup_close_ int fd = confine_new(err);
    if (fd < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(host_files); i++)
        if (confine_allow(fd, AT_FDCWD, host_files[i].path, host_files[i].access, true, err) < 0)
            return -1;
    /* Where the program is not there, starting it says so. */
    if (confine_allow(fd, AT_FDCWD, binary, CONFINE_EXECUTE, true, err) < 0 ||
        confine_can_read(binary, err) < 0)
        return -1;
    return allow_guest(fd, spec, binds, err) < 0 ? -1 : TAKE_FD(fd);
}
