/* probe.h: finds out by its first bytes what a file really is.
 *
 * Each function takes an open descriptor (read with pread, offset untouched) and the path for
 * messages. Only headers are read, never the whole file, and every number in them is treated as
 * hostile. No state, nothing to free.
 *
 * Errors are ERR_CONFIG (the file is not what it should be; the message has what it seems to be and
 * what to do) or ERR_IO (reading failed).
 */
#ifndef CRABBOX_IMAGE_PROBE_H
#define CRABBOX_IMAGE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum kernel_format { KERNEL_ELF_X86_64, KERNEL_ARM64_IMAGE };

/* What boots on the machine that this program was built for. */
#if defined(__aarch64__)
#define KERNEL_OF_HOST KERNEL_ARM64_IMAGE
#define HOST_ARCH      "aarch64"
#else
#define KERNEL_OF_HOST KERNEL_ELF_X86_64
#define HOST_ARCH      "x86-64"
#endif

struct kernel_info {
    enum kernel_format format;
    bool pvh; /* an ELF note has the PVH entry, which QEMU's -kernel needs */
};

struct rootfs_info {
    char type[16];       /* "ext4", "squashfs", "erofs", "xfs" or "btrfs" */
    uint64_t bytes;      /* size of the filesystem by its own superblock */
    bool needs_recovery; /* ext4 with a journal to replay: can't be mounted read-only */
};

/* Opens a path by the rules of sys/beneath.h: no link in a working tree is followed. ERR_ENV if it
 * is missing or we may not open it, else ERR_CONFIG, both with the errno; ERR_USAGE for such a
 * link. */
int probe_open_path(const char *path, const char *what, int flags, struct error *err);

/* Opens a file for reading, which has to be regular and not empty. A FIFO does not make it hang.
 * There are messages of their own for a directory, a device, a loop of symlinks, an empty file, and
 * a file that another user could replace (ERR_TRUST). `what` is "kernel", "root filesystem" and the
 * like; returns the descriptor and the size. */
int probe_open(const char *path, const char *what, int64_t *size, struct error *err);

int probe_kernel(int fd, const char *path, struct kernel_info *out, struct error *err);

/* `size` is the file's: a filesystem larger than its file was truncated. */
int probe_rootfs(int fd, const char *path, int64_t size, struct rootfs_info *out,
                 struct error *err);

#endif
