#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd.h"
#include "sys/deadline.h"

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

/* What each step of an acquire is called in front of people. */
static const char *phase_text(const char *phase)
{
    static const struct {
        const char *phase, *text;
    } table[] = {
        {"slug", "lease"},
        {"disk", "disk"},
        {"net", "network"},
        {"seed", "keys"},
        {"vmm", "VMM"},
        {"boot", "boot"},
        {"ready", "waiting for SSH"},
        {"connect", "connecting"},
        {"sync", "syncing files"},
        {"run", "running"},
        {"stop", "stopping"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (str_eq(table[i].phase, phase))
            return table[i].text;
    return phase;
}

/* On a terminal one line is rewritten while phases pass; it is gone before anything else is
 * printed. In a pipe only the phases that take time leave a line, when they end. */
static void on_begin(void *ctx, const char *phase)
{
    bool tty = isatty(STDERR_FILENO);
    (void)ctx;
    if (log_get_level() < LOG_INFO)
        return;
    if (str_eq(phase, "run")) {
        if (tty)
            fprintf(stderr, "\r\033[K");
        return;
    }
    if (tty)
        fprintf(stderr, "\r\033[K%s...", phase_text(phase));
    else if (str_eq(phase, "ready") || str_eq(phase, "sync") || str_eq(phase, "stop"))
        fprintf(stderr, "%s...\n", phase_text(phase));
}

static void on_end(void *ctx, const char *phase, int64_t us, bool ok)
{
    (void)ctx;
    if (log_get_level() < LOG_INFO)
        return;
    if (isatty(STDERR_FILENO) && !str_eq(phase, "run"))
        fprintf(stderr, "\r\033[K");
    if (log_get_level() >= LOG_DEBUG)
        fprintf(stderr, "%s: %lld ms%s\n", phase_text(phase), (long long)(us / 1000),
                ok ? "" : " (failed)");
}

void progress_attach(struct invocation *in)
{
    in->ops.progress.begin = on_begin;
    in->ops.progress.end = on_end;
    in->ops.progress.ctx = in;
}
