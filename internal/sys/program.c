#include "sys/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/caller.h"
#include "sys/trusted.h"

static bool is_below(const char *path, const char *root)
{
    size_t n = strlen(root);
    return str_eq(root, "/") ||
           (n && strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

/* The nearest directory upwards that has .git; false without one. */
static bool find_repository(const char *cwd, char out[static PATH_MAX])
{
    char git[PATH_MAX];
    struct stat st;
    (void)str_copy(out, PATH_MAX, cwd);
    for (;;) {
        if (str_format(git, sizeof git, "%s/.git", out) == 0 && lstat(git, &st) == 0)
            return true;
        char *slash = strrchr(out, '/');
        if (!slash || str_eq(out, "/"))
            return false;
        slash[slash == out ? 1 : 0] = '\0';
    }
}

static bool holds_home_of(const char *dir, uid_t uid)
{
    char real[PATH_MAX];
    _cleanup_free_ char *home = caller_home_of(uid);
    return home && realpath(home, real) && is_below(real, dir);
}

/* A directory that contains a home or the system's programs is not a tree of code. HOME is not
 * asked: in many a job of a CI it is the tree. */
static bool is_ours(const char *dir)
{
    struct caller c;
    return is_below("/usr/bin", dir) || holds_home_of(dir, geteuid()) ||
           (caller_get(&c) && holds_home_of(dir, c.uid));
}

/* Everything below this directory came with someone's code; "" if there is none. Of nested
 * repositories it is the outermost, because the inner ones may have come with it. */
static void find_root(const char *cwd, char out[static PATH_MAX])
{
    char here[PATH_MAX], found[PATH_MAX];
    out[0] = '\0';
    if (!realpath(cwd, here))
        return;
    if (!find_repository(here, out)) {
        (void)str_copy(out, PATH_MAX, is_ours(here) ? "" : here);
        return;
    }
    (void)str_copy(here, sizeof here, out);
    for (char *slash; (slash = strrchr(here, '/')) && slash[1];) {
        slash[slash == here] = '\0';
        if (!find_repository(here, found) || is_ours(found))
            return;
        (void)str_copy(out, PATH_MAX, found);
        (void)str_copy(here, sizeof here, found);
    }
}

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Some directory on the way of an absolute `file` is in the tree, or the file that it leads to. A
 * link in the repository to a program outside is the repository's choice too. */
static bool leads_through(const char *file, const char *root)
{
    char real[PATH_MAX], part[PATH_MAX];
    for (const char *p = file; p; p = strchr(p + 1, '/')) {
        (void)str_format(part, sizeof part, "%.*s", (int)(p - file), file);
        if (*part && (!realpath(part, real) || is_below(real, root)))
            return true;
    }
    return !realpath(file, real) || is_below(real, root);
}

bool program_find(const char *name, const char *path, const char *cwd, const char *tree,
                  struct program *out)
{
    char root[PATH_MAX], file[PATH_MAX];
    out->path[0] = out->passed[0] = '\0';
    if (strchr(name, '/'))
        return str_copy(out->path, sizeof out->path, name) == 0 && is_program(name);
    find_root(cwd, root);
    _cleanup_free_ char *copy = xstrdup(path ? path : PROGRAM_PATH);
    for (char *rest = copy, *dir; *name && (dir = strsep(&rest, ":"));) {
        if (str_format(file, sizeof file, "%s/%s", *dir ? dir : ".", name) < 0 || !is_program(file))
            continue;
        if (*file == '/' && !leads_through(file, root) && !(tree && leads_through(file, tree)))
            return str_copy(out->path, sizeof out->path, file) == 0;
        if (!out->passed[0])
            (void)str_copy(out->passed, sizeof out->passed, file);
    }
    return false;
}

int program_locate(const char *name, const char *what, const char *tree, char out[static PATH_MAX],
                   struct error *err)
{
    struct program p;
    _cleanup_free_ char *cwd = get_current_dir_name();
    if (*name != '/' && strchr(name, '/'))
        return error_set(
            err, ERR_TRUST, 0,
            "the %s %s is relative to the working directory; next: give its absolute path", what,
            name);
    if (!program_find(name, getenv("PATH"), cwd ? cwd : "/", tree, &p) && !p.path[0]) {
        if (p.passed[0])
            return error_set(err, ERR_ENV, 0,
                             "the %s %s is not in PATH; %s does not count, because it is in the "
                             "repository or found through the working directory",
                             what, name, p.passed);
        return error_set(err, ERR_ENV, ENOENT, "the %s %s is not in PATH", what, name);
    }
    if (str_copy(out, PATH_MAX, p.path) < 0)
        return error_set(err, ERR_ENV, ENAMETOOLONG, "the %s", what);
    return trusted_path(NULL, out, what, err);
}
