#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "bench/bench.h"
#include "sys/file.h"
#include "sys/spawn.h"

/* ---- one lease at a time, by phase ---- */

#define KEYS_MAX 32

/* Samples by the key of a timing object, in the order in which the keys came first. */
struct keyed {
    char key[KEYS_MAX][32];
    struct samples s[KEYS_MAX];
    size_t n;
};

static struct samples *keyed_get(struct keyed *k, const char *key)
{
    for (size_t i = 0; i < k->n; i++)
        if (str_eq(k->key[i], key))
            return &k->s[i];
    if (k->n == KEYS_MAX || str_copy(k->key[k->n], sizeof k->key[0], key) < 0)
        return &k->s[KEYS_MAX - 1];
    return &k->s[k->n++];
}

static double get_us(const cJSON *timing, const char *key)
{
    return (double)json_opt_i64(timing, key, 0);
}

static struct keyed warm, run;
static struct samples warm_wall, warm_host, warm_start, run_wall, stop_wall, stop_ms, whole_wall;
static long warm_rss;

static void take_warmup(const cJSON *timing, double wall_ms)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, timing) if (str_has_suffix(item->string, "Us"))
        samples_add(keyed_get(&warm, item->string), get_us(timing, item->string) / 1000);
    double total = get_us(timing, "totalUs") / 1000;
    samples_add(&warm_wall, wall_ms);
    samples_add(&warm_start, wall_ms - total);
    samples_add(&warm_host, total - get_us(timing, "readyUs") / 1000);
}

static int one_warmup(struct bench *b, struct error *err)
{
    _cleanup_bench_result_ struct bench_result r = {0};
    if (BENCH_EXEC(b, NULL, &r, err, b->program, "warmup", "--json", "--slug", "bench") < 0)
        return -1;
    _cleanup_json_ cJSON *j = json_parse(r.out.buf, r.out.len, "warmup --json", err);
    const cJSON *timing = cJSON_GetObjectItemCaseSensitive(j, "timing");
    if (!timing)
        return error_set(err, ERR_INTERNAL, 0, "warmup --json has no timing");
    take_warmup(timing, r.ms);
    warm_rss = r.maxrss_kib > warm_rss ? r.maxrss_kib : warm_rss;
    return 0;
}

/* The line of --timing-json among what else is on stderr. */
static int take_run(const char *errout, const char *prefix, struct error *err)
{
    static const char *const keys[] = {"leaseMs", "syncMs", "commandMs", "totalMs"};
    char key[32];
    const char *line = strchr(errout, '{');
    if (!line)
        return error_set(err, ERR_INTERNAL, 0, "run --timing-json printed none");
    _cleanup_json_ cJSON *j = json_parse(line, strcspn(line, "\n"), "run --timing-json", err);
    if (!j)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        (void)str_format(key, sizeof key, "%s: %s", prefix, keys[i]);
        samples_add(keyed_get(&run, key), (double)json_opt_i64(j, keys[i], 0));
    }
    return 0;
}

static int one_run(struct bench *b, const char *tree, struct error *err)
{
    _cleanup_bench_result_ struct bench_result plain = {0}, first = {0}, again = {0};
    if (BENCH_EXEC(b, tree, &plain, err, b->program, "run", "--id", "bench", "--no-sync",
                   "--timing-json", "--", "true") < 0 ||
        BENCH_EXEC(b, tree, &first, err, b->program, "run", "--id", "bench", "--timing-json", "--",
                   "true") < 0 ||
        BENCH_EXEC(b, tree, &again, err, b->program, "run", "--id", "bench", "--timing-json", "--",
                   "true") < 0)
        return -1;
    samples_add(&run_wall, plain.ms);
    if (take_run(plain.err.buf, "no sync", err) < 0 || take_run(first.err.buf, "sync", err) < 0)
        return -1;
    return take_run(again.err.buf, "sync again", err);
}

static int one_stop(struct bench *b, struct error *err)
{
    _cleanup_bench_result_ struct bench_result r = {0};
    if (BENCH_EXEC(b, NULL, &r, err, b->program, "stop", "--json", "bench") < 0)
        return -1;
    _cleanup_json_ cJSON *j = json_parse(r.out.buf, r.out.len, "stop --json", err);
    const cJSON *row = cJSON_GetArrayItem(j, 0);
    if (!json_opt_bool(row, "graceful", false))
        return error_set(err, ERR_INTERNAL, 0, "the guest was killed, not stopped");
    samples_add(&stop_wall, r.ms);
    samples_add(&stop_ms, (double)json_opt_i64(row, "stopMs", 0));
    return 0;
}

/* A lease that lives for one command. */
static int whole_run(struct bench *b, const char *tree, struct error *err)
{
    _cleanup_bench_result_ struct bench_result r = {0};
    if (BENCH_EXEC(b, tree, &r, err, b->program, "run", "--no-sync", "--", "true") < 0)
        return -1;
    samples_add(&whole_wall, r.ms);
    return 0;
}

/* A hundred small files, no repository. */
static int make_tree(const struct bench *b, char *path, size_t size, struct error *err)
{
    char name[32], text[4096];
    memset(text, 'x', sizeof text);
    (void)str_format(path, size, "%.3900s/tree", b->work);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "make %s", path);
    _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 100; i++) {
        (void)str_format(name, sizeof name, "file-%d.txt", i);
        if (file_write_new(dir, name, text, sizeof text, 0644, err) < 0)
            return -1;
    }
    return 0;
}

static void lease_rows(void)
{
    char figure[64];
    bench_row("warmup: the whole process", &warm_wall, "ms", BENCH_STANDIN);
    bench_row("  host side (all but ready)", &warm_host, "ms", BENCH_STANDIN);
    bench_row("  process start, configuration, output", &warm_start, "ms", BENCH_STANDIN);
    for (size_t i = 0; i < warm.n; i++) {
        (void)str_format(figure, sizeof figure, "  %s", warm.key[i]);
        bench_row(figure, &warm.s[i], "ms", BENCH_STANDIN);
    }
    bench_row_one("  peak memory", (double)warm_rss / 1024, "MiB", BENCH_STANDIN);
    bench_row("run in a lease, --no-sync: the whole process", &run_wall, "ms", BENCH_STANDIN);
    for (size_t i = 0; i < run.n; i++) {
        (void)str_format(figure, sizeof figure, "  %s", run.key[i]);
        bench_row(figure, &run.s[i], "ms", BENCH_STANDIN);
    }
    bench_row("stop: the whole process", &stop_wall, "ms", BENCH_STANDIN);
    bench_row("  stopMs", &stop_ms, "ms", BENCH_STANDIN);
    bench_row("run without a lease: warmup, command, stop", &whole_wall, "ms", BENCH_STANDIN);
}

int bench_leases(struct bench *b, struct error *err)
{
    char tree[PATH_MAX];
    if (bench_use_standin(b, err) < 0 || make_tree(b, tree, sizeof tree, err) < 0)
        return -1;
    for (int i = 0, n = b->quick ? 3 : 30; i < n; i++)
        if (one_warmup(b, err) < 0 || one_run(b, tree, err) < 0 || one_stop(b, err) < 0 ||
            whole_run(b, tree, err) < 0)
            return -1;
    lease_rows();
    return 0;
}

/* ---- many at once ---- */

#define CROWD_MAX 64

static int start_one(struct bench *b, const char *verb, unsigned i, struct child *c,
                     struct error *err)
{
    char slug[32];
    _cleanup_free_ char *here = xasprintf("%s/here", b->work);
    _cleanup_close_ int dir = open(here, O_PATH | O_DIRECTORY | O_CLOEXEC);
    (void)str_format(slug, sizeof slug, "crowd-%u", i);
    const char *const warmup[] = {b->program, verb, "-q", "--slug", slug, NULL};
    struct spawn_spec spec = SPAWN_SPEC_INIT;
    spec.envp = (const char *const *)environ;
    spec.any_owner = true;
    spec.argv = warmup;
    spec.cwd_fd = dir;
    spec.stderr_fd = STDERR_FILENO;
    return spawn(&spec, c, err);
}

/* Waits for all of them, each one's time since the common start taken when it ends. */
static int wait_all(struct child *c, unsigned n, int64_t t0, struct samples *each,
                    struct error *err)
{
    struct pollfd p[CROWD_MAX];
    for (unsigned i = 0; i < n; i++)
        p[i] = (struct pollfd){.fd = c[i].pidfd, .events = POLLIN};
    for (unsigned left = n; left;) {
        if (poll(p, n, 300000) <= 0)
            return error_set(err, ERR_TIMEOUT, 0, "%u of %u did not end", left, n);
        for (unsigned i = 0; i < n; i++) {
            struct exit_status st;
            if (p[i].fd < 0 || !p[i].revents)
                continue;
            samples_add(each, (double)(clock_boot_us() - t0) / 1000);
            if (child_wait(&c[i], NULL, &st, err) < 0)
                return -1;
            if (!st.exited || st.code != 0)
                return error_set(err, ERR_INTERNAL, 0, "one of %u ended with exit code %d", n,
                                 st.code);
            p[i].fd = -1;
            left--;
        }
    }
    return 0;
}

static int crowd_round(struct bench *b, const char *verb, unsigned n, struct samples *each,
                       struct samples *rate, struct error *err)
{
    struct child c[CROWD_MAX] = {0};
    int64_t t0 = clock_boot_us();
    for (unsigned i = 0; i < n; i++)
        if (start_one(b, verb, i, &c[i], err) < 0)
            return -1;
    if (wait_all(c, n, t0, each, err) < 0)
        return -1;
    double s = (double)(clock_boot_us() - t0) / 1e6;
    samples_add(rate, n / s / (double)sysconf(_SC_NPROCESSORS_ONLN));
    return 0;
}

static int crowd_of(struct bench *b, unsigned n, int rounds, struct error *err)
{
    struct samples made = {.n = 0}, gone = {.n = 0}, make_rate = {.n = 0}, stop_rate = {.n = 0};
    char figure[64];
    for (int i = 0; i < rounds; i++)
        if (crowd_round(b, "warmup", n, &made, &make_rate, err) < 0 ||
            crowd_round(b, "stop", n, &gone, &stop_rate, err) < 0)
            return -1;
    (void)str_format(figure, sizeof figure, "%u at once: warmup", n);
    bench_row(figure, &made, "ms", BENCH_STANDIN);
    bench_row_one("  99th percentile / median", samples_at(&made, 99) / samples_median(&made), "",
                  BENCH_STANDIN);
    bench_row("  leases a second a core", &make_rate, "/s", BENCH_STANDIN);
    (void)str_format(figure, sizeof figure, "%u at once: stop", n);
    bench_row(figure, &gone, "ms", BENCH_STANDIN);
    bench_row("  stops a second a core", &stop_rate, "/s", BENCH_STANDIN);
    return 0;
}

int bench_crowd(struct bench *b, struct error *err)
{
    static const unsigned sizes[] = {1, 8, 32, 64};
    if (bench_use_standin(b, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        if (crowd_of(b, sizes[i], b->quick ? 1 : sizes[i] < 32 ? 10 : 3, err) < 0)
            return -1;
    return 0;
}
