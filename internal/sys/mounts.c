#include "sys/mounts.h"

#include <fcntl.h>
#include <string.h>

#include "sys/file.h"

#define TABLE     "/proc/self/mountinfo"
#define TABLE_MAX (16 * 1024 * 1024)

enum { POINT_FIELD = 4 }; /* the field of a line that has the mount point */

int mounts_read(struct strbuf *table, struct error *err)
{
    return file_read_at(AT_FDCWD, TABLE, TABLE_MAX, table, err);
}

/* Decodes in place: blanks and some other characters are written as "\040". */
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

/* False if the line does not describe a mount. */
static bool read_line(char *line, char **point, char **type, char **options)
{
    char *rest = line;
    char *dash = strstr(line, " - ");
    if (!dash)
        return false;
    *dash = '\0';
    *type = dash + 3;
    *options = *type;
    (void)strsep(options, " "); /* ends the type */
    (void)strsep(options, " "); /* what is mounted */
    if (!*options)
        *options = *type + strlen(*type);
    *point = NULL;
    for (int i = 0; i <= POINT_FIELD; i++)
        *point = strsep(&rest, " ");
    if (*point)
        unescape(*point);
    return *point != NULL;
}

bool mounts_next(char **rest, char **point, char **type, char **options)
{
    for (char *line; (line = strsep(rest, "\n"));)
        if (read_line(line, point, type, options))
            return true;
    return false;
}
