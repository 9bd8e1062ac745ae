/* beneath.h: the one way to open a path that a repository, a guest or an archive has chosen.
 *
 * The path is resolved below a directory that the user named or stands in, by the kernel
 * (openat2): no symlink is followed on the way nor as the last component, "..", absolute paths and
 * magic links of /proc lead nowhere. What is opened can therefore not lie outside.
 */
#ifndef CRABBOX_SYS_BENEATH_H
#define CRABBOX_SYS_BENEATH_H

#include <sys/types.h>

/* As openat(2), with O_CLOEXEC added. `dirfd` is borrowed; the result is the caller's. -1 with
 * errno: ELOOP (a symlink), EXDEV (out of the directory), ENOSYS (a kernel before 5.6), and those
 * of openat. */
int beneath_open(int dirfd, const char *path, int flags, mode_t mode);

#endif
