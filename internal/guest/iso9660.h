/* iso9660.h: reads small files from the root directory of an ISO9660 volume, in user space.
 *
 * Made for NoCloud seed drives: the kernel of the guest need not know the filesystem, and
 * the bytes may come from a hostile host, so every length is checked and capped.
 *
 * Order of calls: iso_open() once, then iso_label_is() and iso_read_file() as wanted.
 * struct iso holds no resource; the descriptor stays the caller's and is read with pread.
 * Names are looked up in the Joliet tree if there is one, else in the Rock Ridge names of
 * the primary tree, else by the plain ISO names (case ignored, ";1" ignored).
 *
 * Errors: ERR_NOT_FOUND where the volume is no ISO9660 one or has no such file,
 * ERR_IO where reading fails or the structures contradict each other.
 */
#ifndef CRABBOX_GUEST_ISO9660_H
#define CRABBOX_GUEST_ISO9660_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define ISO_SECTOR 2048u

struct iso {
    int fd;
    char label[33];       /* volume identifier of the primary descriptor, trimmed */
    bool joliet;          /* names in the root directory are UCS-2, big endian */
    uint32_t root_extent; /* first sector of the root directory */
    uint32_t root_size;   /* bytes */
};

int iso_open(int fd, struct iso *iso, struct error *err);

/* True if the volume's label is `label`, ASCII case ignored. */
bool iso_label_is(const struct iso *iso, const char *label);

/* Appends the whole file to `out`; a file larger than `cap` bytes is an error. */
int iso_read_file(const struct iso *iso, const char *name, size_t cap, struct strbuf *out,
                  struct error *err);

#endif
