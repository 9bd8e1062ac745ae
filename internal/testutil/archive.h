/* archive.h: archives as a guest's tar sends them, honest and hostile, for tests. */
#ifndef CRABBOX_TESTUTIL_ARCHIVE_H
#define CRABBOX_TESTUTIL_ARCHIVE_H

#include <stddef.h>
#include <sys/types.h>

struct archive_item {
    const char *name;
    mode_t mode; /* with type */
    const char *text;
    const char *link;     /* symlink's target */
    const char *hardlink; /* a hard link's */
};

/* A descriptor of the caller's, at the beginning of the archive. Fails the running test by cmocka.
 */
int archive_of(const struct archive_item *items, size_t n);

#endif
