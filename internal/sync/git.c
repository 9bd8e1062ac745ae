/* git.c: what git says belongs to a tree. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "sync/list.h"
#include "sys/file.h"
#include "sys/spawn.h"

enum { OUTPUT_MAX = 256 * 1024 * 1024, ENV_MAX = 4096, NESTING_MAX = 64 };

extern char **environ;

/* The environment without what would point git elsewhere (set, for example, in its hooks), and
 * with messages that can be told apart. The result borrows its strings; the caller frees it. */
static const char **git_environment(void)
{
    static const char *const drop[] = {"GIT_DIR=",    "GIT_WORK_TREE=",  "GIT_INDEX_FILE=",
                                       "GIT_PREFIX=", "GIT_COMMON_DIR=", "GIT_NAMESPACE=",
                                       "LC_ALL=",     "LANGUAGE=",       "GIT_OPTIONAL_LOCKS="};
    const char **out = xcalloc(ENV_MAX + 4, sizeof *out);
    size_t n = 0;
    for (char **e = environ; *e && n < ENV_MAX; e++) {
        bool keep = true;
        for (size_t i = 0; keep && i < ARRAY_LEN(drop); i++)
            keep = !str_has_prefix(*e, drop[i]);
        if (keep)
            out[n++] = *e;
    }
    out[n++] = "LC_ALL=C";
    out[n++] = "GIT_OPTIONAL_LOCKS=0";
    return out;
}

static void cleanup_env(const char ***env)
{
    free(*env);
}

static int run_git(const char *dir, const char *const *args, const struct deadline *d,
                   struct strbuf *out, struct strbuf *errout, struct exit_status *st,
                   struct error *err)
{
    /* A file system monitor is a program that the repository names: not run for a listing. */
    const char *argv[16] = {"git", "-C", dir, "-c", "core.fsmonitor=false"};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    _cleanup_(cleanup_env) const char **env = git_environment();
    size_t n = 5;
    for (size_t i = 0; args[i] && n < ARRAY_LEN(argv) - 1; i++)
        argv[n++] = args[i];
    spec.argv = argv;
    spec.envp = env;
    spec.die_with_parent = true;
    return spawn_run(&spec, d, OUTPUT_MAX, out, errout, st, err);
}

/* git's own words, first line only. */
static int git_failed(const char *dir, const struct strbuf *errout, struct error *err)
{
    int len = (int)strcspn(errout->buf, "\n");
    return error_set(err, ERR_SYNC, 0, "git can't list %s: %.*s", dir, len > 400 ? 400 : len,
                     errout->buf);
}

/* Whether a repository seems to begin at `dir` or above, without asking git. */
static bool looks_like_repository(const char *dir)
{
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    strbuf_adds(&path, dir);
    for (;;) {
        size_t len = path.len;
        strbuf_adds(&path, "/.git");
        if (access(path.buf, F_OK) == 0)
            return true;
        path.len = len;
        path.buf[len] = '\0';
        char *slash = strrchr(path.buf, '/');
        if (!slash || slash == path.buf)
            return false;
        *slash = '\0';
        path.len = (size_t)(slash - path.buf);
    }
}

int git_top(const char *dir, const struct deadline *d, char **top, struct error *err)
{
    static const char *const args[] = {"rev-parse", "--show-toplevel", NULL};
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    struct error local = ERROR_INIT;
    struct exit_status st;
    *top = NULL;
    if (!looks_like_repository(dir))
        return 0;
    if (run_git(dir, args, d, &out, &errout, &st, &local) < 0) {
        if (err)
            *err = local;
        return error_prefix(err, "%s is a git repository, its files are listed by git", dir);
    }
    if (!st.exited || st.code) {
        /* A bare repository, or a stray ".git": then it is an ordinary directory. */
        if (strstr(errout.buf, "not a git repository") || strstr(errout.buf, "must be run in"))
            return 0;
        return git_failed(dir, &errout, err);
    }
    if (out.len && out.buf[out.len - 1] == '\n')
        out.buf[--out.len] = '\0';
    *top = strbuf_detach(&out);
    return 0;
}

static int nesting(const char *prefix)
{
    int n = 0;
    for (; *prefix; prefix++)
        n += *prefix == '/';
    return n;
}

/* A path that is a directory: an initialised submodule or a repository inside this one. */
static int scan_nested(struct scan *s, int parent, const char *base, const char *path,
                       struct error *err)
{
    _cleanup_free_ char *dot_git = xasprintf("%s/.git", base);
    _cleanup_free_ char *prefix = xasprintf("%s/", path);
    if (faccessat(parent, dot_git, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (nesting(path) > NESTING_MAX) {
        scan_skip(s, path);
        return 0;
    }
    return scan_git(s, prefix, err);
}

/* One entry of git's answer. What is listed but absent was deleted in the working tree. */
static int add_listed(struct scan *s, char *path, struct error *err)
{
    struct stat st;
    const char *base;
    size_t len = strlen(path);
    if (len && path[len - 1] == '/')
        path[--len] = '\0';
    int parent = tree_parent(&s->tree, path, &base);
    if (parent < 0 || fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
            scan_skip(s, path);
        return 0;
    }
    if (S_ISDIR(st.st_mode))
        return ignore_match(&s->ignore, path, true) && !s->ignore.has_negated
                   ? 0
                   : scan_nested(s, parent, base, path, err);
    return ignore_match(&s->ignore, path, false) ? 0 : scan_add(s, path, &st, err);
}

int scan_git(struct scan *s, const char *prefix, struct error *err)
{
    static const char *const args[] = {"ls-files",           "-z", "--cached", "--others",
                                       "--exclude-standard", NULL};
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf errout = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    _cleanup_free_ char *dir = xasprintf("%s/%s", s->list->root, prefix);
    struct exit_status st;
    if (run_git(dir, args, s->d, &out, &errout, &st, err) < 0)
        return -1;
    if (!st.exited || st.code)
        return git_failed(dir, &errout, err);
    if (out.len >= OUTPUT_MAX)
        return error_set(err, ERR_SYNC, EFBIG, "git lists too many files in %s", dir);
    for (const char *p = out.buf, *end = out.buf + out.len; p < end; p += strlen(p) + 1) {
        strbuf_reset(&path);
        strbuf_addf(&path, "%s%s", prefix, p);
        if (add_listed(s, path.buf, err) < 0)
            return -1;
    }
    return 0;
}
