#include "ops/place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/beneath.h"

int path_base(const char *path, char out[static NAME_MAX + 1])
{
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    size_t start = len;
    while (start > 0 && path[start - 1] != '/')
        start--;
    return str_format(out, NAME_MAX + 1, "%.*s", (int)(len - start), path + start);
}

/* The wish, settled: the directory's path below b->dirfd, and the name in it. */
struct settled {
    struct beneath b;
    char dir[PATH_MAX];
    char name[NAME_MAX + 1];
};

static void settled_free(struct settled *s)
{
    beneath_close(&s->b);
}

/* Whether there is a directory: 1, 0 or -1. */
static int is_dir(const struct beneath *b, struct error *err)
{
    _cleanup_close_ int fd = beneath_open(b->dirfd, b->rest, O_PATH | O_DIRECTORY, 0);
    if (fd >= 0)
        return 1;
    return errno == ENOENT || errno == ENOTDIR ? 0 : beneath_failed(b, errno, err);
}

static int settle(const struct place_wish *w, struct settled *s, struct error *err)
{
    size_t len = strlen(w->local);
    s->b.dirfd = -1;
    if (!len)
        return error_set(err, ERR_USAGE, 0, "the local path of %s is empty", w->remote);
    if (beneath_find(w->what, w->local, w->tree, &s->b, err) < 0)
        return -1;
    int there = is_dir(&s->b, err);
    if (there < 0)
        return -1;
    bool into = there || w->local[len - 1] == '/';
    const char *named = into ? w->remote : w->local;
    if (path_base(named, s->name) < 0)
        return error_set(err, ERR_USAGE, ENAMETOOLONG, "%s", named);
    if (!*s->name || str_eq(s->name, ".") || str_eq(s->name, ".."))
        return error_set(err, ERR_USAGE, 0, "%s has no name to use in %s; name the local file",
                         w->remote, w->local);
    (void)str_copy(s->dir, sizeof s->dir, s->b.rest);
    if (into)
        return 0;
    char *slash = strrchr(s->dir, '/');
    (void)str_copy(s->name, sizeof s->name, slash ? slash + 1 : s->dir);
    (void)str_copy(slash ? slash : s->dir, 2, slash ? "" : ".");
    return 0;
}

int place_check(const struct place_wish *wish, struct error *err)
{
    _cleanup_(settled_free) struct settled s;
    if (settle(wish, &s, err) < 0)
        return -1;
    _cleanup_close_ int fd = beneath_open(s.b.dirfd, s.dir, O_PATH | O_DIRECTORY, 0);
    return fd < 0 && errno != ENOENT ? beneath_failed(&s.b, errno, err) : 0;
}

int place_open(const struct place_wish *wish, struct place *out, struct error *err)
{
    _cleanup_(settled_free) struct settled s;
    out->dirfd = -1;
    if (settle(wish, &s, err) < 0)
        return -1;
    (void)str_copy(out->name, sizeof out->name, s.name);
    out->dirfd = beneath_mkdirs(s.b.dirfd, s.dir, 0777, NULL);
    return out->dirfd < 0 ? beneath_failed(&s.b, errno, err) : 0;
}

void place_close(struct place *p)
{
    CLOSE_FD(p->dirfd);
}
