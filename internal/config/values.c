/* values.c: types and rules of single values. */
#include "config/values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "config/rules.h"

/* Fills `why`; returns -1, so that callers can return it. */
static int complain(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int complain(char *why, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, VALUE_WHY_MAX, fmt, ap);
    va_end(ap);
    return -1;
}

/* Complains about a value and shows it; `what` is the end of the sentence. */
static int complain_value(char *why, const char *raw, const char *what)
{
    char shown[64];
    text_copy(shown, sizeof shown, raw);
    return complain(why, "is \"%s\", %s", shown, what);
}

/* ---- numbers ---- */

static void format_mib(int64_t n, struct strbuf *out)
{
    if (n && n % (1 << 20) == 0)
        strbuf_addf(out, "%" PRId64 "TiB", n >> 20);
    else if (n && n % (1 << 10) == 0)
        strbuf_addf(out, "%" PRId64 "GiB", n >> 10);
    else
        strbuf_addf(out, "%" PRId64 "MiB", n);
}

static void format_duration(int64_t ms, struct strbuf *out)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    if (!ms)
        strbuf_adds(out, "0s");
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (ms >= units[i].ms)
            strbuf_addf(out, "%" PRId64 "%s", ms / units[i].ms, units[i].unit);
        ms %= units[i].ms;
    }
}

void value_format_number(enum config_type type, int64_t n, struct strbuf *out)
{
    if (type == CFG_MIB)
        format_mib(n, out);
    else if (type == CFG_DURATION)
        format_duration(n, out);
    else
        strbuf_addf(out, "%" PRId64, n);
}

static int check_range(const struct config_key *key, int64_t n, const char *raw, char *why)
{
    if (n >= key->min && n <= key->max)
        return 0;
    char shown[64];
    _cleanup_strbuf_ struct strbuf bound = STRBUF_INIT;
    text_copy(shown, sizeof shown, raw);
    value_format_number(key->type, n < key->min ? key->min : key->max, &bound);
    const char *unit = key->type == CFG_MIB && isdigit((unsigned char)raw[strlen(raw) - 1]) ? "MiB"
                                                                                            : "";
    return complain(why, "is %s%s, %s than %s", shown, unit, n < key->min ? "less" : "more",
                    bound.buf);
}

/* Reads the digits at *s into *n, saturating; false if there are none. */
static bool take_digits(const char **s, int64_t *n)
{
    if (!isdigit((unsigned char)**s))
        return false;
    for (*n = 0; isdigit((unsigned char)**s); (*s)++)
        if (__builtin_mul_overflow(*n, 10, n) || __builtin_add_overflow(*n, **s - '0', n))
            *n = INT64_MAX / 20;
    return true;
}

static int parse_int(const struct config_key *key, const char *raw, struct strbuf *out, char *why)
{
    const char *s = raw + (*raw == '-');
    int64_t n;
    bool leading_zero = s[0] == '0' && s[1];
    if (!take_digits(&s, &n) || *s || leading_zero)
        return complain_value(why, raw, "not a whole number");
    if (check_range(key, *raw == '-' ? -n : n, raw, why) < 0)
        return -1;
    strbuf_addf(out, "%" PRId64, n);
    return 0;
}

static int parse_mib(const struct config_key *key, const char *raw, struct strbuf *out, char *why)
{
    static const struct {
        const char *unit;
        unsigned shift;
    } units[] = {{"", 0},     {"MiB", 0}, {"M", 0},  {"GiB", 10}, {"G", 10},
                 {"TiB", 20}, {"T", 20},  {"Mi", 0}, {"Gi", 10},  {"Ti", 20}};
    const char *s = raw;
    int64_t n;
    bool leading_zero = s[0] == '0' && isdigit((unsigned char)s[1]); /* octal to some */
    if (leading_zero || !take_digits(&s, &n))
        return complain_value(why, raw, "not a size such as 4096, 512MiB or 4GiB");
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!str_eq(s, units[i].unit))
            continue;
        int64_t mib;
        if (__builtin_mul_overflow(n, INT64_C(1) << units[i].shift, &mib))
            mib = INT64_MAX;
        if (check_range(key, mib, raw, why) < 0)
            return -1;
        strbuf_addf(out, "%" PRId64, mib);
        return 0;
    }
    return complain_value(why, raw,
                          "not a size such as 512MiB or 4GiB: the units are MiB (or none), "
                          "GiB and TiB");
}

/* Up to three decimals, as thousandths; false if there are none or more. */
static bool take_thousandths(const char **s, int64_t *out)
{
    int64_t weight = 100;
    for (*out = 0; isdigit((unsigned char)**s) && weight; (*s)++, weight /= 10)
        *out += (**s - '0') * weight;
    return weight < 100 && !isdigit((unsigned char)**s);
}

/* Takes one "1h", "30m" or "1.5s" at *s and adds it to *ms. Its unit has to be smaller than *unit,
 * because "1h1h" and "30m1h" are typing errors; *unit then becomes its unit. A fraction that is not
 * a whole number of milliseconds is refused. */
static bool take_duration(const char **s, int64_t *ms, int64_t *unit)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    int64_t whole, thousandths = 0;
    if (!take_digits(s, &whole))
        return false;
    if (**s == '.') {
        (*s)++;
        if (!take_thousandths(s, &thousandths))
            return false;
    }
    size_t len = strspn(*s, "dhms");
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (strlen(units[i].unit) != len || strncmp(*s, units[i].unit, len) != 0)
            continue;
        int64_t part, rest = thousandths * units[i].ms;
        if (units[i].ms >= *unit || rest % 1000)
            return false;
        if (__builtin_mul_overflow(whole, units[i].ms, &part) ||
            __builtin_add_overflow(part, rest / 1000, &part) ||
            __builtin_add_overflow(*ms, part, ms))
            *ms = INT64_MAX / 2;
        *s += len;
        *unit = units[i].ms;
        return true;
    }
    return false;
}

int config_duration(const char *text, int64_t *ms)
{
    int64_t unit = INT64_MAX;
    *ms = 0;
    if (strlen(text) > 64)
        return -1;
    do {
        if (!take_duration(&text, ms, &unit))
            return -1;
    } while (*text);
    return 0;
}

static int parse_duration(const struct config_key *key, const char *raw, struct strbuf *out,
                          char *why)
{
    int64_t ms;
    if (config_duration(raw, &ms) < 0)
        return complain_value(why, raw, "not a duration such as 90m, 1h30m, 10s or 500ms");
    if (check_range(key, ms, raw, why) < 0)
        return -1;
    format_duration(ms, out);
    return 0;
}

int64_t value_number(const struct config_key *key, const char *canonical)
{
    const char *s = canonical;
    int64_t n = 0;
    if (key->type == CFG_BOOL)
        return str_eq(canonical, "true");
    if (key->type == CFG_DURATION)
        (void)config_duration(canonical, &n);
    else
        (void)take_digits(&s, &n);
    return n;
}

bool value_is_more(const struct config_key *key, int64_t a, int64_t b)
{
    if (key->zero_is_most && (!a || !b))
        return b && !a;
    return a > b;
}

/* ---- words ---- */

static int parse_bool(const char *raw, struct strbuf *out, char *why)
{
    if (!str_eq(raw, "true") && !str_eq(raw, "false"))
        return complain_value(why, raw, "neither true nor false");
    strbuf_adds(out, raw);
    return 0;
}

static int parse_enum(const struct config_key *key, const char *raw, struct strbuf *out, char *why)
{
    const char *names[8];
    size_t n = 0;
    _cleanup_free_ char *copy = xstrdup(key->choices);
    for (char *rest = copy, *word; n < ARRAY_LEN(names) && (word = strsep(&rest, "|"));)
        names[n++] = word;
    for (size_t i = 0; i < n; i++)
        if (str_eq(raw, names[i])) {
            strbuf_adds(out, raw);
            return 0;
        }
    char shown[64];
    text_copy(shown, sizeof shown, raw);
    return complain(why, "is \"%s\", not one of: %s", shown, key->choices);
}

/* Ranges that no lease may get addresses from, as network and prefix length. */
static bool is_reserved_v4(uint32_t addr, uint32_t last)
{
    static const struct {
        uint32_t net;
        unsigned prefix;
    } reserved[] = {{0x00000000, 8}, {0x7f000000, 8}, {0xa9fe0000, 16}, {0xe0000000, 3}};
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        uint32_t end = reserved[i].net | (UINT32_MAX >> reserved[i].prefix);
        if (addr <= end && last >= reserved[i].net)
            return true;
    }
    return false;
}

static int parse_cidr(const struct config_key *key, const char *raw, struct strbuf *out, char *why)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr addr;
    uint64_t prefix;
    const char *slash = strchr(raw, '/');
    if (!slash || (size_t)(slash - raw) >= sizeof text || strlen(slash) > 3)
        return complain_value(why, raw, "not an IPv4 range such as 10.213.0.0/16");
    memcpy(text, raw, (size_t)(slash - raw));
    text[slash - raw] = '\0';
    if (inet_pton(AF_INET, text, &addr) != 1 || str_to_u64(slash + 1, &prefix) < 0 || prefix > 32)
        return complain_value(why, raw, "not an IPv4 range such as 10.213.0.0/16");
    if ((int64_t)prefix < key->min || (int64_t)prefix > key->max)
        return complain(why, "has the prefix /%" PRIu64 ", not /%" PRId64 " to /%" PRId64, prefix,
                        key->min, key->max);
    uint32_t first = ntohl(addr.s_addr);
    uint32_t hostmask = (uint32_t)(UINT32_MAX >> prefix);
    if (first & hostmask)
        return complain_value(why, raw, "with bits set behind the prefix");
    if (is_reserved_v4(first, first | hostmask))
        return complain_value(why, raw, "a reserved range");
    strbuf_addf(out, "%s/%" PRIu64, text, prefix);
    return 0;
}

/* ---- paths ---- */

/* Makes an absolute path from "~/x", "/x" or, if ctx has a cwd, "x". */
static int parse_path(const char *raw, const struct value_ctx *ctx, struct strbuf *out, char *why)
{
    size_t start = out->len;
    if (raw[0] == '~') {
        if (raw[1] && raw[1] != '/')
            return complain_value(why, raw, "but only ~/ is expanded: write the other home out");
        if (!ctx->home || ctx->home[0] != '/')
            return complain_value(
                why, raw,
                "but HOME is not set to an absolute path outside of the tree you work in");
        strbuf_adds(out, ctx->home);
        strbuf_adds(out, raw + 1);
    } else if (raw[0] == '/') {
        strbuf_adds(out, raw);
    } else if (ctx->cwd) {
        strbuf_addf(out, "%s/%s", str_eq(ctx->cwd, "/") ? "" : ctx->cwd, raw);
    } else {
        return complain_value(why, raw,
                              "a relative path, which would lead into the repository that you are "
                              "in; write it from / or ~/");
    }
    if (out->len - start >= PATH_MAX)
        return complain(why, "is longer than %d bytes", PATH_MAX - 1);
    return 0;
}

/* ---- lists ---- */

static int parse_list(const struct config_key *key, const char *raw, struct strbuf *out, char *why)
{
    const char separator[2] = {key->separator, '\0'};
    _cleanup_free_ char *copy = xstrdup(raw);
    unsigned n = 0;
    for (char *rest = copy, *item; (item = strsep(&rest, separator)); n++) {
        item += strspn(item, " \t");
        for (size_t len = strlen(item); len && strchr(" \t", item[len - 1]);)
            item[--len] = '\0';
        if (!*item)
            return complain(why, "has an empty item");
        const char *wrong = rule_check(key->rule, item, n);
        if (wrong)
            return complain_value(why, item, wrong);
        if (n)
            strbuf_addc(out, key->separator);
        strbuf_adds(out, item);
    }
    return 0;
}

static int parse_string(const struct config_key *key, const char *raw, struct strbuf *out,
                        char *why)
{
    const char *wrong = rule_check(key->rule, raw, 0);
    if (wrong)
        return complain_value(why, raw, wrong);
    strbuf_adds(out, raw);
    return 0;
}

static int parse_by_type(const struct config_key *key, const char *raw, const struct value_ctx *ctx,
                         struct strbuf *out, char *why)
{
    switch (key->type) {
    case CFG_STRING:
        return parse_string(key, raw, out, why);
    case CFG_PATH:
        if (key->rule == RULE_PROGRAM && !strchr(raw, '/'))
            return parse_string(key, raw, out, why);
        return parse_path(raw, ctx, out, why);
    case CFG_ENUM:
        return parse_enum(key, raw, out, why);
    case CFG_INT:
        return parse_int(key, raw, out, why);
    case CFG_MIB:
        return parse_mib(key, raw, out, why);
    case CFG_DURATION:
        return parse_duration(key, raw, out, why);
    case CFG_BOOL:
        return parse_bool(raw, out, why);
    case CFG_LIST:
        return parse_list(key, raw, out, why);
    case CFG_CIDR:
        return parse_cidr(key, raw, out, why);
    }
    return complain(why, "has an unknown type");
}

#define VALUE_TEXT_MAX 65536

int value_normalise(const struct config_key *key, const char *raw, const struct value_ctx *ctx,
                    struct strbuf *out, char why[static VALUE_WHY_MAX])
{
    size_t at, len = strlen(raw);
    bool lines = key->type == CFG_LIST && key->separator == '\n';
    if (len > VALUE_TEXT_MAX)
        return complain(why, "is longer than %d bytes", VALUE_TEXT_MAX);
    if (!text_ok(raw, len, lines, &at))
        return complain(why, "has a control character or invalid UTF-8 at byte %zu", at + 1);
    if (!*raw && key->may_be_empty)
        return 0;
    if (!*raw)
        return complain(why, "is empty");
    return parse_by_type(key, raw, ctx, out, why);
}

bool value_has_item(const struct config_key *key, const char *list, const char *item, size_t n)
{
    for (;;) {
        const char *end = strchrnul(list, key->separator);
        if ((size_t)(end - list) == n && memcmp(list, item, n) == 0)
            return true;
        if (!*end)
            return false;
        list = end + 1;
    }
}
