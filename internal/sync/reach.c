#include "sync/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/beneath.h"
#include "sys/mounts.h"

char *reach_name(const char *dir, const char *path)
{
    _cleanup_free_ char *full = *path == '/' ? xstrdup(path) : xasprintf("%s/%s", dir, path);
    struct strbuf out = STRBUF_INIT;
    for (const char *p = full; *p;) {
        p += strspn(p, "/");
        size_t len = strcspn(p, "/");
        if (len == 2 && memcmp(p, "..", 2) == 0) {
            const char *slash = strrchr(out.buf, '/');
            out.len = slash ? (size_t)(slash - out.buf) : 0;
            if (out.alloc)
                out.buf[out.len] = '\0';
        } else if (len && !(len == 1 && *p == '.')) {
            strbuf_addc(&out, '/');
            strbuf_add(&out, p, len);
        }
        p += len;
    }
    if (!out.len)
        strbuf_addc(&out, '/');
    return strbuf_detach(&out);
}

/* A filesystem where a name may be a place of somebody else's, which looking for it asks. */
static bool is_remote(const char *type)
{
    static const char *const types[] = {"afs",  "kafs", "coda", "9p",     "nfs", "nfs4",
                                        "cifs", "smb3", "ceph", "lustre", "fuse"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq(type, types[i]))
            return true;
    return str_has_prefix(type, "fuse.");
}

/* The innermost mount on the way to a path; of two at one place the later one is on top. */
struct innermost {
    const char *name;
    size_t len; /* of the mount point */
    unsigned line;
};

static bool is_on(struct innermost *m, const char *point, unsigned line)
{
    size_t len = str_eq(point, "/") ? 0 : strlen(point);
    if (len < m->len || strncmp(m->name, point, len) != 0 || (m->name[len] && m->name[len] != '/'))
        return false;
    m->len = len;
    m->line = line;
    return true;
}

/* 0 where looking for `name` asks no other machine than looking around in `from` does; else errno.
 */
static int why_not(const char *name, const char *from)
{
    _cleanup_strbuf_ struct strbuf mounts = STRBUF_INIT;
    struct error err = ERROR_INIT;
    struct innermost to = {.name = name}, here = {.name = from};
    bool automounted = false, remote = false;
    unsigned line = 0;
    if (mounts_read(&mounts, &err) < 0)
        return err.sys ? err.sys : EIO;
    char *rest = mounts.buf, *point, *type, *options;
    while (mounts_next(&rest, &point, &type, &options)) {
        line++;
        (void)is_on(&here, point, line);
        if (!is_on(&to, point, line))
            continue;
        automounted = str_eq(type, "autofs");
        remote = is_remote(type);
    }
    return automounted ? EREMOTE : remote && to.line != here.line ? EREMOTEIO : 0;
}

int reach_dir(const char *name, const char *from)
{
    errno = why_not(name, from);
    if (errno)
        return -1;
    _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? -1 : beneath_open(root, name[1] ? name + 1 : ".", O_PATH | O_DIRECTORY, 0);
}
