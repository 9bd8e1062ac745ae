/* text.h: text that is not ours, on its way to a person.
 *
 * Names of files, words of a guest, of a repository, of a program or of a record may hold anything:
 * sequences that drive a terminal, characters that reverse a line or can't be seen, new lines with
 * a message that we never wrote. All of it goes through here before it is printed or put into a
 * message; nothing else in this project cleans text (make lint checks that).
 *
 * What stays: every visible character of valid UTF-8, emoji with their joiners and variation
 * selectors. What is written as an escape, as bash's $'...' reads it:
 *
 *     \n \t \r            in a single line
 *     \x1b                other control characters, and each byte that is no valid UTF-8
 *     \u202e \U000e0041   C1 controls (U+0080 to U+009F), characters that reorder, break or hide
 * text, noncharacters
 *
 * A backslash stays as it is, so that what has been cleaned can be cleaned again: messages pass
 * here at their source and once more where they are printed. To find out whether a name contains an
 * escape or only looks like it, use --json.
 *
 * Results are always valid UTF-8. Nothing here fails.
 */
#ifndef CRABBOX_BASE_TEXT_H
#define CRABBOX_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* ---- one line ---- */

/* Appends `s` as (part of) one line. */
void text_add(struct strbuf *out, const char *s);

/* The same into a buffer; text that does not fit is cut between characters and ends with "...". */
void text_copy(char *dst, size_t size, const char *src);

/* vsnprintf() and then text_copy(), into at most 4 KiB. */
void text_format(char *dst, size_t size, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* What a program complained of, for the end of a message: one line, "; " between its lines and
 * spaces for tabs, at most `max` bytes. COMPLAINT_MAX leaves room for the words of the message
 * itself. */
#define COMPLAINT_MAX 600
void text_flatten(struct strbuf *sb, size_t max);

/* Within an expression: a path or a place; of a long one only the end, so that what is said about
 * it still fits. Valid within the full expression. */
#define SHOWN_MAX 240
struct shown {
    char text[SHOWN_MAX];
};
struct shown text_shown_path(const char *path);
#define SHOWN(path) (text_shown_path(path).text)

/* ---- lines ---- */

/* Text of many lines that comes in pieces, cut anywhere: new lines and tabs stay, also the
 * carriage return before a new line is taken for part of it. */
struct text_stream {
    unsigned char held[8]; /* what the next bytes decide about */
    size_t n_held;
    size_t returns; /* carriage returns that a new line may follow */
    uint32_t last;  /* the character shown last, 0 where none can be joined to it */
};
#define TEXT_STREAM_INIT                                                                           \
    {                                                                                              \
        {0}, 0, 0, 0                                                                               \
    }
void text_stream_add(struct text_stream *s, const void *data, size_t len, struct strbuf *out);
void text_stream_end(struct text_stream *s, struct strbuf *out);

/* All at once. */
void text_add_lines(struct strbuf *out, const void *data, size_t len);

/* ---- judging ---- */

/* True if nothing in `s` would be escaped; `lines`: new line, carriage return and tab may be there.
 * On failure *at is the offending byte's offset. */
bool text_ok(const char *s, size_t len, bool lines, size_t *at);

/* A byte that is a control character in ASCII: 0 to 0x1f and 0x7f. */
bool text_is_control(char c);

/* Length of the UTF-8 sequence at `s`, its code point in *cp; 0 where there is no valid one
 * (overlong forms, surrogates and values past U+10FFFF are none). */
size_t text_decode(const char *s, size_t len, uint32_t *cp);

/* A control or format character, or one that can't be seen; also those that emoji are joined with.
 */
bool text_hidden(uint32_t cp);

#endif
