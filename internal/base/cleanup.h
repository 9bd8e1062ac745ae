/* cleanup.h: process-local resources that release themselves at the end of a scope.
 *
 *     _cleanup_close_ int fd = open(...);
 *     _cleanup_free_ char *text = strdup(...);
 *
 * TAKE_FD and TAKE_PTR hand the resource on and disarm the variable. Things
 * that the host can see (links, files that outlive the process) are never
 * released this way: they go through the journal (plan/plan.h).
 */
#ifndef CRABBOX_BASE_CLEANUP_H
#define CRABBOX_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}

/* Close is never retried: on Linux the descriptor is gone even after EINTR. */
static inline void cleanup_close(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static inline void cleanup_fclose(FILE **f)
{
    if (*f)
        (void)fclose(*f);
}

static inline void cleanup_closedir(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

#define _cleanup_(f)       __attribute__((cleanup(f)))
#define _cleanup_free_     _cleanup_(cleanup_free)
#define _cleanup_close_    _cleanup_(cleanup_close)
#define _cleanup_fclose_   _cleanup_(cleanup_fclose)
#define _cleanup_closedir_ _cleanup_(cleanup_closedir)

#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) taken_ptr_ = (p);                                                            \
        (p) = NULL;                                                                                \
        taken_ptr_;                                                                                \
    })

#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int taken_fd_ = (fd);                                                                      \
        (fd) = -1;                                                                                 \
        taken_fd_;                                                                                 \
    })

/* Closes now and disarms. */
#define CLOSE_FD(fd)                                                                               \
    do {                                                                                           \
        if ((fd) >= 0)                                                                             \
            (void)close(fd);                                                                       \
        (fd) = -1;                                                                                 \
    } while (0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
