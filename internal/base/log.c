#include "base/log.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

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
    char line[4096];
    size_t len = strlen(prefix[level]);
    memcpy(line, prefix[level], len);
    va_list ap;
    va_start(ap, fmt);
    text_format(line + len, sizeof line - len - 1, fmt, ap);
    va_end(ap);
    len += strlen(line + len);
    line[len++] = '\n';
    if (before_line)
        before_line();
    (void)!write(STDERR_FILENO, line, len);
    if (after_line)
        after_line();
}
