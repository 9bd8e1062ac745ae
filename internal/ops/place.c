#include "ops/place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"

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

static int open_dir(const char *path, struct place *out, struct error *err)
{
    if (dir_make_all(path, 0777, err) < 0)
        return -1;
    out->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return out->dirfd < 0 ? error_set(err, ERR_IO, errno, "open %s", path) : 0;
}

int place_open(const char *local, const char *remote, struct place *out, struct error *err)
{
    struct stat st;
    size_t len = strlen(local);
    out->dirfd = -1;
    if (!len)
        return error_set(err, ERR_USAGE, 0, "the local path of %s is empty", remote);
    bool into = local[len - 1] == '/' || (stat(local, &st) == 0 && S_ISDIR(st.st_mode));
    if (path_base(into ? remote : local, out->name) < 0)
        return error_set(err, ERR_USAGE, ENAMETOOLONG, "%s", into ? remote : local);
    if (!*out->name || str_eq(out->name, ".") || str_eq(out->name, ".."))
        return error_set(err, ERR_USAGE, 0, "%s has no name to use in %s; name the local file",
                         remote, local);
    if (into)
        return open_dir(local, out, err);
    const char *slash = strrchr(local, '/');
    _cleanup_free_ char *dir = slash ? xasprintf("%.*s", (int)(slash - local) + 1, local)
                                     : xstrdup(".");
    return open_dir(dir, out, err);
}

void place_close(struct place *p)
{
    CLOSE_FD(p->dirfd);
}
