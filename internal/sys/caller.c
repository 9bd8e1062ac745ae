#include "sys/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdint.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/str.h"

enum { NSS_SIZE = 16384 };

static bool id_of(const char *name, uint32_t *out)
{
    const char *text = getenv(name);
    uint64_t id;
    if (!text || str_to_u64(text, &id) < 0 || id >= UINT32_MAX)
        return false;
    *out = (uint32_t)id;
    return true;
}

bool caller_by_name(const char *name, struct caller *out)
{
    struct passwd user;
    struct passwd *found = NULL;
    char buf[NSS_SIZE];
    if (!name || getpwnam_r(name, &user, buf, sizeof buf, &found) != 0 || !found)
        return false;
    *out = (struct caller){found->pw_uid, found->pw_gid};
    return true;
}

bool caller_get(struct caller *out)
{
    bool known;
    if (geteuid() != 0)
        return false;
    if (getenv("SUDO_UID"))
        known = id_of("SUDO_UID", &out->uid) && id_of("SUDO_GID", &out->gid);
    else
        known = caller_by_name(getenv("DOAS_USER"), out);
    return known && out->uid != 0;
}

/* Whether files made in this directory should belong to the caller. */
static bool is_callers(int dirfd, struct caller *c)
{
    struct stat st;
    return caller_get(c) && fstat(dirfd, &st) == 0 &&
           (st.st_uid == c->uid || (st.st_mode & S_IWOTH));
}

/* One name in a directory that was opened as who we are: the caller need not be able to get there.
 */
static int make_as(const struct caller *c, int dirfd, const char *name, bool dir, int flags,
                   mode_t mode)
{
    int gid = setfsgid(c->gid);
    int uid = setfsuid(c->uid);
    int r = dir ? mkdirat(dirfd, name, mode) : openat(dirfd, name, flags, mode);
    int saved = errno;
    (void)setfsuid((uid_t)uid);
    (void)setfsgid((gid_t)gid);
    errno = saved;
    return r;
}

static int make(int dirfd, const char *name, bool dir, int flags, mode_t mode)
{
    struct caller c;
    const char *slash = strrchr(name, '/');
    _cleanup_free_ char *parent = slash ? xasprintf("%.*s", (int)(slash - name) + 1, name)
                                        : xstrdup(".");
    if (caller_get(&c)) {
        _cleanup_close_ int fd = openat(dirfd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && is_callers(fd, &c))
            return make_as(&c, fd, slash ? slash + 1 : name, dir, flags, mode);
    }
    return dir ? mkdirat(dirfd, name, mode) : openat(dirfd, name, flags, mode);
}

int caller_openat(int dirfd, const char *name, int flags, mode_t mode)
{
    struct caller c;
    flags |= O_CLOEXEC;
    if (!(flags & O_EXCL) && caller_get(&c)) {
        /* What is there already is opened as who we are. */
        int fd = openat(dirfd, name, flags & ~O_CREAT);
        if (fd >= 0 || errno != ENOENT)
            return fd;
    }
    return make(dirfd, name, false, flags, mode);
}

int caller_mkdirat(int dirfd, const char *name, mode_t mode)
{
    return make(dirfd, name, true, 0, mode);
}

char *caller_home_of(uid_t uid)
{
    struct passwd user;
    struct passwd *found = NULL;
    char buf[NSS_SIZE];
    if (getpwuid_r(uid, &user, buf, sizeof buf, &found) != 0 || !found || *found->pw_dir != '/')
        return NULL;
    return xstrdup(found->pw_dir);
}
