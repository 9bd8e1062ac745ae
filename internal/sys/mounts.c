#include "sys/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>

#include "base/cleanup.h"
#include "sys/file.h"

#define TABLE     "/proc/self/mountinfo"
#define TABLE_MAX (16 * 1024 * 1024)

#define AT_ONE_POINT 16 /* mounts, one on the other: more than anybody makes */

enum { POINT_FIELD = 4 }; /* of a line: what is mounted where */

int mounts_read(struct strbuf *table, struct error *err)
{
    return file_read_at(AT_FDCWD, TABLE, TABLE_MAX, table, err);
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

/* False if the line names no mount. */
static bool read_line(char *line, char **point, char **type)
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

bool mounts_next(char **rest, char **point, char **type)
{
    for (char *line; (line = strsep(rest, "\n"));)
        if (read_line(line, point, type))
            return true;
    return false;
}

static bool is_below(const char *name, const char *dir)
{
    size_t len = str_eq(dir, "/") ? 0 : strlen(dir);
    return strncmp(name, dir, len) == 0 && (name[len] == '/' || !name[len]);
}

int mounts_automatic(const char *keep, struct strbuf *points, struct error *err)
{
    char *point, *type;
    _cleanup_strbuf_ struct strbuf table = STRBUF_INIT;
    if (mounts_read(&table, err) < 0)
        return -1;
    char *rest = table.buf;
    while (mounts_next(&rest, &point, &type))
        /* In /proc there is one of systemd's that mounts a thing of the kernel. */
        if (str_eq(type, "autofs") && !is_below(keep, point) && !is_below(point, "/proc"))
            strbuf_add(points, point, strlen(point) + 1);
    return 0;
}

/* What was mounted by it lies on top. */
static int clear(const char *point)
{
    for (int i = 0; i < AT_ONE_POINT; i++)
        if (umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            /* No mount any more, or it went with one above it. */
            return errno == EINVAL || errno == ENOENT ? 0 : -1;
    errno = EBUSY;
    return -1;
}

int mounts_leave(const struct strbuf *points)
{
    if (!points->len)
        return 0;
    /* What the host unmounts later goes here as well, or it would stay in use. */
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return -1;
    for (const char *p = points->buf; p < points->buf + points->len; p += strlen(p) + 1)
        if (clear(p) < 0)
            return -1;
    return 0;
}
