#include "guest/jsonread.h"

#include <stdint.h>
#include <string.h>

#include "base/str.h"

#define DEPTH_MAX 16
#define NODES_MAX 4096

struct parser {
    const char *start;
    const char *at;
    const char *end;
    unsigned nodes;
    const char *why; /* reason of the failure */
};

static struct jr_node *parse_value(struct parser *p, unsigned depth);

static void *fail(struct parser *p, const char *why)
{
    if (!p->why)
        p->why = why;
    return NULL;
}

static void skip_space(struct parser *p)
{
    while (p->at < p->end && memchr(" \t\r\n", *p->at, 4))
        p->at++;
}

/* Consumes `c` if it is next. */
static bool accept(struct parser *p, char c)
{
    skip_space(p);
    if (p->at >= p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Four hex digits after "\u"; -1 if there are none. */
static int32_t parse_u16(struct parser *p)
{
    int32_t v = 0;
    if (p->end - p->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(*p->at++);
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static void add_utf8(struct strbuf *sb, uint32_t c)
{
    if (c < 0x80) {
        strbuf_addc(sb, (char)c);
    } else if (c < 0x800) {
        strbuf_addc(sb, (char)(0xc0 | c >> 6));
        strbuf_addc(sb, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        strbuf_addc(sb, (char)(0xe0 | c >> 12));
        strbuf_addc(sb, (char)(0x80 | (c >> 6 & 0x3f)));
        strbuf_addc(sb, (char)(0x80 | (c & 0x3f)));
    } else {
        strbuf_addc(sb, (char)(0xf0 | c >> 18));
        strbuf_addc(sb, (char)(0x80 | (c >> 12 & 0x3f)));
        strbuf_addc(sb, (char)(0x80 | (c >> 6 & 0x3f)));
        strbuf_addc(sb, (char)(0x80 | (c & 0x3f)));
    }
}

/* A "\uXXXX" escape, surrogate pairs joined. NUL is refused: text here is C strings. */
static bool parse_unicode(struct parser *p, struct strbuf *sb)
{
    int32_t c = parse_u16(p);
    if (c <= 0)
        return false;
    if (c >= 0xdc00 && c <= 0xdfff)
        return false;
    if (c >= 0xd800 && c <= 0xdbff) {
        if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
            return false;
        p->at += 2;
        int32_t low = parse_u16(p);
        if (low < 0xdc00 || low > 0xdfff)
            return false;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    add_utf8(sb, (uint32_t)c);
    return true;
}

static bool parse_escape(struct parser *p, struct strbuf *sb)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (p->at >= p->end)
        return false;
    char c = *p->at++;
    if (c == 'u')
        return parse_unicode(p, sb);
    const char *hit = c ? strchr(from, c) : NULL;
    if (!hit)
        return false;
    strbuf_addc(sb, to[hit - from]);
    return true;
}

/* The rest of a string after its opening quote; NULL on error, caller frees. */
static char *parse_string(struct parser *p)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    while (p->at < p->end) {
        unsigned char c = (unsigned char)*p->at++;
        if (c == '"')
            return strbuf_detach(&sb);
        if (c < 0x20)
            return fail(p, "control character in a string");
        if (c != '\\')
            strbuf_addc(&sb, (char)c);
        else if (!parse_escape(p, &sb))
            return fail(p, "bad escape in a string");
    }
    return fail(p, "string without end");
}

static struct jr_node *new_node(struct parser *p, enum jr_type type)
{
    if (++p->nodes > NODES_MAX)
        return fail(p, "too many values");
    struct jr_node *n = xcalloc(1, sizeof *n);
    n->type = type;
    return n;
}

static size_t count_digits(const char *s, const char *end)
{
    size_t n = 0;
    while (s + n < end && s[n] >= '0' && s[n] <= '9')
        n++;
    return n;
}

/* Length of the JSON number at the start of the text, 0 if there is none. */
static size_t number_length(const char *s, const char *end)
{
    const char *p = s;
    if (p < end && *p == '-')
        p++;
    size_t n = count_digits(p, end);
    if (n == 0 || (n > 1 && *p == '0'))
        return 0;
    p += n;
    if (p < end && *p == '.') {
        n = count_digits(p + 1, end);
        if (n == 0)
            return 0;
        p += 1 + n;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *digits = p + 1;
        if (digits < end && (*digits == '+' || *digits == '-'))
            digits++;
        n = count_digits(digits, end);
        if (n == 0)
            return 0;
        p = digits + n;
    }
    return (size_t)(p - s);
}

/* true, false, null or a number: kept as their text. */
static struct jr_node *parse_literal(struct parser *p)
{
    static const struct {
        const char *word;
        enum jr_type type;
    } words[] = {{"true", JR_BOOL}, {"false", JR_BOOL}, {"null", JR_NULL}};
    enum jr_type type = JR_NUMBER;
    size_t len = 0, left = (size_t)(p->end - p->at);
    for (size_t i = 0; i < ARRAY_LEN(words) && !len; i++) {
        size_t n = strlen(words[i].word);
        if (left >= n && memcmp(p->at, words[i].word, n) == 0) {
            len = n;
            type = words[i].type;
        }
    }
    if (!len)
        len = number_length(p->at, p->end);
    if (!len)
        return fail(p, "not a JSON value");
    struct jr_node *n = new_node(p, type);
    if (n)
        n->text = strndup(p->at, len);
    p->at += len;
    return n;
}

/* One member of a container: a value, after "name": in an object. */
static struct jr_node *parse_member(struct parser *p, bool named, unsigned depth)
{
    _cleanup_free_ char *key = NULL;
    if (named) {
        if (!accept(p, '"'))
            return fail(p, "member name expected");
        key = parse_string(p);
        if (!key)
            return NULL;
        if (!accept(p, ':'))
            return fail(p, "\":\" expected");
    }
    struct jr_node *n = parse_value(p, depth);
    if (n)
        n->key = TAKE_PTR(key);
    return n;
}

/* The rest of an object or array after its opening bracket. */
static struct jr_node *parse_container(struct parser *p, enum jr_type type, unsigned depth)
{
    const char close = type == JR_OBJECT ? '}' : ']';
    _cleanup_jr_ struct jr_node *n = new_node(p, type);
    if (!n || depth >= DEPTH_MAX)
        return fail(p, "nested too deep");
    if (accept(p, close))
        return TAKE_PTR(n);
    struct jr_node **tail = &n->child;
    do {
        *tail = parse_member(p, type == JR_OBJECT, depth + 1);
        if (!*tail)
            return NULL;
        if ((*tail)->key && jr_get(n, (*tail)->key) != *tail)
            return fail(p, "the same name twice in one object");
        tail = &(*tail)->next;
    } while (accept(p, ','));
    if (!accept(p, close))
        return fail(p, "closing bracket expected");
    return TAKE_PTR(n);
}

static struct jr_node *parse_value(struct parser *p, unsigned depth)
{
    if (accept(p, '{'))
        return parse_container(p, JR_OBJECT, depth);
    if (accept(p, '['))
        return parse_container(p, JR_ARRAY, depth);
    if (accept(p, '"')) {
        _cleanup_free_ char *s = parse_string(p);
        struct jr_node *n = s ? new_node(p, JR_STRING) : NULL;
        if (n)
            n->text = TAKE_PTR(s);
        return n;
    }
    return parse_literal(p);
}

struct jr_node *jr_parse(const char *text, size_t len, const char *what, struct error *err)
{
    struct parser p = {.start = text, .at = text, .end = text + len};
    _cleanup_jr_ struct jr_node *n = parse_value(&p, 0);
    skip_space(&p);
    if (n && p.at != p.end)
        fail(&p, "text after the value");
    if (p.why)
        return error_null(err, ERR_STATE, 0, "%s: not valid JSON at byte %zu: %s", what,
                          (size_t)(p.at - p.start), p.why);
    return TAKE_PTR(n);
}

void jr_free(struct jr_node *node)
{
    while (node) {
        struct jr_node *next = node->next;
        jr_free(node->child);
        free(node->key);
        free(node->text);
        free(node);
        node = next;
    }
}

const struct jr_node *jr_get(const struct jr_node *obj, const char *key)
{
    if (!obj || obj->type != JR_OBJECT)
        return NULL;
    for (const struct jr_node *n = obj->child; n; n = n->next)
        if (str_eq(n->key, key))
            return n;
    return NULL;
}

const char *jr_get_string(const struct jr_node *obj, const char *key)
{
    const struct jr_node *n = jr_get(obj, key);
    return n && n->type == JR_STRING ? n->text : NULL;
}

bool jr_get_true(const struct jr_node *obj, const char *key)
{
    const struct jr_node *n = jr_get(obj, key);
    return n && n->type == JR_BOOL && str_eq(n->text, "true");
}

const struct jr_node *jr_first(const struct jr_node *array)
{
    return array && array->type == JR_ARRAY ? array->child : NULL;
}
