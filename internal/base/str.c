#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

char strbuf_empty[1] = "";

/* Ends the process as kill -9 would, but with an exit code: nothing here may need memory, and what
 * was begun is undone by the lease's keeper. */
static _Noreturn void die(const char *why)
{
    (void)!write(STDERR_FILENO, why, strlen(why));
    _exit(EXIT_FAILURE);
}

/* Out of memory has no useful answer in a short-lived process: say it and stop. */
static _Noreturn void die_nomem(void)
{
    die("crabbox-fc: out of memory\n");
}

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        die_nomem();
    return p;
}

void *xrealloc(void *p, size_t size)
{
    void *q = realloc(p, size ? size : 1);
    if (!q)
        die_nomem();
    return q;
}

char *xstrdup(const char *s)
{
    char *p = strdup(s);
    if (!p)
        die_nomem();
    return p;
}

char *xvasprintf(const char *fmt, va_list ap)
{
    char *p = NULL;
    if (vasprintf(&p, fmt, ap) < 0)
        die_nomem();
    return p;
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *p = xvasprintf(fmt, ap);
    va_end(ap);
    return p;
}

/* Makes room for `extra` bytes and the NUL, at least doubling. */
static void strbuf_grow(struct strbuf *sb, size_t extra)
{
    size_t need = sb->len + extra + 1;
    if (need < extra)
        die_nomem();
    if (need <= sb->alloc)
        return;
    size_t want = sb->alloc * 2 > need ? sb->alloc * 2 : need;
    char *old = sb->alloc ? sb->buf : NULL;
    sb->buf = xrealloc(old, want < 64 ? 64 : want);
    sb->alloc = want < 64 ? 64 : want;
}

void strbuf_free(struct strbuf *sb)
{
    if (sb->alloc)
        free(sb->buf);
    sb->buf = strbuf_empty;
    sb->len = sb->alloc = 0;
}

void strbuf_wipe(struct strbuf *sb)
{
    if (sb->alloc)
        explicit_bzero(sb->buf, sb->alloc);
    strbuf_free(sb);
}

void strbuf_reset(struct strbuf *sb)
{
    sb->len = 0;
    if (sb->alloc)
        sb->buf[0] = '\0';
}

void strbuf_add(struct strbuf *sb, const void *data, size_t len)
{
    if (!len)
        return;
    strbuf_grow(sb, len);
    memcpy(sb->buf + sb->len, data, len);
    sb->len += len;
    sb->buf[sb->len] = '\0';
}

void strbuf_adds(struct strbuf *sb, const char *s)
{
    strbuf_add(sb, s, strlen(s));
}

void strbuf_addc(struct strbuf *sb, char c)
{
    strbuf_add(sb, &c, 1);
}

void strbuf_addf(struct strbuf *sb, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        die_nomem();
    strbuf_grow(sb, (size_t)n);
    (void)vsnprintf(sb->buf + sb->len, (size_t)n + 1, fmt, again);
    va_end(again);
    sb->len += (size_t)n;
}

void strbuf_add_shell_quoted(struct strbuf *sb, const char *s)
{
    strbuf_addc(sb, '\'');
    for (; *s; s++) {
        if (*s == '\'')
            strbuf_adds(sb, "'\\''");
        else
            strbuf_addc(sb, *s);
    }
    strbuf_addc(sb, '\'');
}

char *str_shell_quoted(const char *s)
{
    struct strbuf sb = STRBUF_INIT;
    strbuf_add_shell_quoted(&sb, s);
    return strbuf_detach(&sb);
}

/* Columns of n bytes of UTF-8. */
static size_t columns(const char *s, size_t n)
{
    size_t c = 0;
    for (size_t i = 0; i < n; i++)
        c += ((unsigned char)s[i] & 0xc0) != 0x80;
    return c;
}

void strbuf_add_wrapped(struct strbuf *sb, const char *text, size_t at, size_t indent, size_t width)
{
    bool first = true;
    for (const char *p = text + strspn(text, " \n"); *p; p += strspn(p, " \n")) {
        size_t len = strcspn(p, " \n");
        size_t wide = columns(p, len);
        if (!first && width && at + 1 + wide > width) {
            strbuf_addf(sb, "\n%*s", (int)indent, "");
            at = indent;
        } else if (!first) {
            strbuf_addc(sb, ' ');
            at++;
        }
        strbuf_add(sb, p, len);
        at += wide;
        p += len;
        first = false;
    }
}

char *strbuf_detach(struct strbuf *sb)
{
    char *p = sb->alloc ? sb->buf : xstrdup("");
    sb->buf = strbuf_empty;
    sb->len = sb->alloc = 0;
    return p;
}

bool str_eq(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

bool str_has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

int str_copy(char *dst, size_t size, const char *src)
{
    size_t n = strlen(src);
    if (n >= size) {
        if (size)
            dst[0] = '\0';
        return -1;
    }
    memcpy(dst, src, n + 1);
    return 0;
}

int str_format(char *dst, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(dst, size, fmt, ap);
    va_end(ap);
    return n >= 0 && (size_t)n < size ? 0 : -1;
}

int str_to_u64(const char *s, uint64_t *out)
{
    uint64_t v = 0;
    if (!*s)
        return -1;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return -1;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v))
            return -1;
    }
    *out = v;
    return 0;
}

void str_utc(int64_t unix_s, char out[static STR_UTC_SIZE])
{
    time_t t = (time_t)unix_s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(out, STR_UTC_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm))
        (void)str_copy(out, STR_UTC_SIZE, "?");
}

void str_time(int64_t ms, char out[static STR_TIME_SIZE])
{
    char seconds[16];
    long long s = ms / 1000;
    if (ms < 1000) {
        (void)str_format(out, STR_TIME_SIZE, ms ? "%lldms" : "0s", (long long)ms);
        return;
    }
    (void)str_format(seconds, sizeof seconds, "%lld.%03d", s % 60, (int)(ms % 1000));
    size_t len = strlen(seconds);
    while (seconds[len - 1] == '0')
        seconds[--len] = '\0';
    if (seconds[len - 1] == '.')
        seconds[--len] = '\0';
    if (s >= 3600)
        (void)str_format(out, STR_TIME_SIZE, "%lldh%lldm%ss", s / 3600, s / 60 % 60, seconds);
    else if (s >= 60)
        (void)str_format(out, STR_TIME_SIZE, "%lldm%ss", s / 60, seconds);
    else
        (void)str_format(out, STR_TIME_SIZE, "%ss", seconds);
}

void str_hex(const uint8_t *data, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * n] = '\0';
}

void random_bytes(void *buf, size_t n)
{
    unsigned char *p = buf;
    while (n) {
        ssize_t r = getrandom(p, n, 0);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            die("crabbox-fc: the kernel has no random bytes\n");
        p += r;
        n -= (size_t)r;
    }
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* With three rows; words here are short. */
size_t str_distance(const char *a, const char *b)
{
    size_t rows[3][64];
    size_t n = strlen(b);
    if (n >= ARRAY_LEN(rows[0]) || strlen(a) >= ARRAY_LEN(rows[0]))
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        rows[0][j] = j;
    size_t i = 1;
    for (; a[i - 1]; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3], *swapped = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                swapped[j - 2] + 1 < row[j])
                row[j] = swapped[j - 2] + 1;
        }
    }
    return rows[(i - 1) % 3][n];
}

/* The shortest name that begins with this word, or NULL. */
static const char *completed(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t best_len = SIZE_MAX;
    for (size_t i = 0; strlen(word) > 1 && i < n; i++) {
        size_t len = strlen(names[i]);
        if (len < best_len && str_has_prefix(names[i], word)) {
            best = names[i];
            best_len = len;
        }
    }
    return best;
}

const char *str_nearest(const char *word, const char *const *names, size_t n)
{
    size_t best = n;
    size_t best_distance = strlen(word) / 3 + 1; /* this far is a guess, not a typo */
    for (size_t i = 0; i < n; i++) {
        size_t d = str_distance(word, names[i]);
        if (d < best_distance) {
            best = i;
            best_distance = d;
        }
    }
    return best < n ? names[best] : completed(word, names, n);
}
