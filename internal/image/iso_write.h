/* iso_write.h: a small ISO9660 volume with a few files in its root, made in memory.
 *
 * This is not done with a library, because a seed drive has a private key in it, and libarchive
 * would write the content to a temporary file on the disk of $TMPDIR.
 *
 * Primary volume descriptor, both path tables, one directory with Rock Ridge names (which every
 * kernel with isofs reads), contents padded to sectors. The same input gives the same bytes.
 *
 * iso_build() appends to a strbuf of the caller. It fails (ERR_INTERNAL) only if there are too many
 * files, or if they are too large.
 */
#ifndef CRABBOX_IMAGE_ISO_WRITE_H
#define CRABBOX_IMAGE_ISO_WRITE_H

#include <stddef.h>
#include <time.h>

#include "base/error.h"
#include "base/str.h"

#define ISO_FILES_MAX 8u
#define ISO_FILE_MAX  (16u << 20) /* bytes */

struct iso_file {
    const char *name; /* at most 64 bytes; the first eight must be unique */
    const void *data;
    size_t len;
};

/* `label` has at most 32 bytes. Files belong to root with mode 0400. */
int iso_build(const char *label, const struct iso_file *files, size_t n, time_t when,
              struct strbuf *out, struct error *err);

#endif
