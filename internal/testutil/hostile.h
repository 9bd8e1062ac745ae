/* hostile.h: text as an enemy writes it, and the judge of what became of it.
 *
 * The judge shares nothing with base/text.h, which it is to find wrong. hostile_check() fails the
 * running test.
 */
#ifndef CRABBOX_TESTUTIL_HOSTILE_H
#define CRABBOX_TESTUTIL_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A name or a word with everything that can go wrong in it: OSC, CSI as three characters can be
 * written, text turned around, invalid UTF-8, and a new line with a message that we never wrote. No
 * slash is in it, so that it can be a file's name. */
#define HOSTILE                                                                                    \
    "h\x1b]0;owned\x07\x1b[2J\x9b"                                                                 \
    "31m\xc2\x9b"                                                                                  \
    "31m\xe2\x80\xaetxt.\xff\xc0\xaf\x7f\ncrabbox-fc: ok\r"
#define HOSTILE_SHOWN                                                                              \
    "h\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u009b31m\\u202etxt.\\xff\\xc0\\xaf\\x7f\\ncrabbox-fc: "  \
    "ok\\r"
/* The same where only text without C0 controls and in valid UTF-8 can be: XML, for example. */
#define HOSTILE_UTF8                                                                               \
    "h\xc2\x9b"                                                                                    \
    "31m\xe2\x80\xaetxt.\xe2\x81\xa6\xe2\x80\x8b"
#define HOSTILE_UTF8_SHOWN "h\\u009b31m\\u202etxt.\\u2066\\u200b"

/* Fails the test if the text is no valid UTF-8, holds what a terminal obeys or a person does not
 * see, or has a line that begins as HOSTILE's does. `lines`: new lines and tabs may be there. */
#define hostile_check(text, len, lines) hostile_check_at((text), (len), (lines), __FILE__, __LINE__)
void hostile_check_at(const char *text, size_t len, bool lines, const char *file, int line);

bool hostile_valid(const char *text, size_t len);

/* One code point in UTF-8, surrogates as well; with a NUL. */
void hostile_encode(uint32_t cp, char out[static 5]);

#endif
