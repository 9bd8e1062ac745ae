#include "e2e/chaos.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/proc.h"

#define RUN_LIMIT_MS 60000

/* ---- choices: splitmix64 ---- */
uint64_t chaos_next(struct chaos_rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct chaos_rng chaos_seed(uint64_t seed, uint64_t stream)
{
    struct chaos_rng r = {seed};
    r.state = chaos_next(&r) ^ (stream * 0xd1342543de82ef95u);
    return r;
}

unsigned chaos_below(struct chaos_rng *r, unsigned n)
{
    return (unsigned)(chaos_next(r) % n);
}

/* ---- runs ---- */
static void take_output(int fd, char *out, size_t size)
{
    ssize_t n = pread(fd, out, size - 1, 0);
    out[n > 0 ? n : 0] = '\0';
}

/* Signals at the planned moment, then waits to the end. */
static void see_to_end(struct child *c, int64_t after_ms, int sig, struct chaos_result *out)
{
    struct deadline limit = deadline_in_ms(RUN_LIMIT_MS);
    struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
    if (sig && poll(&p, 1, (int)after_ms) == 0)
        (void)child_signal(c, sig, NULL);
    if (child_wait(c, &limit, &out->st, NULL) == 0)
        return;
    out->hung = true;
    child_kill(c);
}

void chaos_run(const struct bed *b, int64_t after_ms, int sig, struct chaos_result *out,
               const char *const *args)
{
    const char *argv[32] = {b->program};
    struct error err = ERROR_INIT;
    int64_t start = clock_boot_ms();
    _cleanup_close_ int o = memfd_create("stdout", MFD_CLOEXEC);
    _cleanup_close_ int e = memfd_create("stderr", MFD_CLOEXEC);
    _cleanup_close_ int cwd = open(b->work, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    struct child c;
    memset(out, 0, sizeof *out);
    for (size_t i = 0; args[i] && i + 2 < ARRAY_LEN(argv); i++)
        argv[i + 1] = args[i];
    spec.any_owner = true;
    spec.argv = argv;
    spec.envp = (const char *const *)b->env;
    spec.cwd_fd = cwd;
    spec.stdout_fd = o;
    spec.stderr_fd = e;
    if (spawn(&spec, &c, &err) < 0) {
        out->hung = true; /* as bad: the test could not run it */
        (void)str_format(out->err, sizeof out->err, "%s", err.msg);
        return;
    }
    see_to_end(&c, after_ms, sig, out);
    out->took_ms = clock_boot_ms() - start;
    take_output(o, out->out, sizeof out->out);
    take_output(e, out->err, sizeof out->err);
}

/* ---- behind the program's back ---- */
static bool find(struct store *s, const char *slug, struct lease *out)
{
    struct lease_entry *all = NULL;
    size_t n = 0;
    bool found = false;
    if (store_list(s, &all, &n, NULL) < 0)
        return false;
    for (size_t i = 0; i < n && !found; i++) {
        if (all[i].broken || !str_eq(all[i].lease.slug, slug))
            continue;
        *out = all[i].lease;
        found = true;
    }
    free(all);
    return found;
}

static bool kill_ref(const struct proc_ref *ref)
{
    _cleanup_close_ int fd = proc_open(ref, NULL);
    struct deadline d = deadline_in_ms(5000);
    return fd >= 0 && pidfd_signal(fd, SIGKILL, NULL) == 0 && pidfd_wait(fd, &d, NULL) == 0;
}

bool chaos_kill_vmm(struct store *s, const char *slug)
{
    struct lease l;
    return find(s, slug, &l) && kill_ref(&l.local.vmm.proc);
}

bool chaos_kill_keeper(struct store *s, const char *slug)
{
    struct lease l;
    return find(s, slug, &l) && kill_ref(&l.keeper);
}

/* Changes a record under its lock, as anybody must. */
static bool edit(struct store *s, const char *id, void (*change)(struct lease *l, const void *arg),
                 const void *arg)
{
    _cleanup_(lease_handle_close) struct lease_handle h = LEASE_HANDLE_INIT;
    struct deadline d = deadline_in_ms(20000);
    struct lease l;
    if (store_open_lease(s, id, &d, &h, NULL) < 0 || store_load(s, &h, &l, NULL) < 0)
        return false;
    change(&l, arg);
    return store_save(&h, &l, true, NULL) == 0;
}

static void shift(struct lease *l, const void *arg)
{
    const int64_t *seconds = arg;
    l->created_at -= *seconds;
    l->last_touched_at -= *seconds;
}

bool chaos_shift_clock(struct store *s, const char *slug, int64_t seconds)
{
    struct lease l;
    return find(s, slug, &l) && edit(s, l.id, shift, &seconds);
}

static bool listed(const pid_t *pids, pid_t pid)
{
    while (*pids && *pids != pid)
        pids++;
    return *pids == pid;
}

/* The caller reaps orphans, so whatever it has started in any depth comes up as its child. */
static void kill_children(const pid_t *spare)
{
    for (int round = 0; round < 8; round++) {
        _cleanup_closedir_ DIR *d = opendir("/proc");
        bool any = false;
        for (const struct dirent *e; d && (e = readdir(d));) {
            uint64_t pid;
            if (str_to_u64(e->d_name, &pid) < 0 || proc_parent((pid_t)pid) != getpid() ||
                listed(spare, (pid_t)pid))
                continue;
            any = true;
            (void)kill((pid_t)pid, SIGKILL);
            (void)waitpid((pid_t)pid, NULL, 0);
        }
        if (!any)
            return;
    }
}

static void boot_anew(struct lease *l, const void *arg)
{
    static const char boot[] = "00000000-1111-2222-3333-444444444444";
    const struct proc_ref *other = arg;
    struct proc_ref *const refs[] = {&l->local.vmm.proc, &l->keeper};
    for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
        if (!refs[i]->pid)
            continue;
        *refs[i] = *other;
        (void)str_copy(refs[i]->boot_id, sizeof refs[i]->boot_id, boot);
    }
}

void chaos_reboot(struct bed *b, struct store *s, const pid_t *spare, const struct proc_ref *other)
{
    struct lease_entry *all = NULL;
    size_t n = 0;
    kill_children(spare);
    struct bed_result r = BED_EXEC(b, "nft", "flush", "ruleset");
    bed_result_free(&r);
    if (store_list(s, &all, &n, NULL) < 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (!all[i].broken)
            (void)edit(s, all[i].id, boot_anew, other);
    free(all);
}
