#include "config/plain.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define DIGITS "0123456789"

/* `s` is `word` in lower case, in upper case, or with a capital. */
static bool is_cased(const char *s, const char *word)
{
    bool upper = true, lower = true;
    if (strcasecmp(s, word) != 0)
        return false;
    for (const char *p = s + (*s != '\0'); *p; p++) {
        upper = upper && !islower((unsigned char)*p);
        lower = lower && !isupper((unsigned char)*p);
    }
    return lower || (upper && isupper((unsigned char)*s));
}

static bool is_any(const char *s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_cased(s, words[i]))
            return true;
    return false;
}

/* Skips a digit and more of them with "_" in between. */
static bool take_number(const char **s)
{
    if (!isdigit((unsigned char)**s))
        return false;
    *s += strspn(*s, DIGITS "_");
    return true;
}

/* "1:30:00", which YAML 1.1 counts in sixties. */
static bool is_sexagesimal(const char *s)
{
    if (!take_number(&s) || *s != ':')
        return false;
    while (*s == ':') {
        size_t n = strspn(s + 1, DIGITS);
        if (n < 1 || n > 2)
            return false;
        s += n + 1;
    }
    return s[*s == '.' ? 1 + strspn(s + 1, DIGITS "_") : 0] == '\0';
}

static bool is_float(const char *s)
{
    bool whole = take_number(&s), part = false;
    if (*s == '.') {
        part = isdigit((unsigned char)s[1]);
        s += 1 + strspn(s + 1, DIGITS "_");
    }
    if (!whole && !part)
        return false;
    if (*s == 'e' || *s == 'E') {
        s += 1 + (s[1] == '-' || s[1] == '+');
        if (!take_number(&s))
            return false;
    }
    return *s == '\0';
}

static bool is_number(const char *s)
{
    static const struct {
        const char *prefix, *digits;
    } bases[] = {{"0x", DIGITS "abcdefABCDEF_"}, {"0o", "01234567_"}, {"0b", "01_"}};
    s += *s == '-' || *s == '+';
    for (size_t i = 0; i < ARRAY_LEN(bases); i++)
        if (str_has_prefix(s, bases[i].prefix) && s[2] && !s[2 + strspn(s + 2, bases[i].digits)])
            return true;
    return strcasecmp(s, ".inf") == 0 || strcasecmp(s, ".nan") == 0 || is_float(s) ||
           is_sexagesimal(s);
}

/* "2026-01-31", alone or with a time behind it. */
static bool is_date(const char *s)
{
    static const size_t least[] = {4, 1, 1}, most[] = {4, 2, 2};
    for (size_t i = 0; i < ARRAY_LEN(least); i++) {
        size_t n = strspn(s, DIGITS);
        if (n < least[i] || n > most[i] || (i < 2 && s[n] != '-'))
            return false;
        s += n + (i < 2);
    }
    return *s == '\0' || (strchr("Tt \t", *s) && isdigit((unsigned char)s[strspn(s, "Tt \t")]));
}

enum plain_kind plain_kind(const char *s)
{
    static const char *const nulls[] = {"", "~", "null"};
    static const char *const bools[] = {"true", "false", "yes", "no", "on", "off", "y", "n"};
    if (is_any(s, nulls, ARRAY_LEN(nulls)))
        return PLAIN_NOTHING;
    if (is_any(s, bools, ARRAY_LEN(bools)))
        return PLAIN_BOOLEAN;
    if (is_number(s))
        return PLAIN_NUMBER;
    return is_date(s) ? PLAIN_DATE : PLAIN_TEXT;
}

const char *plain_kind_name(enum plain_kind kind)
{
    static const char *const names[] = {[PLAIN_TEXT] = NULL,
                                        [PLAIN_NOTHING] = "nothing",
                                        [PLAIN_BOOLEAN] = "a boolean",
                                        [PLAIN_NUMBER] = "a number",
                                        [PLAIN_DATE] = "a date"};
    return names[kind];
}
