/* str.h: strings that know their length, and checked conversions.
 *
 * strbuf: STRBUF_INIT, add, then strbuf_free (or _cleanup_strbuf_). `buf` is
 * always NUL-terminated and never NULL. Memory exhaustion ends the process, with a message and exit
 * code 1: on the hosts this runs on there is nothing better to do, and it keeps callers short.
 */
#ifndef CRABBOX_BASE_STR_H
#define CRABBOX_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct strbuf {
    char *buf;
    size_t len;
    size_t alloc; /* 0 while buf is the shared empty string */
};

extern char strbuf_empty[1];

#define STRBUF_INIT                                                                                \
    {                                                                                              \
        strbuf_empty, 0, 0                                                                         \
    }
#define _cleanup_strbuf_ _cleanup_(strbuf_free)

void strbuf_free(struct strbuf *sb);
/* The same for a secret: nothing of it stays in memory. */
void strbuf_wipe(struct strbuf *sb);
void strbuf_reset(struct strbuf *sb);
void strbuf_add(struct strbuf *sb, const void *data, size_t len);
void strbuf_adds(struct strbuf *sb, const char *s);
void strbuf_addc(struct strbuf *sb, char c);
void strbuf_addf(struct strbuf *sb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends `s` quoted for a POSIX shell: safe for every byte but NUL. */
void strbuf_add_shell_quoted(struct strbuf *sb, const char *s);
/* The same as a string of its own, for a command in a message; the caller frees it. */
char *str_shell_quoted(const char *s);
/* Appends text for people: words are parted by one space, or by a new line and `indent` spaces
 * where the next word would pass column `width`. The first line begins at column `at`. A word is
 * never broken; width 0 breaks nothing. */
void strbuf_add_wrapped(struct strbuf *sb, const char *text, size_t at, size_t indent,
                        size_t width);
/* Hands the buffer over (malloc'ed, caller frees) and leaves the strbuf empty. */
char *strbuf_detach(struct strbuf *sb);

/* malloc and friends that end the process when memory is out. */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

bool str_eq(const char *a, const char *b);
bool str_has_prefix(const char *s, const char *prefix);
bool str_has_suffix(const char *s, const char *suffix);

/* Copies `src` into dst[size], NUL-terminated. Returns -1 (dst empty) if it does not fit. */
int str_copy(char *dst, size_t size, const char *src);

/* snprintf that treats truncation as an error (-1); 0 on success. */
int str_format(char *dst, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Whole-string decimal; no sign, space or other base. -1 if not a number or out of range. */
int str_to_u64(const char *s, uint64_t *out);

/* "2026-11-22T05:40:00Z"; "?" for a time that has no such form. */
#define STR_UTC_SIZE 32
void str_utc(int64_t unix_s, char out[static STR_UTC_SIZE]);

/* "1h30m0s", "2.5s", "821ms": a time as Go writes it, and so Crabbox. */
#define STR_TIME_SIZE 40
void str_time(int64_t ms, char out[static STR_TIME_SIZE]);

/* Lower-case hex of n bytes into out[2 * n + 1]. */
void str_hex(const uint8_t *data, size_t n, char *out);

/* n random bytes from the kernel; ends the process if there are none to be had. */
void random_bytes(void *buf, size_t n);

/* Edit distance, in which two swapped neighbours count once; SIZE_MAX for words of 64 bytes or
 * more. */
size_t str_distance(const char *a, const char *b);

/* The entry of names[] nearest to `word` by edit distance; if none is near, the shortest one that
 * begins with it, or NULL. */
const char *str_nearest(const char *word, const char *const *names, size_t n);

#endif
