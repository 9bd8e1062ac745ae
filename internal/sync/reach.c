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

/* Whether the innermost mount on the way to `name` is the automounter's own. -1 with errno. */
static int is_automounted(const char *name)
{
    _cleanup_strbuf_ struct strbuf mounts = STRBUF_INIT;
    struct error err = ERROR_INIT;
    size_t innermost = 0;
    bool automounted = false;
    if (mounts_read(&mounts, &err) < 0) {
        errno = err.sys ? err.sys : EIO;
        return -1;
    }
    char *rest = mounts.buf, *point, *type, *options;
    while (mounts_next(&rest, &point, &type, &options)) {
        size_t len = str_eq(point, "/") ? 0 : strlen(point);
        if (len < innermost || strncmp(name, point, len) != 0 || (name[len] && name[len] != '/'))
            continue;
        innermost = len; /* of two at one place the later one is on top */
        automounted = str_eq(type, "autofs");
    }
    return automounted;
}

int reach_dir(const char *name)
{
    int automounted = is_automounted(name);
    if (automounted < 0)
        return -1;
    if (automounted) {
        errno = EREMOTE;
        return -1;
    }
    _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? -1 : beneath_open(root, name[1] ? name + 1 : ".", O_PATH | O_DIRECTORY, 0);
}
