/* confine_verify.c: what a running process really may do, as the kernel reports it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/confine.h"
#include "sys/file.h"
#include "sys/jail.h"
#include "sys/spawn.h"

#define STATUS_VALUE    64 /* of a line: four numbers */
#define NO_CAPABILITIES "0000000000000000"

/* The value of a line "Name:\tvalue" of a status file; "" if there is none. */
static void status_value(const char *text, const char *name, char out[static STATUS_VALUE])
{
    char line[40];
    out[0] = '\0';
    (void)str_format(line, sizeof line, "\n%s:\t", name);
    const char *at = strstr(text, line);
    if (at)
        (void)snprintf(out, STATUS_VALUE, "%.*s", (int)strcspn(at + strlen(line), "\n"),
                       at + strlen(line));
}

static int refuse(pid_t pid, const char *what, const char *is, const char *want, struct error *err)
{
    return error_set(err, ERR_ENV, 0,
                     "the VMM is not confined as it should be: process %d has %s %s, not %s",
                     (int)pid, what, *is ? is : "(none)", want);
}

static int verify_line(pid_t pid, const char *text, const char *name, const char *want,
                       struct error *err)
{
    char value[STATUS_VALUE];
    status_value(text, name, value);
    return str_eq(value, want) ? 0 : refuse(pid, name, value, want, err);
}

/* All four of each: real, effective, saved, and that for files. */
static int verify_user(pid_t pid, const char *text, const struct caller *user, bool keeps_groups,
                       struct error *err)
{
    char uids[STATUS_VALUE], gids[STATUS_VALUE];
    unsigned u = (unsigned)user->uid, g = (unsigned)user->gid;
    (void)str_format(uids, sizeof uids, "%u\t%u\t%u\t%u", u, u, u, u);
    (void)str_format(gids, sizeof gids, "%u\t%u\t%u\t%u", g, g, g, g);
    if (verify_line(pid, text, "Uid", uids, err) < 0 ||
        verify_line(pid, text, "Gid", gids, err) < 0)
        return -1;
    return keeps_groups ? 0 : verify_line(pid, text, "Groups", " ", err);
}

/* Root of the host, or of the user namespace in which it was started. */
static bool by_root(const struct spawn_spec *spec)
{
    return geteuid() == 0 || spec->userns_fd >= 0;
}

/* A namespace or the root directory of a process: which it is, not where. */
static int look_at(pid_t pid, const char *name, struct stat *st, struct error *err)
{
    char path[64];
    (void)str_format(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return stat(path, st) < 0 ? error_set(err, ERR_ENV, errno, "look at %s", path) : 0;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int verify_apart(pid_t pid, const char *name, struct error *err)
{
    struct stat its, ours;
    if (look_at(pid, name, &its, err) < 0 || look_at(getpid(), name, &ours, err) < 0)
        return -1;
    return is_same(&its, &ours) ? refuse(pid, name, "of ours", "its own", err) : 0;
}

static int verify_place(pid_t pid, const char *name, int fd, struct error *err)
{
    struct stat its, wanted;
    if (look_at(pid, name, &its, err) < 0)
        return -1;
    if (fstat(fd, &wanted) < 0)
        return error_set(err, ERR_ENV, errno, "look at what %s should be", name);
    return is_same(&its, &wanted) ? 0 : refuse(pid, name, "of another", "that of its lease", err);
}

static int verify_places(pid_t pid, const struct spawn_spec *spec, struct error *err)
{
    static const char *const apart[] = {"ns/mnt", "ns/ipc", "ns/uts"};
    if (by_root(spec) && verify_apart(pid, "ns/pid", err) < 0)
        return -1;
    if (spec->userns_fd >= 0 && verify_place(pid, "ns/user", spec->userns_fd, err) < 0)
        return -1;
    for (size_t i = 0; spec->jail && i < ARRAY_LEN(apart); i++)
        if (verify_apart(pid, apart[i], err) < 0)
            return -1;
    if (spec->jail && verify_place(pid, "root", spec->jail->root_fd, err) < 0)
        return -1;
    return spec->netns_fd >= 0 ? verify_place(pid, "ns/net", spec->netns_fd, err) : 0;
}

static int read_status(pid_t pid, struct strbuf *text, struct error *err)
{
    char path[64];
    (void)str_format(path, sizeof path, "/proc/%d/status", (int)pid);
    return file_read_at(AT_FDCWD, path, 64 * 1024, text, err);
}

static int verify_powerless(pid_t pid, const char *text, struct error *err)
{
    static const char *const lines[][2] = {{"CapInh", NO_CAPABILITIES},
                                           {"CapPrm", NO_CAPABILITIES},
                                           {"CapEff", NO_CAPABILITIES},
                                           {"CapAmb", NO_CAPABILITIES},
                                           {"NoNewPrivs", "1"}};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (verify_line(pid, text, lines[i][0], lines[i][1], err) < 0)
            return -1;
    return 0;
}

int confine_verify(pid_t pid, const struct spawn_spec *spec, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (read_status(pid, &text, err) < 0 || verify_powerless(pid, text.buf, err) < 0 ||
        verify_line(pid, text.buf, "Seccomp", "2", err) < 0)
        return -1;
    /* Only root can empty that set. */
    if (by_root(spec) && verify_line(pid, text.buf, "CapBnd", NO_CAPABILITIES, err) < 0)
        return -1;
    if (spec->user && verify_user(pid, text.buf, spec->user, spec->userns_fd >= 0, err) < 0)
        return -1;
    return verify_places(pid, spec, err);
}

int confine_verify_user(pid_t pid, uid_t uid, struct error *err)
{
    const struct caller user = {uid, uid};
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (read_status(pid, &text, err) < 0 || verify_powerless(pid, text.buf, err) < 0)
        return -1;
    return verify_user(pid, text.buf, &user, false, err);
}

int confine_filters(pid_t pid, struct error *err)
{
    char value[STATUS_VALUE];
    uint64_t n = 0;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (read_status(pid, &text, err) < 0)
        return -1;
    status_value(text.buf, "Seccomp_filters", value);
    return str_to_u64(value, &n) < 0 || n > INT_MAX
               ? refuse(pid, "Seccomp_filters", value, "a number", err)
               : (int)n;
}
