/* cmd_parse.c: reads a command line as the real one would, and does nothing: for the test of the
 * documents, whose every command goes through it. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"

static int parse_line(const struct verb *v, int argc, char **argv, struct parsed *p,
                      struct error *err)
{
    struct config cfg;
    if (options_parse(v, argc, argv, p, err) < 0)
        return -1;
    if (!v->uses_config)
        return 0;
    if (config_for(p, &cfg, err) < 0)
        return -1;
    config_free(&cfg);
    return 0;
}

int cmd_parse(struct invocation *in, struct error *err)
{
    struct parsed p = {0};
    const struct verb *v = verb_by_name(in->args[0]);
    if (!v || v->hidden)
        return error_set(err, ERR_USAGE, 0, "unknown verb \"%s\"", in->args[0]);
    _cleanup_free_ char **argv = xcalloc((size_t)in->n_args, sizeof *argv);
    for (int i = 1; i < in->n_args; i++)
        argv[i - 1] = xstrdup(in->args[i]);
    int r = parse_line(v, in->n_args - 1, argv, &p, err);
    options_free(&p);
    for (int i = 1; i < in->n_args; i++)
        free(argv[i - 1]);
    return r;
}
