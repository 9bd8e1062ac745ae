/* cgroup.c: makes, checks and removes the control group of a lease.
 *
 * trees_open finds the hierarchies in the table of mounts: the one of version 2, and those of
 * version 1 that have one of our controllers. Every function then does the same in each of them:
 * cgroup_make makes the directories and writes the limits, cgroup_enter writes the pid to
 * cgroup.procs, cgroup_verify looks for the group in /proc/PID/cgroup, and cgroup_end kills the
 * processes and removes the directory.
 */
#include "sys/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/file.h"
#include "sys/mounts.h"
#include "sys/proc.h"

#define TREES_MAX  4 /* version 2, and three of version 1 */
#define VALUE_MAX  (1024 * 1024)
#define PERIOD_US  100000 /* over which processor time is counted */
#define REMOVE_TRY 2      /* ms between two tries to remove a group whose last process just ended */

enum { MEMORY = 1 << 0, PIDS = 1 << 1, CPU = 1 << 2, ALL = MEMORY | PIDS | CPU };
static const char *const controllers[] = {"memory", "pids", "cpu"};

/* A hierarchy. */
struct tree {
    int fd; /* owned; the root of the hierarchy, or of the part that we can see */
    bool v2;
    unsigned has; /* bits: which of the controllers above it has */
    dev_t dev;
};

struct trees {
    struct tree at[TREES_MAX];
    unsigned n;
};

#define TREES_INIT                                                                                 \
    {                                                                                              \
        .n = 0                                                                                     \
    }

static void trees_close(struct trees *all)
{
    for (unsigned i = 0; i < all->n; i++)
        CLOSE_FD(all->at[i].fd);
    all->n = 0;
}

/* The controllers in a list, as bits. */
static unsigned controllers_in(const char *text)
{
    unsigned has = 0;
    _cleanup_free_ char *copy = xstrdup(text);
    char *rest = copy;
    for (const char *word; (word = strsep(&rest, ", \n"));)
        for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
            if (str_eq(word, controllers[i]))
                has |= 1U << i;
    return has;
}

static unsigned controllers_of_file(int dirfd, const char *name)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    return file_read_at(dirfd, name, VALUE_MAX, &text, NULL) < 0 ? 0 : controllers_in(text.buf);
}

/* A mount may be hidden under a later one. */
static int add_tree(struct trees *all, const char *point, bool v2, const char *options,
                    struct error *err)
{
    struct statfs fs;
    struct stat st;
    _cleanup_close_ int fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
        return 0;
    if (fd < 0 || fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_ENV, errno, "look for control groups at %s", point);
    if (fs.f_type != (v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
        return 0;
    for (unsigned i = 0; i < all->n; i++)
        if (all->at[i].dev == st.st_dev)
            return 0;
    unsigned has = v2 ? controllers_of_file(fd, "cgroup.controllers") : controllers_in(options);
    if ((v2 || has) && all->n < TREES_MAX)
        all->at[all->n++] = (struct tree){
            .fd = TAKE_FD(fd), .v2 = v2, .has = has, .dev = st.st_dev};
    return 0;
}

static int trees_open(struct trees *all, struct error *err)
{
    _cleanup_strbuf_ struct strbuf table = STRBUF_INIT;
    if (mounts_read(&table, err) < 0)
        return -1;
    char *rest = table.buf, *point, *type, *options;
    while (mounts_next(&rest, &point, &type, &options))
        if ((str_eq(type, "cgroup2") || str_eq(type, "cgroup")) &&
            add_tree(all, point, str_eq(type, "cgroup2"), options, err) < 0)
            return -1;
    return 0;
}

const char *cgroup_name_check(const char *name)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    if (strlen(name) >= CGROUP_NAME_SIZE)
        return "too long";
    for (const char *at = name;; at++) {
        size_t n = strspn(at, letters);
        if (n == 0 || *at == '.')
            return "not like crabbox-fc or machines.slice/leases";
        at += n;
        if (!*at)
            return NULL;
        if (*at != '/')
            return "not like crabbox-fc or machines.slice/leases";
    }
}

static void add_words(struct strbuf *to, const char *words)
{
    strbuf_addf(to, "%s%s", to->len ? "; " : "", words);
}

/* Reports something that the host can't give: an error, or a text in `lacks` if the caller accepts
 * that. `has`: the limits that are missing because of it. */
static int lack(struct strbuf *lacks, unsigned has, int sys, struct error *err, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));
static int lack(struct strbuf *lacks, unsigned has, int sys, struct error *err, const char *fmt,
                ...)
{
    va_list ap;
    _cleanup_strbuf_ struct strbuf what = STRBUF_INIT;
    va_start(ap, fmt);
    _cleanup_free_ char *why = xvasprintf(fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
        if (has & 1U << i)
            strbuf_addf(&what, "%s%s", what.len ? ", " : "", controllers[i]);
    _cleanup_free_ char *text = xasprintf("no control group%s%s: %s%s%s", what.len ? " for " : "",
                                          what.buf, why, sys ? ": " : "", sys ? strerror(sys) : "");
    if (!lacks)
        return error_set(err, ERR_ENV, 0,
                         "%s; next: give this host control groups with memory, pids and cpu, or "
                         "accept a lease without what it lacks by --isolation degraded",
                         text);
    add_words(lacks, text);
    return 0;
}

/* ---- making ---- */

/* Writes the value by one call, as the kernel requires. */
static int write_value(int dirfd, const char *file, const char *value)
{
    _cleanup_close_ int fd = openat(dirfd, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 || write(fd, value, strlen(value)) < 0 ? -1 : 0;
}

/* In version 2, a directory has to switch controllers on for the groups in it. They are written one
 * at a time, because the kernel accepts a whole line or nothing of it. */
static int enable(int dirfd, unsigned has)
{
    unsigned on = controllers_of_file(dirfd, "cgroup.subtree_control");
    for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
        char word[16];
        (void)str_format(word, sizeof word, "+%s", controllers[i]);
        if (has & ~on & 1U << i && write_value(dirfd, "cgroup.subtree_control", word) < 0)
            return -1;
    }
    return 0;
}

/* Makes the directory of a group and all directories above it. -1 with errno. */
static int make_directory(const struct tree *t, const char *name)
{
    _cleanup_free_ char *copy = xstrdup(name);
    char *rest = copy;
    int at = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);
    for (const char *word; at >= 0 && (word = strsep(&rest, "/"));) {
        _cleanup_close_ int above = at;
        at = -1;
        if ((t->v2 && enable(above, t->has) < 0) ||
            (mkdirat(above, word, 0755) < 0 && (errno != EEXIST || !rest)))
            break;
        at = openat(above, word, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    }
    return at;
}

enum value { NOTHING, ONE, BYTES, TASKS, QUOTA };

static const struct setting {
    unsigned controller;
    bool v2;
    bool optional; /* a kernel without that feature does not have this file */
    const char *file;
    enum value value;
} settings[] = {
    {MEMORY, true, false, "memory.max", BYTES},
    {MEMORY, true, true, "memory.swap.max", NOTHING},
    {MEMORY, true, true, "memory.oom.group", ONE},
    {PIDS, true, false, "pids.max", TASKS},
    {CPU, true, false, "cpu.max", QUOTA},
    {MEMORY, false, false, "memory.limit_in_bytes", BYTES},
    {MEMORY, false, true, "memory.memsw.limit_in_bytes", BYTES},
    {MEMORY, false, true, "memory.swappiness", NOTHING},
    {PIDS, false, false, "pids.max", TASKS},
    {CPU, false, false, "cpu.cfs_quota_us", QUOTA},
};

static void format_value(const struct setting *s, const struct cgroup_limits *l, char out[48])
{
    uint64_t quota = l->cpu_percent * PERIOD_US / 100;
    switch (s->value) {
    case NOTHING:
    case ONE:
        (void)str_copy(out, 48, s->value == ONE ? "1" : "0");
        break;
    case BYTES:
    case TASKS:
        (void)str_format(out, 48, "%" PRIu64, s->value == BYTES ? l->memory : l->tasks);
        break;
    case QUOTA:
        if (!quota)
            (void)str_copy(out, 48, s->v2 ? "max" : "-1");
        else
            (void)str_format(out, 48, s->v2 ? "%" PRIu64 " 100000" : "%" PRIu64, quota);
        break;
    }
}

static int set_limits(const struct tree *t, int dirfd, const struct cgroup_limits *l,
                      struct strbuf *lacks, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        const struct setting *s = &settings[i];
        char value[48];
        if (s->v2 != t->v2 || !(s->controller & t->has))
            continue;
        format_value(s, l, value);
        if (write_value(dirfd, s->file, value) < 0 && !(s->optional && errno == ENOENT) &&
            lack(lacks, s->controller, errno, err, "set %s", s->file) < 0)
            return -1;
    }
    return 0;
}

static int make_in(const struct tree *t, const char *name, const struct cgroup_limits *limits,
                   struct strbuf *lacks, struct error *err)
{
    _cleanup_close_ int dirfd = make_directory(t, name);
    if (dirfd >= 0)
        return set_limits(t, dirfd, limits, lacks, err);
    if (errno == EEXIST)
        return error_set(err, ERR_STATE, EEXIST, "there is a control group %s already", name);
    int sys = errno;
    _cleanup_free_ char *root = fd_path(t->fd);
    return lack(lacks, t->has, sys, err, "make %s in %s", name, root ? root : "its hierarchy");
}

static int lack_absent(const struct trees *all, struct strbuf *lacks, struct error *err)
{
    unsigned absent = ALL;
    for (unsigned i = 0; i < all->n; i++)
        absent &= ~all->at[i].has;
    if (!absent)
        return 0;
    return lack(lacks, absent, 0, err,
                all->n ? "the kernel or the host's manager doesn't offer it here"
                       : "no cgroup filesystem is mounted");
}

int cgroup_make(const char *name, const struct cgroup_limits *limits, struct strbuf *lacks,
                struct error *err)
{
    _cleanup_(trees_close) struct trees all = TREES_INIT;
    if (trees_open(&all, err) < 0 || lack_absent(&all, lacks, err) < 0)
        return -1;
    for (unsigned i = 0; i < all.n; i++)
        if (make_in(&all.at[i], name, limits, lacks, err) < 0)
            return -1;
    return 0;
}

/* ---- checking in advance ---- */

/* Whether the kernel would refuse to switch controllers on. It does in a directory below the root
 * that has processes of its own, as in a container. */
static bool is_occupied(int dirfd)
{
    _cleanup_strbuf_ struct strbuf procs = STRBUF_INIT;
    return faccessat(dirfd, "cgroup.type", F_OK, 0) == 0 &&
           file_read_at(dirfd, "cgroup.procs", VALUE_MAX, &procs, NULL) == 0 && procs.len > 0;
}

/* Why no group could be made in an existing directory: an errno, or 0 if it could. */
static int obstacle(const struct tree *t, int dirfd)
{
    if (faccessat(dirfd, ".", W_OK, AT_EACCESS) < 0)
        return errno;
    if (!t->v2 || !(t->has & ~controllers_of_file(dirfd, "cgroup.subtree_control")))
        return 0;
    if (faccessat(dirfd, "cgroup.subtree_control", W_OK, AT_EACCESS) < 0)
        return errno;
    return is_occupied(dirfd) ? EBUSY : 0;
}

static int look_in(const struct tree *t, const char *parent)
{
    _cleanup_free_ char *copy = xstrdup(parent);
    char *rest = copy;
    int sys = 0, at = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);
    while (at >= 0 && (sys = obstacle(t, at)) == 0) {
        _cleanup_close_ int above = at;
        const char *word = strsep(&rest, "/");
        at = word ? openat(above, word, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
    }
    if (at >= 0)
        (void)close(at);
    return sys;
}

int cgroup_look(const char *parent, struct strbuf *lacks, struct error *err)
{
    _cleanup_(trees_close) struct trees all = TREES_INIT;
    if (trees_open(&all, err) < 0 || lack_absent(&all, lacks, err) < 0)
        return -1;
    for (unsigned i = 0; i < all.n; i++) {
        const struct tree *t = &all.at[i];
        int sys = look_in(t, parent);
        _cleanup_free_ char *root = sys ? fd_path(t->fd) : NULL;
        if (sys && lack(lacks, t->has, sys, err, "make %s in %s", parent,
                        root ? root : "its hierarchy") < 0)
            return -1;
    }
    return 0;
}

/* ---- entering ---- */

/* Opens the directory of a group. -1 with errno. */
static int open_group(const struct tree *t, const char *name)
{
    return openat(t->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int cgroup_enter(const char *name, pid_t pid, struct error *err)
{
    char number[24];
    _cleanup_(trees_close) struct trees all = TREES_INIT;
    if (trees_open(&all, err) < 0)
        return -1;
    (void)str_format(number, sizeof number, "%d", (int)pid);
    for (unsigned i = 0; i < all.n; i++) {
        _cleanup_close_ int dirfd = open_group(&all.at[i], name);
        /* cgroup_verify judges whether it may be missing. */
        if (dirfd < 0 && errno == ENOENT)
            continue;
        if (dirfd < 0 || write_value(dirfd, "cgroup.procs", number) < 0)
            return error_set(err, ERR_ENV, errno, "put process %d into the control group %s",
                             (int)pid, name);
    }
    return 0;
}

/* Lines are "4:memory:/crabbox-fc/cbx_0123456789ab", in version 2 "0::/…". If we see only a part
 * of the hierarchy, the path has more in front. */
static bool line_is_in(char *line, const struct tree *t, const char *name)
{
    _cleanup_free_ char *end = xasprintf("/%s", name);
    (void)strsep(&line, ":");
    const char *list = strsep(&line, ":");
    bool same = list && (t->v2 ? !*list : (controllers_in(list) & t->has) != 0);
    return same && line && str_has_suffix(line, end);
}

static bool is_in(const char *text, const struct tree *t, const char *name)
{
    _cleanup_free_ char *copy = xstrdup(text);
    char *rest = copy;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (line_is_in(line, t, name))
            return true;
    return false;
}

int cgroup_verify(const char *name, pid_t pid, bool partly, struct error *err)
{
    char path[64];
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_(trees_close) struct trees all = TREES_INIT;
    (void)str_format(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    if (file_read_at(AT_FDCWD, path, VALUE_MAX, &text, err) < 0 || trees_open(&all, err) < 0 ||
        (!partly && lack_absent(&all, NULL, err) < 0))
        return -1;
    for (unsigned i = 0; i < all.n; i++)
        if ((!partly || faccessat(all.at[i].fd, name, F_OK, 0) == 0) &&
            !is_in(text.buf, &all.at[i], name))
            return error_set(err, ERR_ENV, 0,
                             "the VMM is not confined as it should be: process %d is not in the "
                             "control group %s",
                             (int)pid, name);
    return 0;
}

/* ---- ending ---- */

/* Opens the first process in the group: a pidfd, or -1 with errno 0 if the group is empty. The
 * group is read again after the open, because the number may belong to another process by then. */
static int open_first(int dirfd)
{
    for (pid_t last = 0;;) {
        _cleanup_strbuf_ struct strbuf procs = STRBUF_INIT;
        _cleanup_close_ int fd = last ? (int)syscall(SYS_pidfd_open, last, 0) : -1;
        int sys = errno;
        if (file_read_at(dirfd, "cgroup.procs", VALUE_MAX, &procs, NULL) < 0)
            return -1;
        pid_t first = (pid_t)strtol(procs.buf, NULL, 10);
        if (first <= 0) {
            errno = 0;
            return -1;
        }
        if (first == last && fd >= 0)
            return TAKE_FD(fd);
        if (first == last && sys != ESRCH) {
            errno = sys;
            return -1;
        }
        last = first;
    }
}

/* Kills all processes at once if the kernel can do that (version 2 since 5.14). Otherwise it only
 * keeps them from starting new ones, and they are killed one after the other. */
static void kill_at_once(const struct trees *all, const char *name)
{
    for (unsigned i = 0; i < all->n; i++) {
        _cleanup_close_ int dirfd = open_group(&all->at[i], name);
        if (dirfd >= 0 && write_value(dirfd, "cgroup.kill", "1") < 0)
            (void)write_value(dirfd, "pids.max", "0");
    }
}

static int kill_each(int dirfd, const struct deadline *d, struct error *err)
{
    for (;;) {
        _cleanup_close_ int pidfd = open_first(dirfd);
        if (pidfd < 0)
            return errno == 0 ? 0 : error_set(err, ERR_IO, errno, "read cgroup.procs");
        if (pidfd_signal(pidfd, SIGKILL, err) < 0 || pidfd_wait(pidfd, d, err) < 0)
            return -1;
    }
}

/* The kernel may need a moment for the last process of a group. */
static int remove_directory(const struct tree *t, const char *name, const struct deadline *d,
                            struct error *err)
{
    while (unlinkat(t->fd, name, AT_REMOVEDIR) < 0) {
        int sys = errno;
        if (sys == ENOENT)
            return 0;
        if (sys != EBUSY || deadline_check(d, "a control group to become empty", err) < 0)
            return error_set(err, ERR_IO, sys, "remove the control group %s", name);
        (void)poll(NULL, 0, REMOVE_TRY);
    }
    return 0;
}

static int end_in(const struct tree *t, const char *name, const struct deadline *d,
                  struct error *err)
{
    _cleanup_close_ int dirfd = open_group(t, name);
    if (dirfd < 0)
        return errno == ENOENT ? 0 : error_set(err, ERR_IO, errno, "open control group %s", name);
    return kill_each(dirfd, d, err) < 0 ? error_prefix(err, "end the control group %s", name)
                                        : remove_directory(t, name, d, err);
}

int cgroup_end(const char *name, const struct deadline *d, struct error *err)
{
    _cleanup_(trees_close) struct trees all = TREES_INIT;
    if (trees_open(&all, err) < 0)
        return -1;
    kill_at_once(&all, name);
    for (unsigned i = 0; i < all.n; i++)
        if (end_in(&all.at[i], name, d, err) < 0)
            return -1;
    return 0;
}
