#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"

int out_text(const char *text, struct error *err)
{
    if (fputs(text, stdout) < 0 || fflush(stdout) != 0)
        return error_set(err, ERR_IO, errno, "write to stdout");
    return 0;
}

int out_printf(struct error *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vprintf(fmt, ap);
    va_end(ap);
    if (n < 0 || fflush(stdout) != 0)
        return error_set(err, ERR_IO, errno, "write to stdout");
    return 0;
}

int out_json(const cJSON *j, struct error *err)
{
    _cleanup_free_ char *text = json_print(j, true);
    return out_printf(err, "%s\n", text);
}
