/* badreaddir.h: a directory that can't be read to its end, or where a file is found by a name that
 * the directory does not list, as on filesystems with short names. For one file of a test program:
 * it has a readdir of its own, which the program gets instead of libc's.
 *
 *   readdir_good = N;   the (N+1)-th entry is EIO, and so is every later one
 *   readdir_good = -1;  as it should be
 *   readdir_hides = S;  no entry whose name begins with S is listed; NULL: all are
 */
#ifndef CRABBOX_TESTUTIL_BADREADDIR_H
#define CRABBOX_TESTUTIL_BADREADDIR_H

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

static int readdir_good = -1;
static const char *readdir_hides;

struct dirent *readdir(DIR *d)
{
    struct dirent *(*real)(DIR *);
    void *symbol = dlsym(RTLD_NEXT, "readdir64");
    if (readdir_good == 0) {
        errno = EIO;
        return NULL;
    }
    readdir_good -= readdir_good > 0;
    memcpy(&real, &symbol, sizeof real);
    struct dirent *e = real(d);
    while (e && readdir_hides && strncmp(e->d_name, readdir_hides, strlen(readdir_hides)) == 0)
        e = real(d);
    return e;
}

#endif
