#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"

static enum log_level current = LOG_INFO;
static void (*before_line)(void);
static void (*after_line)(void);

void log_set_level(enum log_level level)
{
    current = level;
}

enum log_level log_get_level(void)
{
    return current;
}

void log_set_around(void (*before)(void), void (*after)(void))
{
    before_line = before;
    after_line = after;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    static const char *const prefix[] = {"", "crabbox-fc: warning: ", "", "debug: "};
    if (level > current)
        return;
    char line[2048];
    int n = snprintf(line, sizeof line, "%s", prefix[level]);
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
    va_end(ap);
    if (m < 0)
        return;
    size_t len = (size_t)n + (size_t)m;
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    line[len] = '\0';
    str_harmless(line);
    line[len++] = '\n';
    if (before_line)
        before_line();
    (void)!write(STDERR_FILENO, line, len);
    if (after_line)
        after_line();
}
