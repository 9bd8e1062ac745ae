#include "vmm/logcap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "vmm/vmm.h"

#define BLOCK 512              /* of st_blocks */
#define HOLE  ((off_t)1 << 16) /* a multiple of every filesystem's block */

static bool is_small(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return true;
    /* The size counts as well as the space, because writing through a mapping causes no event. */
    return (int64_t)st->st_blocks * BLOCK <= LOGCAP_MAX && st->st_size <= LOGCAP_SPAN;
}

/* Removes everything before `end` from the file, except a hole that shows that something is
 * missing. */
static int shorten(int fd, off_t end, const char *name, struct error *err)
{
    struct stat st;
    if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, HOLE, end - HOLE) == 0 &&
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HOLE) == 0)
        return 1;
    /* Another process has shortened it meanwhile, so the range no longer existed. */
    if (fstat(fd, &st) == 0 && is_small(&st))
        return 0;
    if (ftruncate(fd, 0) < 0)
        return error_set(err, ERR_IO, errno, "empty %s", name);
    return 1;
}

int logcap_apply(int dirfd, const char *name, struct error *err)
{
    struct stat st;
    _cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "look at %s", name);
    if (is_small(&st))
        return 0;
    off_t end = st.st_size - LOGCAP_KEPT;
    if (st.st_size > LOGCAP_SPAN)
        return shorten(fd, end / HOLE * HOLE, name, err);
    if (end > 0 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, end) == 0)
        return 1;
    if (ftruncate(fd, 0) < 0)
        return error_set(err, ERR_IO, errno, "empty %s", name);
    return 1;
}

bool logcap_apply_all(int dirfd)
{
    static const char *const logs[] = {VMM_CONSOLE_LOG, VMM_LOG};
    bool looked = true;
    for (size_t i = 0; i < ARRAY_LEN(logs); i++) {
        struct error err = ERROR_INIT;
        if (logcap_apply(dirfd, logs[i], &err) < 0 && err.sys == EAGAIN)
            looked = false;
    }
    return looked;
}

off_t logcap_begin(int fd)
{
    struct stat st;
    off_t begin = lseek(fd, 0, SEEK_DATA);
    if (fstat(fd, &st) == 0 && st.st_size - LOGCAP_SPAN > begin)
        begin = st.st_size - LOGCAP_SPAN;
    return begin < 0 ? 0 : begin;
}
