/* fenced.h: parts of the program that take apart what a guest sends, in processes without rights.
 *
 *   FENCED_PART(untar_part, {"fenced-tar", function})   in the file of the part
 *   fenced_start → messages of the caller's own → fenced_end, or fenced_failed
 *
 * A flaw in a parser must not gain a guest the rights of the program, which may be root. So what
 * parses is our own program, started anew (/proc/self/exe) with the part's name as its argument. It
 * has nothing of our environment and memory. It gives up all rights by fenced_settle, before it
 * reads a byte. Any program that is linked with the part can be started as such, tests included.
 *
 * What a part answers is as little to be trusted as what the guest sends. It may never end by
 * itself, so the caller watches it as it would watch the guest.
 */
#ifndef CRABBOX_SYS_FENCED_H
#define CRABBOX_SYS_FENCED_H

#include "sys/spawn.h"

/* `main` runs in place of the program's own, with the two descriptors of fenced_start as 0 and 1;
 * its end is the end of the process. It loads what it needs, and then calls fenced_settle. */
struct fenced_part {
    const char *name;
    void (*main)(void);
};
/* Defines `part`. Whoever starts it is linked with it, and so can be started as it. */
#define FENCED_PART(part, ...)                                                                     \
    const struct fenced_part part = __VA_ARGS__;                                                   \
    __attribute__((constructor)) static void fenced_part_(int argc, char **argv)                   \
    {                                                                                              \
        fenced_begin(argc, argv, &(part));                                                         \
    }
void fenced_begin(int argc, char **argv, const struct fenced_part *part);
/* confine_self; ends the process if that fails. */
void fenced_settle(void);

int fenced_start(const struct fenced_part *part, int in_fd, int out_fd, struct child *out,
                 struct error *err);

/* Waits a moment for its end, which the caller has told it of (by closing a descriptor). One that
 * goes on is killed. pid 0 is fine. */
void fenced_end(struct child *c);

/* Ends one that does not do its work. ERR_SSH: "the process that <does> <what it did wrong>", and
 * how it ended, if it did by itself. */
int fenced_failed(struct child *c, const char *does, const char *wrong, struct error *err);

#endif
