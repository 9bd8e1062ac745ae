/* ignore.h: the paths that the user does not want to send.
 *
 * ignore_add the pattern texts in order of rising weight, ask ignore_match for each path, then
 * ignore_free. The syntax is that of .gitignore: `#` begins a comment, `!` re-includes. A slash
 * that is not the last character anchors the pattern at the root, and a last slash means
 * directories only. `*` `?` `[a-z]` `[[:digit:]]` stay within a component, `**` crosses components,
 * a backslash quotes.
 *
 * There is one difference from git. A pattern that matches a directory also applies to everything
 * below it, and a later `!` may bring back a file from there.
 */
#ifndef CRABBOX_SYNC_IGNORE_H
#define CRABBOX_SYNC_IGNORE_H

#include <stdbool.h>
#include <stddef.h>

#include "sync/effort.h"

struct ignore_pattern {
    char *glob; /* owned; without "!", leading and last slash */
    bool negated;
    bool anchored;
    bool dir_only;
};

struct ignore {
    struct ignore_pattern *patterns; /* owned */
    size_t n, alloc;
    bool has_negated;
};

#define IGNORE_INIT                                                                                \
    {                                                                                              \
        NULL, 0, 0, false                                                                          \
    }

/* Adds each line of `text` (NULL is fine). ERR_SYNC, with `what` as the text's name, for a class of
 * characters that does not exist and for a line of more than GITIGNORE_LINE_MAX bytes. Adds no more
 * once `e` has ended. */
int ignore_add(struct ignore *ig, const char *text, const char *what, struct effort *e,
               struct error *err);
void ignore_free(struct ignore *ig);

/* Whether `path` (relative, no leading "./") is left out. False once `e` has ended. */
bool ignore_match(const struct ignore *ig, const char *path, bool is_dir, struct effort *e);

/* The pattern that decides about `path`, or NULL. */
const struct ignore_pattern *ignore_find(const struct ignore *ig, const char *path, bool is_dir,
                                         struct effort *e);

/* The glob alone against a whole string; linear in practice, never exponential. */
bool ignore_glob(const char *glob, const char *text, struct effort *e);

#endif
