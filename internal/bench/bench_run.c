#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "bench/bench.h"
#include "e2e/bed_internal.h"
#include "sys/file.h"
#include "sys/spawn.h"

#define OUTPUT_MAX (16u << 20)
#define RUN_MS     600000

/* ---- samples and rows ---- */

void samples_add(struct samples *s, double v)
{
    if (s->n < SAMPLES_MAX)
        s->v[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double samples_at(struct samples *s, double percent)
{
    if (!s->n)
        return 0;
    qsort(s->v, s->n, sizeof *s->v, by_value);
    double exact = percent * (double)s->n / 100;
    size_t rank = (size_t)exact;
    rank += (double)rank < exact;
    return s->v[rank ? rank - 1 : 0];
}

double samples_median(struct samples *s)
{
    double upper = samples_at(s, 50);
    return s->n && s->n % 2 == 0 ? (upper + s->v[s->n / 2]) / 2 : upper;
}

/* Three digits that say something, whatever the size. */
static void number(char out[static 32], double v, const char *unit)
{
    int digits = v < 10 ? 2 : v < 100 ? 1 : 0;
    (void)str_format(out, 32, "%.*f%s%s", digits, v, *unit ? " " : "", unit);
}

static void print_row(const char *figure, const char *median, const char *p95, const char *n,
                      const char *substrate)
{
    (void)printf("%-46s %12s %12s %5s  %s\n", figure, median, p95, n, substrate);
    (void)fflush(stdout);
}

void bench_row(const char *figure, struct samples *s, const char *unit, const char *substrate)
{
    char median[32], p95[32], n[32];
    number(median, samples_median(s), unit);
    number(p95, samples_at(s, 95), unit);
    (void)str_format(n, sizeof n, "%zu", s->n);
    print_row(figure, median, p95, n, substrate);
}

void bench_row_one(const char *figure, double v, const char *unit, const char *substrate)
{
    char text[32];
    number(text, v, unit);
    print_row(figure, text, "-", "1", substrate);
}

void bench_row_skip(const char *figure, const char *why)
{
    print_row(figure, "-", "-", "0", why);
}

/* ---- programs ---- */

void bench_result_free(struct bench_result *r)
{
    strbuf_free(&r->out);
    strbuf_free(&r->err);
}

static int read_back(int fd, const char *what, struct strbuf *out, struct error *err)
{
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_set(err, ERR_IO, errno, "read back %s", what);
    return fd_read_all(fd, OUTPUT_MAX, what, out, err);
}

/* Waits with wait4, which tells what the process used. */
static int wait_end(struct child *c, const char *name, int *status, struct rusage *use,
                    struct error *err)
{
    struct deadline d = deadline_in_ms(RUN_MS);
    struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
    if (deadline_poll(&p, 1, &d, name, err) < 0) {
        child_kill(c);
        return -1;
    }
    if (wait4(c->pid, status, 0, use) != c->pid)
        return error_set(err, ERR_INTERNAL, errno, "wait for %s", name);
    child_release(c);
    return 0;
}

/* Output goes to files in memory: nobody has to read while the clock runs. */
int bench_exec(const struct bench *b, const char *cwd, const char *const *argv,
               struct bench_result *r, struct error *err)
{
    struct child c;
    struct rusage use;
    int status;
    *r = (struct bench_result){.out = STRBUF_INIT, .err = STRBUF_INIT};
    _cleanup_free_ char *here = xasprintf("%s/here", b->work);
    _cleanup_close_ int dir = open(cwd ? cwd : here, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int out = memfd_create("stdout", MFD_CLOEXEC);
    _cleanup_close_ int errout = memfd_create("stderr", MFD_CLOEXEC);
    if (dir < 0 || out < 0 || errout < 0)
        return error_set(err, ERR_IO, errno, "prepare to run %s", argv[0]);
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    spec.envp = (const char *const *)environ;
    spec.any_owner = true;
    spec.argv = argv;
    spec.stdout_fd = out;
    spec.stderr_fd = errout;
    spec.cwd_fd = dir;
    int64_t t0 = clock_boot_us();
    if (spawn(&spec, &c, err) < 0 || wait_end(&c, argv[0], &status, &use, err) < 0)
        return -1;
    r->ms = (double)(clock_boot_us() - t0) / 1000;
    r->maxrss_kib = use.ru_maxrss;
    if (read_back(out, "stdout", &r->out, err) < 0 || read_back(errout, "stderr", &r->err, err) < 0)
        return -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    size_t skip = r->err.len > 600 ? r->err.len - 600 : 0;
    return error_set(err, ERR_INTERNAL, 0, "%s %s ended with status %#x: %s", argv[0],
                     argv[1] ? argv[1] : "", (unsigned)status, r->err.buf + skip);
}

/* ---- environment ---- */

static void set(const char *name, const char *value)
{
    (void)setenv(name, value, 1);
}

int bench_use_standin(struct bench *b, struct error *err)
{
    char path[PATH_MAX + 32];
    (void)str_format(path, sizeof path, "%s/tools/standin-firecracker", b->build);
    set("CRABBOX_FIRECRACKER_BINARY", path);
    (void)str_format(path, sizeof path, "%s/bed-image", b->work);
    set("CRABBOX_FC_IMAGE_DIR", path);
    set("CRABBOX_FC_STATE_DIR", b->state);
    set("CRABBOX_FC_VMM", "firecracker");
    set("CRABBOX_FIRECRACKER_NETWORK", "nat");
    set("CRABBOX_FC_SANDBOX", "false");
    set("CRABBOX_FIRECRACKER_CPUS", "1");
    set("CRABBOX_FIRECRACKER_MEMORY_MIB", "128");
    set("CRABBOX_FIRECRACKER_DISK_MIB", "512");
    set("CRABBOX_FIRECRACKER_LAUNCH_TIMEOUT", "5m");
    set("CRABBOX_FC_LEASE_STOP_TIMEOUT", "60s");
    if (mkdir(path, 0700) == 0)
        return bed_make_image(path, err);
    return errno == EEXIST ? 0 : error_set(err, ERR_IO, errno, "make %s", path);
}
