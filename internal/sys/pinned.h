/* pinned.h: checks that a file has exactly the content that a SHA-256 pins.
 *
 *   pinned_check     before the file is used: hashes it, or recalls a hash from earlier
 *   pinned_unchanged afterwards: checks that the used file is the checked one
 *
 * A hash is remembered for a file's device, inode, size and times of change in a directory of ours
 * (the cache); any write, and any rename of another file over it, makes it unknown again. A file
 * that changed within the last seconds is never remembered: a second change might leave the same
 * times. Without a pin nothing is hashed, but that the file stays the same is still checked.
 */
#ifndef CRABBOX_SYS_PINNED_H
#define CRABBOX_SYS_PINNED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "sys/deadline.h"
#include "sys/hash.h"

struct file_id {
    uint64_t dev, ino;
    int64_t size, mtime_ns, ctime_ns;
};

struct pinned {
    const char *what;             /* "kernel": for messages; static */
    char sha256[SHA256_HEX_SIZE]; /* lower-case hex; "": no pin */
    struct file_id id;            /* of the file that pinned_check saw */
};

/* How long a file must have been unchanged before its hash is remembered; tests shorten it. */
extern int64_t pinned_settled_ns;

/* ERR_CONFIG with both hashes if the file has another hash; ERR_IO if it can't be read, or changes
 * meanwhile; ERR_TRUST if another user may write it. `fd` is the open file and `path` its name in
 * messages. `cache_fd` -1: nothing is remembered. */
int pinned_check(struct pinned *p, int fd, const char *path, int cache_fd, const struct deadline *d,
                 struct error *err);

/* The result of pinned_check as far as it is known without reading the file, with its message for a
 * wrong file. Writes nothing. */
enum pinned_state { PINNED_NONE, PINNED_GOOD, PINNED_UNKNOWN, PINNED_WRONG };
enum pinned_state pinned_look(const struct pinned *p, const char *path, int cache_fd,
                              struct error *err);

/* Checks that `fd` is the same file that was checked before, and has not changed. ERR_CONFIG if
 * not. */
int pinned_unchanged(const struct pinned *p, int fd, const char *path, struct error *err);

#endif
