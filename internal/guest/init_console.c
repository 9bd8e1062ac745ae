#include "guest/init.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

void console(const char *fmt, ...)
{
    char line[1200];
    int n = snprintf(line, sizeof line, "crabbox-init: ");
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
    va_end(ap);
    if (m < 0)
        return;
    size_t len = (size_t)n + (size_t)m;
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    line[len++] = '\n';
    (void)!write(STDERR_FILENO, line, len);
}

int64_t boot_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int cmdline_value(const char *name, char *out, size_t size)
{
    char text[4096];
    size_t len = strlen(name);
    _cleanup_close_ int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n < 0)
        return -1;
    text[n] = '\0';
    char *rest = text, *word;
    while ((word = strsep(&rest, " \n")))
        if (strncmp(word, name, len) == 0 && word[len] == '=')
            return str_copy(out, size, word + len + 1);
    return -1;
}
