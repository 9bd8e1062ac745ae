/* main.c: find the verb, parse, load the configuration, call, print the error once. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd.h"
#include "sys/beneath.h"
#include "sys/worktree.h"

/* Descriptors 0 to 2 exist from here on, so that no lease file ever lands on one of them. A
 * standard output that was closed can't be written to, so that a result is not lost without a word.
 */
static void guarantee_stdio(void)
{
    for (int i = 0; i <= 2; i++)
        if (fcntl(i, F_GETFD) < 0) /* the lowest that is free is this one */
            (void)open("/dev/null", (i == STDOUT_FILENO ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    for (int i = 0; i <= 2; i++)
        (void)fcntl(i, F_SETFD, 0);
}

/* What would keep a new lease for good: the floor may say no to it. */
static const char *asks_to_keep(const struct options *o)
{
    if (o->keep)
        return "--keep";
    return o->sync_only && !o->stop_after && !o->id ? "--sync-only without --stop-after" : NULL;
}

int config_for(const struct parsed *p, struct config *cfg, struct error *err)
{
    struct config_args args = {
        /* Not its path: the tree that is sent is "." too, and what the path leads to may change. */
        .cwd = ".",
        .envp = (const char *const *)environ,
        .flags = p->flags,
        .n_flags = p->n_flags,
    };
    if (config_load(&args, cfg, err) < 0)
        return -1;
    const char *keep = asks_to_keep(&p->opt);
    if (keep && config_check_keep(cfg, keep, err) < 0) {
        config_free(cfg);
        return -1;
    }
    return 0;
}

/* What --dir names is opened only once, because the owner of the tree, or of a directory above it,
 * can swap in another one at any time; and first of all, because it counts in what comes then. It
 * may be missing if nothing is sent. */
static int open_dir(struct invocation *in, struct error *err)
{
    const struct options *o = &in->opt;
    _cleanup_(beneath_close) struct beneath b = {.dirfd = -1};
    if (!o->dir)
        return 0;
    if (beneath_find("--dir", o->dir, &b, err) == 0 && beneath_check_sent(&b, err) == 0) {
        in->dir_fd = beneath_open(b.dirfd, b.rest, O_PATH | O_DIRECTORY, 0);
        if (in->dir_fd >= 0)
            return worktree_set_dir(in->dir_fd) == 0
                       ? 0
                       : error_set(err, ERR_SYNC, errno, "hold %s open", o->dir);
        (void)beneath_failed(&b, errno, err);
    }
    if (o->no_sync && err->kind != ERR_USAGE) {
        error_clear(err);
        return 0;
    }
    if (err->kind == ERR_IO)
        err->kind = ERR_SYNC;
    return -1;
}

static int run_verb(struct invocation *in, const struct parsed *p, struct error *err)
{
    const struct verb *v = in->verb;
    if (open_dir(in, err) < 0)
        return -1;
    if (v->uses_config && config_for(p, &in->cfg, err) < 0)
        return v->refused ? v->refused(in, err) : -1;
    if (v->uses_store &&
        ops_open(&in->ops, providers, &in->cfg, NULL, v->makes_leases, in->cancel_fd, err) < 0) {
        config_free(&in->cfg);
        return -1;
    }
    if (v->uses_store)
        progress_attach(in);
    int code = v->run(in, err);
    progress_detach();
    if (v->uses_store)
        ops_close(&in->ops);
    if (v->uses_config)
        config_free(&in->cfg);
    return code;
}

static int invoke(const struct verb *v, int argc, char **argv, struct error *err)
{
    struct parsed p;
    int code = -1;
    if (options_parse(v, argc, argv, &p, err) < 0)
        goto out;
    if (p.opt.help) {
        help_verb(v);
        code = 0;
        goto out;
    }
    if (p.opt.quiet)
        log_set_level(LOG_WARN);
    else if (p.opt.verbose)
        log_set_level(LOG_DEBUG);
    struct invocation in = {
        .verb = v, .opt = p.opt, .args = p.args, .n_args = p.n_args, .dir_fd = -1};
    in.cancel_fd = interrupt_open(v, err);
    if (in.cancel_fd >= 0)
        code = run_verb(&in, &p, err);
    CLOSE_FD(in.dir_fd);
out:
    options_free(&p);
    return code;
}

/* What other programs of this kind call a verb. */
static const struct {
    const char *word, *verb;
} elsewhere[] = {
    {"rm", "stop"},   {"kill", "stop"},      {"down", "stop"},     {"delete", "stop"},
    {"exec", "run"},  {"shell", "ssh"},      {"attach", "ssh"},    {"login", "ssh"},
    {"up", "warmup"}, {"start", "warmup"},   {"create", "warmup"}, {"ps", "list"},
    {"copy", "cp"},   {"forward", "tunnel"},
};

/* The verb that was meant, or NULL. */
static const char *verb_near(const char *name)
{
    const char *names[128], *words[ARRAY_LEN(elsewhere)];
    size_t n = 0;
    for (size_t i = 0; i < verbs_len; i++) {
        if (verbs[i].hidden)
            continue;
        names[n++] = verbs[i].name;
        if (verbs[i].alias)
            names[n++] = verbs[i].alias;
    }
    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++) {
        words[i] = elsewhere[i].word;
        if (str_eq(name, words[i]))
            return elsewhere[i].verb;
    }
    const char *near = str_nearest(name, names, n);
    const char *word = near ? NULL : str_nearest(name, words, ARRAY_LEN(words));
    for (size_t i = 0; word && i < ARRAY_LEN(elsewhere); i++)
        if (word == elsewhere[i].word)
            return elsewhere[i].verb;
    return near;
}

static int unknown_verb(const char *name, struct error *err)
{
    if (name[0] == '-')
        return error_set(err, ERR_USAGE, 0,
                         "%s is not a verb, and options come after the verb; next: crabbox-fc help",
                         name);
    const char *near = verb_near(name);
    if (near)
        return error_set(err, ERR_USAGE, 0,
                         "unknown verb \"%s\"; did you mean %s? next: crabbox-fc help", name, near);
    return error_set(err, ERR_USAGE, 0, "unknown verb \"%s\"; next: crabbox-fc help", name);
}

/* A core of ours holds keys and the caller's environment. It would lie in the working directory,
 * and go to a guest with the next sync. */
static void leave_no_core(void)
{
    struct rlimit core;
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0;
        (void)setrlimit(RLIMIT_CORE, &core);
    }
}

static int dispatch(int argc, char **argv, struct error *err)
{
    if (argc < 2) {
        help_all();
        return 2;
    }
    const char *name = argv[1];
    if (str_eq(name, "--help") || str_eq(name, "-h"))
        name = "help";
    if (str_eq(name, "--version") || str_eq(name, "-V"))
        name = "version";
    const struct verb *v = verb_by_name(name);
    return v ? invoke(v, argc - 2, argv + 2, err) : unknown_verb(name, err);
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    guarantee_stdio();
    leave_no_core();
    (void)signal(SIGPIPE, SIG_IGN); /* it is an error of the write */
    int code = dispatch(argc, argv, &err);
    bool printed = code < 0 || out_finish(&err) == 0;
    if (code < 0 || !printed)
        out_error(&err);
    return code < 0 || (code == 0 && !printed) ? error_exit_code(err.kind) : code;
}
