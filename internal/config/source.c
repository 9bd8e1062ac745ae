/* source.c: finds, checks and reads the configuration files.
 *
 * The repository is searched from the working directory upwards. Each directory is opened by ".."
 * from the one below it and stays open while it is looked at, so renaming a directory on the way
 * has no effect. The search ends at the first directory with a .git; a .crabbox-fc.yaml that lies
 * above it does not count. Without a .git, only a file in the working directory itself counts.
 *
 * Every file is opened with O_PATH first, checked through that descriptor, and only then opened for
 * reading (open_source). For the system's and the user's file, check_trusted_file also checks all
 * directories and links on the way. If root reads a file that the sudo caller could replace,
 * source_as_caller first gives the thread the caller's rights. */
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
#include "sys/file.h"
#include "sys/pathwalk.h"
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

static struct trusted_who who_of(const char *const *envp)
{
    return trusted_who(env_get(envp, "SUDO_UID"), env_get(envp, "DOAS_USER"));
}

bool source_owner_ok(uid_t uid, const char *const *envp)
{
    const struct trusted_who who = who_of(envp);
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

/* Whether `dir` has an entry `name`: 1, 0 or -1. If a link of a tree is on the way, it is not
 * followed: the answer is 1, and `link` gets its path. */
static int has_entry(const char *dir, const char *name, const struct worktree_tops *tops,
                     char link[static PATH_MAX], struct error *err)
{
    char path[PATH_MAX];
    struct stat st;
    if (str_format(path, sizeof path, "%s/%s", str_eq(dir, "/") ? "" : dir, name) < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "%s/%s", SHOWN(dir), name);
    int r = worktree_look(path, tops, &st, link);
    if (r >= 0 || *link)
        return r != 0;
    return error_set(err, ERR_CONFIG, errno, "look for %s", SHOWN(path));
}

/* Whether `path` is the directory `below` (such as "/.config") in the home that the system has on
 * record for the user or the sudo caller. */
static bool is_known(const char *path, const char *below, const char *const *envp)
{
    const struct trusted_who who = who_of(envp);
    const uid_t uids[] = {who.self, who.sudo};
    char real[PATH_MAX], known[PATH_MAX];
    if (!realpath(path, real))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(uids); i++) {
        _cleanup_free_ char *home = caller_home_of(uids[i]);
        _cleanup_free_ char *own = home ? xasprintf("%s%s", home, below) : NULL;
        if (own && realpath(own, known) && str_eq(real, known))
            return true;
    }
    return false;
}

/* Whether `path` leads into one of the trees, or into any tree with a .git. The second is not asked
 * if `base`, the beginning of the path, is known to be the user's (is_known). If it can't be found
 * out, the answer is true. `tree` gets the tree. */
static bool leads_into_tree(const char *path, const char *base, const char *below,
                            const struct worktree_tops *tops, const char *const *envp,
                            char tree[static PATH_MAX])
{
    const char *top = worktree_leads_through_top(path, tops);
    (void)str_copy(tree, PATH_MAX, top ? top : "/");
    return top || (!is_known(base, below, envp) && worktree_on_way(path, "", tree) != 0);
}

int source_tops(const char *here, struct worktree_tops *out, struct error *err)
{
    if (worktree_tops(here, out) == 0)
        return 0;
    bool dir = worktree_dir() != NULL;
    return error_set(err, ERR_TRUST, errno,
                     "find what may have come with code around the working directory%s; next: cd "
                     "to another directory%s",
                     dir ? " or around that of --dir" : "", dir ? ", or name another" : "");
}

const char *source_home_for_files(const char *here, const char *const *envp)
{
    char tree[PATH_MAX];
    struct worktree_tops tops;
    const char *home = env_get(envp, "HOME");
    if (!home || worktree_tops(here, &tops) < 0)
        return NULL;
    return leads_into_tree(home, home, "", &tops, envp, tree) ? NULL : home;
}

int source_check_user_dir(const char *dir, const char *here, bool make, const char *const *envp,
                          struct error *err)
{
    static const char *const names[] = {CONFIG_USER_NAME, CONFIG_TRUST_NAME};
    const char *xdg = env_get(envp, "XDG_CONFIG_HOME");
    bool by_xdg = xdg && *xdg;
    const char *by = by_xdg ? "XDG_CONFIG_HOME" : "HOME";
    char tree[PATH_MAX], link[PATH_MAX];
    struct worktree_tops tops;
    if (!*dir)
        return 0;
    if (source_tops(here, &tops, err) < 0)
        return -1;
    if (!leads_into_tree(dir, env_get(envp, by), by_xdg ? "/.config" : "", &tops, envp, tree))
        return 0;
    if (make)
        return error_set(err, ERR_TRUST, 0,
                         "%s leads into the tree %s, so a " CONFIG_TRUST_NAME
                         " there would not count as yours; next: set %s to a directory elsewhere",
                         by, SHOWN(tree), by);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        int there = has_entry(dir, names[i], &tops, link, err);
        if (there < 0)
            return -1;
        if (there && *link)
            return error_set(err, ERR_TRUST, 0,
                             "%s leads into the tree %s and by %s, which is a link of the tree, to "
                             "a configuration that would count as yours; next: remove the link, or "
                             "set %s to a directory elsewhere",
                             by, SHOWN(tree), SHOWN(link), by);
        if (there)
            return error_set(
                err, ERR_TRUST, 0,
                "%s leads into the tree %s, so its %s/%s would count as yours, and anybody may "
                "have written it; next: remove it, or set %s to a directory elsewhere",
                by, SHOWN(tree), SHOWN(dir), names[i], by);
    }
    return 0;
}

/* Whether a file above the working directory can belong to the user's repository. A file that
 * another user put into a shared directory can't; otherwise it would stop everybody's work
 * there. */
static bool counts_above(uid_t owner, uid_t cwd_owner)
{
    const struct trusted_who who = trusted_us();
    return owner == cwd_owner || trusted_owner(&who, owner);
}

/* The search from the working directory upwards. */
struct way {
    int at; /* owned */
    uid_t owner;
    bool first;      /* `at` is the working directory */
    bool found_here; /* it has the file */
};

static void close_way(struct way *w)
{
    CLOSE_FD(w->at);
}

/* Whether the directory has a .git (or, without `git`, our file) that counts: 1, 0 or -1. A link
 * counts, wherever it leads. */
static int entry_counts(const struct way *w, bool git, struct error *err)
{
    struct stat st;
    int there = 1;
    if (git)
        there = worktree_has_git(w->at, &st);
    else if (fstatat(w->at, CONFIG_REPO_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
        there = errno == ENOENT || errno == ENOTDIR ? 0 : -1;
    if (there >= 0)
        return there && (w->first || counts_above(st.st_uid, w->owner));
    int saved = errno;
    _cleanup_free_ char *dir = fd_path(w->at);
    return error_set(err, ERR_CONFIG, saved, "look for %s in %s", git ? ".git" : CONFIG_REPO_NAME,
                     dir ? SHOWN(dir) : "a directory above");
}

static int name_of(int fd, char out[static PATH_MAX], struct error *err)
{
    _cleanup_free_ char *name = fd_path(fd);
    if (!name || str_copy(out, PATH_MAX, name) < 0)
        return error_set(err, ERR_CONFIG, errno, "find the path of the working directory");
    return 0;
}

/* Finds the directory of the nearest file and the top of the repository. */
static int search_up(struct way *w, struct source_repo *out, struct error *err)
{
    int more = 1;
    for (; more > 0; more = worktree_go_up(&w->at), w->first = false) {
        int file = out->dir_fd >= 0 ? 0 : entry_counts(w, false, err);
        int git = file < 0 ? -1 : entry_counts(w, true, err);
        if (git < 0)
            return -1;
        if (file && (out->dir_fd = fcntl(w->at, F_DUPFD_CLOEXEC, 3)) < 0)
            return error_set(err, ERR_CONFIG, errno, "hold a directory open");
        if (git)
            return name_of(w->at, out->root, err);
        w->found_here |= file && w->first;
    }
    return more < 0 ? error_set(err, ERR_CONFIG, errno,
                                "look for " CONFIG_REPO_NAME " in the directories above")
                    : 0;
}

void source_repo_free(struct source_repo *r)
{
    CLOSE_FD(r->dir_fd);
}

int source_find_repo(const char *cwd, struct source_repo *out, struct error *err)
{
    char dir[PATH_MAX];
    struct stat here;
    *out = (struct source_repo)SOURCE_REPO_INIT;
    _cleanup_(close_way) struct way w = {.at = open(cwd, O_PATH | O_DIRECTORY | O_CLOEXEC),
                                         .first = true};
    if (w.at < 0 || fstat(w.at, &here) < 0)
        return error_set(err, ERR_CONFIG, errno, "working directory %s", SHOWN(cwd));
    /* It is no longer possible to find out what came with the same code. */
    if (here.st_nlink == 0)
        return error_set(err, ERR_CONFIG, 0,
                         "the working directory was removed; next: cd to one that exists");
    w.owner = here.st_uid;
    if (name_of(w.at, out->here, err) < 0 || search_up(&w, out, err) < 0)
        return -1;
    if (!*out->root && !w.found_here)
        CLOSE_FD(out->dir_fd);
    if (out->dir_fd < 0)
        return 0;
    if (name_of(out->dir_fd, dir, err) < 0)
        return -1;
    if (!*out->root)
        (void)str_copy(out->root, sizeof out->root, dir);
    if (str_format(out->file, sizeof out->file, "%s/%s", str_eq(dir, "/") ? "" : dir,
                   CONFIG_REPO_NAME) < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "%s/%s", SHOWN(dir), CONFIG_REPO_NAME);
    return 0;
}

int source_check_dir(const char *path, const char *const *envp, struct error *err)
{
    const struct trusted_who who = who_of(envp);
    return trusted_path(&who, path, "directory", err);
}

/* Checks a file of the system or the user, by its open descriptor. */
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
    if (st->st_mode & (S_IWGRP | S_IWOTH)) {
        _cleanup_free_ char *quoted = str_shell_quoted(real);
        return error_set(err, ERR_TRUST, 0,
                         "%s can be written by others, so anybody may have written what is in it; "
                         "next: read it, then chmod go-w %s",
                         SHOWN(real), quoted);
    }
    if (!str_eq(real, path) && path_is_below(real, repo_root) && !path_is_below(path, repo_root))
        return error_set(err, ERR_TRUST, 0,
                         "%s leads into the repository %s, whose content anybody may have written; "
                         "replace the link with a copy",
                         SHOWN(path), SHOWN(repo_root));
    /* Check the path as it was written, too. If others could replace a link on it, they could make
     * it lead to another file of ours, for example. */
    const struct trusted_who who = who_of(envp);
    return trusted_way(&who, real, FILE_WHAT, err) < 0 ? -1
                                                       : trusted_way(&who, path, FILE_WHAT, err);
}

int source_as_caller(const char *path, struct caller_before *before, struct error *err)
{
    struct caller c;
    struct pathwalk w;
    struct stat st;
    bool link = false, callers = false;
    if (!caller_get(&c))
        return 0;
    int more = pathwalk_start(&w, path);
    while (more > 0 && !callers && lstat(pathwalk_at(&w), &st) == 0) {
        callers = st.st_uid == c.uid;
        link = S_ISLNK(st.st_mode);
        more = pathwalk_next(&w, link);
    }
    if (!callers)
        return 0;
    if (caller_become(&c, before) == 0)
        return 1;
    return error_set(err, ERR_TRUST, errno,
                     "use %s as the user with id %u; next: run this as that "
                     "user, or as root without the user's HOME and XDG_CONFIG_HOME",
                     SHOWN(path), (unsigned)c.uid);
}

static int cannot_open(const char *path, bool as_caller, struct error *err)
{
    if (!as_caller || errno != EACCES)
        return error_set(err, ERR_CONFIG, errno, "open %s", SHOWN(path));
    return error_set(err, ERR_TRUST, errno,
                     "open %s, which the user who called sudo or doas can replace and so must be "
                     "able to read; next: give that user read access to it, or replace the link "
                     "with a copy",
                     SHOWN(path));
}

/* Opens `name` in `dir_fd`; `path` is its name in messages. 1 with `out`, 0 if there is no such
 * file, -1. */
static int open_source(bool repo, int dir_fd, const char *name, const char *path, int *out,
                       struct stat *st, struct error *err)
{
    _cleanup_(caller_back) struct caller_before before = {0};
    int as_caller = repo ? 0 : source_as_caller(path, &before, err);
    if (as_caller < 0)
        return -1;
    _cleanup_close_ int fd = openat(dir_fd, name, O_PATH | O_CLOEXEC | (repo ? O_NOFOLLOW : 0));
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        /* A link that leads nowhere is a mistake and not a missing file. */
        if (fstatat(dir_fd, name, st, AT_SYMLINK_NOFOLLOW) == 0)
            return error_set(err, ERR_CONFIG, 0, "%s is a symbolic link that leads nowhere",
                             SHOWN(path));
        return 0;
    }
    if (fd < 0 || fstat(fd, st) < 0)
        return cannot_open(path, as_caller, err);
    if (S_ISLNK(st->st_mode))
        return error_set(err, ERR_TRUST, 0,
                         "%s is a symbolic link; a repository's file must be a file of its own",
                         SHOWN(path));
    if (!S_ISREG(st->st_mode))
        return error_set(err, ERR_CONFIG, 0, "%s is not a regular file", SHOWN(path));
    if (fd_reopen(&fd, O_RDONLY) < 0)
        return cannot_open(path, as_caller, err);
    *out = TAKE_FD(fd);
    return 1;
}

static int read_source(enum config_source src, int dir_fd, const char *name, const char *path,
                       const char *repo_root, const char *const *envp, struct source_file *out,
                       struct error *err)
{
    struct stat st;
    bool repo = src == SRC_REPO;
    _cleanup_close_ int fd = -1;
    int there = open_source(repo, dir_fd, name, path, &fd, &st, err);
    if (there <= 0)
        return there;
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

int source_read(enum config_source src, const char *path, const char *repo_root,
                const char *const *envp, struct source_file *out, struct error *err)
{
    return read_source(src, AT_FDCWD, path, path, repo_root, envp, out, err);
}

int source_read_repo(int dir_fd, const char *path, const char *const *envp, struct source_file *out,
                     struct error *err)
{
    return read_source(SRC_REPO, dir_fd, CONFIG_REPO_NAME, path, "", envp, out, err);
}
