#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"

/* One argument vector while it is read. */
struct cursor {
    char **argv;
    int argc, i;
};

static const struct option_spec *find_long(const struct verb *v, const char *name, size_t len)
{
    for (const struct option_spec *o = v->options; o->name; o++)
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    return NULL;
}

static const struct option_spec *find_letter(const struct verb *v, char letter)
{
    for (const struct option_spec *o = v->options; o->name; o++)
        if (o->letter == letter)
            return o;
    return NULL;
}

/* The configuration key that --name sets, or NULL. */
static const char *find_key(const struct verb *v, const char *name)
{
    if (!v->uses_config)
        return NULL;
    for (size_t i = 0; i < flag_aliases_len; i++)
        if (str_eq(flag_aliases[i].name, name))
            return flag_aliases[i].key;
    const struct config_key *k = config_key_by_flag(name);
    return k ? k->name : NULL;
}

/* Crabbox's boolean flags stand alone or have "=true" behind them; ours take a word too. */
static bool stands_alone(const struct cursor *c, const char *name)
{
    const struct config_key *k = config_key_by_flag(name);
    const char *next = c->i + 1 < c->argc ? c->argv[c->i + 1] : "";
    return k && k->type == CFG_BOOL && !str_eq(next, "true") && !str_eq(next, "false");
}

static int unknown_option(const struct verb *v, const char *name, struct error *err)
{
    if (str_eq(v->name, "stop") && str_eq(name, "all")) /* a slip must not end all that there is */
        return error_set(err, ERR_USAGE, 0,
                         "there is no --all: stop takes the names of the leases; next: crabbox-fc "
                         "list, then crabbox-fc stop LEASE...");
    const char *names[128];
    size_t n = 0;
    for (const struct option_spec *o = v->options; o->name; o++)
        names[n++] = o->name;
    for (size_t i = 0; v->uses_config && i < config_keys_len && n < 100; i++)
        names[n++] = config_keys[i].flag;
    for (size_t i = 0; v->uses_config && i < flag_aliases_len; i++)
        names[n++] = flag_aliases[i].name;
    const char *near = str_nearest(name, names, n);
    if (near)
        return error_set(err, ERR_USAGE, 0,
                         "unknown option --%s; did you mean --%s? next: crabbox-fc %s --help", name,
                         near, v->name);
    return error_set(err, ERR_USAGE, 0, "unknown option --%s; next: crabbox-fc %s --help", name,
                     v->name);
}

/* The value behind "=" or the next word. */
static int take_value(const struct verb *v, struct cursor *c, const char *inline_value,
                      const char *name, const char **out, struct error *err)
{
    if (inline_value) {
        *out = inline_value;
        return 0;
    }
    if (c->i + 1 >= c->argc)
        return error_set(err, ERR_USAGE, 0, "option --%s needs a value; next: crabbox-fc %s --help",
                         name, v->name);
    *out = c->argv[++c->i];
    return 0;
}

/* Our argument vector is there for every user of the host to read: the value goes out of it. */
static void wipe_value(char *word)
{
    char *eq = strchr(word, '=');
    if (eq)
        explicit_bzero(eq + 1, strlen(eq + 1));
}

/* Adds the value of a repeatable option. `c` may stand at the option or, afterwards, at its value;
 * either way the value is the end of that word. */
static int add_to_list(const struct verb *v, const struct option_spec *o, struct cursor *c,
                       const char *inline_value, struct option_list *list, struct error *err)
{
    const char *value;
    if (take_value(v, c, inline_value, o->name, &value, err) < 0)
        return -1;
    list->items = xrealloc(list->items, (list->n + 2) * sizeof *list->items);
    list->items[list->n++] = xstrdup(value);
    list->items[list->n] = NULL;
    if (o->kind == OPT_SECRETS)
        wipe_value(c->argv[c->i] + (value - c->argv[c->i]));
    return 0;
}

static int store_option(const struct verb *v, const struct option_spec *o, struct cursor *c,
                        const char *inline_value, struct parsed *p, struct error *err)
{
    char *base = (char *)&p->opt;
    if (o->kind == OPT_BOOL) {
        if (inline_value && !str_eq(inline_value, "true") && !str_eq(inline_value, "false"))
            return error_set(err, ERR_USAGE, 0,
                             "option --%s takes no value but =true or =false, and this is \"%s\"",
                             o->name, inline_value);
        *(bool *)(void *)(base + o->offset) = !inline_value || str_eq(inline_value, "true");
        return 0;
    }
    if (o->kind == OPT_LIST || o->kind == OPT_SECRETS)
        return add_to_list(v, o, c, inline_value, (struct option_list *)(void *)(base + o->offset),
                           err);
    return take_value(v, c, inline_value, o->name, (const char **)(void *)(base + o->offset), err);
}

static int add_flag(struct parsed *p, struct config_flag flag, struct error *err)
{
    if (p->n_flags == FLAGS_MAX)
        return error_set(err, ERR_USAGE, 0, "more than %d configuration flags", FLAGS_MAX);
    p->flags[p->n_flags++] = flag;
    return 0;
}

/* `text` is the word without its dashes. */
static int parse_long(const struct verb *v, const char *text, struct cursor *c, struct parsed *p,
                      struct error *err)
{
    const char *word = c->argv[c->i];
    const char *eq = strchr(text, '=');
    size_t len = eq ? (size_t)(eq - text) : strlen(text);
    const struct option_spec *o = find_long(v, text, len);
    if (o)
        return store_option(v, o, c, eq ? eq + 1 : NULL, p, err);
    char name[64];
    if (str_format(name, sizeof name, "%.*s", (int)len, text) < 0)
        return error_set(err, ERR_USAGE, 0, "unknown option %s", word);
    struct config_flag f = {.key = find_key(v, name), .spelling = word};
    if (!f.key)
        return unknown_option(v, name, err);
    const char *value = eq ? eq + 1 : stands_alone(c, name) ? "true" : NULL;
    if (take_value(v, c, value, name, &f.value, err) < 0)
        return -1;
    return add_flag(p, f, err);
}

/* Whether `text` is a long option with one dash before it, as Crabbox takes it (-slug x): no such
 * name can be read as letters that stand together. */
static bool is_long(const struct verb *v, const char *text)
{
    char name[64];
    size_t len = strcspn(text, "=");
    return len > 1 && str_format(name, sizeof name, "%.*s", (int)len, text) == 0 &&
           (find_long(v, name, len) || find_key(v, name));
}

static int unknown_letter(const struct verb *v, char letter, struct error *err)
{
    if (v->run == cmd_cp && strchr("rRa", letter)) /* as cp(1) and scp take them */
        return error_set(err, ERR_USAGE, 0,
                         "unknown option -%c: a directory is copied with all that is in it anyway; "
                         "next: the same command without -%c",
                         letter, letter);
    return error_set(err, ERR_USAGE, 0, "unknown option -%c; next: crabbox-fc %s --help", letter,
                     v->name);
}

static int parse_short(const struct verb *v, struct cursor *c, struct parsed *p, struct error *err)
{
    if (is_long(v, c->argv[c->i] + 1))
        return parse_long(v, c->argv[c->i] + 1, c, p, err);
    for (const char *l = c->argv[c->i] + 1; *l; l++) {
        const struct option_spec *o = find_letter(v, *l);
        if (!o)
            return unknown_letter(v, *l, err);
        if (store_option(v, o, c, NULL, p, err) < 0)
            return -1;
    }
    return 0;
}

/* --ttl and --idle-timeout are configuration keys under short names. */
static int add_key_options(struct parsed *p, struct error *err)
{
    const struct {
        const char *value, *key, *spelling;
    } rows[] = {{p->opt.ttl, "lease.ttl", "--ttl"},
                {p->opt.idle_timeout, "lease.idleTimeout", "--idle-timeout"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].value &&
            add_flag(p, (struct config_flag){rows[i].key, rows[i].value, rows[i].spelling}, err) <
                0)
            return -1;
    return 0;
}

/* Whether "a|b|c" has this word. */
static bool among(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *p = words; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (strncmp(p, word, len) == 0 && (p[len] == '|' || !p[len]))
            return true;
    return false;
}

static int check_count(const struct verb *v, const struct parsed *p, struct error *err)
{
    if (p->opt.help)
        return 0;
    if (p->n_args < v->min_args)
        return error_set(
            err, ERR_USAGE, 0,
            "%s: an argument is missing; the verb takes %s; next: crabbox-fc %s --help", v->name,
            v->args, v->name);
    if (p->n_args && v->takes && strchr(v->takes, '|') && !among(v->takes, p->args[0]))
        return error_set(err, ERR_USAGE, 0,
                         "%s: unknown word \"%s\"; there are: %s; next: crabbox-fc %s --help",
                         v->name, p->args[0], v->takes, v->name);
    if (v->max_args >= 0 && p->n_args > v->max_args)
        return error_set(err, ERR_USAGE, 0,
                         "%s: unexpected argument \"%s\"; next: crabbox-fc %s --help", v->name,
                         p->args[v->max_args], v->name);
    return 0;
}

static void list_free(struct option_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        explicit_bzero(list->items[i], strlen(list->items[i]));
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct option_list){0};
}

void options_free(struct parsed *p)
{
    struct options *o = &p->opt;
    struct option_list *lists[] = {
        &o->env,   &o->env_file,      &o->download,       &o->artifact_glob,
        &o->junit, &o->local_forward, &o->remote_forward, &o->require_artifact};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        list_free(lists[i]);
    free(p->args);
    p->args = NULL;
}

int options_parse(const struct verb *verb, int argc, char **argv, struct parsed *out,
                  struct error *err)
{
    struct cursor c = {argv, argc, 0};
    bool only_args = false;
    memset(out, 0, sizeof *out);
    out->args = xcalloc((size_t)argc + 1, sizeof *out->args);
    for (; c.i < argc; c.i++) {
        const char *w = argv[c.i];
        int r = 0;
        if (!only_args && str_eq(w, "--"))
            only_args = true;
        else if (!only_args && str_has_prefix(w, "--"))
            r = parse_long(verb, w + 2, &c, out, err);
        else if (!only_args && w[0] == '-' && w[1])
            r = parse_short(verb, &c, out, err);
        else {
            out->args[out->n_args++] = w;
            only_args = only_args || verb->stops_at_args;
        }
        if (r < 0)
            return -1;
    }
    return add_key_options(out, err) < 0 ? -1 : check_count(verb, out, err);
}

int option_time(const char *option, const char *text, int64_t *ms, struct error *err)
{
    if (text && (config_duration(text, ms) < 0 || *ms <= 0))
        return error_set(err, ERR_USAGE, 0, "--%s: \"%s\" is not a time such as 90s, 10m or 1h30m",
                         option, text);
    return 0;
}
