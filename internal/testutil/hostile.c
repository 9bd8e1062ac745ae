#include "testutil/hostile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <cmocka.h>
#include <iconv.h>

#include "base/str.h"

/* The C library's word on what is valid. The caller frees it; NULL where it is not. */
static uint32_t *to_utf32(const char *text, size_t len, size_t *n)
{
    iconv_t conv = iconv_open("UTF-32LE", "UTF-8");
    if (conv == (iconv_t)-1) /* NOLINT(performance-no-int-to-ptr): so it is defined */
        fail_msg("iconv knows no UTF-32LE");
    uint32_t *out = xcalloc(len + 1, sizeof *out);
    _cleanup_free_ char *copy = xcalloc(1, len + 1);
    memcpy(copy, text, len);
    char *in = copy;
    char *to = (char *)out;
    size_t in_left = len;
    size_t out_left = len * sizeof *out;
    bool ok = iconv(conv, &in, &in_left, &to, &out_left) != (size_t)-1 && in_left == 0;
    (void)iconv_close(conv);
    *n = (size_t)(to - (char *)out) / sizeof *out;
    if (ok)
        return out;
    free(out);
    return NULL;
}

bool hostile_valid(const char *text, size_t len)
{
    size_t n;
    _cleanup_free_ uint32_t *cps = to_utf32(text, len, &n);
    return cps != NULL;
}

/* Between two pictures it joins them. */
static bool is_in_emoji(const uint32_t *cps, size_t n, size_t i)
{
    return i > 0 && i + 1 < n && cps[i - 1] > 0x2190 && cps[i + 1] > 0x2190;
}

static bool is_forbidden(const uint32_t *cps, size_t n, size_t i, bool lines)
{
    uint32_t c = cps[i];
    if (c < 0x20)
        return !lines || (c != '\n' && c != '\t');
    if (c == 0x200d)
        return !is_in_emoji(cps, n, i);
    return (c >= 0x7f && c <= 0x9f) || c == 0xad || c == 0x61c || c == 0x180e ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
           (c >= 0xe0000 && c <= 0xe0fff) || (c & 0xfffe) == 0xfffe;
}

void hostile_check_at(const char *text, size_t len, bool lines, const char *file, int line)
{
    static const char fake[] = "crabbox-fc: ok";
    size_t n;
    _cleanup_free_ uint32_t *cps = to_utf32(text, len, &n);
    if (!cps) {
        print_error("no valid UTF-8: %.*s\n", (int)len, text);
        _fail(file, line);
    }
    for (size_t i = 0; i < n; i++)
        if (is_forbidden(cps, n, i, lines)) {
            print_error("U+%04X got through: %.*s\n", (unsigned)cps[i], (int)len, text);
            _fail(file, line);
        }
    const char *at = memmem(text, len, fake, sizeof fake - 1);
    for (; at; at = memmem(at + 1, len - (size_t)(at + 1 - text), fake, sizeof fake - 1))
        if (at == text || at[-1] == '\n') {
            print_error("a line that is not ours: %.*s\n", (int)len, text);
            _fail(file, line);
        }
}

void hostile_encode(uint32_t cp, char out[static 5])
{
    size_t n = 0;
    if (cp < 0x80) {
        out[n++] = (char)cp;
    } else if (cp < 0x800) {
        out[n++] = (char)(0xc0 | cp >> 6);
    } else if (cp < 0x10000) {
        out[n++] = (char)(0xe0 | cp >> 12);
        out[n++] = (char)(0x80 | (cp >> 6 & 0x3f));
    } else {
        out[n++] = (char)(0xf0 | cp >> 18);
        out[n++] = (char)(0x80 | (cp >> 12 & 0x3f));
        out[n++] = (char)(0x80 | (cp >> 6 & 0x3f));
    }
    if (cp >= 0x80)
        out[n++] = (char)(0x80 | (cp & 0x3f));
    out[n] = '\0';
}
