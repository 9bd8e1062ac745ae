/* source.c: finding, checking and reading configuration files. */
#include "config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "config/values.h"
#include "config/yaml.h"
#include "sys/caller.h"
#include "sys/file.h"
#include "sys/trusted.h"

#define FILE_WHAT "configuration file" /* for messages */

const char *env_get(const char *const *envp, const char *name)
{
    size_t n = strlen(name);
    for (; envp && *envp; envp++)
        if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=')
            return *envp + n + 1;
    return NULL;
}

bool source_owner_ok(uid_t uid, const char *const *envp)
{
    const struct trusted_who who = trusted_who(env_get(envp, "SUDO_UID"));
    return trusted_owner(&who, uid);
}

int source_user_dir(const char *const *envp, char out[static PATH_MAX], struct error *err)
{
    const char *xdg = env_get(envp, "XDG_CONFIG_HOME");
    const char *home = env_get(envp, "HOME");
    const char *name = xdg && *xdg ? "XDG_CONFIG_HOME" : "HOME";
    const char *base = xdg && *xdg ? xdg : home;
    out[0] = '\0';
    if (!base || !*base)
        return 0;
    if (base[0] != '/')
        return error_set(err, ERR_CONFIG, 0, "%s is not an absolute path", name);
    if (str_format(out, PATH_MAX, "%s%s/crabbox-fc", base, base == xdg ? "" : "/.config") < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "%s", name);
    return 0;
}

/* `path`, as written, is `root` or below it. */
static bool is_below(const char *path, const char *root)
{
    size_t n = strlen(root);
    if (str_eq(root, "/"))
        return true;
    return n && strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

bool source_leads_into(const char *path, const char *root)
{
    char real[PATH_MAX];
    if (!*root)
        return false;
    _cleanup_free_ char *copy = xstrdup(path);
    while (!realpath(copy, real)) {
        char *slash = strrchr(copy, '/');
        if (!slash || slash == copy)
            return false;
        *slash = '\0';
    }
    return is_below(real, root);
}

/* Whether `dir` has an entry `name`: 1, 0 or -1. A link counts as there, wherever it leads. */
static int has_entry(const char *dir, const char *name, struct error *err)
{
    char path[PATH_MAX];
    struct stat st;
    if (str_format(path, sizeof path, "%s/%s", str_eq(dir, "/") ? "" : dir, name) < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "%s/%s", SHOWN(dir), name);
    if (lstat(path, &st) == 0)
        return 1;
    if (errno == ENOENT || errno == ENOTDIR)
        return 0;
    return error_set(err, ERR_CONFIG, errno, "look for %s", SHOWN(path));
}

static bool holds_home_of(uid_t uid, const char *dir)
{
    char real[PATH_MAX];
    _cleanup_free_ char *home = caller_home_of(uid);
    return home && realpath(home, real) && is_below(real, dir);
}

/* The directory around `cwd` and the user's directory `path` that came with somebody's code, in
 * `out`: it has a .git, or is where we stand. A home that the system knows, and what is above one,
 * is none. */
static bool find_tree_around(const char *path, const char *cwd, const struct trusted_who *who,
                             char out[static PATH_MAX])
{
    char real[PATH_MAX], git[PATH_MAX];
    struct stat st;
    _cleanup_free_ char *copy = xstrdup(path);
    for (char *slash; *copy; *slash = '\0') {
        if (realpath(copy, real)) {
            if (holds_home_of(who->self, real) || holds_home_of(who->sudo, real))
                return false;
            bool has_git = str_format(git, sizeof git, "%s/.git", copy) == 0 &&
                           lstat(git, &st) == 0;
            if (is_below(cwd, real) && (has_git || str_eq(real, cwd)))
                return str_copy(out, PATH_MAX, real) == 0;
        }
        slash = strrchr(copy, '/');
        if (!slash)
            return false;
    }
    return false;
}

/* By the path as it is written, whose links may be the tree's, and by where it leads. */
static bool is_of_tree(const char *dir, const char *cwd, const struct trusted_who *who,
                       char out[static PATH_MAX])
{
    char here[PATH_MAX], real[PATH_MAX];
    if (!realpath(cwd, here))
        return false;
    return find_tree_around(dir, here, who, out) ||
           (realpath(dir, real) && find_tree_around(real, here, who, out));
}

int source_check_user_dir(const char *dir, const char *cwd, const char *const *envp,
                          struct error *err)
{
    static const char *const names[] = {CONFIG_USER_NAME, CONFIG_TRUST_NAME};
    const struct trusted_who who = trusted_who(env_get(envp, "SUDO_UID"));
    const char *xdg = env_get(envp, "XDG_CONFIG_HOME");
    const char *by = xdg && *xdg ? "XDG_CONFIG_HOME" : "HOME";
    char tree[PATH_MAX];
    if (!*dir || !is_of_tree(dir, cwd, &who, tree))
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        int there = has_entry(dir, names[i], err);
        if (there < 0)
            return -1;
        if (there)
            return error_set(
                err, ERR_TRUST, 0,
                "%s leads into the tree %s that you are working in, so its %s/%s would "
                "count as yours, and anybody may have written it; next: remove it, or set %s to a "
                "directory elsewhere",
                by, SHOWN(tree), SHOWN(dir), names[i], by);
    }
    return 0;
}

/* Whether a file above the working directory can belong to the user's repository. One that another
 * user has put into a shared directory can't, or it would stop everybody's work. */
static bool counts_above(const char *dir, const char *name, uid_t cwd_owner)
{
    const struct trusted_who who = trusted_us();
    char path[PATH_MAX];
    struct stat st;
    return str_format(path, sizeof path, "%s/%s", str_eq(dir, "/") ? "" : dir, name) < 0 ||
           lstat(path, &st) < 0 || st.st_uid == cwd_owner || trusted_owner(&who, st.st_uid);
}

int source_find_repo(const char *cwd, struct source_repo *out, struct error *err)
{
    char dir[PATH_MAX], found[PATH_MAX] = "";
    bool found_here = false;
    struct stat here;
    out->root[0] = out->file[0] = '\0';
    if (!realpath(cwd, dir) || stat(dir, &here) < 0)
        return error_set(err, ERR_CONFIG, errno, "working directory %s", SHOWN(cwd));
    for (bool first = true;; first = false) {
        int file = *found ? 0 : has_entry(dir, CONFIG_REPO_NAME, err);
        int git = file < 0 ? -1 : has_entry(dir, ".git", err);
        if (git < 0)
            return -1;
        file = file && (first || counts_above(dir, CONFIG_REPO_NAME, here.st_uid));
        git = git && (first || counts_above(dir, ".git", here.st_uid));
        if (file) {
            (void)str_copy(found, sizeof found, dir);
            found_here = first;
        }
        if (git)
            (void)str_copy(out->root, sizeof out->root, dir);
        if (git || str_eq(dir, "/"))
            break;
        char *slash = strrchr(dir, '/');
        slash[slash == dir ? 1 : 0] = '\0';
    }
    if (!*found || (!*out->root && !found_here))
        return 0;
    if (!*out->root)
        (void)str_copy(out->root, sizeof out->root, found);
    if (str_format(out->file, sizeof out->file, "%s/%s", str_eq(found, "/") ? "" : found,
                   CONFIG_REPO_NAME) < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "%s/%s", SHOWN(found), CONFIG_REPO_NAME);
    return 0;
}

int source_check_dir(const char *path, const char *const *envp, struct error *err)
{
    const struct trusted_who who = trusted_who(env_get(envp, "SUDO_UID"));
    return trusted_path(&who, path, "directory", err);
}

/* The rules for the files of the system and the user, by the opened descriptor. */
static int check_trusted_file(int fd, const struct stat *st, const char *path,
                              const char *repo_root, const char *const *envp, struct error *err)
{
    char link[64], real[PATH_MAX];
    (void)str_format(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, real, sizeof real - 1);
    if (n < 0)
        return error_set(err, ERR_TRUST, errno, "find out where %s leads", SHOWN(path));
    real[n] = '\0';
    if (!source_owner_ok(st->st_uid, envp))
        return error_set(err, ERR_TRUST, 0,
                         "%s belongs to another user (uid %u); it must be root's or yours",
                         SHOWN(real), (unsigned)st->st_uid);
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        return error_set(err, ERR_TRUST, 0, "%s can be written by others; run: chmod go-w %s",
                         SHOWN(real), SHOWN(real));
    if (!str_eq(real, path) && source_leads_into(real, repo_root) && !is_below(path, repo_root))
        return error_set(err, ERR_TRUST, 0,
                         "%s leads into the repository %s, whose content anybody may have written; "
                         "replace the link with a copy",
                         SHOWN(path), SHOWN(repo_root));
    /* The way as it is written too: a link on it that others could exchange leads wherever they
     * like, to another file of ours for example. */
    const struct trusted_who who = trusted_who(env_get(envp, "SUDO_UID"));
    return trusted_way(&who, real, FILE_WHAT, err) < 0 ? -1
                                                       : trusted_way(&who, path, FILE_WHAT, err);
}

/* Opens without blocking on a FIFO and without making a terminal ours. -1 with errno. */
static int open_source(const char *path, bool follow)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW));
}

int source_read(enum config_source src, const char *path, const char *repo_root,
                const char *const *envp, struct source_file *out, struct error *err)
{
    struct stat st;
    bool repo = src == SRC_REPO;
    _cleanup_close_ int fd = open_source(path, !repo);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        /* A link that leads nowhere is there, but says nothing: not what anybody meant. */
        if (lstat(path, &st) == 0)
            return error_set(err, ERR_CONFIG, 0, "%s is a symbolic link that leads nowhere",
                             SHOWN(path));
        return 0;
    }
    if (fd < 0 && errno == ELOOP && repo)
        return error_set(err, ERR_TRUST, 0,
                         "%s is a symbolic link; a repository's file must be a file of its own",
                         SHOWN(path));
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_CONFIG, errno, "open %s", SHOWN(path));
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_CONFIG, 0, "%s is not a regular file", SHOWN(path));
    if (!repo && check_trusted_file(fd, &st, path, repo_root, envp, err) < 0)
        return -1;
    out->foreign = !source_owner_ok(st.st_uid, envp) || (st.st_mode & S_IWOTH);
    struct error cause = ERROR_INIT;
    if (fd_read_all(fd, CONFIG_FILE_MAX, SHOWN(path), &out->text, &cause) < 0)
        return cause.sys == EFBIG
                   ? error_set(err, ERR_CONFIG, 0, "%s is larger than 1 MiB", SHOWN(path))
                   : error_set(err, ERR_CONFIG, 0, "%s", cause.msg);
    out->found = true;
    return sha256_bytes(out->text.buf, out->text.len, out->sha256, err);
}
