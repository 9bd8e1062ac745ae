#include "net/nft.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <pthread.h>
#include <string.h>

#include "base/log.h"

/* libnftables keeps parser and symbol tables in globals. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static const char *doing; /* by whoever holds it */

static void unlock(pthread_mutex_t **m)
{
    doing = NULL;
    (void)pthread_mutex_unlock(*m);
}

/* Where memory is out, or the kernel's answer is none that it knows, the library calls exit() after
 * a few words that name neither us nor what was being done. */
static void say_what_ended(void)
{
    if (!doing)
        return;
    log_warn("%s: libnftables has ended this process; its message is above", doing);
    _exit(EXIT_FAILURE);
}

static void watch_exit(void)
{
    (void)atexit(say_what_ended);
}

static void ctx_free(struct nft_ctx **ctx)
{
    if (*ctx)
        nft_ctx_free(*ctx);
}

/* The library reports the kernel's errno as text only: look for the texts that matter. */
static int errno_of(const char *message)
{
    static const int known[] = {EEXIST, ENOENT, EBUSY, EPERM, EINTR, EAGAIN, ERESTART, EOPNOTSUPP};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        char text[128];
        if (strstr(message, strerror_r(known[i], text, sizeof text)))
            return known[i];
    }
    return 0;
}

static int fail(struct error *err, const char *what, const char *message)
{
    int sys = errno_of(message);
    if (sys == EPERM)
        return error_set(err, ERR_ENV, sys, "%s (needs CAP_NET_ADMIN: run as root)", what);
    size_t line = strcspn(message, "\n");
    (void)error_set(err, ERR_NET, 0, "%s: nftables: %.*s", what, (int)(line < 400 ? line : 400),
                    message);
    if (err)
        err->sys = sys;
    return -1;
}

/* One context a call: it belongs to the namespace it was made in. */
static int run(const char *commands, const char *what, unsigned flags, bool dry, struct strbuf *out,
               struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_exit);
    (void)pthread_mutex_lock(&one_at_a_time);
    _cleanup_(unlock) pthread_mutex_t *held = &one_at_a_time;
    (void)held;
    doing = what;
    _cleanup_(ctx_free) struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!ctx || nft_ctx_buffer_error(ctx) != 0 || nft_ctx_buffer_output(ctx) != 0)
        return error_set(err, ERR_ENV, 0, "%s: no nftables context", what);
    nft_ctx_output_set_flags(ctx, flags);
    nft_ctx_set_dry_run(ctx, dry);
    if (nft_run_cmd_from_buffer(ctx, commands) != 0)
        return fail(err, what, nft_ctx_get_error_buffer(ctx));
    if (out)
        strbuf_adds(out, nft_ctx_get_output_buffer(ctx));
    return 0;
}

static int run_again(const char *commands, const char *what, bool dry, struct error *err)
{
    /* Another program's transaction in the middle of ours is no failure of ours. */
    for (int i = 0;; i++) {
        struct error e = ERROR_INIT;
        if (run(commands, what, 0, dry, NULL, &e) == 0)
            return 0;
        if (i < 20 && (e.sys == EINTR || e.sys == EAGAIN || e.sys == ERESTART))
            continue;
        if (err)
            *err = e;
        return -1;
    }
}

int nft_run(const char *commands, const char *what, struct error *err)
{
    return run_again(commands, what, false, err);
}

int nft_try(const char *commands, const char *what, struct error *err)
{
    return run_again(commands, what, true, err);
}

int nft_list(const char *command, enum nft_format format, struct strbuf *out, struct error *err)
{
    unsigned flags = format == NFT_JSON ? NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_PRIO : 0;
    return run(command, command, flags, false, out, err);
}
