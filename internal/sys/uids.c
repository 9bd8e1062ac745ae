#include "sys/uids.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/subids.h"

#define UID_LOWEST  65536
#define UID_HIGHEST (UID_NOBODY - 1)
#define ENTRY_SIZE  16384 /* of a user's or group's entry */

int uid_range_parse(const char *text, struct uid_range *out, struct error *err)
{
    uint64_t first, last;
    _cleanup_free_ char *copy = xstrdup(text);
    char *rest = copy;
    const char *from = strsep(&rest, "-");
    if (!rest || str_to_u64(from, &first) < 0 || str_to_u64(rest, &last) < 0)
        return error_set(err, ERR_CONFIG, 0, "\"%.60s\" is not like 1900000000-1900065535", text);
    if (first > last || first < UID_LOWEST || last > UID_HIGHEST)
        return error_set(err, ERR_CONFIG, 0,
                         "%.60s: the ids must be %d to %d, and the first not above the last", text,
                         UID_LOWEST, UID_HIGHEST);
    *out = (struct uid_range){(uid_t)first, (uid_t)last};
    return 0;
}

static bool line_overlaps(char *line, const struct uid_range *r)
{
    uint64_t first, count;
    const char *user;
    return subids_parse(line, &user, &first, &count) && count > 0 && first <= r->last &&
           (first >= r->first || r->first - first < count);
}

static int check_subids(const char *path, const struct uid_range *r, struct error *err)
{
    unsigned number = 0;
    struct error e = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (file_read_at(AT_FDCWD, path, SUBIDS_FILE_MAX, &text, &e) < 0) {
        if (e.sys == ENOENT)
            return 0;
        *err = e;
        return -1;
    }
    char *rest = text.buf;
    for (char *line; (line = strsep(&rest, "\n"));) {
        number++;
        if (line_overlaps(line, r))
            return error_set(err, ERR_CONFIG, 0,
                             "the ids %u-%u overlap those of %s:%u, which belong to a user's "
                             "containers; next: set sandboxUids to ids that nobody has",
                             (unsigned)r->first, (unsigned)r->last, path, number);
    }
    return 0;
}

int uid_range_check(const struct uid_range *r, struct error *err)
{
    return check_subids(SUBIDS_UIDS, r, err) < 0 ? -1 : check_subids(SUBIDS_GIDS, r, err);
}

/* Whether the host knows a user or a group of that number. */
static bool is_known(uid_t id)
{
    struct passwd user, *u = NULL;
    struct group group, *g = NULL;
    _cleanup_free_ char *text = xcalloc(1, ENTRY_SIZE);
    /* ERANGE means that there is an entry, but it is too long for the buffer. */
    return getpwuid_r(id, &user, text, ENTRY_SIZE, &u) == ERANGE || u ||
           getgrgid_r(id, &group, text, ENTRY_SIZE, &g) == ERANGE || g;
}

/* Whether a process still runs with this id, such as a VMM that closed its file. It would share the
 * kernel's counts for one user (threads, watches of epoll, pages of pipes) with the next VMM that
 * gets the id. */
static bool is_running(uid_t id)
{
    errno = 0;
    return getpriority(PRIO_USER, id) != -1 || errno != ESRCH;
}

static int open_directory(const char *dir, struct error *err)
{
    return dir_make_all(dir, 0700, err) < 0 ? -1 : dir_open_private(dir, err);
}

/* Locks an id; -1 with ERR_BUSY if a VMM has it. */
static int lock_id(int dirfd, uid_t id, struct error *err)
{
    char name[24];
    (void)str_format(name, sizeof name, "%u", (unsigned)id);
    _cleanup_close_ int fd = openat(dirfd, name,
                                    O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open the lock of user id %s", name);
    if (syscall(SYS_flock, fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, errno == EWOULDBLOCK ? ERR_BUSY : ERR_IO, errno, "lock user id %s",
                         name);
    return TAKE_FD(fd);
}

int uid_claim(const struct uid_range *r, const char *dir, uid_t *out, struct error *err)
{
    _cleanup_close_ int dirfd = open_directory(dir, err);
    if (dirfd < 0)
        return -1;
    for (uint64_t id = r->first; id <= r->last; id++) {
        struct error e = ERROR_INIT;
        _cleanup_close_ int fd = lock_id(dirfd, (uid_t)id, &e);
        if (fd < 0 && e.kind != ERR_BUSY) {
            *err = e;
            return -1;
        }
        if (fd < 0 || is_running((uid_t)id) || is_known((uid_t)id))
            continue;
        *out = (uid_t)id;
        return TAKE_FD(fd);
    }
    return error_set(err, ERR_ENV, 0,
                     "no user id of %u-%u is free for the VMM; next: stop a lease (crabbox-fc "
                     "list), or set sandboxUids to a larger range",
                     (unsigned)r->first, (unsigned)r->last);
}
