#include "sys/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/proc.h"

enum {
    NSS_SIZE = 16384,
    ENVIRON_MAX = 4 * 1024 * 1024,
    ANCESTORS = 64 /* between sudo and us may be shells and makes that start each other */
};

static bool id_of(const char *text, uint32_t *out)
{
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

bool caller_uid(const char *sudo_uid, const char *doas_user, uid_t *out)
{
    struct caller by_doas;
    if (doas_user && !caller_by_name(doas_user, &by_doas))
        return false;
    if (!sudo_uid && doas_user)
        *out = by_doas.uid;
    else if (!id_of(sudo_uid, out))
        return false;
    return !doas_user || *out == by_doas.uid;
}

bool caller_get(struct caller *out)
{
    const char *sudo_uid = getenv("SUDO_UID"), *doas_user = getenv("DOAS_USER");
    if (geteuid() != 0 || !caller_uid(sudo_uid, doas_user, &out->uid) || out->uid == 0)
        return false;
    return sudo_uid ? id_of(getenv("SUDO_GID"), &out->gid) : caller_by_name(doas_user, out);
}

/* The system call itself, because glibc's setgroups changes all threads. */
static int set_groups(int n, const gid_t *groups)
{
    return (int)syscall(SYS_setgroups, n, groups);
}

int caller_become(const struct caller *c, struct caller_before *before)
{
    int n = getgroups(0, NULL);
    if (n < 0)
        return -1;
    *before = (struct caller_before){.groups = xcalloc((size_t)n + 1, sizeof *before->groups)};
    before->n_groups = n ? getgroups(n, before->groups) : 0;
    before->gid = (gid_t)setfsgid(c->gid);
    before->uid = (uid_t)setfsuid(c->uid);
    /* setfsuid and setfsgid return the previous id whether or not they have changed it, so ask
     * again. */
    if ((gid_t)setfsgid((gid_t)-1) == c->gid && (uid_t)setfsuid((uid_t)-1) == c->uid &&
        (before->n_groups == 0 || set_groups(0, NULL) == 0))
        return 0;
    caller_back(before);
    errno = EPERM;
    return -1;
}

void caller_back(struct caller_before *before)
{
    int saved = errno;
    if (before->groups) {
        (void)setfsuid(before->uid);
        (void)setfsgid(before->gid);
        (void)set_groups(before->n_groups, before->groups);
    }
    free(before->groups);
    *before = (struct caller_before){0};
    errno = saved;
}

/* Whether files made in this directory should belong to the caller. */
static bool is_callers(int dirfd, const struct caller *c)
{
    struct stat st;
    return fstat(dirfd, &st) == 0 && (st.st_uid == c->uid || (st.st_mode & S_IWOTH));
}

static int make(int dirfd, const char *name, bool dir, int flags, mode_t mode)
{
    struct caller c;
    _cleanup_(caller_back) struct caller_before before = {0};
    const char *slash = strrchr(name, '/');
    _cleanup_free_ char *parent = slash ? xasprintf("%.*s", (int)(slash - name) + 1, name)
                                        : xstrdup(".");
    _cleanup_close_ int fd = caller_get(&c)
                                 ? openat(dirfd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC)
                                 : -1;
    /* The directory was opened with our own ids, because the caller may not be able to reach it. If
     * the caller's ids can't be used (in a user namespace without them), the file stays ours. */
    if (fd >= 0 && is_callers(fd, &c) && caller_become(&c, &before) == 0) {
        dirfd = fd;
        name = slash ? slash + 1 : name;
    }
    return dir ? mkdirat(dirfd, name, mode) : openat(dirfd, name, flags, mode);
}

int caller_openat(int dirfd, const char *name, int flags, mode_t mode)
{
    struct caller c;
    flags |= O_CLOEXEC;
    if (!(flags & O_EXCL) && caller_get(&c)) {
        /* An existing file is opened with our own ids. */
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

/* Of the process's environment, as it was when its program started. */
static char *pwd_of(pid_t pid)
{
    static const char name[] = "PWD=";
    char path[64];
    _cleanup_strbuf_ struct strbuf all = STRBUF_INIT;
    (void)str_format(path, sizeof path, "/proc/%d/environ", (int)pid);
    if (file_read_at(AT_FDCWD, path, ENVIRON_MAX, &all, NULL) < 0)
        return NULL;
    for (const char *p = all.buf; p < all.buf + all.len; p += strlen(p) + 1)
        if (str_has_prefix(p, name))
            return xstrdup(p + strlen(name));
    return NULL;
}

void caller_pwds(struct strbuf *out)
{
    const char *own = getenv("PWD");
    bool is_passed_on = own != NULL;
    if (own)
        strbuf_add(out, own, strlen(own) + 1);
    pid_t pid = getppid();
    for (int i = 0; pid > 0 && i < ANCESTORS; i++, pid = proc_parent(pid)) {
        _cleanup_free_ char *pwd = pwd_of(pid);
        if (pwd && !is_passed_on)
            strbuf_add(out, pwd, strlen(pwd) + 1);
        is_passed_on = pwd != NULL;
    }
}
