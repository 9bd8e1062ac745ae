/* trusted.c: judges every directory and link on a path.
 *
 * walk_all follows the path one component at a time (pathwalk.h) and calls judge for each: the
 * owner has to be trusted, and nobody else may be able to write. A group may write only if its
 * members, and all users who have it as primary group, are trusted. If a step fails, report builds
 * the message with the command that would fix it.
 */
#include "sys/trusted.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/caller.h"
#include "sys/pathwalk.h"

#define SHOWN_MAX  200
#define NAME_SIZE  64
#define NSS_SIZE   16384 /* a group that needs more has many members */
#define ACL_ACCESS "system.posix_acl_access"

/* Whether the user is unknown in this user namespace: the files of all such users seem to belong to
 * the overflow user. */
static bool is_outside_namespace(uid_t uid)
{
    unsigned long overflow = 0, inside, outside, count;
    _cleanup_fclose_ FILE *f = fopen("/proc/sys/kernel/overflowuid", "re");
    if (!f || fscanf(f, "%lu", &overflow) != 1 || uid != overflow)
        return false;
    _cleanup_fclose_ FILE *map = fopen("/proc/self/uid_map", "re");
    while (map && fscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3)
        if (uid >= inside && uid - inside < count)
            return false;
    return map != NULL;
}

struct trusted_who trusted_who(const char *sudo_uid, const char *doas_user)
{
    uid_t uid;
    struct trusted_who who = {.self = geteuid(), .sudo = geteuid()};
    if (who.self == 0 && caller_uid(sudo_uid, doas_user, &uid))
        who.sudo = uid;
    /* All users that the namespace does not map have the same number, so ours can't be trusted. */
    if (who.self != 0 && is_outside_namespace(who.self))
        who.self = who.sudo = 0;
    return who;
}

struct trusted_who trusted_us(void)
{
    return trusted_who(getenv("SUDO_UID"), getenv("DOAS_USER"));
}

bool trusted_owner(const struct trusted_who *who, uid_t uid)
{
    return uid == 0 || uid == who->self || uid == who->sudo;
}

/* ---- groups ---- */

static bool user_by_uid(uid_t uid, struct passwd *out, char buf[static NSS_SIZE])
{
    struct passwd *found = NULL;
    return getpwuid_r(uid, out, buf, NSS_SIZE, &found) == 0 && found;
}

/* Whether every member that the group's entry lists is trusted. */
static bool members_trusted(const struct trusted_who *who, gid_t gid)
{
    char buf[NSS_SIZE], user_buf[NSS_SIZE];
    struct group group, *g = NULL;
    struct passwd user, *u;
    if (getgrgid_r(gid, &group, buf, sizeof buf, &g) != 0)
        return false;
    for (char **name = g ? g->gr_mem : NULL; name && *name; name++)
        if (getpwnam_r(*name, &user, user_buf, sizeof user_buf, &u) != 0 || !u ||
            !trusted_owner(who, u->pw_uid))
            return false;
    return true;
}

/* Whether only trusted users have the group as their primary group. */
static bool first_group_of_trusted_only(const struct trusted_who *who, gid_t gid)
{
    char buf[NSS_SIZE];
    struct passwd user, *u = NULL;
    bool only = true;
    int r;
    setpwent();
    while (only && (r = getpwent_r(&user, buf, sizeof buf, &u)) == 0)
        only = user.pw_gid != gid || trusted_owner(who, user.pw_uid);
    endpwent();
    return only && r == ENOENT; /* read to the end */
}

/* Whether a group with write access is as trustworthy as the owner. It has to be root's group or
 * the owner's primary group. An empty group is not enough, because programs may run with it. */
static bool group_trusted(const struct trusted_who *who, uid_t owner, gid_t gid)
{
    char buf[NSS_SIZE];
    struct passwd user;
    if (!members_trusted(who, gid))
        return false;
    if (gid != 0 && !(user_by_uid(owner, &user, buf) && user.pw_gid == gid))
        return false;
    return first_group_of_trusted_only(who, gid);
}

/* ---- messages ---- */

/* One file or directory on the way. */
struct step {
    const char *path; /* that was asked for */
    const char *what;
    const char *at;
    const struct stat *st;
    bool has_acl; /* then the group's bits are the most that the list may allow */
    bool end;     /* the file itself */
};

/* Only the end of a long path, so that the rest of the message still fits. */
static const char *shown(const char *path)
{
    size_t n = strlen(path);
    return n > SHOWN_MAX ? path + n - SHOWN_MAX : path;
}

static const char *as_root(const struct trusted_who *who)
{
    return who->self == 0 && who->sudo == 0 ? "" : "sudo ";
}

static int report(const struct step *s, const char *by, const char *because, const char *next,
                  struct error *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "/._-+,:@%=";
    _cleanup_strbuf_ struct strbuf at = STRBUF_INIT;
    if (s->at[strspn(s->at, plain)])
        strbuf_add_shell_quoted(&at, s->at);
    else
        strbuf_adds(&at, s->at);
    (void)error_set(err, ERR_TRUST, 0, "the %s %s can be %s by %s: %s %s", s->what, shown(s->path),
                    s->end ? "changed" : "replaced", by, shown(s->at), because);
    return error_append(err, "; next: %s %s", next, at.len > 2 * SHOWN_MAX ? "PATH" : at.buf);
}

static int report_owner(const struct trusted_who *who, const struct step *s, struct error *err)
{
    char buf[NSS_SIZE], by[NAME_SIZE], because[NAME_SIZE + 32];
    char next[32];
    struct passwd user;
    uid_t uid = s->st->st_uid;
    if (is_outside_namespace(uid))
        return error_set(err, ERR_TRUST, 0,
                         "the %s %s can't be relied on: %s is owned by a user whom this user "
                         "namespace does not map (shown as uid %u); next: run crabbox-fc outside "
                         "the namespace",
                         s->what, shown(s->path), shown(s->at), (unsigned)uid);
    if (user_by_uid(uid, &user, buf)) {
        (void)snprintf(by, sizeof by, "user %.40s", user.pw_name);
        (void)snprintf(because, sizeof because, "is owned by uid %u (%.40s)", (unsigned)uid,
                       user.pw_name);
    } else {
        (void)snprintf(by, sizeof by, "uid %u", (unsigned)uid);
        (void)snprintf(because, sizeof because, "is owned by uid %u", (unsigned)uid);
    }
    (void)snprintf(next, sizeof next, "%schown%s root", as_root(who),
                   S_ISLNK(s->st->st_mode) ? " -h" : "");
    return report(s, by, because, next, err);
}

static int report_writable(const struct trusted_who *who, const struct step *s, struct error *err)
{
    char buf[NSS_SIZE], by[NAME_SIZE], because[NAME_SIZE + 48], next[32];
    struct group group, *g = NULL;
    bool any = s->st->st_mode & S_IWOTH;
    unsigned gid = s->st->st_gid;
    (void)snprintf(next, sizeof next, "%schmod %s", s->st->st_uid == who->sudo ? "" : as_root(who),
                   any ? "go-w" : "g-w");
    if (any)
        return report(s, "any user", "is writable by everybody", next, err);
    if (s->has_acl)
        return report(s, "those on its access control list", "is writable by more than its owner",
                      next, err);
    if (getgrgid_r(s->st->st_gid, &group, buf, sizeof buf, &g) == 0 && g) {
        (void)snprintf(by, sizeof by, "group %.40s", g->gr_name);
        (void)snprintf(because, sizeof because, "is writable by its group %u (%.40s)", gid,
                       g->gr_name);
    } else {
        (void)snprintf(by, sizeof by, "gid %u", gid);
        (void)snprintf(because, sizeof because, "is writable by its group %u", gid);
    }
    return report(s, by, because, next, err);
}

/* ---- one step ---- */

static int judge(const struct trusted_who *who, const struct step *s, struct error *err)
{
    mode_t mode = s->st->st_mode;
    if (!trusted_owner(who, s->st->st_uid))
        return report_owner(who, s, err);
    if (S_ISLNK(mode) || !(mode & (S_IWGRP | S_IWOTH)))
        return 0;
    if (S_ISDIR(mode) && (mode & S_ISVTX) && !s->end)
        return 0;
    if (!(mode & S_IWOTH) && !s->has_acl && group_trusted(who, s->st->st_uid, s->st->st_gid))
        return 0;
    return report_writable(who, s, err);
}

/* Whether there is an access control list, by the result of getxattr. */
static bool is_acl(ssize_t n)
{
    return n > 0 || (n < 0 && errno != ENODATA && errno != ENOTSUP);
}

/* ---- walking the path ---- */

static int walk_all(const struct trusted_who *who, const char *path, const char *what, bool way,
                    struct error *err)
{
    struct pathwalk w;
    struct stat st;
    bool link = false;
    int more = pathwalk_start(&w, path);
    for (; more > 0; more = pathwalk_next(&w, link)) {
        const char *at = pathwalk_at(&w);
        if (lstat(at, &st) < 0)
            return 0;
        link = S_ISLNK(st.st_mode);
        struct step s = {path, what, at, &st, false, !link && pathwalk_is_at_end(&w)};
        if (s.end && way)
            return 0;
        s.has_acl = !link && (st.st_mode & S_IWGRP) && is_acl(lgetxattr(at, ACL_ACCESS, NULL, 0));
        if (judge(who, &s, err) < 0)
            return -1;
    }
    return more < 0 ? error_set(err, ERR_TRUST, ENAMETOOLONG, "the %s %s", what, shown(path)) : 0;
}

int trusted_path(const struct trusted_who *who, const char *path, const char *what,
                 struct error *err)
{
    struct trusted_who us = trusted_us();
    return walk_all(who ? who : &us, path, what, false, err);
}

int trusted_way(const struct trusted_who *who, const char *path, const char *what,
                struct error *err)
{
    struct trusted_who us = trusted_us();
    return walk_all(who ? who : &us, path, what, true, err);
}

int trusted_fd(int fd, const char *path, const char *what, struct error *err)
{
    struct trusted_who us = trusted_us();
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "look at the %s %s", what, shown(path));
    struct step s = {path, what, path, &st, false, true};
    s.has_acl = (st.st_mode & S_IWGRP) && is_acl(fgetxattr(fd, ACL_ACCESS, NULL, 0));
    return judge(&us, &s, err);
}

bool trusted_dir(const struct trusted_who *who, int fd)
{
    char path[64];
    struct stat st;
    if (fstat(fd, &st) < 0)
        return false;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct step s = {"", "", "", &st, false, false};
    s.has_acl = (st.st_mode & S_IWGRP) && is_acl(getxattr(path, ACL_ACCESS, NULL, 0));
    return judge(who, &s, NULL) == 0;
}
