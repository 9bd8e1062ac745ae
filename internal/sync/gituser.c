/* gituser.c: the patterns that the user has for all repositories: core.excludesFile, or else
 * ~/.config/git/ignore, by files and by the variables GIT_CONFIG_*. They are the caller's own, as
 * the configuration that names them is; under sudo, those of the user who called it count too.
 *
 * git is asked for the value, because only git knows its includes, and only where one of the
 * files could set it. It is asked at the root directory with no repository around, in an
 * environment made here, so nothing in the tree can influence the answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sync/home.h"
#include "sync/list.h"
#include "sys/file.h"
#include "sys/program.h"
#include "sys/spawn.h"

enum { CONFIG_MAX = 4 * 1024 * 1024, PATTERNS_MAX = 4 * 1024 * 1024, ANSWER_MAX = 8192 };

/* Where a user has his settings. Only absolute paths count. */
struct places {
    const char *home, *xdg;
    bool env; /* only what the variables of git's say */
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

/* GIT_CONFIG_GLOBAL, GIT_CONFIG_COUNT and their like are settings of the caller's, too; another
 * /etc/gitconfig is for tests of git. */
static bool is_gits(const char *variable)
{
    return str_has_prefix(variable, "GIT_CONFIG_") &&
           !str_has_prefix(variable, "GIT_CONFIG_SYSTEM=");
}

static bool names_excludes(const char *text)
{
    return strcasestr(text, "excludesfile") || strcasestr(text, "include");
}

/* A file of the user's, by whatever links. 1, 0 where there is none, -1. One that is only looked
 * for at its usual place is passed over with a warning, as by git, where it can't be read:
 * another's home directory may be closed. */
static int read_own(const char *path, bool usual, size_t max, struct strbuf *out, struct error *err)
{
    struct stat st;
    struct error local = ERROR_INIT;
    if (!path)
        return 0;
    _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
        return 0;
    bool opened = fd >= 0 && fd_reopen(&fd, O_RDONLY) == 0;
    if (!opened && errno == EACCES && usual) {
        log_warn("%s: Permission denied: ignore patterns that it has or names do not count; next: "
                 "make it readable, or set HOME to your own home directory",
                 path);
        return 0;
    }
    if (!opened)
        return error_set(err, ERR_SYNC, errno,
                         "open %s, a part of your git configuration; next: make it readable, or "
                         "name another one there",
                         path);
    if (fd_read_all(fd, max, path, out, &local) < 0)
        return error_set(err, ERR_SYNC, 0, "%s", local.msg);
    return 1;
}

/* Whether a configuration file may set core.excludesFile. */
static int may_set(const char *path, bool usual, bool *may, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (read_own(path, usual, CONFIG_MAX, &text, err) < 0)
        return -1;
    if (names_excludes(text.buf))
        *may = true;
    return 0;
}

/* root asks as the owner of the home directory, not as root for another. */
static void choose_user(const struct places *u, struct spawn_spec *spec, struct spawn_user *user)
{
    struct stat st;
    if (geteuid() != 0 || !u->home || stat(u->home, &st) < 0 || st.st_uid == 0)
        return;
    *user = (struct spawn_user){st.st_uid, st.st_gid};
    spec->user = user;
}

/* An environment made here, and those variables of git's that configure. */
static const char **make_env(const struct places *u, const char *home_var, const char *xdg_var)
{
    const char *const fixed[] = {"PATH=/usr/bin:/bin",
                                 "LC_ALL=C",
                                 "GIT_DIR=/dev/null",
                                 "GIT_TERMINAL_PROMPT=0",
                                 "GIT_OPTIONAL_LOCKS=0",
                                 "GIT_TRACE2=0",
                                 "GIT_TRACE2_PERF=0",
                                 "GIT_TRACE2_EVENT=0",
                                 home_var,
                                 xdg_var};
    size_t n = ARRAY_LEN(fixed);
    for (char **v = environ; u->env && *v; v++)
        n += is_gits(*v);
    const char **env = xcalloc(n + 1, sizeof *env);
    memcpy(env, fixed, sizeof fixed);
    n = ARRAY_LEN(fixed);
    for (char **v = environ; u->env && *v; v++)
        if (is_gits(*v))
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
    struct spawn_user user;
    struct exit_status st;
    struct error local = ERROR_INIT;
    /* A tree at "/" holds every program. */
    const char *tree = str_eq(s->list->root, "/") ? NULL : s->list->root;
    if (program_locate("git", "program", tree, git, err) < 0)
        return -1;
    _cleanup_free_ char *home_var = xasprintf("HOME=%s", u->home ? u->home : "");
    _cleanup_free_ char *xdg_var = xasprintf("XDG_CONFIG_HOME=%s", u->xdg ? u->xdg : "");
    _cleanup_free_ const char **env = make_env(u, home_var, xdg_var);
    spec.argv = (const char *const[]){
        git, "--no-pager", "config", "--includes", "--path", "--get", "core.excludesFile", NULL};
    spec.envp = env;
    _cleanup_close_ int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    spec.cwd_fd = slash;
    spec.die_with_parent = true;
    choose_user(u, &spec, &user);
    /* An included file may be a FIFO that nobody writes to. */
    if (spawn_run(&spec, d, ANSWER_MAX, &answer, &errout, &st, &local) < 0)
        return local.kind == ERR_TIMEOUT
                   ? error_set(err, ERR_SYNC, 0,
                               "git has not told in time what your core.excludesFile is; next: git "
                               "config --global --list")
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
    if (!u->env)
        return may_set("/etc/gitconfig", true, may, err) < 0 ||
                       may_set(config, true, may, err) < 0 ||
                       may_set(old_config, true, may, err) < 0
                   ? -1
                   : 0;
    for (char **v = environ; *v; v++)
        *may = *may || (is_gits(*v) && names_excludes(*v));
    return may_set(getenv("GIT_CONFIG_GLOBAL"), false, may, err);
}

static int add_patterns(struct scan *s, const struct places *u, const struct deadline *d,
                        struct gitignore *g, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_free_ char *path = NULL;
    bool may = false;
    if (may_be_set(u, &may, err) < 0 || (may && ask_git(s, u, d, &path, err) < 0))
        return -1;
    bool usual = !path;
    if (usual && !u->env)
        path = xdg_file(u, "ignore");
    if (!path || !*path)
        return 0;
    /* A relative one is seen from the tree. */
    int r = *path == '/'
                ? read_own(path, usual, PATTERNS_MAX, &text, err)
                : tree_read(s->tree.root_fd, path, s->list->root, PATTERNS_MAX, &text, err);
    if (r < 0)
        return -1;
    return gitignore_parse(g, text.buf, text.len, &s->effort) < 0
               ? error_set(err, ERR_SYNC, 0, "%s has a line of more than %d bytes", path,
                           GITIGNORE_LINE_MAX)
               : 0;
}

/* All of them count. For git a variable replaces the files; here it adds to them, because any tool
 * that started us may have left it behind, and so it can only leave out more. Under sudo, the
 * caller's patterns count as well as root's. */
int git_user_ignore(struct scan *s, const struct deadline *d, struct gitignore *g,
                    struct error *err)
{
    _cleanup_free_ char *callers = home_of_caller();
    struct places own = {getenv("HOME"), getenv("XDG_CONFIG_HOME"), false};
    const struct places sudo = {callers, NULL, false};
    if (add_patterns(s, &own, d, g, err) < 0)
        return -1;
    if (callers && !(own.home && str_eq(own.home, callers)) &&
        add_patterns(s, &sudo, d, g, err) < 0)
        return -1;
    own.env = true;
    return add_patterns(s, &own, d, g, err);
}
