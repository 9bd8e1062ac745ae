#include "sys/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/trusted.h"
#include "sys/worktree.h"

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The same for a file that came with code, only to name it in the message. A link there is not
 * followed. */
static bool is_foreign_program(const char *path, const struct worktree_tops *tops)
{
    struct stat st;
    char link[PATH_MAX];
    return worktree_look(path, tops, &st, link) > 0 &&
           (S_ISLNK(st.st_mode) || (S_ISREG(st.st_mode) && (st.st_mode & 0111)));
}

bool program_find(const char *name, const char *path, const char *cwd, const char *tree,
                  struct program *out)
{
    struct worktree_tops tops;
    char file[PATH_MAX];
    out->path[0] = out->passed[0] = '\0';
    out->lost = false;
    if (strchr(name, '/'))
        return str_copy(out->path, sizeof out->path, name) == 0 && is_program(name);
    out->lost = worktree_tops(cwd, &tops) < 0;
    if (tree)
        (void)str_copy(tops.of[WORKTREE_OTHER], sizeof tops.of[WORKTREE_OTHER], tree);
    _cleanup_free_ char *copy = xstrdup(path && !out->lost ? path : PROGRAM_PATH);
    for (char *rest = copy, *dir; *name && (dir = strsep(&rest, ":"));) {
        if (str_format(file, sizeof file, "%s/%s", *dir ? dir : ".", name) < 0)
            continue;
        /* Ask this first: otherwise somebody else's link could choose which file is looked at. */
        bool ours = *file == '/' && !worktree_leads_through_top(file, &tops);
        if (ours && is_program(file))
            return str_copy(out->path, sizeof out->path, file) == 0;
        if (!ours && !out->passed[0] && is_foreign_program(file, &tops))
            (void)str_copy(out->passed, sizeof out->passed, file);
    }
    return false;
}

int program_locate(const char *name, const char *what, const char *tree, char out[static PATH_MAX],
                   struct error *err)
{
    struct program p;
    if (*name != '/' && strchr(name, '/'))
        return error_set(
            err, ERR_TRUST, 0,
            "the %s %s is relative to the working directory; next: give its absolute path", what,
            name);
    if (!program_find(name, getenv("PATH"), ".", tree, &p) && !p.path[0]) {
        bool dir = worktree_dir() != NULL;
        if (p.lost)
            return error_set(err, ERR_ENV, 0,
                             "the %s %s is not in " PROGRAM_PATH
                             ", and no other directory counts, because the working directory%s was "
                             "removed or can't be looked at; next: cd to another directory%s",
                             what, name, dir ? " or that of --dir" : "",
                             dir ? ", or name another" : "");
        if (p.passed[0])
            return error_set(
                err, ERR_ENV, 0,
                "the %s %s is not in PATH; %s does not count, because it may have come "
                "with the code that you are working on; next: put a directory "
                "elsewhere into PATH",
                what, name, p.passed);
        return error_set(err, ERR_ENV, ENOENT, "the %s %s is not in PATH", what, name);
    }
    if (str_copy(out, PATH_MAX, p.path) < 0)
        return error_set(err, ERR_ENV, ENAMETOOLONG, "the %s", what);
    return trusted_path(NULL, out, what, err);
}
