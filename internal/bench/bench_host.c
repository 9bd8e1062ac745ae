#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "bench/bench.h"
#include "image/image.h"
#include "lease/store.h"
#include "local/local.h"
#include "ops/ops.h"
#include "sys/file.h"
#include "sys/proc.h"

#define MIB 1048576

/* ---- start-up, memory, size ---- */

static int file_size_row(const char *figure, const char *path, struct error *err)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return error_set(err, ERR_IO, errno, "look at %s", path);
    bench_row_one(figure, (double)st.st_size / 1024, "KiB", "gcc -O2, x86-64");
    return 0;
}

static int size_rows(const struct bench *b, struct error *err)
{
    char stripped[PATH_MAX], init[PATH_MAX];
    _cleanup_bench_result_ struct bench_result r = {.out = STRBUF_INIT, .err = STRBUF_INIT};
    (void)str_format(stripped, sizeof stripped, "%.3900s/stripped", b->work);
    (void)str_format(init, sizeof init, "%.3900s/crabbox-init", b->build);
    if (BENCH_EXEC(b, NULL, &r, err, "strip", "-o", stripped, b->program) < 0 ||
        file_size_row("crabbox-fc, with debug information", b->program, err) < 0 ||
        file_size_row("crabbox-fc, stripped", stripped, err) < 0)
        return -1;
    return file_size_row("crabbox-init, static and stripped", init, err);
}

/* The two in turn, so that both meet the same noise. */
int bench_start(struct bench *b, struct error *err)
{
    struct samples version = {.n = 0}, nothing = {.n = 0}, ratio = {.n = 0};
    long rss = 0, rss_nothing = 0;
    for (int i = 0, n = b->quick ? 10 : 100; i < n; i++) {
        _cleanup_bench_result_ struct bench_result a = {0}, z = {0};
        if (BENCH_EXEC(b, NULL, &a, err, "/bin/true") < 0 ||
            BENCH_EXEC(b, NULL, &z, err, b->program, "version") < 0)
            return -1;
        samples_add(&nothing, a.ms);
        samples_add(&version, z.ms);
        samples_add(&ratio, z.ms / a.ms);
        rss = z.maxrss_kib > rss ? z.maxrss_kib : rss;
        rss_nothing = a.maxrss_kib > rss_nothing ? a.maxrss_kib : rss_nothing;
    }
    bench_row("start to end: true", &nothing, "ms", BENCH_HOST);
    bench_row("start to end: crabbox-fc version", &version, "ms", BENCH_HOST);
    bench_row("  ratio to true", &ratio, "", BENCH_HOST);
    bench_row_one("peak memory: true", (double)rss_nothing / 1024, "MiB", BENCH_HOST);
    bench_row_one("peak memory: crabbox-fc version", (double)rss / 1024, "MiB", BENCH_HOST);
    return size_rows(b, err);
}

/* ---- list ---- */

/* A record such as a ready lease has; its VMM is this very process. */
static int fake_lease(struct store *s, unsigned i, struct error *err)
{
    struct lease l = {0};
    struct lease_handle h = LEASE_HANDLE_INIT;
    char slug[32];
    (void)str_format(slug, sizeof slug, "listed-%u", i);
    l.kind = local_kinds[0];
    if (lease_identify(&l, NULL, slug, err) < 0 ||
        proc_ref_of(getpid(), &l.local.vmm.proc, err) < 0)
        return -1;
    struct net_request net = {
        .lease_id = l.id, .pool = "10.213.0.0/16", .dns = "192.0.2.53", .state_dir = s->path};
    l.state = LEASE_READY;
    l.created_at = l.last_touched_at = clock_unix_s();
    l.ttl_s = l.idle_timeout_s = 3600;
    l.cpus = 1;
    l.memory_mib = 128;
    l.disk_mib = 64;
    l.ssh_port = 22;
    (void)str_copy(l.user, sizeof l.user, "crabbox");
    (void)str_copy(l.work_root, sizeof l.work_root, "/work/crabbox");
    (void)str_copy(l.host_key, sizeof l.host_key, "ssh-ed25519 AAAA");
    (void)str_copy(l.local.vmm.backend, sizeof l.local.vmm.backend, "firecracker");
    l.local.vmm.accel = VMM_KVM;
    for (size_t k = 0; k < s->kinds[0]->n_steps; k++)
        l.marks[k] = MARK_DONE;
    if (net_plan(&net, &l.local.net, err) < 0 || store_create(s, &l, &h, err) < 0)
        return -1;
    lease_handle_close(&h);
    return store_claim_slug(s, l.slug, l.id, err);
}

static size_t count_lines(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, part)); p++)
        n++;
    return n;
}

static int list_with(struct bench *b, struct store *s, unsigned *have, unsigned want,
                     double *median, struct error *err)
{
    struct samples t = {.n = 0};
    char figure[64];
    for (; *have < want; ++*have)
        if (fake_lease(s, *have, err) < 0)
            return -1;
    for (int i = 0, n = b->quick ? 5 : 30; i < n; i++) {
        _cleanup_bench_result_ struct bench_result r = {0};
        if (BENCH_EXEC(b, NULL, &r, err, b->program, "list") < 0)
            return -1;
        if (count_lines(r.out.buf, "listed-") != want)
            return error_set(err, ERR_INTERNAL, 0, "list did not show %u leases: %.300s", want,
                             r.out.buf);
        samples_add(&t, r.ms);
    }
    (void)str_format(figure, sizeof figure, "list with %u lease%s", want, want == 1 ? "" : "s");
    bench_row(figure, &t, "ms", "records made by the store, no VMs");
    *median = samples_median(&t);
    return 0;
}

int bench_list(struct bench *b, struct error *err)
{
    _cleanup_(store_close) struct store s = STORE_INIT;
    unsigned have = 0;
    double one, hundred, thousand;
    (void)str_format(b->state, sizeof b->state, "%.3900s/list-state", b->work);
    if (bench_use_standin(b, err) < 0 || store_open(&s, b->state, local_kinds, err) < 0 ||
        list_with(b, &s, &have, 1, &one, err) < 0 ||
        list_with(b, &s, &have, 100, &hundred, err) < 0 ||
        list_with(b, &s, &have, 1000, &thousand, err) < 0)
        return -1;
    bench_row_one("  each further lease", (thousand - one) / 999 * 1000, "us",
                  "(1000 leases - 1 lease) / 999");
    return dir_remove_tree(AT_FDCWD, b->state, err);
}

/* ---- clone ---- */

/* 2 GiB with a MiB of data in every four: random, so that no filesystem makes less of it. */
static int make_root(const char *path, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    _cleanup_free_ char *block = xcalloc(1, MIB);
    if (fd < 0 || ftruncate(fd, (off_t)2048 * MIB) < 0)
        return error_set(err, ERR_IO, errno, "make %s", path);
    for (off_t at = 0; at < (off_t)2048 * MIB; at += (off_t)4 * MIB) {
        random_bytes(block, MIB);
        if (pwrite(fd, block, MIB, at) != MIB)
            return error_set(err, ERR_IO, errno, "write %s", path);
    }
    return fsync(fd) < 0 ? error_set(err, ERR_IO, errno, "sync %s", path) : 0;
}

enum { OURS, CP_DEFAULT, CP_SPARSE, CP_FULL, WAYS };

static int clone_by(const struct bench *b, int way, const char *dir, const char *from, double *ms,
                    enum clone_how *how, struct error *err)
{
    static const char *const words[WAYS][2] = {[CP_DEFAULT] = {"--reflink=auto", "--sparse=auto"},
                                               [CP_SPARSE] = {"--reflink=never", "--sparse=always"},
                                               [CP_FULL] = {"--reflink=never", "--sparse=never"}};
    _cleanup_bench_result_ struct bench_result r = {.out = STRBUF_INIT, .err = STRBUF_INIT};
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t t0 = clock_boot_us();
    _cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
    int code = way == OURS ? image_clone(in, from, fd, "copy", 2048, NULL, how, err)
                           : BENCH_EXEC(b, dir, &r, err, "cp", words[way][0], words[way][1], "root",
                                        "copy");
    *ms = way == OURS ? (double)(clock_boot_us() - t0) / 1000 : r.ms;
    if (code < 0)
        return -1;
    /* What one way left to be written back must not slow the next one. */
    if (unlinkat(fd, "copy", 0) < 0 || syncfs(fd) < 0)
        return error_set(err, ERR_IO, errno, "clear up in %s", dir);
    return 0;
}

static void clone_rows(struct samples t[WAYS], enum clone_how how, const char *label)
{
    char text[4][64];
    double ours = samples_median(&t[OURS]);
    static const char *const figures[WAYS] = {NULL, "cp (default: reflink, sparse auto)",
                                              "cp --sparse=always", "full cp"};
    (void)str_format(text[0], sizeof text[0], "clone of 2 GiB: image_clone, %s",
                     clone_how_name(how));
    bench_row(text[0], &t[OURS], "ms", label);
    for (int w = CP_DEFAULT; w < WAYS; w++) {
        (void)str_format(text[w], sizeof text[w], "  %s", figures[w]);
        bench_row(text[w], &t[w], "ms", label);
        bench_row_one("    ratio to image_clone", samples_median(&t[w]) / ours, "", label);
    }
}

int bench_clone(struct bench *b, struct error *err)
{
    static struct samples t[WAYS];
    enum clone_how how = CLONE_COPY;
    char dir[PATH_MAX], root[PATH_MAX + 16];
    if (!b->arg || !strchr(b->arg, '=') || str_copy(dir, sizeof dir, b->arg) < 0)
        return error_set(err, ERR_USAGE, 0, "clone needs DIRECTORY=LABEL");
    *strchr(dir, '=') = '\0';
    (void)str_format(root, sizeof root, "%s/root", dir);
    if (make_root(root, err) < 0)
        return -1;
    for (int i = 0, n = b->quick ? 1 : 3; i < n; i++)
        for (int w = 0; w < WAYS; w++) {
            double ms;
            if (clone_by(b, w, dir, root, &ms, &how, err) < 0)
                return -1;
            samples_add(&t[w], ms);
        }
    clone_rows(t, how, strchr(b->arg, '=') + 1);
    return file_unlink(AT_FDCWD, root, err);
}
