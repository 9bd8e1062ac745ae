#include "sys/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/str.h"

static bool id_of(const char *name, uint32_t *out)
{
    const char *text = getenv(name);
    uint64_t id;
    if (!text || str_to_u64(text, &id) < 0 || id >= UINT32_MAX)
        return false;
    *out = (uint32_t)id;
    return true;
}

bool caller_get(struct caller *out)
{
    return geteuid() == 0 && id_of("SUDO_UID", &out->uid) && out->uid != 0 &&
           id_of("SUDO_GID", &out->gid);
}

/* Whether what is made as `name` is to be the caller's. */
static bool is_callers(int dirfd, const char *name, struct caller *c)
{
    struct stat st;
    const char *slash = strrchr(name, '/');
    if (!caller_get(c))
        return false;
    _cleanup_free_ char *dir = slash ? xasprintf("%.*s", (int)(slash - name) + 1, name)
                                     : xstrdup(".");
    return fstatat(dirfd, dir, &st, 0) == 0 && (st.st_uid == c->uid || (st.st_mode & S_IWOTH));
}

static int make(int dirfd, const char *name, bool dir, int flags, mode_t mode)
{
    struct caller c;
    bool become = is_callers(dirfd, name, &c);
    int uid = 0, gid = 0;
    /* What is there already is opened as who we are. */
    if (become && !dir && !(flags & O_EXCL)) {
        int fd = openat(dirfd, name, (flags & ~O_CREAT) | O_CLOEXEC);
        if (fd >= 0 || errno != ENOENT)
            return fd;
    }
    if (become) {
        gid = setfsgid(c.gid);
        uid = setfsuid(c.uid);
    }
    int r = dir ? mkdirat(dirfd, name, mode) : openat(dirfd, name, flags | O_CLOEXEC, mode);
    int saved = errno;
    if (become) {
        (void)setfsuid((uid_t)uid);
        (void)setfsgid((gid_t)gid);
    }
    errno = saved;
    return r;
}

int caller_openat(int dirfd, const char *name, int flags, mode_t mode)
{
    return make(dirfd, name, false, flags, mode);
}

int caller_mkdirat(int dirfd, const char *name, mode_t mode)
{
    return make(dirfd, name, true, 0, mode);
}
