/* gituser.c: the patterns that the user has for all repositories: core.excludesFile, or else
 * ~/.config/git/ignore, by files and by the variables GIT_CONFIG_*. They are the caller's own, as
 * the configuration that names them is; under sudo, those of the user who called it count too.
 *
 * git is asked for the value, because only git knows its includes, and only where one of the
 * files could set it. It is asked at the root directory with no repository around, in an
 * environment made here, so nothing in the tree can influence the answer.
 *
 * Where HOME or XDG_CONFIG_HOME leads into the tree, what is there came with the code and counts
 * for nothing.
 *
 * The variables may hold what only their owner may know, such as a header with a token in it. So
 * they go to no process of another user's.
 *
 * Another user's settings are read as that user, by git and by us: root would else read for the
 * user, whose links and names lead anywhere, what only root may.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sync/list.h"
#include "sys/beneath.h"
#include "sys/caller.h"
#include "sys/file.h"
#include "sys/program.h"
#include "sys/spawn.h"
#include "sys/worktree.h"

enum { CONFIG_MAX = 4 * 1024 * 1024, PATTERNS_MAX = 4 * 1024 * 1024, ANSWER_MAX = 8192 };

/* What is asked for at a time: the files at their usual places, the one that GIT_CONFIG_GLOBAL
 * names, or what the other variables say. */
enum asked { USUAL_FILES, GLOBAL_FILE, VALUES };

/* Where a user has his settings. Only absolute paths count. */
struct places {
    const char *home, *xdg;
    const struct caller *as; /* whose they are; NULL: ours */
    const char *next;        /* for a file at its usual place that can't be read */
    enum asked asked;
};

static char *home_file(const struct places *u, const char *name)
{
    return u->home && *u->home == '/' ? xasprintf("%s/%s", u->home, name) : NULL;
}

static char *xdg_file(const struct places *u, const char *name)
{
    if (u->xdg && *u->xdg == '/')
        return xasprintf("%s/git/%s", u->xdg, name);
    _cleanup_free_ char *below = xasprintf(".config/git/%s", name);
    return home_file(u, below);
}

#define GLOBAL "GIT_CONFIG_GLOBAL="

/* GIT_CONFIG_COUNT and its like are settings of the caller's, too; another /etc/gitconfig is for
 * tests of git. */
static bool is_value(const char *variable)
{
    return str_has_prefix(variable, "GIT_CONFIG_") &&
           !str_has_prefix(variable, "GIT_CONFIG_SYSTEM=") && !str_has_prefix(variable, GLOBAL);
}

static bool names_excludes(const char *text)
{
    return strcasestr(text, "excludesfile") || strcasestr(text, "include");
}

/* A file of the user's, by whatever links. 1, 0 where there is none, -1. With `next`, one that
 * can't be read is passed over with a warning, as by git: it is only looked for at its usual place,
 * and another's home directory may be closed. */
static int read_own(const char *path, const char *next, size_t max, struct strbuf *out,
                    struct error *err)
{
    struct stat st;
    struct error local = ERROR_INIT;
    _cleanup_close_ int fd = beneath_open_own(path, O_RDONLY, &st);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0 && errno == EACCES && next) {
        log_warn("%s: Permission denied: ignore patterns that it has or names do not count; next: "
                 "%s",
                 path, next);
        return 0;
    }
    if (fd < 0)
        return error_set(err, ERR_SYNC, errno,
                         "open %s, a part of your git configuration; next: make it readable, or "
                         "name another one there",
                         path);
    if (!S_ISREG(st.st_mode))
        return 0;
    if (fd_read_all(fd, max, path, out, &local) < 0)
        return error_set(err, ERR_SYNC, 0, "%s", local.msg);
    return 1;
}

/* ---- what is not the user's ---- */

/* What may have come with code around the tree that is sent, around the working directory, or
 * around that of --dir. All of the host, where that can't be told. */
static void find_tops(const struct scan *s, struct worktree_tops *out)
{
    char fd_name[64];
    (void)str_format(fd_name, sizeof fd_name, "/proc/self/fd/%d", s->list->root_fd);
    if (worktree_tops(".", out) < 0 || worktree_around(fd_name, out->of[WORKTREE_OTHER]) < 0)
        (void)str_copy(out->of[0], sizeof out->of[0], "/");
}

static bool is_in_trees(const char *path, const struct worktree_tops *tops)
{
    return path && worktree_leads_through_top(path, tops);
}

/* Tells of files that do not count. The first stands for all. They are not opened, and no link of
 * the tree is followed to see them. */
static void warn_of(char *const paths[], size_t n, const struct worktree_tops *tops)
{
    struct stat st;
    char link[PATH_MAX];
    for (size_t i = 0; i < n; i++) {
        if (!paths[i] || worktree_look(paths[i], tops, &st, link) == 0)
            continue;
        log_warn(
            "%s lies in the tree, where anybody may have written it: ignore patterns that it "
            "has or names do not count; next: list in .crabboxignore what need not be copied, or "
            "set HOME, XDG_CONFIG_HOME and GIT_CONFIG_GLOBAL to places elsewhere",
            paths[i]);
        return;
    }
}

/* Whether the file that GIT_CONFIG_GLOBAL names came with the code. git sees a relative path from
 * where it is started, so from "/" here. */
static bool leave_out_global(const struct scan *s)
{
    const char *path = getenv("GIT_CONFIG_GLOBAL");
    struct worktree_tops tops;
    find_tops(s, &tops);
    if (!path || !*path || (*path == '/' && !is_in_trees(path, &tops)))
        return false;
    char *named = xstrdup(path);
    warn_of(&named, 1, &tops);
    free(named);
    return true;
}

/* In many a job of a CI the home is the tree. What came with the code is not the user's word, and
 * the tree has patterns of its own. */
static void leave_out_tree(const struct scan *s, struct places *u)
{
    const struct places all = *u;
    struct worktree_tops tops;
    find_tops(s, &tops);
    if (is_in_trees(u->home, &tops))
        u->home = NULL;
    if (is_in_trees(u->xdg, &tops))
        u->xdg = NULL;
    bool has_xdg = all.xdg && *all.xdg == '/';
    bool no_home = all.home && !u->home, no_xdg = has_xdg ? !u->xdg : no_home;
    _cleanup_free_ char *old_config = no_home ? home_file(&all, ".gitconfig") : NULL;
    _cleanup_free_ char *config = no_xdg ? xdg_file(&all, "config") : NULL;
    _cleanup_free_ char *ignore = no_xdg ? xdg_file(&all, "ignore") : NULL;
    warn_of((char *const[]){old_config, config, ignore}, 3, &tops);
}

/* ---- asking ---- */

/* From here on, what is read is read as the user whose settings these are. */
static int become_owner(const struct places *u, struct caller_before *before, struct error *err)
{
    if (!u->as || caller_become(u->as, before) == 0)
        return 0;
    return error_set(err, ERR_SYNC, errno,
                     "read the git configuration as the user with id %ld; next: run this as that "
                     "user, or --no-sync",
                     (long)u->as->uid);
}

/* Whether a configuration file may set core.excludesFile. */
static int may_set(const struct places *u, const char *path, const char *next, bool *may,
                   struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_(caller_back) struct caller_before before = {0};
    if (!path)
        return 0;
    if (become_owner(u, &before, err) < 0 || read_own(path, next, CONFIG_MAX, &text, err) < 0)
        return -1;
    if (names_excludes(text.buf))
        *may = true;
    return 0;
}

/* An environment made here, and those variables of git's that are asked for. Without a HOME git
 * refuses "~/". */
static const char **make_env(const struct places *u, const char *home_var, const char *xdg_var,
                             const char *global_var)
{
    const char *const fixed[] = {"PATH=/usr/bin:/bin",
                                 "LC_ALL=C",
                                 "GIT_DIR=/dev/null",
                                 "GIT_TERMINAL_PROMPT=0",
                                 "GIT_OPTIONAL_LOCKS=0",
                                 "GIT_TRACE2=0",
                                 "GIT_TRACE2_PERF=0",
                                 "GIT_TRACE2_EVENT=0",
                                 xdg_var};
    const char *const more[] = {u->home ? home_var : NULL,
                                u->asked == USUAL_FILES ? NULL : global_var};
    size_t n = ARRAY_LEN(fixed) + ARRAY_LEN(more);
    for (char **v = environ; *v; v++)
        n += is_value(*v);
    const char **env = xcalloc(n + 1, sizeof *env);
    memcpy(env, fixed, sizeof fixed);
    n = ARRAY_LEN(fixed);
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        if (more[i])
            env[n++] = more[i];
    for (char **v = environ; u->asked == VALUES && *v; v++)
        if (is_value(*v))
            env[n++] = *v;
    return env;
}

/* core.excludesFile, or NULL where it is not set. */
static int ask_git(const struct scan *s, const struct places *u, const struct deadline *d,
                   char **out, struct error *err)
{
    char git[PATH_MAX];
    _cleanup_strbuf_ struct strbuf answer = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct exit_status st;
    struct error local = ERROR_INIT;
    /* A tree at "/" holds every program. */
    const char *tree = str_eq(s->list->root, "/") ? NULL : s->list->root;
    if (program_locate("git", "program", tree, git, err) < 0)
        return -1;
    _cleanup_free_ char *home_var = xasprintf("HOME=%s", u->home ? u->home : "");
    _cleanup_free_ char *xdg_var = xasprintf("XDG_CONFIG_HOME=%s", u->xdg ? u->xdg : "");
    const char *global = u->asked == GLOBAL_FILE ? getenv("GIT_CONFIG_GLOBAL") : NULL;
    _cleanup_free_ char *global_var = xasprintf(GLOBAL "%s", global ? global : "/dev/null");
    _cleanup_free_ const char **env = make_env(u, home_var, xdg_var, global_var);
    spec.argv = (const char *const[]){
        git, "--no-pager", "config", "--includes", "--path", "--get", "core.excludesFile", NULL};
    spec.envp = env;
    _cleanup_close_ int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    spec.cwd_fd = slash;
    spec.die_with_parent = true;
    spec.user = u->as;
    /* An included file may be a FIFO that nobody writes to. */
    if (spawn_run(&spec, d, ANSWER_MAX, &answer, &errout, &st, &local) < 0)
        return local.kind == ERR_TIMEOUT
                   ? error_set(
                         err, ERR_SYNC, 0,
                         "git took too long to print your core.excludesFile; next: git config "
                         "--global --list")
                   : error_set(err, local.kind, 0, "%s", local.msg);
    if (st.exited && st.code == 1)
        return 0;
    if (!st.exited || st.code)
        return error_set(err, ERR_SYNC, 0,
                         "git can't read your own git configuration: %.*s; next: git config "
                         "--global --list",
                         (int)strcspn(errout.buf, "\n"), errout.buf);
    answer.buf[strcspn(answer.buf, "\n")] = '\0';
    *out = xstrdup(answer.buf);
    return 0;
}

/* Whether any of the places where the value can be set may do so. */
static int may_be_set(const struct places *u, bool *may, struct error *err)
{
    _cleanup_free_ char *config = xdg_file(u, "config");
    _cleanup_free_ char *old_config = home_file(u, ".gitconfig");
    if (u->asked == USUAL_FILES)
        return may_set(u, "/etc/gitconfig", "chmod a+r /etc/gitconfig", may, err) < 0 ||
                       may_set(u, config, u->next, may, err) < 0 ||
                       may_set(u, old_config, u->next, may, err) < 0
                   ? -1
                   : 0;
    if (u->asked == GLOBAL_FILE)
        return may_set(u, getenv("GIT_CONFIG_GLOBAL"), NULL, may, err);
    for (char **v = environ; *v; v++)
        *may = *may || (is_value(*v) && names_excludes(*v));
    return 0;
}

static int add_patterns(struct scan *s, const struct places *u, const struct deadline *d,
                        struct gitignore *g, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_free_ char *path = NULL;
    _cleanup_(caller_back) struct caller_before before = {0};
    bool may = false;
    if (may_be_set(u, &may, err) < 0 || (may && ask_git(s, u, d, &path, err) < 0))
        return -1;
    bool usual = !path;
    if (usual && u->asked == USUAL_FILES)
        path = xdg_file(u, "ignore");
    if (!path || !*path)
        return 0;
    if (become_owner(u, &before, err) < 0)
        return -1;
    /* A relative one is seen from the tree. */
    int r = *path == '/'
                ? read_own(path, usual ? u->next : NULL, PATTERNS_MAX, &text, err)
                : tree_read(s->tree.root_fd, path, s->list->root, PATTERNS_MAX, &text, err);
    if (r < 0)
        return -1;
    return gitignore_parse(g, text.buf, text.len, &s->effort) < 0
               ? error_set(err, ERR_SYNC, 0, "%s has a line of more than %d bytes", path,
                           GITIGNORE_LINE_MAX)
               : 0;
}

/* Where root works with another's home, as by su, that user is asked, not root. A home that was
 * left out is the tree's owner's. */
static const struct caller *owner_of(const struct scan *s, const char *home, bool left_out,
                                     struct caller *out)
{
    struct stat st;
    if (geteuid() != 0 || !home)
        return NULL;
    if ((left_out ? fstat(s->list->root_fd, &st) : stat(home, &st)) < 0 || st.st_uid == 0)
        return NULL;
    *out = (struct caller){st.st_uid, st.st_gid};
    return out;
}

/* All of them count. For git a variable replaces the files; here it adds to them, because any tool
 * that started us may have left it behind, and so it can only leave out more. Under sudo, the
 * caller's patterns count as well as root's. */
int git_user_ignore(struct scan *s, int64_t answer_ms, struct gitignore *g, struct error *err)
{
    const struct deadline d = deadline_sub(s->effort.d, answer_ms);
    struct caller caller, owner;
    _cleanup_free_ char *callers = caller_get(&caller) ? caller_home_of(caller.uid) : NULL;
    struct places own = {.home = getenv("HOME"),
                         .xdg = getenv("XDG_CONFIG_HOME"),
                         .next = "make it readable, or set HOME to your own home directory"};
    const struct places sudo = {.home = callers, .as = &caller, .next = "make it readable"};
    bool same = callers && own.home && str_eq(own.home, callers);
    leave_out_tree(s, &own);
    own.as = same ? &caller : owner_of(s, getenv("HOME"), !own.home, &owner);
    if (add_patterns(s, &own, &d, g, err) < 0)
        return -1;
    if (callers && !same && add_patterns(s, &sudo, &d, g, err) < 0)
        return -1;
    own.asked = GLOBAL_FILE;
    if (!leave_out_global(s) && add_patterns(s, &own, &d, g, err) < 0)
        return -1;
    own.asked = VALUES;
    if (own.as && !same) {
        own.as = NULL;
        own.home = own.xdg = NULL;
    }
    return add_patterns(s, &own, &d, g, err);
}
