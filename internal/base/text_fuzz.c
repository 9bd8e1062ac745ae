/* Any bytes as a name and as a log: what is shown is valid UTF-8 without anything hidden, is shown
 * the same once more, and does not depend on where it was cut. The first byte: the size of a
 * piece, and of a buffer. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

enum { LONGEST = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Emoji keep what joins them, so those are not judged here. */
static void check(const char *text, size_t len, bool lines)
{
    for (size_t i = 0; i < len;) {
        uint32_t cp = 0;
        size_t n = text_decode(text + i, len - i, &cp);
        bool joins = cp == 0x200d || cp == 0xfe0e || cp == 0xfe0f;
        if (!n || (text_hidden(cp) && !joins && !(lines && (cp == '\n' || cp == '\t'))))
            abort();
        i += n;
    }
}

static void check_line(const char *text, size_t room)
{
    _cleanup_strbuf_ struct strbuf once = STRBUF_INIT, twice = STRBUF_INIT;
    _cleanup_free_ char *cut = xcalloc(1, room), *cut_again = xcalloc(1, room);
    size_t at;
    text_add(&once, text);
    check(once.buf, once.len, false);
    text_add(&twice, once.buf);
    bool same = str_eq(once.buf, twice.buf) && text_ok(once.buf, once.len, false, &at);
    if (!same || text_ok(text, strlen(text), false, &at) != str_eq(text, once.buf))
        abort();
    text_copy(cut, room, text);
    check(cut, strlen(cut), false);
    text_copy(cut_again, room, cut);
    if (!str_eq(cut, cut_again) || (once.len < room && !str_eq(cut, once.buf)))
        abort();
    check(SHOWN(text), strlen(SHOWN(text)), false);
    text_flatten(&once, room);
    if (once.len > room)
        abort();
}

static void check_lines(const char *text, size_t len, size_t piece)
{
    struct text_stream s = TEXT_STREAM_INIT;
    _cleanup_strbuf_ struct strbuf once = STRBUF_INIT, often = STRBUF_INIT, twice = STRBUF_INIT;
    text_add_lines(&once, text, len);
    for (size_t at = 0; at < len; at += piece)
        text_stream_add(&s, text + at, len - at < piece ? len - at : piece, &often);
    text_stream_end(&s, &often);
    text_add_lines(&twice, once.buf, once.len);
    check(once.buf, once.len, true);
    if (!str_eq(once.buf, often.buf) || !str_eq(once.buf, twice.buf))
        abort();
}

static void check_json(const char *text)
{
    size_t at;
    _cleanup_json_ cJSON *j = cJSON_CreateString(text);
    _cleanup_free_ char *shown = json_print_shown(j, false);
    _cleanup_json_ cJSON *back = json_parse(shown, strlen(shown), "fuzz", NULL);
    if (!text_ok(shown, strlen(shown), false, &at) || !cJSON_IsString(back))
        abort();
    size_t len = strlen(text), n = 1;
    uint32_t cp;
    for (size_t i = 0; i < len && n; i += n)
        n = text_decode(text + i, len - i, &cp);
    if (n && !str_eq(back->valuestring, text))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > LONGEST)
        return 0;
    size_t piece = data[0] ? data[0] : 1;
    _cleanup_free_ char *text = xcalloc(1, size);
    memcpy(text, data + 1, size - 1);
    check_line(text, piece);
    check_lines(text, size - 1, piece);
    check_json(text);
    return 0;
}
