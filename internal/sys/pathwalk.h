/* pathwalk.h: follows a path one component at a time, through all its directories and links.
 *
 * Every symbolic link is followed as the kernel would do it, but step by step. realpath(3) shows
 * only where a path ends, not what it leads through.
 *
 *     for (int more = pathwalk_start(&w, path); more > 0; more = pathwalk_next(&w, link))
 *         look at pathwalk_at(&w), which is a `link` or not
 */
#ifndef CRABBOX_SYS_PATHWALK_H
#define CRABBOX_SYS_PATHWALK_H

#include <limits.h>
#include <stdbool.h>

struct pathwalk {
    char at[PATH_MAX];  /* the path so far, without links; "" is the root */
    char way[PATH_MAX]; /* the rest of the path begins at `rest` */
    char *rest;
    unsigned links;
    bool looped; /* it ended at a link that the kernel would not follow */
};

/* Begins at the root, before the first component; a relative path leads through the working
 * directory. 1, or -1 if the path is too long. */
int pathwalk_start(struct pathwalk *w, const char *path);

/* The path up to the last component that was taken, which may be missing or a link. */
const char *pathwalk_at(const struct pathwalk *w);
/* Whether nothing is left. If the last component is a link, its target still comes. */
bool pathwalk_is_at_end(const struct pathwalk *w);

/* Takes one more component. If the last one was a `link`, it is followed first. 1, 0 at the end, -1
 * if the path gets too long. */
int pathwalk_next(struct pathwalk *w, bool link);

/* Whether the absolute `path`, as it is written, is `root` or below it; "" has nothing below it. */
bool path_is_below(const char *path, const char *root);

#endif
