/* doctor's check for what no record owns: links, nft tables, processes, and leases that nobody
 * will finish. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "doctor/doctor_check.h"
#include "lease/store.h"
#include "net/net.h"
#include "ops/keeper.h"
#include "ops/ops.h"
#include "sys/file.h"
#include "vmm/sandbox.h"
#include "vmm/vmm.h"

#define FOUND_MAX 512 /* links and tables that are looked at */
#define LISTED    8   /* named in the message; the count is always whole */

struct orphans {
    struct lease_entry *entries;
    size_t n_entries;
    unsigned links, tables, processes, leases;
    struct strbuf what; /* the first few, named */
    struct strbuf fix;
};

static void free_orphans(struct orphans *o)
{
    free(o->entries);
    strbuf_free(&o->what);
    strbuf_free(&o->fix);
}

static void name_it(struct orphans *o, const char *kind, const char *name)
{
    unsigned n = o->links + o->tables + o->processes + o->leases;
    if (n <= LISTED)
        strbuf_addf(&o->what, "%s%s %.64s", o->what.len ? ", " : "", kind, name);
    else if (n == LISTED + 1)
        strbuf_adds(&o->what, ", …");
}

static void add_fix(struct orphans *o, const char *text)
{
    if (!strstr(o->fix.buf, text))
        strbuf_addf(&o->fix, "%s%s", o->fix.len ? "; " : "", text);
}

static bool recorded(const struct orphans *o, const struct net_found *f)
{
    for (size_t i = 0; i < o->n_entries; i++) {
        const struct lease_entry *e = &o->entries[i];
        if (!e->broken &&
            (str_eq(e->lease.local.net.veth, f->name) || str_eq(e->lease.local.net.table, f->name)))
            return true;
    }
    return false;
}

static int scan_net(struct orphans *o, struct error *err)
{
    _cleanup_free_ struct net_found *found = xcalloc(FOUND_MAX, sizeof *found);
    int n = net_scan(found, FOUND_MAX, err);
    for (int i = 0; i < n; i++) {
        char fix[128];
        bool link = str_eq(found[i].kind, "link");
        if (recorded(o, &found[i]))
            continue;
        if (link)
            o->links++;
        else
            o->tables++;
        name_it(o, link ? "link" : "nft table", found[i].name);
        (void)str_format(fix, sizeof fix, link ? "ip link delete %s" : "nft delete table inet %s",
                         found[i].name);
        if (o->links + o->tables <= LISTED)
            add_fix(o, fix);
    }
    return n < 0 ? -1 : 0;
}

/* Leases that will not end by themselves: what `cleanup` is for. */
static void scan_leases(struct orphans *o)
{
    for (size_t i = 0; i < o->n_entries; i++) {
        enum ops_view_state v = ops_view(&o->entries[i]);
        if (v != VIEW_INTERRUPTED && v != VIEW_DEAD && v != VIEW_BROKEN && v != VIEW_EXPIRED)
            continue;
        char kind[32];
        (void)str_format(kind, sizeof kind, "%s lease", ops_view_name(v));
        o->leases++;
        name_it(o, kind, o->entries[i].id);
        add_fix(o, "crabbox-fc cleanup");
    }
}

static bool pid_recorded(const struct orphans *o, int64_t pid)
{
    for (size_t i = 0; i < o->n_entries; i++)
        if (!o->entries[i].broken && (o->entries[i].lease.local.vmm.proc.pid == pid ||
                                      o->entries[i].lease.local.pasta.pid == pid))
            return true;
    return false;
}

/* Whether a process works in a lease's directory, at `cwd` as the kernel names it to us. That of a
 * confined VMM is called VMM_SANDBOX_DIR in its own root directory, so it is told by its inode. One
 * of Firecracker's jailer works in the root directory around it.
 * Once the directory was removed, it may have been of any state directory. */
static bool works_in_lease(const struct orphans *o, const char *state_dir, const char *link,
                           const char *cwd)
{
    struct stat its, st;
    _cleanup_free_ char *leases = xasprintf("%s/leases/", state_dir);
    if (str_has_prefix(cwd, leases))
        return true;
    bool jailed = str_eq(cwd, "/");
    if (!jailed && !str_eq(cwd, VMM_SANDBOX_DIR) && !str_eq(cwd, VMM_SANDBOX_DIR " (deleted)"))
        return false;
    _cleanup_free_ char *at = xasprintf("%s%s", link, jailed ? VMM_SANDBOX_DIR : "");
    if (stat(at, &its) < 0)
        return false;
    for (size_t i = 0; i < o->n_entries; i++) {
        _cleanup_free_ char *dir = xasprintf("%s%s/" VMM_DIR, leases, o->entries[i].id);
        if (lstat(dir, &st) == 0 && st.st_dev == its.st_dev && st.st_ino == its.st_ino)
            return true;
    }
    return its.st_nlink == 0;
}

/* A VMM works in a directory of its lease: a process there that no record names is nobody's. The
 * commands of this program don't change their directory. */
static int scan_processes(struct orphans *o, const char *state_dir, struct error *err)
{
    _cleanup_closedir_ DIR *proc = opendir("/proc");
    if (!proc)
        return error_set(err, ERR_ENV, errno, "read /proc");
    for (struct dirent *de; (de = dir_next(proc));) {
        char link[32], cwd[PATH_MAX];
        uint64_t pid;
        if (!isdigit((unsigned char)de->d_name[0]) || str_to_u64(de->d_name, &pid) < 0 ||
            str_format(link, sizeof link, "/proc/%.20s/cwd", de->d_name) < 0)
            continue;
        ssize_t n = readlink(link, cwd, sizeof cwd - 1);
        if (n <= 0)
            continue;
        cwd[n] = '\0';
        /* A user's own shell may stand there too; a VMM leads its own session. */
        if (pid_recorded(o, (int64_t)pid) || getsid((pid_t)pid) != (pid_t)pid ||
            !works_in_lease(o, state_dir, link, cwd))
            continue;
        o->processes++;
        name_it(o, "process", de->d_name);
        add_fix(o, "look at these processes (ps -fp PID) and kill them by PID");
    }
    return errno ? error_set(err, ERR_ENV, errno, "read /proc") : 0;
}

static int read_leases(struct doctor_ctx *ctx, struct orphans *o, struct error *err)
{
    struct store s = STORE_INIT;
    struct error mine = ERROR_INIT;
    if (store_open_existing(&s, ctx->state_dir, ctx->kinds, &mine) < 0) {
        if (mine.kind == ERR_NOT_FOUND)
            return 0; /* no state, so nothing is owned */
        *err = mine;
        return -1;
    }
    int r = store_list(&s, &o->entries, &o->n_entries, err);
    store_close(&s);
    return r;
}

void doctor_orphans(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct error err = ERROR_INIT;
    _cleanup_(free_orphans) struct orphans o = {.what = STRBUF_INIT, .fix = STRBUF_INIT};
    if (!*ctx->state_dir) {
        check_skip(c, "no state directory to compare with");
        return;
    }
    bool read = read_leases(ctx, &o, &err) == 0;
    /* Without root nothing of a lease is on the host but processes. */
    bool links = ctx->on.net_mode != NET_PASTA;
    if (!read || (links && scan_net(&o, &err) < 0) ||
        scan_processes(&o, ctx->state_dir, &err) < 0) {
        check_fail(c, CLASS_ENV, "could not be checked: %s", err.msg);
        check_fix(c, "%s",
                  read ? "put sudo before crabbox-fc" : "first fix what the check state names");
        return;
    }
    scan_leases(&o);
    check_detail(c, "records", "%zu", o.n_entries);
    check_detail(c, "links", "%u", o.links);
    check_detail(c, "tables", "%u", o.tables);
    check_detail(c, "processes", "%u", o.processes);
    check_detail(c, "leases", "%u", o.leases);
    if (o.links + o.tables + o.processes + o.leases == 0) {
        check_ok(c, "nothing is left of leases that have ended (%zu lease%s now)", o.n_entries,
                 o.n_entries == 1 ? "" : "s");
        return;
    }
    check_warn(c, "not owned by a live lease of this state directory: %s", o.what.buf);
    check_fix(c, "%s (links and tables may belong to another state directory)", o.fix.buf);
}

/* Without root each guest has a process of its own as its way out. A lease that has lost it works
 * on, for SSH takes another way. */
static void judge_ways_out(struct doctor_check *c, struct orphans *o)
{
    for (size_t i = 0; i < o->n_entries; i++) {
        const struct lease *l = &o->entries[i].lease;
        if (ops_view(&o->entries[i]) != VIEW_READY || l->local.pasta.pid == 0 ||
            proc_alive(&l->local.pasta))
            continue;
        o->leases++;
        name_it(o, "lease", l->slug);
        if (o->leases <= LISTED)
            strbuf_addf(&o->fix, " %s", l->slug);
    }
    check_detail(c, "withoutWayOut", "%u", o->leases);
    if (o->leases == 0) {
        check_ok(c, "every ready lease has its keeper");
        return;
    }
    check_warn(c, "without pasta, so the guest reaches nothing outside: %s", o->what.buf);
    check_fix(c, "crabbox-fc stop%s, and make the lease again", o->fix.buf);
}

/* A lease whose keeper was killed works on. */
void doctor_keepers(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct error err = ERROR_INIT;
    _cleanup_(free_orphans) struct orphans o = {.what = STRBUF_INIT, .fix = STRBUF_INIT};
    if (!*ctx->state_dir) {
        check_skip(c, "no state directory with leases");
        return;
    }
    if (read_leases(ctx, &o, &err) < 0) {
        check_fail(c, CLASS_ENV, "could not be checked: %s", err.msg);
        check_fix(c, "first fix what the check state names");
        return;
    }
    for (size_t i = 0; i < o.n_entries; i++) {
        const struct lease *l = &o.entries[i].lease;
        if (ops_view(&o.entries[i]) != VIEW_READY || !keeper_is_gone(l))
            continue;
        o.leases++;
        name_it(&o, "lease", l->slug);
        if (o.leases <= LISTED)
            strbuf_addf(&o.fix, " %s", l->slug);
    }
    check_detail(c, "leases", "%u", o.leases);
    if (o.leases == 0) {
        judge_ways_out(c, &o);
        return;
    }
    check_warn(c,
               "without keeper, so nothing ends it in time, and its logs are cut down only when a "
               "command uses it: %s",
               o.what.buf);
    check_fix(c, "crabbox-fc stop%s (once you are done there; no command starts a keeper again)",
              o.fix.buf);
}
