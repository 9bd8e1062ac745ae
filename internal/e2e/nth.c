#include "e2e/nth.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

const char *const nth_kind_name[NTH_KINDS] = {
    [NTH_MALLOC] = "allocation",         [NTH_KEEPER_MALLOC] = "keeper's allocation",
    [NTH_CALL] = "system call",          [NTH_FORK_CALL] = "system call before exec",
    [NTH_KEEPER_CALL] = "keeper's call",
};

#define ARGS_MAX 32

static char *report_path(const struct bed *b)
{
    return xasprintf("%s/nth", b->dir);
}

/* A new one each time: what is left of the last program may still count in the last one. */
static void make_report(const char *path)
{
    static const struct nth_report zero;
    (void)unlink(path);
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, &zero, sizeof zero) != (ssize_t)sizeof zero)
        fail_msg("make %s", path);
}

void nth_look(const struct bed *b, struct nth_result *r)
{
    _cleanup_free_ char *path = report_path(b);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct nth_report now;
    if (fd < 0 || read(fd, &now, sizeof now) != (ssize_t)sizeof now)
        fail_msg("read %s", path);
    r->calls = atomic_load(&now.calls);
    (void)str_copy(r->failed, sizeof r->failed, now.failed);
}

static void run_preloaded(struct bed *b, const struct nth *what, const char *n, const char *report,
                          struct bed_result *out, const char *const *args)
{
    _cleanup_free_ char *library = xasprintf("%s/tools/malloc_preload.so", b->build);
    const char *asan = getenv("ASAN_OPTIONS");
    /* The sanitizer wants to be the first library: here it is the second, and is called by ours. */
    _cleanup_free_ char *options = xasprintf("%s:verify_asan_link_order=0", asan ? asan : "");
    bed_setenv(b, "ASAN_OPTIONS", options);
    bed_setenv(b, "LD_PRELOAD", library);
    bed_setenv(b, NTH_ENV_N, n);
    bed_setenv(b, NTH_ENV_REPORT, report);
    if (what->kind == NTH_KEEPER_MALLOC)
        bed_setenv(b, NTH_ENV_KEEPER, "1");
    *out = bed_run(b, args);
    bed_setenv(b, "LD_PRELOAD", NULL);
    bed_setenv(b, NTH_ENV_N, NULL);
    bed_setenv(b, NTH_ENV_REPORT, NULL);
    bed_setenv(b, NTH_ENV_KEEPER, NULL);
    bed_setenv(b, "ASAN_OPTIONS", asan);
}

static void run_supervised(struct bed *b, const struct nth *what, const char *n, const char *report,
                           struct bed_result *out, const char *const *args)
{
    _cleanup_free_ char *tool = xasprintf("%s/tools/nth_call", b->build);
    const char *only = what->only ? what->only : "";
    _cleanup_free_ char *seed = xasprintf("%llu", (unsigned long long)what->seed);
    const char *kind = what->kind == NTH_CALL        ? "call"
                       : what->kind == NTH_FORK_CALL ? "fork"
                                                     : "keeper";
    const char *argv[ARGS_MAX] = {tool, report, kind, only, n, seed, b->program};
    size_t at = 7;
    while (*args && at + 1 < ARRAY_LEN(argv))
        argv[at++] = *args++;
    *out = bed_exec(b, argv);
}

void nth_run(struct bed *b, const struct nth *what, struct nth_result *out, const char *const *args)
{
    _cleanup_free_ char *path = report_path(b);
    _cleanup_free_ char *n = xasprintf("%llu", (unsigned long long)what->n);
    make_report(path);
    if (what->kind == NTH_MALLOC || what->kind == NTH_KEEPER_MALLOC)
        run_preloaded(b, what, n, path, &out->run, args);
    else
        run_supervised(b, what, n, path, &out->run, args);
    nth_look(b, out);
}

void nth_result_free(struct nth_result *r)
{
    bed_result_free(&r->run);
}
