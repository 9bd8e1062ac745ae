#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"
#include "sys/deadline.h"
#include "sys/tty.h"

enum { NARROWEST = 40 };

bool out_rewrites(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) && term && *term && !str_eq(term, "dumb");
}

bool out_colours(int fd)
{
    const char *no_colour = getenv("NO_COLOR");
    return out_rewrites(fd) && !(no_colour && *no_colour);
}

size_t out_width(int fd)
{
    int columns, rows;
    if (!isatty(fd))
        return 0;
    tty_size(fd, &columns, &rows);
    return columns < NARROWEST ? NARROWEST : (size_t)columns;
}

void out_left(const struct lease *l, char *out, size_t size)
{
    long long s = (long long)(lease_expires_at(l) - clock_unix_s());
    if (l->keep)
        (void)str_copy(out, size, "kept");
    else if (s <= 0)
        (void)str_copy(out, size, "-");
    else if (s >= 3600)
        (void)str_format(out, size, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        (void)str_format(out, size, "%lldm%02llds", s / 60, s % 60);
    else
        (void)str_format(out, size, "%llds", s);
}

int out_text(const char *text, struct error *err)
{
    if (fputs(text, stdout) < 0 || fflush(stdout) != 0)
        return error_set(err, ERR_IO, errno, "write to standard output");
    return 0;
}

int out_printf(struct error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vprintf(fmt, ap);
    va_end(ap);
    if (n < 0 || fflush(stdout) != 0)
        return error_set(err, ERR_IO, errno, "write to standard output");
    return 0;
}

int out_json(const cJSON *j, struct error *err)
{
    _cleanup_free_ char *text = json_print(j, true);
    return out_printf(err, "%s\n", text);
}
