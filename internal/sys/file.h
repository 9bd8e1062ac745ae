/* file.h: reads files up to a limit, writes them atomically, and checks that directories are ours.
 *
 * Functions take a directory descriptor and a relative name wherever a path could be
 * swapped under us; AT_FDCWD with an absolute path is fine for the rest.
 */
#ifndef CRABBOX_SYS_FILE_H
#define CRABBOX_SYS_FILE_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"
#include "sys/deadline.h"

/* The current absolute path of an open file or directory; owned. NULL with errno; ENOENT if it
 * can't be reached from the root. */
char *fd_path(int fd);

/* Opens the file of *fd again with `flags` and replaces the descriptor. Use it for a file that may
 * be a device: open it with O_PATH, look at it, and then call this. Opening a device can have an
 * effect, and an archive that root unpacked can contain one. It never waits: EAGAIN if a process
 * holds a lease on the file. 0, or -1 with errno. */
int fd_reopen(int *fd, int flags);

/* Reads a regular file of at most `max` bytes (ERR_IO beyond). Follows no final symlink. */
int file_read_at(int dirfd, const char *name, size_t max, struct strbuf *out, struct error *err);
/* The same from an open descriptor, from its current offset (pipes and sockets too). */
int fd_read_all(int fd, size_t max, const char *what, struct strbuf *out, struct error *err);
/* The same for data that somebody has yet to write. Ends at the deadline or if the user interrupts.
 */
int fd_read_all_by(int fd, size_t max, const char *what, const struct deadline *d,
                   struct strbuf *out, struct error *err);

/* Opens a regular file to read and write; with `create` it is made (0600) if it is missing.
 * Anything else is only looked at, because opening a device can have an effect. ERR_NOT_FOUND,
 * ERR_IO. */
int file_open_at(int dirfd, const char *name, bool create, struct error *err);

/* Writes all bytes; handles short writes and EINTR. */
int fd_write_all(int fd, const void *data, size_t len, const char *what, struct error *err);

/* Replaces `name` in one step: new temporary file, write, fsync, rename, fsync directory.
 * A reader sees the old content or the new, also after a crash. */
int file_write_atomic(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
                      struct error *err);
/* The same without fsync, for files that can be made again (a lease's ssh_config). */
int file_write_new(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
                   struct error *err);

/* Whether the filesystem (btrfs) keeps a whole extent as long as one block of it is used. Blocks
 * that were overwritten or punched out then still take space, which no file's st_blocks shows. If
 * there is another filesystem above it (overlayfs), this works only for a file that went through
 * file_in_place. */
bool file_keeps_extents(int fd);
/* On such a filesystem, makes a new and still empty file be overwritten in place. This has no
 * effect on punching holes. */
int file_in_place(int fd, const char *name, struct error *err);

/* mkdir -p with the given mode for what is new. In the sudo caller's home, new directories belong
 * to that user, and so do files that the functions above make there (caller.h). */
int dir_make_all(const char *path, mode_t mode, struct error *err);
/* Checks that HOME is an existing directory. If it is missing, nothing may be made below it,
 * because that would make directories in some place near the root. ERR_CONFIG. */
int dir_check_home(const char *home, struct error *err);
/* Opens a directory and checks that it is owned by us and closed to others (mode 0700 set
 * where we just made it). Returns a descriptor. */
int dir_open_private(const char *path, struct error *err);
/* That check alone; ERR_CONFIG. */
int dir_check_private(const struct stat *st, const char *path, struct error *err);

/* Opens the directory again for reading, so that the offset of `dirfd` does not change. NULL with
 * errno. */
DIR *dir_reopen(int dirfd);
/* The next entry, including "." and "..". NULL with errno 0 at the end, or with another errno if
 * the rest of the directory can't be read. */
struct dirent *dir_next(DIR *d);

#define DIR_REMOVE_DEPTH 128 /* levels of directories that can be removed */

/* Removes `name` below dirfd with all its content; never follows a symlink, never crosses to
 * another filesystem. Absent is a success. */
int dir_remove_tree(int dirfd, const char *name, struct error *err);

/* Unlinks; absent is a success. */
int file_unlink(int dirfd, const char *name, struct error *err);
/* Empties the file and unlinks it, so that its blocks are freed even if a process still has it
 * open. A link, a file that is not regular, and a file with other names are only unlinked. */
int file_discard(int dirfd, const char *name, struct error *err);

int dir_sync(int dirfd, const char *what, struct error *err);

/* Closes the descriptor in a thread of its own and sets it to -1. For descriptors whose close takes
 * 10 ms or more because the kernel waits for all processors (inotify with a watch, packet sockets).
 * Closes it directly if no thread can be started. */
void fd_close_aside(int *fd);

#endif
