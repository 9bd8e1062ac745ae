#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/text.h"

/* Room for what compose() cuts. */
enum { TEXT_MAX = 4 * ERROR_MSG_MAX };

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

static const char next_mark[] = "; next: ";

/* Where the last one begins, or the text's end. */
static size_t find_next(const char *text)
{
    const char *found = NULL;
    for (const char *p = text; (p = strstr(p, next_mark)); p++)
        found = p;
    return found ? (size_t)(found - text) : strlen(text);
}

/* One line, `why` before its "; next: ". A message that outgrows the buffer is cut before
 * these, because people need its end. */
static void compose(char msg[static ERROR_MSG_MAX], char *text, const char *why)
{
    char tail[ERROR_MSG_MAX / 2] = "";
    char *next = text + find_next(text);
    text_copy(tail, sizeof tail, next);
    *next = '\0';
    size_t after = strlen(tail) + (why ? strlen(why) + 2 : 0);
    text_copy(msg, ERROR_MSG_MAX - after, text);
    size_t len = strlen(msg);
    (void)snprintf(msg + len, ERROR_MSG_MAX - len, "%s%s%s", why ? ": " : "", why ? why : "", tail);
}

void error_fill(struct error *err, enum err_kind kind, int sys, const char *fmt, ...)
{
    if (!err)
        return;
    int saved = errno;
    char text[TEXT_MAX], why[128];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(text, sizeof text, fmt, ap) < 0)
        text[0] = '\0';
    va_end(ap);
    err->kind = kind;
    err->sys = sys;
    compose(err->msg, text, sys ? strerror_r(sys < 0 ? -sys : sys, why, sizeof why) : NULL);
    errno = saved;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
    if (!err)
        return -1;
    char context[256];
    char text[TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    text_format(context, sizeof context, fmt, ap);
    va_end(ap);
    (void)snprintf(text, sizeof text, "%s: %s", context, err->msg);
    compose(err->msg, text, NULL);
    return -1;
}

int error_append(struct error *err, const char *fmt, ...)
{
    if (!err)
        return -1;
    char text[TEXT_MAX];
    size_t len = strnlen(err->msg, sizeof err->msg - 1);
    memcpy(text, err->msg, len);
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(text + len, sizeof text - len, fmt, ap) < 0)
        text[len] = '\0';
    va_end(ap);
    compose(err->msg, text, NULL);
    return -1;
}

const char *error_next(const struct error *err, size_t *len)
{
    *len = find_next(err->msg);
    return err->msg[*len] ? err->msg + *len + sizeof next_mark - 1 : NULL;
}

int error_add_next(struct error *err, const char *next)
{
    size_t len;
    return err && !error_next(err, &len) ? error_append(err, "%s%s", next_mark, next) : -1;
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
