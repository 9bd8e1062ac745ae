/* kconfig.h: reads the options that a kernel was built with, if it has them inside
 * (CONFIG_IKCONFIG).
 *
 * An uncompressed vmlinux with IKCONFIG holds its .config, gzipped between two marks. The file is
 * read in pieces and everything found in it is treated as hostile: sizes are limited, and a broken
 * archive counts as missing.
 */
#ifndef CRABBOX_IMAGE_KCONFIG_H
#define CRABBOX_IMAGE_KCONFIG_H

#include "base/error.h"
#include "base/str.h"

#define KCONFIG_MAX (1u << 20) /* bytes of text */

/* Appends the .config of the kernel behind `fd`. 1: it was found; 0: the kernel has none (or a
 * broken one); -1 with ERR_IO: the file can't be read. */
int kconfig_extract(int fd, const char *path, struct strbuf *out, struct error *err);

/* 'y', 'm', or 'n' for "VIRTIO_BLK" (no CONFIG_ prefix) in the text of a .config. */
char kconfig_option(const char *text, const char *name);

#endif
