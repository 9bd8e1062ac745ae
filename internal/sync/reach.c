#include "sync/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/beneath.h"
#include "sys/file.h"

#define MOUNTS     "/proc/self/mountinfo"
#define MOUNTS_MAX (16 * 1024 * 1024)

enum { POINT_FIELD = 4 }; /* of a line: what is mounted where */

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

/* A blank and the like are written as "\040". In place. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        bool octal = s[0] == '\\' && strspn(s + 1, "01234567") >= 3;
        int c = octal ? (s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0') : *s;
        *to++ = (char)c;
        s += octal ? 3 : 0;
    }
    *to = '\0';
}

/* The mount point and the type of filesystem of a line, which is cut up. False if it has none. */
static bool read_mount(char *line, char **point, char **type)
{
    char *rest = line;
    char *dash = strstr(line, " - ");
    if (!dash)
        return false;
    *dash = '\0';
    *type = dash + 3;
    (*type)[strcspn(*type, " ")] = '\0';
    *point = NULL;
    for (int i = 0; i <= POINT_FIELD; i++)
        *point = strsep(&rest, " ");
    if (*point)
        unescape(*point);
    return *point != NULL;
}

/* Whether the innermost mount on the way to `name` is the automounter's own. -1 with errno. */
static int is_automounted(const char *name)
{
    _cleanup_strbuf_ struct strbuf mounts = STRBUF_INIT;
    struct error err = ERROR_INIT;
    _cleanup_close_ int fd = open(MOUNTS, O_RDONLY | O_CLOEXEC);
    size_t innermost = 0;
    bool automounted = false;
    if (fd < 0)
        return -1;
    if (fd_read_all(fd, MOUNTS_MAX, MOUNTS, &mounts, &err) < 0) {
        errno = err.sys ? err.sys : EIO;
        return -1;
    }
    char *rest = mounts.buf;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *point, *type;
        if (!read_mount(line, &point, &type))
            continue;
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
