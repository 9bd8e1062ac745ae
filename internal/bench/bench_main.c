/* bench: one section of the measurements; see bench/bench.h and scripts/bench.sh. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/cleanup.h"
#include "bench/bench.h"

static const struct section {
    const char *name;
    int (*run)(struct bench *b, struct error *err);
} sections[] = {
    {"start", bench_start},     {"list", bench_list},   {"leases", bench_leases},
    {"crowd", bench_crowd},     {"sync", bench_sync},   {"network", bench_network},
    {"sandbox", bench_sandbox}, {"clone", bench_clone}, {"emulated", bench_emulated},
};

static int usage(void)
{
    (void)fprintf(stderr,
                  "usage: bench --build DIR --work DIR [--quick] SECTION [ARG]\n"
                  "sections: start list leases crowd sync network sandbox clone emulated\n");
    return 2;
}

static int parse_args(int argc, char **argv, struct bench *b)
{
    static const struct option options[] = {
        {"build", required_argument, NULL, 'b'},
        {"work", required_argument, NULL, 'w'},
        {"quick", no_argument, NULL, 'q'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'b')
            b->build = optarg;
        else if (c == 'w')
            b->work = optarg;
        else if (c == 'q')
            b->quick = true;
        else
            return -1;
    }
    if (!b->build || !b->work || optind >= argc)
        return -1;
    b->arg = optind + 1 < argc ? argv[optind + 1] : NULL;
    if (str_format(b->program, sizeof b->program, "%s/crabbox-fc", b->build) < 0)
        return -1;
    return str_format(b->state, sizeof b->state, "%s/state", b->work);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct error err = ERROR_INIT;
    if (parse_args(argc, argv, &b) < 0)
        return usage();
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        if (!str_eq(sections[i].name, argv[optind]))
            continue;
        if (sections[i].run(&b, &err) == 0)
            return 0;
        (void)fprintf(stderr, "bench: %s: %s\n", sections[i].name, err.msg);
        return 1;
    }
    return usage();
}
