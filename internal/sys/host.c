#include "sys/host.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/file.h"

enum { KEPT_PART = 20 };

#define MIB        (INT64_C(1) << 20)
#define SMALL_FILE 65536

const struct host_paths host_paths_default = {"/proc", "/sys/fs/cgroup"};

static void lower(int64_t *value, int64_t limit)
{
    if (limit < *value)
        *value = limit < 0 ? 0 : limit;
}

static int read_file(const char *dir, const char *name, struct strbuf *out)
{
    char path[PATH_MAX];
    strbuf_reset(out);
    if (str_format(path, sizeof path, "%s/%s", dir, name) < 0)
        return -1;
    return file_read_at(AT_FDCWD, path, SMALL_FILE, out, NULL);
}

/* The number in a file that has only one; -1 if there is none, or if it is "max". */
static int64_t read_number(const char *dir, const char *name)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    uint64_t v;
    if (read_file(dir, name, &sb) < 0)
        return -1;
    sb.buf[strcspn(sb.buf, "\n")] = '\0';
    return str_to_u64(sb.buf, &v) < 0 || v > INT64_MAX ? -1 : (int64_t)v;
}

/* The number after `key` at the start of a line; -1 if there is none. */
static int64_t find_number(const char *text, const char *key)
{
    size_t n = strlen(key);
    long long v;
    for (const char *p = text; p && *p; p = strchr(p, '\n'), p += p != NULL)
        if (strncmp(p, key, n) == 0 && sscanf(p + n, " %lld", &v) == 1)
            return v;
    return -1;
}

/* ---- the host ---- */
static void host_memory(const char *proc, struct host_room *r)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    if (read_file(proc, "meminfo", &sb) < 0)
        return;
    int64_t kib = find_number(sb.buf, "MemAvailable:"), total = find_number(sb.buf, "MemTotal:");
    if (kib >= 0)
        lower(&r->memory_mib, kib / 1024);
    if (total >= 0)
        lower(&r->memory_total_mib, total / 1024);
}

/* loadavg's fourth field is running/all tasks. */
static void host_tasks(const char *proc, struct host_room *r)
{
    static const char *const limits[] = {"sys/kernel/pid_max", "sys/kernel/threads-max"};
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    long long now;
    if (read_file(proc, "loadavg", &sb) < 0 || sscanf(sb.buf, "%*s %*s %*s %*d/%lld", &now) != 1)
        return;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        int64_t max = read_number(proc, limits[i]);
        if (max >= 0)
            lower(&r->tasks, max - now);
    }
}

static void host_files(const char *proc, struct host_room *r)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    unsigned long long used, max;
    if (read_file(proc, "sys/fs/file-nr", &sb) < 0 ||
        sscanf(sb.buf, "%llu %*u %llu", &used, &max) != 2 || max > INT64_MAX || used > max)
        return;
    lower(&r->files, (int64_t)(max - used));
}

/* ---- control groups ---- */
/* Page cache that can be dropped at once counts as free. */
static void cgroup_memory(const char *dir, struct host_room *r)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    int64_t max = read_number(dir, "memory.max"), now = read_number(dir, "memory.current");
    if (max >= 0)
        lower(&r->memory_total_mib, max / MIB);
    if (max < 0 || now < 0)
        return;
    int64_t cache = read_file(dir, "memory.stat", &sb) < 0 ? 0
                                                           : find_number(sb.buf, "inactive_file");
    lower(&r->memory_mib, (max - now + (cache > 0 ? cache : 0)) / MIB);
}

static void cgroup_tasks(const char *dir, struct host_room *r)
{
    int64_t max = read_number(dir, "pids.max"), now = read_number(dir, "pids.current");
    if (max >= 0 && now >= 0)
        lower(&r->tasks, max - now);
}

/* This process's group and all above it. */
static void cgroups(const struct host_paths *paths, struct host_room *r)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    char dir[PATH_MAX];
    if (read_file(paths->proc, "self/cgroup", &sb) < 0)
        return;
    char *own = strstr(sb.buf, "0::/");
    if (!own || (own != sb.buf && own[-1] != '\n'))
        return;
    own += 3;
    own[strcspn(own, "\n")] = '\0';
    if (str_format(dir, sizeof dir, "%s%s", paths->cgroup, own) < 0)
        return;
    size_t root = strlen(paths->cgroup);
    for (;;) {
        cgroup_memory(dir, r);
        cgroup_tasks(dir, r);
        char *cut = strrchr(dir, '/');
        if (strlen(dir) <= root || !cut || (size_t)(cut - dir) < root)
            return;
        *cut = '\0';
    }
}

/* ---- this process ---- */
static int64_t count_own_fds(const char *proc)
{
    char path[PATH_MAX];
    int64_t n = 0;
    (void)str_format(path, sizeof path, "%s/self/fd", proc);
    _cleanup_closedir_ DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    return n;
}

/* Only for users other than root, to whom RLIMIT_NPROC does not apply. */
static int64_t count_own_tasks(const char *proc)
{
    int64_t n = 0;
    struct stat st;
    _cleanup_closedir_ DIR *d = opendir(proc);
    for (const struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
             fstatat(dirfd(d), e->d_name, &st, 0) == 0 && st.st_uid == geteuid();
    return n;
}

static void own_limits(const char *proc, struct host_room *r)
{
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < INT64_MAX)
        lower(&r->own_fds, (int64_t)rl.rlim_cur - count_own_fds(proc));
    if (geteuid() != 0 && getrlimit(RLIMIT_NPROC, &rl) == 0 && rl.rlim_cur < INT64_MAX)
        lower(&r->tasks, (int64_t)rl.rlim_cur - count_own_tasks(proc));
}

static void disk(int dirfd, struct host_room *r)
{
    struct statvfs v;
    if (fstatvfs(dirfd, &v) < 0)
        return;
    lower(&r->disk_mib, (int64_t)(v.f_bavail * v.f_frsize / (uint64_t)MIB));
    lower(&r->disk_total_mib, (int64_t)(v.f_blocks * v.f_frsize / (uint64_t)MIB));
    if (v.f_files > 0) /* 0 on filesystems without a fixed number of inodes */
        lower(&r->inodes, (int64_t)v.f_favail);
}

int64_t host_kept(int64_t total, int64_t least, int64_t most)
{
    int64_t kept = total / KEPT_PART;
    return kept < least ? least : kept > most ? most : kept;
}

void host_room(const struct host_paths *paths, int dirfd, struct host_room *out)
{
    *out = (struct host_room){HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT,
                              HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT, HOST_NO_LIMIT};
    host_memory(paths->proc, out);
    host_tasks(paths->proc, out);
    host_files(paths->proc, out);
    cgroups(paths, out);
    own_limits(paths->proc, out);
    disk(dirfd, out);
}
