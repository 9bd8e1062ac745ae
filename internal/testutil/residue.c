#include "testutil/residue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "sys/file.h"
#include "sys/mounts.h"
#include "testutil/residue_nft.h"

#define PIDS_MAX 65536

void residue_free(struct residue *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->lines[i]);
    free(r->lines);
    *r = (struct residue){0};
}

static void add(struct residue *r, char *line)
{
    /* What others wrote (process names, paths) must not break the line format. */
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < 0x20)
            *p = ' ';
    r->lines = xrealloc(r->lines, (r->n + 1) * sizeof *r->lines);
    r->lines[r->n++] = line;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, each line once: two processes in one namespace are one namespace. */
static void sort_unique(struct residue *r)
{
    size_t kept = 0;
    if (r->n)
        qsort(r->lines, r->n, sizeof *r->lines, compare_lines);
    for (size_t i = 0; i < r->n; i++) {
        if (kept && str_eq(r->lines[kept - 1], r->lines[i]))
            free(r->lines[i]);
        else
            r->lines[kept++] = r->lines[i];
    }
    r->n = kept;
}

/* ---- processes and their network namespaces ---- */

struct process {
    pid_t pid, ppid;
    char state;
    char comm[32];
    char netns[64];
    bool mentions; /* the state directory */
};

struct processes {
    struct process *all;
    size_t n;
};

static int read_proc(pid_t pid, const char *name, struct strbuf *out)
{
    char path[64];
    (void)str_format(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    strbuf_reset(out);
    return file_read_at(AT_FDCWD, path, 1 << 20, out, NULL);
}

static void read_link(pid_t pid, const char *name, char *out, size_t size)
{
    char path[64];
    (void)str_format(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    ssize_t n = readlink(path, out, size - 1);
    out[n < 0 ? 0 : n] = '\0';
}

static bool fds_mention(pid_t pid, const char *what)
{
    char path[64], target[PATH_MAX];
    (void)str_format(path, sizeof path, "/proc/%d/fd", (int)pid);
    _cleanup_closedir_ DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d));) {
        ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof target - 1);
        if (n > 0 && memmem(target, (size_t)n, what, strlen(what)))
            return true;
    }
    return false;
}

static bool process_mentions(pid_t pid, const char *what)
{
    static const char *const files[] = {"cmdline", "environ"};
    static const char *const links[] = {"cwd", "exe", "root"};
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    char target[PATH_MAX];
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (read_proc(pid, files[i], &sb) == 0 && memmem(sb.buf, sb.len, what, strlen(what)))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        read_link(pid, links[i], target, sizeof target);
        if (strstr(target, what))
            return true;
    }
    return fds_mention(pid, what);
}

/* Fills one process; false if it is gone. */
static bool look_at(pid_t pid, const char *state_dir, struct process *p)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    *p = (struct process){.pid = pid};
    if (read_proc(pid, "stat", &sb) < 0)
        return false;
    const char *open = strchr(sb.buf, '('), *close = strrchr(sb.buf, ')');
    if (!open || !close || sscanf(close + 1, " %c %d", &p->state, &p->ppid) != 2)
        return false;
    (void)str_format(p->comm, sizeof p->comm, "%.*s", (int)(close - open - 1), open + 1);
    read_link(pid, "ns/net", p->netns, sizeof p->netns);
    p->mentions = state_dir && process_mentions(pid, state_dir);
    return true;
}

static int list_processes(const char *state_dir, struct processes *out, struct error *err)
{
    _cleanup_closedir_ DIR *d = opendir("/proc");
    if (!d)
        return error_set(err, ERR_IO, errno, "open /proc");
    for (const struct dirent *e; (e = readdir(d));) {
        uint64_t pid;
        struct process p;
        if (str_to_u64(e->d_name, &pid) < 0 || !look_at((pid_t)pid, state_dir, &p))
            continue;
        out->all = xrealloc(out->all, (out->n + 1) * sizeof *out->all);
        out->all[out->n++] = p;
    }
    return 0;
}

static const struct process *find_pid(const struct processes *ps, pid_t pid)
{
    for (size_t i = 0; i < ps->n; i++)
        if (ps->all[i].pid == pid)
            return &ps->all[i];
    return NULL;
}

static bool descends(const struct processes *ps, const struct process *p, pid_t ancestor)
{
    for (int depth = 0; p && depth < 64; depth++) {
        if (p->ppid == ancestor)
            return true;
        p = find_pid(ps, p->ppid);
    }
    return false;
}

/* We and those who called us (a script that knows the state directory) are not left over. */
static bool is_caller(const struct processes *ps, pid_t pid)
{
    for (const struct process *p = find_pid(ps, getpid()); p; p = find_pid(ps, p->ppid))
        if (p->pid == pid)
            return true;
    return false;
}

/* A process that has ended and only waits to be reaped holds nothing and does not count. */
static bool counts(const struct processes *ps, const struct process *p,
                   const struct residue_scope *scope, const char *own_netns)
{
    if (p->state == 'Z' || p->state == 'X' || is_caller(ps, p->pid))
        return false;
    if (p->mentions)
        return true;
    if (scope->ancestor)
        return descends(ps, p, scope->ancestor);
    return *p->netns && !str_eq(p->netns, own_netns);
}

static int add_processes(const struct residue_scope *scope, struct residue *out, struct error *err)
{
    struct processes ps = {0};
    char own[64];
    read_link(getpid(), "ns/net", own, sizeof own);
    int r = list_processes(scope->state_dir, &ps, err);
    for (size_t i = 0; i < ps.n; i++) {
        const struct process *p = &ps.all[i];
        if (!counts(&ps, p, scope, own))
            continue;
        add(out, xasprintf("process %d %s", (int)p->pid, p->comm));
        if (*p->netns && !str_eq(p->netns, own))
            add(out, xasprintf("netns %s", p->netns));
    }
    free(ps.all);
    return r;
}

/* Namespaces that live by a name: there should never be one of ours. */
static void add_named_netns(struct residue *out)
{
    _cleanup_closedir_ DIR *d = opendir("/run/netns");
    for (const struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            add(out, xasprintf("netns /run/netns/%s", e->d_name));
}

/* ---- links, mounts, files ---- */

static int add_links(struct residue *out, struct error *err)
{
    struct if_nameindex *all = if_nameindex();
    if (!all)
        return error_set(err, ERR_IO, errno, "list network links");
    for (const struct if_nameindex *i = all; i->if_index; i++)
        add(out, xasprintf("link %s", i->if_name));
    if_freenameindex(all);
    return 0;
}

static void add_table(void *ctx, const char *family, const char *name)
{
    add(ctx, xasprintf("nft-table %s %s", family, name));
}

/* Fields 3 to 5 of mountinfo name a mount; options may change without anything being left. */
static int add_mounts(struct residue *out, struct error *err)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    if (file_read_at(AT_FDCWD, "/proc/self/mountinfo", 1 << 22, &sb, err) < 0)
        return -1;
    for (char *rest = sb.buf, *line; (line = strsep(&rest, "\n")) && *line;) {
        char dev[32], root[PATH_MAX], where[PATH_MAX];
        if (sscanf(line, "%*d %*d %31s %4095s %4095s", dev, root, where) == 3)
            add(out, xasprintf("mount %s %s %s", where, dev, root));
    }
    return 0;
}

/* Every entry of a directory; an absent directory has none. */
static void add_entries(struct residue *out, const char *dir)
{
    _cleanup_closedir_ DIR *d = opendir(dir);
    for (const struct dirent *e; d && (e = readdir(d));)
        if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
            add(out, xasprintf("file %s/%s", dir, e->d_name));
}

static void add_directories(struct residue *out, const char *dir)
{
    _cleanup_closedir_ DIR *d = opendir(dir);
    for (const struct dirent *e; d && (e = readdir(d));)
        if (e->d_type == DT_DIR && e->d_name[0] != '.')
            add(out, xasprintf("cgroup %s/%s", dir, e->d_name));
}

/* In every hierarchy. The group itself is there to stay. */
static int add_groups(const char *group, struct residue *out, struct error *err)
{
    _cleanup_strbuf_ struct strbuf table = STRBUF_INIT;
    if (mounts_read(&table, err) < 0)
        return -1;
    char *rest = table.buf, *point, *type, *options;
    while (mounts_next(&rest, &point, &type, &options)) {
        _cleanup_free_ char *dir = xasprintf("%s/%s", point, group);
        if (str_eq(type, "cgroup") || str_eq(type, "cgroup2"))
            add_directories(out, dir);
    }
    return 0;
}

/* Logs of failed leases are kept on purpose; leases and slugs are not. */
static void add_state(struct residue *out, const char *state_dir)
{
    static const char *const parts[] = {"leases", "slugs"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        _cleanup_free_ char *dir = xasprintf("%s/%s", state_dir, parts[i]);
        add_entries(out, dir);
    }
}

int residue_take(const struct residue_scope *scope, struct residue *out, struct error *err)
{
    *out = (struct residue){0};
    add_named_netns(out);
    if (scope->state_dir)
        add_state(out, scope->state_dir);
    for (size_t i = 0; scope->dirs && scope->dirs[i]; i++)
        add_entries(out, scope->dirs[i]);
    if ((scope->cgroup && add_groups(scope->cgroup, out, err) < 0) ||
        add_processes(scope, out, err) < 0 || add_links(out, err) < 0 || add_mounts(out, err) < 0 ||
        residue_nft_tables(add_table, out, err) < 0) {
        residue_free(out);
        return -1;
    }
    sort_unique(out);
    return 0;
}

/* ---- comparing and keeping ---- */

static bool has_line(const struct residue *r, const char *line)
{
    return r->n && bsearch(&line, r->lines, r->n, sizeof *r->lines, compare_lines);
}

size_t residue_diff(const struct residue *before, const struct residue *after, struct strbuf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < after->n; i++) {
        if (has_line(before, after->lines[i]))
            continue;
        strbuf_addf(out, "%s\n", after->lines[i]);
        n++;
    }
    return n;
}

void residue_print(const struct residue *r, struct strbuf *out)
{
    for (size_t i = 0; i < r->n; i++)
        strbuf_addf(out, "%s\n", r->lines[i]);
}

void residue_parse(const char *text, struct residue *out)
{
    _cleanup_free_ char *copy = xstrdup(text);
    *out = (struct residue){0};
    for (char *rest = copy, *line; (line = strsep(&rest, "\n"));)
        if (*line)
            add(out, xstrdup(line));
    sort_unique(out);
}
