/* gitignore.h: what git would ignore, by git's own rules to the letter.
 *
 * A struct gitignore holds the patterns of one file. gitignore_parse fills it, `base` and `above`
 * are set by the caller: `base` is how many bytes at the start of each path lead to the directory
 * that the patterns speak for (with its slash), `above` (borrowed) the file that is asked where
 * this one says nothing. gitignore_free at the end.
 *
 * Beside ignore.h, whose `!` reaches further: a file that git ignores because of a detail of its
 * syntax is one that nobody expects to be sent.
 */
#ifndef CRABBOX_SYNC_GITIGNORE_H
#define CRABBOX_SYNC_GITIGNORE_H

#include <stdbool.h>
#include <stddef.h>

struct gitignore_token;

struct gitignore_pattern {
    char *text;                     /* owned; without "!" and a last slash */
    size_t len;                     /* of text */
    size_t literal;                 /* bytes at its start without a wildcard */
    struct gitignore_token *tokens; /* owned; what comes after those; NULL: nothing */
    size_t n_tokens;
    bool negated, dir_only, base_name, suffix;
};

struct gitignore {
    struct gitignore_pattern *patterns; /* owned */
    size_t n, alloc;
    size_t bytes; /* of text that it was made from */
    size_t base;
    const struct gitignore *above;
};

/* Adds the patterns of a file. -1 where a line is longer than GITIGNORE_LINE_MAX. */
#define GITIGNORE_LINE_MAX 4096
int gitignore_parse(struct gitignore *g, const char *text, size_t len);
void gitignore_free(struct gitignore *g);

/* Whether the patterns of `g` and those above leave `path` out, which begins with each `base` and
 * has no directory on its way that is left out itself. */
bool gitignore_match(const struct gitignore *g, const char *path, bool is_dir);

#endif
