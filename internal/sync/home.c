#include "sync/home.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sync/tree.h"
#include "sys/caller.h"
#include "sys/worktree.h"

static char *home_of_caller(void)
{
    struct caller c;
    return caller_get(&c) ? caller_home_of(c.uid) : NULL;
}

const char *home_by_env(void)
{
    struct worktree_tops tops;
    struct stat st;
    char link[PATH_MAX];
    const char *home = getenv("HOME");
    if (!home || worktree_tops(".", &tops) < 0)
        return home;
    _cleanup_free_ char *in = xasprintf("%s/.git", home);
    return worktree_look(in, &tops, &st, link) < 0 && *link ? NULL : home;
}

static bool holds(int dirfd, const char *home)
{
    struct stat st;
    if (!home || !*home || fstat(dirfd, &st) < 0)
        return false;
    const struct tree_id id = tree_id_of(&st);
    _cleanup_close_ int fd = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && tree_is_within(fd, &id) > 0;
}

bool home_is_within(int dirfd, bool by_env)
{
    _cleanup_free_ char *own = caller_home_of(geteuid());
    _cleanup_free_ char *callers = home_of_caller();
    struct stat st;
    /* Where root works for somebody, by su for example, the home is the owner's. */
    _cleanup_free_ char *owners = fstat(dirfd, &st) == 0 ? caller_home_of(st.st_uid) : NULL;
    return holds(dirfd, owners) || holds(dirfd, "/") || holds(dirfd, own) ||
           holds(dirfd, callers) || (by_env && holds(dirfd, home_by_env()));
}
