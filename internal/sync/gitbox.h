/* gitbox.h: git at work on the objects of a repository that may be a stranger's.
 *
 * git trusts whoever made a repository, and parts of it are written in C without that care. So it
 * runs here as a VMM does (sys/confine.h): it reads the objects, a directory of ours and the host's
 * programs, writes nothing but its output, connects nowhere and starts nothing. As root it runs as
 * the user to whom the objects belong, without that user's groups.
 */
#ifndef CRABBOX_SYNC_GITBOX_H
#define CRABBOX_SYNC_GITBOX_H

#include <limits.h>

#include "sys/caller.h"
#include "sys/deadline.h"
#include "sys/spawn.h"

struct gitbox {
    char git[PATH_MAX];
    int work_fd, objects_fd; /* borrowed: its GIT_DIR, and where its objects are */
    int confine_fd;          /* owned */
    struct caller owner;     /* of the objects, */
    const struct caller *as; /* whom git runs as; NULL: us */
    const struct deadline *d;
};

struct gitbox_work {
    struct child c;
    const char *what; /* borrowed */
    int said_fd;      /* owned: its messages */
    int code;         /* of its exit, once it was finished; -1: it was killed */
};
#define GITBOX_WORK_INIT                                                                           \
    {                                                                                              \
        CHILD_INIT, NULL, -1, -1                                                                   \
    }

enum { GITBOX_LIST_MAX = 512 * 1024 * 1024 }; /* bytes that it may write to a file */

/* `tree`: no program is taken from there; NULL for none. ERR_ENV without git or without Landlock.
 * The three descriptors and the deadline must outlive the box. */
int gitbox_open(struct gitbox *b, int work_fd, int objects_fd, const char *tree,
                const struct deadline *d, struct error *err);
void gitbox_close(struct gitbox *b);

/* Runs git with these arguments, of which the first is its command, and appends what it prints to
 * out_fd. ERR_SYNC with git's message if it fails. */
int gitbox_run(const struct gitbox *b, const char *const *args, int out_fd, struct error *err);

/* The same in two halves, for what is printed to a pipe. _cleanup_(gitbox_end) ends one that is
 * still at work. */
int gitbox_start(const struct gitbox *b, const char *const *args, int stdin_fd, int out_fd,
                 struct gitbox_work *w, struct error *err);
int gitbox_finish(const struct gitbox *b, struct gitbox_work *w, struct error *err);
void gitbox_end(struct gitbox_work *w);
/* Names a time-out after what git did. Returns -1. */
int gitbox_failed(const char *what, struct error *err);

#endif
