#include "ops/wholehome.h"

#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/caller.h"

enum { NSS_SIZE = 16384 };

/* 0: neither; 1: it is the directory; 2: it holds it. */
static int covers(const char *root, const char *dir)
{
    _cleanup_free_ char *real = dir && *dir == '/' ? realpath(dir, NULL) : NULL;
    size_t n = strlen(root);
    if (!real || str_eq(real, "/"))
        return 0;
    if (str_eq(real, root))
        return 1;
    return str_has_prefix(real, root) && real[n] == '/' ? 2 : 0;
}

static int covers_home_of(const char *root, uid_t uid)
{
    struct passwd user, *u = NULL;
    char buf[NSS_SIZE];
    return getpwuid_r(uid, &user, buf, sizeof buf, &u) == 0 && u ? covers(root, u->pw_dir) : 0;
}

int whole_home_check(const char *root, bool meant, struct error *err)
{
    struct caller c;
    if (meant)
        return 0;
    int n = covers_home_of(root, geteuid());
    if (!n && caller_get(&c))
        n = covers_home_of(root, c.uid);
    /* One that was set may lie in a tree, as it does in many a container of a CI. */
    if (!n && covers(root, getenv("HOME")) == 1)
        n = 1;
    if (!n && !str_eq(root, "/"))
        return 0;
    const char *top = str_eq(root, "/") ? "" : root;
    _cleanup_free_ char *git = xasprintf("%s/.git", top);
    _cleanup_free_ char *remove = xasprintf("remove %s if you did not put it there, or ", git);
    const char *which = n == 1 ? "your home directory" : "what holds your home directory";
    return error_set(err, ERR_USAGE, 0,
                     "the working tree here is %s, %s, and all of it would be copied; next: %scd "
                     "into a working tree, or --no-sync, or --dir %s if you mean it",
                     root, *top ? which : "the whole host", access(git, F_OK) == 0 ? remove : "",
                     root);
}
