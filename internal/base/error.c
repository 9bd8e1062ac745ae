#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* One row a kind: the word for JSON and the exit code that Crabbox's users know. */
static const struct {
    const char *name;
    int exit_code;
} kinds[] = {
    [ERR_NONE] = {"none", 0},
    [ERR_INTERNAL] = {"internal", 1},
    [ERR_USAGE] = {"usage", 2},
    [ERR_CONFIG] = {"config", 2},
    [ERR_TRUST] = {"trust", 2},
    [ERR_NOT_FOUND] = {"not_found", 4},
    [ERR_EXISTS] = {"exists", 2},
    [ERR_TIMEOUT] = {"timeout", 5},
    [ERR_NOT_RUNNING] = {"not_running", 5},
    [ERR_SYNC] = {"sync", 6},
    [ERR_SSH] = {"ssh", 7},
    [ERR_HOSTKEY] = {"host_key", 7},
    [ERR_NET] = {"network", 1},
    [ERR_VMM] = {"vmm", 1},
    [ERR_IO] = {"io", 1},
    [ERR_STATE] = {"state", 1},
    [ERR_ENV] = {"environment", 1},
    [ERR_BUSY] = {"busy", 1},
    [ERR_CANCELLED] = {"cancelled", 130},
};

void error_fill(struct error *err, enum err_kind kind, int sys, const char *fmt, ...)
{
    if (!err)
        return;
    int saved = errno;
    char text[ERROR_MSG_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    str_harmless(text);
    err->kind = kind;
    err->sys = sys;
    /* Text that outgrows the buffer is cut: a message is for people, not for parsers. */
    if (sys) {
        char why[128];
        const char *s = strerror_r(sys < 0 ? -sys : sys, why, sizeof why);
        const char *next = strstr(text, "; next: ");
        int len = next ? (int)(next - text) : ERROR_MSG_MAX - 160;
        (void)snprintf(err->msg, sizeof err->msg, "%.*s: %s%s", len, text, s, next ? next : "");
    } else {
        memcpy(err->msg, text, sizeof err->msg);
    }
    errno = saved;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
    if (!err)
        return -1;
    char context[256];
    char old[ERROR_MSG_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(context, sizeof context, fmt, ap);
    va_end(ap);
    str_harmless(context);
    memcpy(old, err->msg, sizeof old);
    (void)snprintf(err->msg, sizeof err->msg, "%s: %.*s", context, ERROR_MSG_MAX - 260, old);
    return -1;
}

int error_append(struct error *err, const char *fmt, ...)
{
    if (!err)
        return -1;
    size_t len = strnlen(err->msg, sizeof err->msg);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(err->msg + len, sizeof err->msg - len, fmt, ap);
    va_end(ap);
    str_harmless(err->msg + len);
    return -1;
}

void error_clear(struct error *err)
{
    if (!err)
        return;
    err->kind = ERR_NONE;
    err->sys = 0;
    err->msg[0] = '\0';
}

bool error_is_set(const struct error *err)
{
    return err && err->kind != ERR_NONE;
}

int error_exit_code(enum err_kind kind)
{
    if ((unsigned)kind >= sizeof kinds / sizeof kinds[0])
        return 1;
    return kinds[kind].exit_code;
}

const char *error_kind_name(enum err_kind kind)
{
    if ((unsigned)kind >= sizeof kinds / sizeof kinds[0])
        return "internal";
    return kinds[kind].name;
}
