#include "sync/charclass.h"

#include <ctype.h>
#include <string.h>

#include "base/str.h"

struct charclass {
    const char *name;
    int (*has)(int);
};

static int is_blank(int c)
{
    return c == ' ' || c == '\t';
}

/* git's own notion. */
static int is_space(int c)
{
    return is_blank(c) || c == '\n' || c == '\r';
}

static const struct charclass classes[] = {
    {"alnum", isalnum}, {"alpha", isalpha},  {"blank", is_blank}, {"cntrl", iscntrl},
    {"digit", isdigit}, {"graph", isgraph},  {"lower", islower},  {"print", isprint},
    {"punct", ispunct}, {"space", is_space}, {"upper", isupper},  {"xdigit", isxdigit}};

const char *charclass_read(const char *p, const char **close, const struct charclass **out)
{
    if (p[0] != '[' || p[1] != ':')
        return NULL;
    const char *name = p + 2;
    if (*close < name)
        *close = strchrnul(name, ']');
    const char *end = *close;
    if (!*end || end == name || end[-1] != ':')
        return NULL;
    size_t len = (size_t)(end - name) - 1;
    *out = NULL;
    for (size_t i = 0; i < ARRAY_LEN(classes); i++)
        if (strlen(classes[i].name) == len && memcmp(classes[i].name, name, len) == 0)
            *out = &classes[i];
    return end + 1;
}

bool charclass_has(const struct charclass *t, unsigned char c)
{
    return c < 128 && t->has(c);
}
