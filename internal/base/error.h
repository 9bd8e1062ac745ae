/* error.h: how every function here says why it failed.
 *
 * The caller owns a `struct error` on its stack, set to ERROR_INIT, and passes
 * its address down. It stays untouched on success. A function that fails fills
 * it once and returns -1 (or NULL), in one expression:
 *
 *     return error_set(err, ERR_NET, errno, "create tap %s", name);
 *
 * `sys` is an errno value (0 where none applies); its text is appended to the
 * message, but before its "; next: ". A message names what failed, on what, and where it helps the
 * next thing to type. Only main prints an error, once.
 *
 * Whatever a message quotes, it is one line that can't steer a terminal: see text.h. One that is
 * too long is cut before its "; next: ". Only a "; next: " that stands in a format counts: what a
 * message quotes may have one as well, and is no advice of ours.
 *
 * The kinds map to exit codes in one place, error_exit_code().
 */
#ifndef CRABBOX_BASE_ERROR_H
#define CRABBOX_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define ERROR_MSG_MAX 1024

enum err_kind {
    ERR_NONE = 0,
    ERR_INTERNAL,  /* a bug here, or a failure of no other kind */
    ERR_USAGE,     /* bad command line */
    ERR_CONFIG,    /* bad or missing configuration, images included */
    ERR_TRUST,     /* an untrusted source tried to set something */
    ERR_NOT_FOUND, /* no such lease, an ambiguous name, or no such file in the guest */
    ERR_EXISTS,    /* a name is taken */
    ERR_TIMEOUT,   /* a deadline passed */
    ERR_NOT_RUNNING,
    ERR_SYNC,      /* copying the working tree failed */
    ERR_SSH,       /* SSH or the remote transport failed */
    ERR_HOSTKEY,   /* the guest showed another host key than the pinned one */
    ERR_NET,       /* namespace, link, address, rule */
    ERR_VMM,       /* the VMM refused, died or answered nonsense */
    ERR_IO,        /* files, disks, space */
    ERR_STATE,     /* a lease record is broken or of a newer version */
    ERR_ENV,       /* the host lacks something: capability, device, program */
    ERR_BUSY,      /* another process works on the same lease */
    ERR_CANCELLED, /* the user interrupted */
};

struct error {
    enum err_kind kind;
    int sys; /* errno value, or 0 */
    char msg[ERROR_MSG_MAX];
    size_t next_at; /* where the "; next: " of msg is that a function here has put there; 0: none */
};

#define ERROR_INIT                                                                                 \
    {                                                                                              \
        ERR_NONE, 0, "", 0                                                                         \
    }

/* Fills `err` (which may be NULL) and is -1. errno is preserved. A macro, so that the compiler
 * sees the constant in the caller's flow. */
#define error_set(err, kind, sys, ...) (error_fill((err), (kind), (sys), __VA_ARGS__), -1)
void error_fill(struct error *err, enum err_kind kind, int sys, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The same, for functions that return a pointer. */
#define error_null(err, kind, sys, ...) (error_fill((err), (kind), (sys), __VA_ARGS__), NULL)

/* Puts "context: " before a message that is already set; returns -1. */
int error_prefix(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts text behind a message that is already set (a second failure), before its "; next: ". With
 * an own "; next: " at its end, that counts where the message has none yet. Returns -1. */
int error_append(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Appends "; next: " and what to do, unless the message says that already; returns -1. */
int error_add_next(struct error *err, const char *next);

/* What the message says to do next, behind its "; next: ", and in *len the length of what is before
 * that. NULL where it says nothing; then *len is its whole length. */
const char *error_next(const struct error *err, size_t *len);

void error_clear(struct error *err);
bool error_is_set(const struct error *err);

/* The process's exit code for a kind: 0, 1, 2, 4, 5, 6 or 7 (docs/ARCHITECTURE.md). */
int error_exit_code(enum err_kind kind);

/* Stable lower-case word for JSON output ("timeout", "config", ...). */
const char *error_kind_name(enum err_kind kind);

#endif
