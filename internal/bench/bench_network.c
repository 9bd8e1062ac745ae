/* bench_network.c: our own links beside a chain of real CNI plugins, in turn. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "bench/bench.h"
#include "sys/file.h"

enum { ROUNDS = 15, ROUNDS_QUICK = 2 };

static const char *const plugin_dirs[] = {"/usr/lib/cni", "/opt/cni/bin"};
static const char *const modes[] = {"nat", "cni"};
static struct samples warmup_ms[ARRAY_LEN(modes)], net_us[ARRAY_LEN(modes)],
    stop_ms[ARRAY_LEN(modes)];

static int write_list(const struct bench *b, const char *dir, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("%s/10-bench.conflist", dir);
    _cleanup_free_ char *text = xasprintf(
        "{\"cniVersion\":\"1.0.0\",\"name\":\"bench\",\"plugins\":[{\"type\":\"ptp\",\"ipMasq\":"
        "true,"
        "\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"%s/cni-data\","
        "\"ranges\":[[{\"subnet\":\"10.88.0.0/24\"}]],\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}}]}",
        b->work);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "make %s", dir);
    return file_write_new(AT_FDCWD, path, text, strlen(text), 0600, err);
}

static const char *find_plugins(void)
{
    for (size_t i = 0; i < ARRAY_LEN(plugin_dirs); i++) {
        _cleanup_free_ char *ptp = xasprintf("%s/ptp", plugin_dirs[i]);
        if (access(ptp, X_OK) == 0)
            return plugin_dirs[i];
    }
    return NULL;
}

static int one(const struct bench *b, size_t mode, struct error *err)
{
    _cleanup_bench_result_ struct bench_result up = {0}, down = {0};
    if (BENCH_EXEC(b, NULL, &up, err, b->program, "warmup", "-q", "--json", "--slug", "net",
                   "--firecracker-network", modes[mode]) < 0)
        return -1;
    _cleanup_json_ cJSON *j = json_parse(up.out.buf, up.out.len, "warmup --json", err);
    if (!j || BENCH_EXEC(b, NULL, &down, err, b->program, "stop", "-q", "net") < 0)
        return -1;
    const cJSON *timing = cJSON_GetObjectItemCaseSensitive(j, "timing");
    samples_add(&warmup_ms[mode], up.ms);
    samples_add(&net_us[mode], (double)json_opt_i64(timing, "netUs", 0) / 1000);
    samples_add(&stop_ms[mode], down.ms);
    return 0;
}

static void rows(const char *figure, struct samples s[2])
{
    _cleanup_free_ char *nat = xasprintf("%s: nat", figure);
    bench_row(nat, &s[0], "ms", BENCH_STANDIN);
    bench_row("  cni (ptp, host-local, ipMasq)", &s[1], "ms", BENCH_STANDIN);
    bench_row_one("    ratio to nat", samples_median(&s[1]) / samples_median(&s[0]), "",
                  BENCH_STANDIN);
}

int bench_network(struct bench *b, struct error *err)
{
    const char *plugins = find_plugins();
    _cleanup_free_ char *conf = xasprintf("%s/cni-conf", b->work);
    if (!plugins) {
        bench_row_skip("nat beside cni", "no CNI plugins here");
        return 0;
    }
    if (bench_use_standin(b, err) < 0 || write_list(b, conf, err) < 0)
        return -1;
    (void)setenv("CRABBOX_FIRECRACKER_CNI_NETWORK", "bench", 1);
    (void)setenv("CRABBOX_FIRECRACKER_CNI_CONF_DIR", conf, 1);
    (void)setenv("CRABBOX_FIRECRACKER_CNI_BIN_DIR", plugins, 1);
    for (int i = 0; i < (b->quick ? ROUNDS_QUICK : ROUNDS); i++)
        for (size_t mode = 0; mode < ARRAY_LEN(modes); mode++)
            if (one(b, mode, err) < 0)
                return -1;
    /* iptables keeps the table that it made for the plugins. */
    _cleanup_bench_result_ struct bench_result r = {0};
    if (BENCH_EXEC(b, NULL, &r, err, "nft", "delete", "table", "ip", "nat") < 0)
        return -1;
    rows("warmup", warmup_ms);
    rows("its step net", net_us);
    rows("stop", stop_ms);
    return 0;
}
