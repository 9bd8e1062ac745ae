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

/* Where the advice begins in what a format comes to, by the format alone: what fills it in may have
 * the same words in it. The text's length where there is none. */
static size_t advice_at(const char *fmt, va_list ap, size_t len)
{
    const char *found = NULL;
    for (const char *p = fmt; (p = strstr(p, next_mark)); p++)
        found = p;
    if (!found)
        return len;
    char before[TEXT_MAX];
    (void)snprintf(before, sizeof before, "%.*s", (int)(found - fmt), fmt);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the beginning of a literal one */
    int n = vsnprintf(NULL, 0, before, ap);
#pragma GCC diagnostic pop
    return n >= 0 && (size_t)n < len ? (size_t)n : len;
}

/* One line: what failed, why, and the advice, each as it is shown. What outgrows the buffer is cut
 * before the last two, because people need them. */
static void compose(struct error *err, const char *what, const char *why, const char *advice)
{
    char tail[ERROR_MSG_MAX / 2];
    text_copy(tail, sizeof tail, advice);
    size_t after = strlen(tail) + (why ? strlen(why) + 2 : 0);
    char head[ERROR_MSG_MAX];
    text_copy(head, sizeof head - after, what);
    size_t room = sizeof err->msg - strlen(tail);
    (void)str_format(err->msg, room, "%s%s%s", head, why ? ": " : "", why ? why : "");
    size_t at = strlen(err->msg);
    err->next_at = *tail ? at : 0;
    memcpy(err->msg + at, tail, strlen(tail) + 1);
}

static const char *advice_of(const struct error *err)
{
    return err->next_at ? err->msg + err->next_at : "";
}

void error_fill(struct error *err, enum err_kind kind, int sys, const char *fmt, ...)
{
    if (!err)
        return;
    int saved = errno;
    char text[TEXT_MAX], advice[TEXT_MAX], why[128];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    if (vsnprintf(text, sizeof text, fmt, ap) < 0)
        text[0] = '\0';
    size_t at = advice_at(fmt, again, strlen(text));
    va_end(again);
    va_end(ap);
    (void)str_copy(advice, sizeof advice, text + at);
    text[at] = '\0';
    err->kind = kind;
    err->sys = sys;
    compose(err, text, sys ? strerror_r(sys < 0 ? -sys : sys, why, sizeof why) : NULL, advice);
    errno = saved;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
    if (!err)
        return -1;
    char context[256];
    char text[TEXT_MAX];
    size_t len;
    va_list ap;
    va_start(ap, fmt);
    text_format(context, sizeof context, fmt, ap);
    va_end(ap);
    (void)error_next(err, &len);
    (void)snprintf(text, sizeof text, "%s: %.*s", context, (int)len, err->msg);
    char advice[ERROR_MSG_MAX];
    (void)str_copy(advice, sizeof advice, advice_of(err));
    compose(err, text, NULL, advice);
    return -1;
}

int error_append(struct error *err, const char *fmt, ...)
{
    if (!err)
        return -1;
    char more[TEXT_MAX], text[2 * TEXT_MAX], advice[TEXT_MAX];
    size_t len;
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    if (vsnprintf(more, sizeof more, fmt, ap) < 0)
        more[0] = '\0';
    size_t at = advice_at(fmt, again, strlen(more));
    va_end(again);
    va_end(ap);
    /* The advice that came first is nearer to the cause. */
    (void)str_copy(advice, sizeof advice, err->next_at ? advice_of(err) : more + at);
    more[at] = '\0';
    (void)error_next(err, &len);
    (void)snprintf(text, sizeof text, "%.*s%s", (int)len, err->msg, more);
    compose(err, text, NULL, advice);
    return -1;
}

const char *error_next(const struct error *err, size_t *len)
{
    *len = err->next_at ? err->next_at : strlen(err->msg);
    return err->next_at ? err->msg + err->next_at + sizeof next_mark - 1 : NULL;
}

int error_add_next(struct error *err, const char *next)
{
    return error_append(err, "; next: %s", next);
}

void error_clear(struct error *err)
{
    if (!err)
        return;
    err->kind = ERR_NONE;
    err->sys = 0;
    err->msg[0] = '\0';
    err->next_at = 0;
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
