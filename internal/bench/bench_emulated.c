/* The emulated guest, watched from the host: when its VMM starts, when its init says so on the
 * console, when the first command over SSH has come back. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bench/bench.h"
#include "lease/store.h"
#include "local/local.h"
#include "ops/ops.h"
#include "sys/file.h"
#include "sys/spawn.h"

#define BOOT_MS   300000
#define INIT_MARK "crabbox-init: start"

/* Milestones on the boottime clock, in us; 0: not yet. */
struct watch {
    struct store *store;
    int fd;             /* inotify; owned */
    int lease, console; /* watch descriptors, -1: none */
    struct lease_handle h;
    int64_t vmm, init, ready;
};

static void watch_close(struct watch *w)
{
    CLOSE_FD(w->fd);
    lease_handle_close(&w->h);
}

static int add_watch(const struct watch *w, const char *path, uint32_t mask, struct error *err)
{
    int wd = inotify_add_watch(w->fd, path, mask);
    return wd < 0 ? error_set(err, ERR_IO, errno, "watch %s", path) : wd;
}

static int look_at_console(struct watch *w, int64_t now, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (w->init || file_read_at(w->h.dirfd, VMM_DIR "/" VMM_CONSOLE_LOG, 1 << 20, &text, err) < 0)
        return w->init ? 0 : -1;
    if (!memmem(text.buf, text.len, INIT_MARK, strlen(INIT_MARK)))
        return 0;
    w->init = now;
    (void)inotify_rm_watch(w->fd, w->console);
    return 0;
}

static int watch_console(struct watch *w, struct error *err)
{
    char path[PATH_MAX + 32];
    (void)str_format(path, sizeof path, "%s/" VMM_DIR "/" VMM_CONSOLE_LOG, w->h.path);
    w->console = add_watch(w, path, IN_MODIFY, err);
    return w->console < 0 ? -1 : look_at_console(w, clock_boot_us(), err);
}

/* The record names the VMM just before it executes, when its logs are there, and says ready just
 * after the command that proves the guest has come back over SSH. */
static int look_at_record(struct watch *w, int64_t now, struct error *err)
{
    struct lease l;
    if (store_load(w->store, &w->h, &l, err) < 0)
        return -1;
    if (!w->ready && l.state == LEASE_READY)
        w->ready = now;
    if (w->vmm || l.local.vmm.proc.pid <= 0)
        return 0;
    w->vmm = now;
    return watch_console(w, err);
}

static int watch_lease(struct watch *w, const char *id, struct error *err)
{
    if (store_open_lease(w->store, id, NULL, &w->h, err) < 0 ||
        (w->lease = add_watch(w, w->h.path, IN_MOVED_TO, err)) < 0 ||
        look_at_record(w, clock_boot_us(), err) < 0)
        return -1;
    return w->vmm ? error_set(err, ERR_INTERNAL, 0, "looked too late: the VMM was started") : 0;
}

static int on_event(struct watch *w, const struct inotify_event *e, int64_t now, struct error *err)
{
    const char *name = e->len ? e->name : "";
    if (w->lease < 0)
        return lease_id_valid(name) ? watch_lease(w, name, err) : 0;
    if (e->wd == w->console)
        return look_at_console(w, now, err);
    return e->wd == w->lease && str_eq(name, "lease.json") ? look_at_record(w, now, err) : 0;
}

static int read_events(struct watch *w, struct error *err)
{
    _Alignas(struct inotify_event) char buf[8192];
    ssize_t n = read(w->fd, buf, sizeof buf);
    int64_t now = clock_boot_us();
    for (char *p = buf; n > 0 && p < buf + n;) {
        const struct inotify_event *e = (const void *)p;
        if (on_event(w, e, now, err) < 0)
            return -1;
        p += sizeof *e + e->len;
    }
    return 0;
}

/* Until warmup has ended; what it did meanwhile is in the events. */
static int follow(struct watch *w, struct child *c, struct error *err)
{
    struct deadline d = deadline_in_ms(BOOT_MS);
    struct exit_status st;
    for (bool ended = false; !ended;) {
        struct pollfd p[] = {{.fd = w->fd, .events = POLLIN}, {.fd = c->pidfd, .events = POLLIN}};
        if (deadline_poll(p, 2, &d, "warmup", err) < 0 || (p[0].revents && read_events(w, err) < 0))
            return -1;
        ended = p[1].revents && !p[0].revents;
    }
    if (child_wait(c, &d, &st, err) < 0)
        return -1;
    if (!st.exited || st.code != 0)
        return error_set(err, ERR_INTERNAL, 0, "warmup ended with exit code %d", st.code);
    if (!w->vmm || w->init <= w->vmm || w->ready <= w->init)
        return error_set(err, ERR_INTERNAL, 0,
                         "a milestone was not seen: vmm %lld init %lld "
                         "ready %lld",
                         (long long)w->vmm, (long long)w->init, (long long)w->ready);
    return 0;
}

static int boot_once(struct bench *b, struct store *s, struct watch *w, struct error *err)
{
    char leases[PATH_MAX];
    _cleanup_(child_kill) struct child c = CHILD_INIT;
    const char *const argv[] = {b->program, "warmup", "-q", "--slug", "bench", NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    (void)str_format(leases, sizeof leases, "%.3900s/leases", b->state);
    *w = (struct watch){.store = s, .lease = -1, .console = -1, .h = LEASE_HANDLE_INIT};
    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (add_watch(w, leases, IN_MOVED_TO, err) < 0)
        return -1;
    spec.envp = (const char *const *)environ;
    spec.any_owner = true;
    spec.argv = argv;
    spec.stderr_fd = STDERR_FILENO;
    if (spawn(&spec, &c, err) < 0)
        return -1;
    return follow(w, &c, err);
}

struct emulated {
    struct samples init, ready, ratio, run, stop;
};

static int one_lease(struct bench *b, struct store *s, struct emulated *e, struct error *err)
{
    _cleanup_(watch_close) struct watch w;
    _cleanup_bench_result_ struct bench_result run = {0}, stop = {0};
    if (boot_once(b, s, &w, err) < 0 ||
        BENCH_EXEC(b, NULL, &run, err, b->program, "run", "--id", "bench", "-q", "--no-sync", "--",
                   "true") < 0 ||
        BENCH_EXEC(b, NULL, &stop, err, b->program, "stop", "bench") < 0)
        return -1;
    double init = (double)(w.init - w.vmm) / 1000, ready = (double)(w.ready - w.vmm) / 1000;
    samples_add(&e->init, init);
    samples_add(&e->ready, ready);
    samples_add(&e->ratio, ready / init);
    samples_add(&e->run, run.ms);
    samples_add(&e->stop, stop.ms);
    return 0;
}

int bench_emulated(struct bench *b, struct error *err)
{
    static const char substrate[] = "emulated: QEMU tcg, 2 vCPUs, 1 GiB";
    static struct emulated e;
    _cleanup_(store_close) struct store s = STORE_INIT;
    if (store_open(&s, b->state, local_kinds, err) < 0)
        return -1;
    (void)setenv("CRABBOX_FC_STATE_DIR", b->state, 1);
    (void)setenv("CRABBOX_FC_VMM", "qemu", 1);
    (void)setenv("CRABBOX_FC_QEMU_ACCEL", "tcg", 1);
    (void)setenv("CRABBOX_FIRECRACKER_NETWORK", "nat", 1);
    (void)setenv("CRABBOX_FIRECRACKER_CPUS", "2", 1);
    (void)setenv("CRABBOX_FIRECRACKER_MEMORY_MIB", "1024", 1);
    (void)setenv("CRABBOX_FIRECRACKER_DISK_MIB", "1024", 1);
    (void)setenv("CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT", "4m", 1);
    for (int i = 0, n = b->quick ? 1 : 3; i < n; i++)
        if (one_lease(b, &s, &e, err) < 0)
            return -1;
    bench_row("VMM start to first instruction of init", &e.init, "ms", substrate);
    bench_row("VMM start to finished SSH command", &e.ready, "ms", substrate);
    bench_row("  ratio of the two", &e.ratio, "", substrate);
    bench_row("run -- true in the lease: the whole process", &e.run, "ms", substrate);
    bench_row("stop: the whole process", &e.stop, "ms", substrate);
    return 0;
}
