#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd.h"

#define LOOPBACK "127.0.0.1"

static size_t count_colons(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += *s == ':';
    return n;
}

static bool is_port(const char *text, size_t len)
{
    char part[8];
    uint64_t port;
    return str_format(part, sizeof part, "%.*s", (int)len, text) == 0 &&
           str_to_u64(part, &port) == 0 && port >= 1 && port <= 65535;
}

/* PORT, PORT:PORT, PORT:HOST:PORT or ADDRESS:PORT:HOST:PORT → the last form, as ssh takes it. The
 * side that listens does so on loopback unless an address is given. */
static char *forward(const char *spec)
{
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-_:[]*";
    size_t first = strcspn(spec, ":");
    const char *last = strrchr(spec, ':');
    size_t colons = count_colons(spec);
    if (spec[strspn(spec, allowed)] || spec[0] == '-' || strchr(spec, '['))
        return spec[0] == '[' && !spec[strspn(spec, allowed)] ? xstrdup(spec) : NULL;
    if (!is_port(last ? last + 1 : spec, strlen(last ? last + 1 : spec)))
        return NULL;
    if (colons < 3 && !is_port(spec, first))
        return NULL;
    switch (colons) {
    case 0:
        return xasprintf(LOOPBACK ":%s:localhost:%s", spec, spec);
    case 1:
        return xasprintf(LOOPBACK ":%.*s:localhost:%s", (int)first, spec, spec + first + 1);
    case 2:
        return xasprintf(LOOPBACK ":%s", spec);
    case 3:
        return is_port(spec + first + 1, strcspn(spec + first + 1, ":")) ? xstrdup(spec) : NULL;
    default:
        return NULL;
    }
}

/* "ADDRESS:PORT:HOST:PORT" as a way from one end to the other. */
static void say_forward(bool local, const char *spec)
{
    const char *last = strrchr(spec, ':'), *host = last;
    if (last > spec && last[-1] == ']')
        host = memrchr(spec, '[', (size_t)(last - spec));
    else
        while (host > spec && host[-1] != ':')
            host--;
    log_info("%.*s %s leads to %s %s", (int)(host - spec - 1), spec,
             local ? "here" : "in the lease", host, local ? "in the lease" : "here");
}

/* Adds "-L ADDRESS:PORT:HOST:PORT" for each; the texts are left to the process's end. */
static int add_forwards(const struct option_list *list, const char *flag, const char **argv,
                        size_t *n, struct error *err)
{
    for (size_t i = 0; i < list->n; i++) {
        char *spec = forward(list->items[i]);
        if (!spec)
            return error_set(err, ERR_USAGE, 0,
                             "%s \"%s\" is not PORT, PORT:PORT, PORT:HOST:PORT or "
                             "ADDRESS:PORT:HOST:PORT",
                             flag, list->items[i]);
        argv[(*n)++] = flag;
        argv[(*n)++] = spec;
        say_forward(str_eq(flag, "-L"), spec);
    }
    return 0;
}

int cmd_tunnel(struct invocation *in, struct error *err)
{
    const struct options *o = &in->opt;
    const char *ref = o->id ? o->id : in->n_args ? in->args[0] : NULL;
    _cleanup_(stock_ssh_close) struct stock_ssh s = STOCK_SSH_INIT;
    size_t n = 0;
    if (!ref)
        return error_set(err, ERR_USAGE, 0, "tunnel needs a lease; next: crabbox-fc list");
    if (!o->local_forward.n && !o->remote_forward.n)
        return error_set(err, ERR_USAGE, 0,
                         "tunnel needs -L or -R; next: crabbox-fc tunnel --help");
    _cleanup_free_ const char **argv = xcalloc(2 * (o->local_forward.n + o->remote_forward.n) + 24,
                                               sizeof *argv);
    if (stock_ssh_find(in, ref, &s, err) < 0)
        return -1;
    const char *const fixed[] = {"ssh", "-F", s.config, "-N", "-o", "ExitOnForwardFailure=yes",
                                 /* a guest that stands still ends it */
                                 "-o", "ServerAliveInterval=20", "-o", "ServerAliveCountMax=4"};
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        argv[n++] = fixed[i];
    if (add_forwards(&o->local_forward, "-L", argv, &n, err) < 0 ||
        add_forwards(&o->remote_forward, "-R", argv, &n, err) < 0)
        return -1;
    log_info("Ctrl-C ends it");
    argv[n++] = s.host;
    return stock_ssh_become(&s, argv, true, err);
}
