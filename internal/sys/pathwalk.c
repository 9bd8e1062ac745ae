#include "sys/pathwalk.h"

#include <string.h>
#include <unistd.h>

#include "base/str.h"

enum { LINKS_MAX = 40 }; /* as the kernel follows them */

/* The next component that is neither empty nor ".": a name or "..". *n gets its length, 0 at the
 * end. */
static char *next_component(char *rest, size_t *n)
{
    for (char *name = rest;; name += *n) {
        name += strspn(name, "/");
        *n = strcspn(name, "/");
        if (*n != 1 || *name != '.')
            return name;
    }
}

const char *pathwalk_at(const struct pathwalk *w)
{
    return *w->at ? w->at : "/";
}

bool pathwalk_is_at_end(const struct pathwalk *w)
{
    size_t n;
    (void)next_component(w->rest, &n);
    return n == 0;
}

/* Puts a link's target in front of the rest of the path. */
static int follow_link(struct pathwalk *w)
{
    char target[PATH_MAX], whole[PATH_MAX];
    ssize_t n = readlink(w->at, target, sizeof target - 1);
    if (n <= 0 || ++w->links > LINKS_MAX) {
        w->looped = true;
        return 0;
    }
    target[n] = '\0';
    if (str_format(whole, sizeof whole, "%s/%s", target, w->rest) < 0)
        return -1;
    *strrchr(w->at, '/') = '\0';
    if (*target == '/')
        w->at[0] = '\0';
    memcpy(w->way, whole, sizeof whole);
    w->rest = w->way;
    return 1;
}

int pathwalk_next(struct pathwalk *w, bool link)
{
    size_t n, used;
    int followed = link ? follow_link(w) : 1;
    if (followed <= 0)
        return followed;
    used = strlen(w->at);
    char *name = next_component(w->rest, &n);
    w->rest = name + n;
    if (n == 2 && strncmp(name, "..", n) == 0)
        w->at[used ? (size_t)(strrchr(w->at, '/') - w->at) : 0] = '\0';
    else if (n)
        return str_format(w->at + used, sizeof w->at - used, "/%.*s", (int)n, name) < 0 ? -1 : 1;
    return n > 0;
}

int pathwalk_start(struct pathwalk *w, const char *path)
{
    char cwd[PATH_MAX];
    int r;
    *w = (struct pathwalk){.links = 0};
    w->rest = w->way;
    if (*path == '/')
        r = str_copy(w->way, sizeof w->way, path);
    else
        r = getcwd(cwd, sizeof cwd) ? str_format(w->way, sizeof w->way, "%s/%s", cwd, path) : -1;
    return r < 0 ? -1 : 1;
}

bool path_is_below(const char *path, const char *root)
{
    size_t n = strlen(root);
    if (str_eq(root, "/"))
        return true;
    return n && strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0');
}
