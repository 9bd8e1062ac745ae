/* bench_sync.c: our sync beside rsync and tar over the stock ssh, in turn, each in a lease of its
 * own. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "bench/bench.h"
#include "standin/standin_fault.h"

enum { ROUNDS = 5, ROUNDS_QUICK = 1 };

#define MAKE_TREE                                                                                  \
    "mkdir -p tree && cd tree && git init -q && for i in $(seq 50); do mkdir d$i; "                \
    "head -c 409600 /dev/urandom | split -a 2 -b 4096 - d$i/file-; done && git add -A"
#define MAKE_QUICK                                                                                 \
    "mkdir -p tree && cd tree && git init -q && mkdir d7 && "                                      \
    "head -c 40960 /dev/urandom | split -a 2 -b 4096 - d7/file- && git add -A"

/* What is compared, in the order in which it is measured. */
static const struct {
    const char *figure, *before; /* before: run in the tree */
} cases[] = {
    {"first sync of 5000 files of 4 KiB", ":"},
    {"nothing changed", ":"},
    {"one file changed", "head -c 4096 /dev/urandom >d7/file-aa"},
    {"a new file of 200 MB", "head -c 200000000 /dev/urandom >big"},
    {"one byte of it changed", "printf x | dd of=big bs=1 seek=99999999 conv=notrunc status=none"},
    {"all that is left", "rm big"},
};

static struct samples ours[ARRAY_LEN(cases)], theirs[ARRAY_LEN(cases)];
/* Of the first case, as tar always sends everything and has no repository to send. */
static struct samples tar, plain;

static int shell(const struct bench *b, const char *cwd, const char *script, double *ms,
                 struct error *err)
{
    _cleanup_bench_result_ struct bench_result r = {0};
    if (BENCH_EXEC(b, cwd, &r, err, "bash", "-euo", "pipefail", "-c", script, b->program) < 0)
        return -1;
    if (ms)
        *ms = r.ms;
    return 0;
}

#define GIT_LIST "git ls-files -z --cached --others --exclude-standard | "

/* rsync and tar as one would call them for the same files: git's list, times and modes kept. */
static int their_scripts(struct bench *b, struct strbuf *rsync, struct strbuf *tar_script,
                         struct error *err)
{
    _cleanup_bench_result_ struct bench_result r = {0};
    if (BENCH_EXEC(b, NULL, &r, err, b->program, "status", "--json", "theirs") < 0)
        return -1;
    _cleanup_json_ cJSON *j = json_parse(r.out.buf, r.out.len, "status --json", err);
    const cJSON *ssh = cJSON_GetObjectItemCaseSensitive(j, "ssh");
    if (!ssh)
        return error_set(err, ERR_INTERNAL, 0, "status --json has no ssh");
    const char *config = json_opt_string(ssh, "config", "");
    const char *host = json_opt_string(ssh, "configHost", "");
    strbuf_addf(rsync, GIT_LIST "rsync -a --from0 --files-from=- -e 'ssh -F %s' . %s:tree/", config,
                host);
    strbuf_addf(tar_script,
                GIT_LIST "tar -c --null -T - -f - | ssh -F %s %s 'mkdir tar && tar -x -C tar'",
                config, host);
    return 0;
}

/* The files of a guest count as its memory. */
#define WARMUP "for i in ours theirs plain; do \"$0\" warmup -q --memory 1024 --slug $i; done"
#define STOP   "\"$0\" stop ours theirs plain"

static int round_of(struct bench *b, const char *tree, struct error *err)
{
    _cleanup_strbuf_ struct strbuf rsync = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf tar_script = STRBUF_INIT;
    if (shell(b, NULL, WARMUP, NULL, err) < 0 || their_scripts(b, &rsync, &tar_script, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        double ms;
        if (shell(b, tree, cases[i].before, NULL, err) < 0 ||
            shell(b, tree, "\"$0\" run -q --id ours --sync-only", &ms, err) < 0)
            return -1;
        samples_add(&ours[i], ms);
        if (shell(b, tree, rsync.buf, &ms, err) < 0)
            return -1;
        samples_add(&theirs[i], ms);
        if (i > 0)
            continue;
        if (shell(b, tree, tar_script.buf, &ms, err) < 0)
            return -1;
        samples_add(&tar, ms);
        if (shell(b, tree, "\"$0\" run -q --id plain --sync-only --git none", &ms, err) < 0)
            return -1;
        samples_add(&plain, ms);
    }
    return shell(b, NULL, STOP, NULL, err);
}

/* The first sync alone, to guests whose server is dropbear. */
static int with_dropbear(struct bench *b, const char *tree, struct error *err)
{
    static struct samples git, no_git, by_tar;
    const struct {
        const char *script;
        struct samples *to;
    } ways[] = {{"\"$0\" run -q --id ours --sync-only", &git},
                {NULL, &by_tar},
                {"\"$0\" run -q --id plain --sync-only --git none", &no_git}};
    for (int i = 0; i < (b->quick ? ROUNDS_QUICK : ROUNDS); i++) {
        _cleanup_strbuf_ struct strbuf rsync = STRBUF_INIT;
        _cleanup_strbuf_ struct strbuf tar_script = STRBUF_INIT;
        if (shell(b, NULL, WARMUP, NULL, err) < 0 || their_scripts(b, &rsync, &tar_script, err) < 0)
            return -1;
        for (size_t k = 0; k < ARRAY_LEN(ways); k++) {
            double ms;
            if (shell(b, tree, ways[k].script ? ways[k].script : tar_script.buf, &ms, err) < 0)
                return -1;
            samples_add(ways[k].to, ms);
        }
        if (shell(b, NULL, STOP, NULL, err) < 0)
            return -1;
    }
    bench_row("the same first sync to dropbear", &git, "ms", BENCH_STANDIN);
    bench_row("  with --git none", &no_git, "ms", BENCH_STANDIN);
    bench_row("  tar over the stock ssh", &by_tar, "ms", BENCH_STANDIN);
    bench_row_one("    ratio to crabbox-fc with --git none",
                  samples_median(&by_tar) / samples_median(&no_git), "", BENCH_STANDIN);
    return 0;
}

int bench_sync(struct bench *b, struct error *err)
{
    char tree[PATH_MAX];
    if (access("/usr/bin/rsync", X_OK) < 0) {
        bench_row_skip("sync beside rsync", "no rsync here");
        return 0;
    }
    (void)str_format(tree, sizeof tree, "%.3900s/here/tree", b->work);
    if (bench_use_standin(b, err) < 0 ||
        shell(b, NULL, b->quick ? MAKE_QUICK : MAKE_TREE, NULL, err) < 0)
        return -1;
    for (int i = 0; i < (b->quick ? ROUNDS_QUICK : ROUNDS); i++)
        if (round_of(b, tree, err) < 0)
            return -1;
    for (size_t i = 0; i < ARRAY_LEN(cases) - 1; i++) {
        bench_row(cases[i].figure, &ours[i], "ms", BENCH_STANDIN);
        bench_row("  rsync over the stock ssh", &theirs[i], "ms", BENCH_STANDIN);
        bench_row_one("    ratio to crabbox-fc",
                      samples_median(&theirs[i]) / samples_median(&ours[i]), "", BENCH_STANDIN);
        if (i > 0)
            continue;
        bench_row("  with --git none", &plain, "ms", BENCH_STANDIN);
        bench_row("  tar over the stock ssh", &tar, "ms", BENCH_STANDIN);
        bench_row_one("    ratio to crabbox-fc with --git none",
                      samples_median(&tar) / samples_median(&plain), "", BENCH_STANDIN);
    }
    static const char *const dropbear[] = {"CRABBOX_STANDIN_SERVER=dropbear", NULL};
    if (faults_write(b->work, dropbear, err) < 0 || with_dropbear(b, tree, err) < 0)
        return -1;
    return faults_write(b->work, dropbear + 1, err);
}
