/* manifest.h: reads image.json, the list of an image's files (docs/GUEST.md).
 *
 * Strict: unknown, missing or repeated members, another schema, and names that could lead out of
 * the directory are errors (ERR_CONFIG) that name the file and the member. Fixed-size fields,
 * nothing to free. Parsing touches no file; image_load() (image.h) opens what is named.
 */
#ifndef CRABBOX_IMAGE_MANIFEST_H
#define CRABBOX_IMAGE_MANIFEST_H

#include <stddef.h>

#include "base/error.h"

#define MANIFEST_NAME     "image.json"
#define MANIFEST_WHAT     "list of the image's files" /* for messages */
#define MANIFEST_MAX      (64u * 1024)                /* bytes */
#define MANIFEST_SCHEMA   1
#define MANIFEST_FILE_MAX 128 /* bytes of a file name, NUL included */

struct manifest_file {
    char name[MANIFEST_FILE_MAX];
    char sha256[65]; /* lower-case hex */
};

struct manifest {
    char name[64];
    struct manifest_file kernel;
    struct manifest_file initrd;
    struct manifest_file rootfs;
    char rootfs_type[16];
    char kernel_release[64];
    char init[64];
    char distribution[64]; /* "debian bookworm"; "" if the manifest does not have it */
};

/* `path` names the source in messages. */
int image_manifest_parse(const char *text, size_t len, const char *path, struct manifest *out,
                         struct error *err);

#endif
