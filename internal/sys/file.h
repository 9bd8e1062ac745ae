/* file.h: reading with a cap, writing atomically, directories that are really ours.
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

/* Where an open file or directory is now: its absolute path; owned. NULL with errno, ENOENT where
 * it can't be reached from the root. */
char *fd_path(int fd);

/* Opens what *fd stands for anew, with `flags`, and replaces it. What may be a device is opened
 * with O_PATH, looked at, and then so: a device can act when it is opened, and an archive that root
 * unpacked can hold one. Waits for nobody: EAGAIN where a process holds a lease on the file. 0, or
 * -1 with errno. */
int fd_reopen(int *fd, int flags);

/* Reads a regular file of at most `max` bytes (ERR_IO beyond). Follows no final symlink. */
int file_read_at(int dirfd, const char *name, size_t max, struct strbuf *out, struct error *err);
/* The same from an open descriptor, from its current offset (pipes and sockets too). */
int fd_read_all(int fd, size_t max, const char *what, struct strbuf *out, struct error *err);
/* The same for what somebody has to write first: ends at the deadline and when the user interrupts.
 */
int fd_read_all_by(int fd, size_t max, const char *what, const struct deadline *d,
                   struct strbuf *out, struct error *err);

/* Opens a regular file to read and write; with `create` it is made (0600) if it is missing.
 * Anything else there is only looked at: a device may act when it is opened. ERR_NOT_FOUND, ERR_IO.
 */
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

/* Whether the filesystem (btrfs) keeps all of an extent as long as one block of it is used. What
 * was overwritten or punched out then takes room that no file's st_blocks tell of. */
bool file_keeps_extents(int fd);
/* Has a new and still empty file overwritten in place on such a filesystem. Holes in it are not. */
int file_in_place(int fd, const char *name, struct error *err);

/* mkdir -p with the given mode for what is new. In the sudo caller's home it is that user's,
 * and so are files that the functions above make there (caller.h). */
int dir_make_all(const char *path, mode_t mode, struct error *err);
/* Whether HOME, as it is set, is a directory: below one that is missing nothing is made, as it
 * would be made somewhere at the root. ERR_CONFIG. */
int dir_check_home(const char *home, struct error *err);
/* Opens a directory and checks that it is owned by us and closed to others (mode 0700 set
 * where we just made it). Returns a descriptor. */
int dir_open_private(const char *path, struct error *err);
/* That check alone; ERR_CONFIG. */
int dir_check_private(const struct stat *st, const char *path, struct error *err);

/* A second description of the directory, so that reading it moves nobody's offset. NULL with errno.
 */
DIR *dir_reopen(int dirfd);
/* The next entry, "." and ".." too; NULL at the end with errno 0, and with its errno where the
 * directory can't be read on: what was read then is not all of it. */
struct dirent *dir_next(DIR *d);

#define DIR_REMOVE_DEPTH 128 /* directories in directories that can be removed */

/* Removes `name` below dirfd with all its content; never follows a symlink, never crosses to
 * another filesystem. Absent is a success. */
int dir_remove_tree(int dirfd, const char *name, struct error *err);

/* Unlinks; absent is a success. */
int file_unlink(int dirfd, const char *name, struct error *err);
/* Empties the file first, so that its blocks are free although a process still has it open. A link,
 * what is no regular file, and a file with other names are only unlinked. */
int file_discard(int dirfd, const char *name, struct error *err);

int dir_sync(int dirfd, const char *what, struct error *err);

/* Closes in a thread of its own and disarms: for descriptors whose close waits for all processors
 * to have noticed, 10 ms and more (inotify with a watch, packet sockets). Where no thread can be
 * had it closes at once. */
void fd_close_aside(int *fd);

#endif
