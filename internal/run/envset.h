/* envset.h: the environment that a run passes to the guest.
 *
 *   ENV_SET_INIT → env_set_allow, env_set_file, env_set_option in order of rising strength
 *                → env_set_script → env_set_free (which wipes the values)
 *
 * Values are secrets: they are never part of an argument vector, a message or a log. The script
 * travels over SSH into a file that only the guest's user can read. The script removes that file.
 *
 * Names are letters, digits and _. A few names that bash keeps for itself are refused, and so are
 * the three that each run sets (CRABBOX_LEASE_ID, CRABBOX_RUN_ID, CRABBOX_SLUG). A value may have
 * any bytes except NUL. There are at most 1000 variables. All errors are ERR_USAGE, or ERR_IO if a
 * file can't be read.
 */
#ifndef CRABBOX_RUN_ENVSET_H
#define CRABBOX_RUN_ENVSET_H

#include <stddef.h>

#include "base/error.h"
#include "base/str.h"
#include "sys/deadline.h"

struct env_set {
    char **entries; /* owned "NAME=VALUE", in order of their first mention */
    size_t n, alloc;
};
#define ENV_SET_INIT                                                                               \
    {                                                                                              \
        NULL, 0, 0                                                                                 \
    }

void env_set_free(struct env_set *s);

/* Each of the comma-separated names that `envp` has. Names that it lacks are passed over: the list
 * says what may go, not what must. */
int env_set_allow(struct env_set *s, const char *names, const char *const *envp, struct error *err);

/* "NAME=VALUE", or "NAME" for the value in `envp`, which must be there. */
int env_set_option(struct env_set *s, const char *text, const char *const *envp, struct error *err);

/* A file of at most 1 MiB with one of these a line:
 *   # comment             also blank lines
 *   NAME=text             the rest of the line as it is
 *   NAME='text'           as it is, over several lines if need be
 *   NAME="text"           the same, with \n \t \r \" \\ \$ for what they stand for
 *   NAME                  the value in `envp`, which must be there
 * each with "export " before it or not. A file with a NUL byte is instead what `env -0` prints:
 * NAME=VALUE records that end with NUL. How the path is resolved: sys/beneath.h.
 *
 * A file that a repository or another user can have written must not choose what leaves this host:
 * in such a file NAME counts only if it is among the comma-separated names of `allow`. In memory,
 * `allow` NULL: every name.
 * The file may be a pipe: `d` (may be NULL) ends the reading.
 */
int env_set_file(struct env_set *s, const char *path, const char *allow, const char *const *envp,
                 const struct deadline *d, struct error *err);
/* The same from memory; `what` names it in messages. */
int env_set_parse(struct env_set *s, const char *text, size_t len, const char *what,
                  const char *allow, const char *const *envp, struct error *err);

/* Shell lines that export all of it. */
void env_set_script(const struct env_set *s, struct strbuf *out);

/* The value, or NULL. */
const char *env_set_get(const struct env_set *s, const char *name);

#endif
