/* gitconfig.h: reads the text of one of git's configuration files, as git does: sections with and
 * without a subsection, quotes, escapes, comments, lines that go on. Nothing that the text names is
 * looked at, an include no more than anything else.
 */
#ifndef CRABBOX_SYNC_GITCONFIG_H
#define CRABBOX_SYNC_GITCONFIG_H

#include <stddef.h>

/* Called for each setting with its name as git writes it ("core.bare", "remote.Origin.url"), and
 * its value, NULL where it has none. -1 ends the reading. */
typedef int gitconfig_fn(void *ctx, const char *name, const char *value);

/* 0; -1 if `fn` ended it; else the number of the line that git can't read. */
int gitconfig_read(const char *text, size_t len, gitconfig_fn *fn, void *ctx);

#endif
