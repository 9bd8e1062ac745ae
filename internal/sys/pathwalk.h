/* pathwalk.h: the directories that a path leads through, one component at a time.
 *
 * Every symbolic link on the way is followed as the kernel would, but step by step: realpath(3)
 * tells only where a path ends, not what it leads through.
 *
 *     for (int more = pathwalk_start(&w, path); more > 0; more = pathwalk_next(&w, link))
 *         look at pathwalk_at(&w), which is a `link` or not
 */
#ifndef CRABBOX_SYS_PATHWALK_H
#define CRABBOX_SYS_PATHWALK_H

#include <limits.h>
#include <stdbool.h>

struct pathwalk {
    char at[PATH_MAX];  /* how far it came, through no link; "" is the root */
    char way[PATH_MAX]; /* what is left of it begins at `rest` */
    char *rest;
    unsigned links;
    bool looped; /* it ended at a link that the kernel would not follow either */
};

/* Begins at the root, before the first component; a relative path leads through the working
 * directory. 1, or -1 if the path is too long. */
int pathwalk_start(struct pathwalk *w, const char *path);

/* The path up to the last component that was taken: it may be missing, and it may be a link. */
const char *pathwalk_at(const struct pathwalk *w);
/* Nothing is left, unless that last component is a link. */
bool pathwalk_is_at_end(const struct pathwalk *w);

/* One component further, in what the link leads to if the last one was a `link`. 1, 0 at the end,
 * -1 if the path gets too long. */
int pathwalk_next(struct pathwalk *w, bool link);

/* Whether the absolute `path`, as it is written, is `root` or below it; "" has nothing below it. */
bool path_is_below(const char *path, const char *root);

#endif
