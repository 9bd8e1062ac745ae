/* residue: what is left on this host.
 *
 *   residue --snapshot [--state-dir DIR]           print a baseline
 *   residue [--state-dir DIR] [--baseline FILE]    print what is there beyond it, and residue=N
 *
 * Without a baseline only things that bear our marks count: links cbx*, nft tables crabbox_fc*,
 * mounts below the state directory, control groups in that of the leases ($CRABBOX_FC_CGROUP, else
 * crabbox-fc), and processes that mention the state directory. A neighbour in a pipeline mentions
 * it too, by its environment: write to a file instead. Exit code 0 when nothing is left, 1 when
 * something is, 2 when looking failed.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys/cgroup.h"
#include "sys/file.h"
#include "testutil/residue.h"

struct args {
    const char *state_dir, *baseline;
    bool snapshot;
};

static int parse_args(int argc, char **argv, struct args *a)
{
    static const struct option options[] = {
        {"state-dir", required_argument, NULL, 's'},
        {"baseline", required_argument, NULL, 'b'},
        {"snapshot", no_argument, NULL, 'n'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's')
            a->state_dir = optarg;
        else if (c == 'b')
            a->baseline = optarg;
        else if (c == 'n')
            a->snapshot = true;
        else
            return -1;
    }
    return optind == argc ? 0 : -1;
}

/* Whether a line bears a mark of ours, for want of a baseline. */
static bool is_marked(const char *line, const char *state_dir)
{
    return str_has_prefix(line, "link cbx") || strstr(line, " crabbox_fc") ||
           str_has_prefix(line, "process ") || str_has_prefix(line, "cgroup ") ||
           str_has_prefix(line, "file ") ||
           (str_has_prefix(line, "mount ") && state_dir && strstr(line, state_dir));
}

/* A baseline of everything that is there and bears no mark. */
static void assume_baseline(const struct residue *now, const char *state_dir, struct residue *out)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    for (size_t i = 0; i < now->n; i++)
        if (!is_marked(now->lines[i], state_dir))
            strbuf_addf(&sb, "%s\n", now->lines[i]);
    residue_parse(sb.buf, out);
}

static int run(const struct args *a, struct strbuf *out, struct error *err)
{
    _cleanup_residue_ struct residue now = {0}, before = {0};
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    /* Without a baseline, a process in some namespace of its own may be anybody's. */
    struct residue_scope scope = {.state_dir = a->state_dir, .cgroup = getenv("CRABBOX_FC_CGROUP")};
    if (!scope.cgroup && a->state_dir)
        scope.cgroup = CGROUP_PARENT;
    if (!a->baseline && !a->snapshot)
        scope.ancestor = -1;
    if (residue_take(&scope, &now, err) < 0)
        return -1;
    if (a->snapshot) {
        residue_print(&now, out);
        return 0;
    }
    if (a->baseline && file_read_at(AT_FDCWD, a->baseline, 1 << 22, &text, err) < 0)
        return -1;
    if (a->baseline)
        residue_parse(text.buf, &before);
    else
        assume_baseline(&now, a->state_dir, &before);
    size_t n = residue_diff(&before, &now, out);
    strbuf_addf(out, "residue=%zu\n", n);
    return n ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct args a = {0};
    struct error err = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    if (parse_args(argc, argv, &a) < 0) {
        (void)fprintf(stderr, "usage: residue [--snapshot] [--state-dir DIR] [--baseline FILE]\n");
        return 2;
    }
    int r = run(&a, &out, &err);
    (void)fputs(out.buf, stdout);
    if (r < 0)
        (void)fprintf(stderr, "residue: %s\n", err.msg);
    return r < 0 ? 2 : r;
}
