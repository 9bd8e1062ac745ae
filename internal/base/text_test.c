#include "testutil/hostile.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/text.h"

static const struct {
    const char *text, *shown;
} lines[] = {
    {"", ""},
    {"plain ASCII ~ \\ \\x1b", "plain ASCII ~ \\ \\x1b"},
    {"\x1b[2J", "\\x1b[2J"},
    {"\x1b]0;title\a", "\\x1b]0;title\\x07"},
    {"a\nb\tc\rd\x7f", "a\\nb\\tc\\rd\\x7f"},
    /* C1, as the byte and as the character */
    {"\x9b"
     "2J",
     "\\x9b2J"},
    {"\xc2\x9b"
     "2J",
     "\\u009b2J"},
    {"\xc2\x80\xc2\x9f\xc2\xa0|", "\\u0080\\u009f\xc2\xa0|"},
    /* turns around, parts, hides */
    {"\xe2\x80\xaegnp.exe", "\\u202egnp.exe"},
    {"\xe2\x81\xa6x\xe2\x81\xa9", "\\u2066x\\u2069"},
    {"\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f", "\\u061c\\u200e\\u200f"},
    {"a\xe2\x80\x8b"
     "b\xe2\x80\xa8"
     "c\xef\xbb\xbf"
     "d\xc2\xad",
     "a\\u200bb\\u2028c\\ufeffd\\u00ad"},
    {"\xf3\xa0\x81\x81", "\\U000e0041"},
    {"\xef\xbf\xbe\xf0\x9f\xbf\xbf", "\\ufffe\\U0001ffff"},
    /* no UTF-8: alone, overlong, a surrogate, too high, cut short */
    {"\xff\x80", "\\xff\\x80"},
    {"\xc0\xaf\xe0\x80\xaf", "\\xc0\\xaf\\xe0\\x80\\xaf"},
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
    {"\xf4\x90\x80\x80\xf8", "\\xf4\\x90\\x80\\x80\\xf8"},
    {"a\xe6\x97", "a\\xe6\\x97"},
    {"\xe6\x97z", "\\xe6\\x97z"},
    /* people's own letters stay */
    {"caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d",
     "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d"},
    {"e\xcc\x81", "e\xcc\x81"},
    /* a family, a heart, a keycap; and what only looks like part of one */
    {"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7",
     "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7"},
    {"\xe2\x9d\xa4\xef\xb8\x8f\xe2\x80\x8d\xf0\x9f\x94\xa5",
     "\xe2\x9d\xa4\xef\xb8\x8f\xe2\x80\x8d\xf0\x9f\x94\xa5"},
    {"1\xef\xb8\x8f\xe2\x83\xa3", "1\xef\xb8\x8f\xe2\x83\xa3"},
    {"1\xef\xb8\x8f", "1\\ufe0f"},
    {"pass\xe2\x80\x8dword", "pass\\u200dword"},
    {"\xf0\x9f\x91\xa9\xe2\x80\x8d", "\xf0\x9f\x91\xa9\\u200d"},
    {"\xf0\x9f\x91\xa9\xe2\x80\x8d\xe2\x80\x8d\xf0\x9f\x91\xa7",
     "\xf0\x9f\x91\xa9\\u200d\\u200d\xf0\x9f\x91\xa7"},
    {"\xe2\x9d\xa4\xef\xb8\x8f\xef\xb8\x8f", "\xe2\x9d\xa4\xef\xb8\x8f\\ufe0f"},
    /* bytes that would be a symbol if the last one belonged to it */
    {"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf2\x94\xa5\xe9", "\xf0\x9f\x91\xa9\\u200d\\xf2\\x94\\xa5\\xe9"},
};

static void test_one_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        _cleanup_strbuf_ struct strbuf out = STRBUF_INIT, again = STRBUF_INIT;
        size_t at = 0;
        text_add(&out, lines[i].text);
        assert_string_equal(out.buf, lines[i].shown);
        hostile_check(out.buf, out.len, false);
        text_add(&again, out.buf);
        assert_string_equal(again.buf, out.buf);
        assert_int_equal(text_ok(lines[i].text, strlen(lines[i].text), false, &at),
                         str_eq(lines[i].text, lines[i].shown));
    }
}

static void test_every_character(void **state)
{
    (void)state;
    for (unsigned a = 1; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            const char text[] = {(char)a, (char)b, '\0'};
            char shown[32];
            text_copy(shown, sizeof shown, text);
            hostile_check(shown, strlen(shown), false);
        }
    for (uint32_t cp = 0x800; cp < 0x110000; cp++) {
        char text[5] = "", shown[32];
        hostile_encode(cp, text);
        text_copy(shown, sizeof shown, text);
        hostile_check(shown, strlen(shown), false);
    }
}

static void test_fits(void **state)
{
    (void)state;
    char out[8];
    text_copy(out, sizeof out, "abcdefg");
    assert_string_equal(out, "abcdefg");
    text_copy(out, sizeof out, "abcdefghij");
    assert_string_equal(out, "abcd...");
    text_copy(out, sizeof out, "abc\xc3\xa9\xc3\xa9"); /* 7 bytes: all of it */
    assert_string_equal(out, "abc\xc3\xa9\xc3\xa9");
    text_copy(out, sizeof out, "abc\xc3\xa9\xc3\xa9x"); /* cut between characters */
    assert_string_equal(out, "abc...");
    text_copy(out, sizeof out, "abc\x1b\x1b"); /* not within an escape */
    assert_string_equal(out, "abc...");
    text_copy(out, 3, "a\x1b");
    assert_string_equal(out, "a");
    text_copy(out, 1, "abc");
    assert_string_equal(out, "");
    char joined[16]; /* room for the joiner, but not for what it joins */
    text_copy(joined, 12, "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7xyz");
    hostile_check(joined, strlen(joined), false);
    assert_string_equal(joined, "\xf0\x9f\x91\xa9...");
    text_copy(joined, 11, "abc1\xef\xb8\x8f\xe2\x83\xa3xyz"); /* nor a keycap without its cap */
    assert_string_equal(joined, "abc1...");
}

static void test_shown(void **state)
{
    (void)state;
    char path[1000];
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    memcpy(path + sizeof path - 5, "/end", 5);
    assert_string_equal(SHOWN("/a/b"), "/a/b");
    assert_string_equal(SHOWN("/a/\x9b"), "/a/\\x9b");
    assert_int_equal(strlen(SHOWN(path)), SHOWN_MAX - 1);
    assert_true(str_has_prefix(SHOWN(path), "...a"));
    assert_true(str_has_suffix(SHOWN(path), "a/end"));
    path[sizeof path - 2] = '\0'; /* whole characters of two bytes */
    for (size_t i = 0; path[i]; i++)
        path[i] = i % 2 ? '\xa9' : '\xc3';
    assert_true(str_has_prefix(SHOWN(path), "...\xc3\xa9"));
    assert_null(strchr(SHOWN(path), '\\'));
    memset(path, '\x1b', sizeof path - 2); /* escapes take more room */
    assert_true(strlen(SHOWN(path)) < SHOWN_MAX);
    hostile_check(SHOWN(path), strlen(SHOWN(path)), false);
}

/* ---- lines ---- */

static const struct {
    const char *text, *shown;
} logs[] = {
    {"a\n\tb\r\nc\r\r\n\n", "a\n\tb\nc\n\n"},
    {"50%\r100%\n\r", "50%\\r100%\n\\r"},
    {"[\x1b[32mOK\x1b[0m]\n\xc2\x9b", "[\\x1b[32mOK\\x1b[0m]\n\\u009b"},
    {"\xe6\x97\xa5\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7\n",
     "\xe6\x97\xa5\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7\n"},
    {"x\xe6\x97", "x\\xe6\\x97"},
    {"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91", "\xf0\x9f\x91\xa9\\u200d\\xf0\\x9f\\x91"},
};

static void test_lines_cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(logs); i++)
        for (size_t piece = 1; piece < 12; piece++) {
            struct text_stream s = TEXT_STREAM_INIT;
            _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
            size_t len = strlen(logs[i].text);
            for (size_t at = 0; at < len; at += piece)
                text_stream_add(&s, logs[i].text + at, len - at < piece ? len - at : piece, &out);
            text_stream_end(&s, &out);
            assert_string_equal(out.buf, logs[i].shown);
            hostile_check(out.buf, out.len, true);
        }
}

static void test_a_nul_in_a_log(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    text_add_lines(&out, "a\0b\n", 4);
    assert_string_equal(out.buf, "a\\x00b\n");
}

static void test_complaints(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf said = STRBUF_INIT;
    strbuf_adds(&said, "\ntar:\tx\x1b: no\r\ncrabbox-fc: ok\n\n");
    text_flatten(&said, COMPLAINT_MAX);
    assert_string_equal(said.buf, "tar: x\\x1b: no; crabbox-fc: ok");
    assert_int_equal(said.len, strlen(said.buf));
    text_flatten(&said, 10);
    assert_string_equal(said.buf, "tar: x\\...");
    strbuf_reset(&said);
    strbuf_adds(&said, "\n\r\n");
    text_flatten(&said, COMPLAINT_MAX);
    assert_int_equal(said.len, 0);
}

/* ---- the exits ---- */

/* A message quotes names of files and guests: none of them may steer a terminal. */
static void test_messages_are_harmless(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    error_fill(&err, ERR_SYNC, ENOENT, "open %s", HOSTILE);
    assert_true(str_has_prefix(err.msg, "open " HOSTILE_SHOWN));
    assert_true(str_has_suffix(err.msg, ": No such file or directory"));
    (void)error_prefix(&err, "x%s", HOSTILE);
    (void)error_append(&err, "y%s", HOSTILE);
    hostile_check(err.msg, strlen(err.msg), false);
    assert_true(str_has_prefix(err.msg, "x" HOSTILE_SHOWN ": open " HOSTILE_SHOWN));
    assert_true(str_has_suffix(err.msg, "directoryy" HOSTILE_SHOWN));
}

/* However long what it quotes, and however much longer its escapes: what to do now is still there.
 */
static void test_long_messages_keep_their_end(void **state)
{
    (void)state;
    static const char *const fill[] = {"a", "\x1b", "\xc3\xa9", "\xe2\x80\xae"};
    for (size_t i = 0; i < ARRAY_LEN(fill); i++)
        for (size_t n = 300; n < 2600; n += 7) {
            struct error err = ERROR_INIT;
            _cleanup_strbuf_ struct strbuf name = STRBUF_INIT;
            while (name.len < n && name.len + strlen(fill[i]) < 3900)
                strbuf_adds(&name, fill[i]);
            error_fill(&err, ERR_IO, ENOSPC, "write %s; next: crabbox-fc cleanup", name.buf);
            hostile_check(err.msg, strlen(err.msg), false);
            assert_true(
                str_has_suffix(err.msg, ": No space left on device; next: crabbox-fc cleanup"));
            (void)error_prefix(&err, "%s", name.buf);
            hostile_check(err.msg, strlen(err.msg), false);
            assert_true(str_has_suffix(err.msg, "; next: crabbox-fc cleanup"));
        }
    /* More than is ever looked at, cut within a character there. */
    for (size_t n = 4080; n < 4100; n++) {
        struct error err = ERROR_INIT;
        _cleanup_strbuf_ struct strbuf name = STRBUF_INIT;
        strbuf_adds(&name, n % 2 ? "x" : "");
        while (name.len < n)
            strbuf_adds(&name, "\xc3\xa9");
        error_fill(&err, ERR_IO, 0, "%s", name.buf);
        assert_null(strchr(err.msg, '\\'));
        hostile_check(err.msg, strlen(err.msg), false);
    }
}

static void test_json_holds_the_same_strings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        _cleanup_json_ cJSON *j = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(j, "name", lines[i].text);
        _cleanup_free_ char *text = json_print_shown(j, true);
        hostile_check(text, strlen(text), true);
        assert_null(strstr(text, "\xe2\x80\x8d"));
        _cleanup_json_ cJSON *back = json_parse(text, strlen(text), "t", NULL);
        assert_non_null(back);
        bool valid = hostile_valid(lines[i].text, strlen(lines[i].text));
        const char *got = json_opt_string(back, "name", "");
        if (valid)
            assert_string_equal(got, lines[i].text);
        else
            assert_non_null(strstr(got, "\xef\xbf\xbd"));
        /* What only we read stays exact. */
        _cleanup_free_ char *exact = json_print(j, false);
        _cleanup_json_ cJSON *own = json_parse(exact, strlen(exact), "t", NULL);
        assert_string_equal(json_opt_string(own, "name", ""), lines[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_shown),
        cmocka_unit_test(test_lines_cut_anywhere),
        cmocka_unit_test(test_a_nul_in_a_log),
        cmocka_unit_test(test_complaints),
        cmocka_unit_test(test_messages_are_harmless),
        cmocka_unit_test(test_long_messages_keep_their_end),
        cmocka_unit_test(test_json_holds_the_same_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
