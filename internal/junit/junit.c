#include "junit/junit.h"

#include <expat.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"

enum {
    DEPTH_MAX = 64,
    PIECE = 128 * 1024, /* between two checks for Ctrl-C */
    /* A tag is read in one piece, however many attributes it has. While a tag is not complete,
     * expat may buffer as much again before it looks for its end. */
    TAG_MAX = 2 * 1024 * 1024,
};

enum verdict { PASSED, SKIPPED, FAILED, BROKEN };

struct parse {
    XML_Parser parser;
    struct junit sum;
    int depth;
    int case_depth; /* of the open <testcase>, or 0 */
    enum verdict verdict;
    char name[160];
    bool seen_root;
    const char *refused; /* why we stopped ourselves */
    bool cancelled;
};

static void cleanup_parser(XML_Parser *p)
{
    if (*p)
        XML_ParserFree(*p);
}

static void refuse(struct parse *p, const char *why)
{
    p->refused = why;
    (void)XML_StopParser(p->parser, XML_FALSE);
}

static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
                       const XML_Char *pubid, int internal)
{
    (void)name;
    (void)sysid;
    (void)pubid;
    (void)internal;
    refuse(ctx, "it has a document type");
}

/* Stores "class.name" without anything that could control a terminal. */
static void take_name(struct parse *p, const XML_Char **attrs)
{
    const char *class = "";
    const char *name = "?";
    for (; attrs[0]; attrs += 2) {
        if (str_eq(attrs[0], "classname"))
            class = attrs[1];
        else if (str_eq(attrs[0], "name"))
            name = attrs[1];
    }
    _cleanup_free_ char *whole = xasprintf("%s%s%s", class, *class ? "." : "", name);
    text_copy(p->name, sizeof p->name, whole);
}

static void on_start(void *ctx, const XML_Char *element, const XML_Char **attrs)
{
    struct parse *p = ctx;
    if (++p->depth > DEPTH_MAX) {
        refuse(p, "its elements are nested too deeply");
        return;
    }
    if (!p->seen_root && !str_eq(element, "testsuites") && !str_eq(element, "testsuite")) {
        refuse(p, "it is not a JUnit report");
        return;
    }
    p->seen_root = true;
    if (str_eq(element, "testcase") && !p->case_depth) {
        p->case_depth = p->depth;
        p->verdict = PASSED;
        take_name(p, attrs);
    } else if (p->case_depth) {
        enum verdict v = str_eq(element, "error")     ? BROKEN
                         : str_eq(element, "failure") ? FAILED
                         : str_eq(element, "skipped") ? SKIPPED
                                                      : PASSED;
        p->verdict = v > p->verdict ? v : p->verdict;
    }
}

static void on_end(void *ctx, const XML_Char *element)
{
    struct parse *p = ctx;
    (void)element;
    if (p->case_depth && p->depth == p->case_depth) {
        p->case_depth = 0;
        p->sum.tests++;
        p->sum.skipped += p->verdict == SKIPPED;
        p->sum.failures += p->verdict == FAILED;
        p->sum.errors += p->verdict == BROKEN;
        if (p->verdict >= FAILED && p->sum.n_names < JUNIT_NAMES_MAX)
            (void)str_copy(p->sum.names[p->sum.n_names++], sizeof p->sum.names[0], p->name);
    }
    p->depth--;
}

/* The line is counted here, because the library's function for it differs between versions. */
static unsigned long line_of(XML_Parser parser, const char *text, size_t len)
{
    long at = (long)XML_GetCurrentByteIndex(parser);
    unsigned long line = 1;
    for (long i = 0; i < at && (size_t)i < len; i++)
        line += text[i] == '\n';
    return line;
}

static enum XML_Status parse_pieces(struct parse *p, const char *text, size_t len, int cancel_fd)
{
    enum XML_Status st;
    size_t at = 0;
    do {
        struct pollfd user = {.fd = cancel_fd, .events = POLLIN};
        size_t n = len - at < PIECE ? len - at : PIECE;
        p->cancelled = poll(&user, 1, 0) > 0;
        if (p->cancelled)
            return XML_STATUS_ERROR;
        st = XML_Parse(p->parser, text + at, (int)n, at + n == len);
        at += n;
        if (st == XML_STATUS_OK && at < len &&
            (long)at - (long)XML_GetCurrentByteIndex(p->parser) > TAG_MAX) {
            p->refused = "a tag or comment in it is too long";
            return XML_STATUS_ERROR;
        }
    } while (st == XML_STATUS_OK && at < len);
    return st;
}

int junit_parse(const char *text, size_t len, const char *what, int cancel_fd, struct junit *sum,
                struct error *err)
{
    _cleanup_(cleanup_parser) XML_Parser parser = XML_ParserCreate(NULL);
    struct parse p = {.parser = parser, .sum = *sum};
    if (!parser)
        return error_set(err, ERR_INTERNAL, 0, "read %s: no memory", what);
    if (len > JUNIT_MAX_BYTES)
        return error_set(err, ERR_SSH, 0, "%s is larger than %d MiB", what, JUNIT_MAX_BYTES >> 20);
    XML_SetUserData(parser, &p);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetStartDoctypeDeclHandler(parser, on_doctype);
    enum XML_Status st = parse_pieces(&p, text, len, cancel_fd);
    if (p.cancelled)
        return error_set(err, ERR_CANCELLED, 0, "interrupted while reading %s", what);
    if (p.refused)
        return error_set(err, ERR_SSH, 0, "%s: %s", what, p.refused);
    if (st != XML_STATUS_OK)
        return error_set(err, ERR_SSH, 0, "%s:%lu: %s", what, line_of(parser, text, len),
                         XML_ErrorString(XML_GetErrorCode(parser)));
    if (p.sum.tests == sum->tests)
        return error_set(err, ERR_SSH, 0, "%s has no test in it", what);
    p.sum.n_reports++;
    *sum = p.sum;
    return 0;
}
