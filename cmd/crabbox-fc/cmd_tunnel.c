#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd.h"

#define LOOPBACK "127.0.0.1"

enum { PARTS = 4 };

/* ADDRESS, PORT, HOST, PORT. */
struct forward {
    char part[PARTS][NAME_MAX + 1];
};

static bool is_port(const char *text)
{
    uint64_t port;
    return str_to_u64(text, &port) == 0 && port >= 1 && port <= 65535;
}

/* The length of the word at `text`; one in brackets may have colons. 0: there is none. */
static size_t word_length(const char *text)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-_*";
    static const char in_brackets[] = "0123456789abcdefABCDEF:.";
    if (*text != '[')
        return strspn(text, letters);
    size_t len = strspn(text + 1, in_brackets);
    return len && text[len + 1] == ']' ? len + 2 : 0;
}

/* The words between the colons: their number, or 0 if there are too many or one of them is none. */
static size_t split(const char *spec, struct forward *out)
{
    for (size_t n = 0; n < PARTS; spec++) {
        size_t len = word_length(spec);
        if (!len || str_format(out->part[n], sizeof out->part[n], "%.*s", (int)len, spec) < 0)
            return 0;
        n++;
        spec += len;
        if (!*spec)
            return n;
        if (*spec != ':')
            return 0;
    }
    return 0;
}

/* PORT, PORT:PORT, PORT:HOST:PORT or ADDRESS:PORT:HOST:PORT. The side that listens does so on
 * loopback unless an address is given. ssh itself would take some other forms for an order to open
 * a proxy. */
static bool read_forward(const char *spec, struct forward *out)
{
    struct forward in;
    size_t n = split(spec, &in);
    if (!n || spec[0] == '-')
        return false;
    const char *const parts[PARTS] = {
        n == PARTS ? in.part[0] : LOOPBACK,
        n == PARTS ? in.part[1] : in.part[0],
        n <= 2 ? "localhost" : in.part[n - 2],
        in.part[n - 1],
    };
    for (size_t i = 0; i < PARTS; i++)
        (void)str_copy(out->part[i], sizeof out->part[i], parts[i]);
    return is_port(out->part[1]) && is_port(out->part[3]);
}

static void say_forward(bool local, const struct forward *f)
{
    log_info("%s:%s %s leads to %s:%s %s", f->part[0], f->part[1], local ? "here" : "in the lease",
             f->part[2], f->part[3], local ? "in the lease" : "here");
}

/* The words of ssh, and those of their texts that were made here. */
struct words {
    const char **v; /* owned */
    char **made;    /* owned */
    size_t n, n_made;
};

static void words_make(struct words *w, size_t max)
{
    w->v = xcalloc(max, sizeof *w->v);
    w->made = xcalloc(max, sizeof *w->made);
}

static void words_free(struct words *w)
{
    for (size_t i = 0; i < w->n_made; i++)
        free(w->made[i]);
    free(w->made);
    free(w->v);
}

static void add(struct words *w, const char *word)
{
    w->v[w->n++] = word;
}

static void add_made(struct words *w, char *text)
{
    w->made[w->n_made++] = text;
    add(w, text);
}

/* Adds "-L ADDRESS:PORT:HOST:PORT" for each. */
static int add_forwards(const struct option_list *list, const char *flag, struct words *w,
                        struct error *err)
{
    for (size_t i = 0; i < list->n; i++) {
        struct forward f;
        if (!read_forward(list->items[i], &f))
            return error_set(err, ERR_USAGE, 0,
                             "%s \"%s\" is not PORT, PORT:PORT, PORT:HOST:PORT or "
                             "ADDRESS:PORT:HOST:PORT",
                             flag, list->items[i]);
        add(w, flag);
        add_made(w, xasprintf("%s:%s:%s:%s", f.part[0], f.part[1], f.part[2], f.part[3]));
        say_forward(str_eq(flag, "-L"), &f);
    }
    return 0;
}

/* A port that nobody listens on just now; ssh fails if somebody does by then. */
static int find_free_port(char out[static 8], struct error *err)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return error_set(err, ERR_NET, errno, "find a free port of " LOOPBACK);
    (void)str_format(out, 8, "%u", ntohs(a.sin_port));
    return 0;
}

/* Crabbox's form: one port of the lease, and one line of output when the port here listens, which
 * is when ssh runs its local command. */
static int add_port(const char *remote, const char *local, struct words *w, struct error *err)
{
    char free_port[8];
    if (!is_port(remote) || (local && !str_eq(local, "0") && !is_port(local)))
        return error_set(err, ERR_USAGE, 0, "\"%s\" is not a port, from 1 to 65535",
                         is_port(remote) ? local : remote);
    if (out_check(err) < 0)
        return -1;
    if (!local || str_eq(local, "0")) {
        if (find_free_port(free_port, err) < 0)
            return -1;
        local = free_port;
    }
    add(w, "-o");
    add(w, "PermitLocalCommand=yes");
    add(w, "-o");
    add_made(w, xasprintf("LocalCommand=echo http://" LOOPBACK ":%s", local));
    add(w, "-L");
    add_made(w, xasprintf(LOOPBACK ":%s:" LOOPBACK ":%s", local, remote));
    return 0;
}

/* The lease, and the port if there is one. */
static int take_words(const struct invocation *in, const char **ref, const char **port,
                      struct error *err)
{
    const struct options *o = &in->opt;
    const char *const *word = in->args;
    *ref = o->id ? o->id : in->n_args ? *word++ : NULL;
    *port = word < in->args + in->n_args ? *word++ : NULL;
    if (!*ref)
        return error_set(err, ERR_USAGE, 0, "tunnel needs a lease; next: crabbox-fc list");
    if (word < in->args + in->n_args)
        return error_set(err, ERR_USAGE, 0, "tunnel: unexpected argument \"%s\"", *word);
    if (o->local_port && !*port)
        return error_set(
            err, ERR_USAGE, 0,
            "--local-port needs the port of the lease; next: crabbox-fc tunnel --help");
    if (!*port && !o->local_forward.n && !o->remote_forward.n)
        return error_set(err, ERR_USAGE, 0,
                         "tunnel needs a port, -L or -R; next: crabbox-fc tunnel --help");
    return 0;
}

int cmd_tunnel(struct invocation *in, struct error *err)
{
    const struct options *o = &in->opt;
    const char *ref, *port;
    _cleanup_(stock_ssh_close) struct stock_ssh s = STOCK_SSH_INIT;
    _cleanup_(words_free) struct words w = {0};
    if (take_words(in, &ref, &port, err) < 0)
        return -1;
    words_make(&w, 2 * (o->local_forward.n + o->remote_forward.n) + 32);
    if (stock_ssh_find(in, ref, &s, err) < 0)
        return -1;
    const char *const fixed[] = {"ssh", "-F", s.config, "-N", "-o", "ExitOnForwardFailure=yes",
                                 /* a guest that stands still ends it */
                                 "-o", "ServerAliveInterval=20", "-o", "ServerAliveCountMax=4",
                                 /* tells of a port where nobody listens */
                                 "-o", "LogLevel=INFO"};
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        add(&w, fixed[i]);
    if ((port && add_port(port, o->local_port, &w, err) < 0) ||
        add_forwards(&o->local_forward, "-L", &w, err) < 0 ||
        add_forwards(&o->remote_forward, "-R", &w, err) < 0)
        return -1;
    log_info("Ctrl-C ends it");
    add(&w, s.host);
    return stock_ssh_run(in, &s, w.v, true, err);
}
