/* cmd_complete.c: what could come next on a command line; the scripts of cmd_completion.c ask.
 *
 * The arguments are the words behind "crabbox-fc", the last of them unfinished. Each line of the
 * answer is a candidate, a tab and what it means; ":files" and ":dirs" stand for names of those.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cmd.h"

/* A command line up to its unfinished word. */
struct line {
    const struct verb *verb;
    const char *word;   /* unfinished, behind the "=" of an option where it has one */
    const char *prefix; /* what stands before it: "--vmm=", else "" */
    const char *option; /* the word is the value of this option, or NULL */
    int n_args;         /* plain words before it */
    bool only_args;     /* options are over */
};

static void offer(const struct line *l, const char *word, const char *meaning)
{
    _cleanup_strbuf_ struct strbuf row = STRBUF_INIT;
    if (!str_has_prefix(word, l->word))
        return;
    text_add(&row, l->prefix);
    text_add(&row, word);
    strbuf_addc(&row, '\t');
    text_add(&row, meaning);
    strbuf_addc(&row, '\n');
    (void)out_text(row.buf, NULL);
}

/* ":files" or ":dirs": the shell knows them. */
static void offer_names(const char *which)
{
    (void)out_line(NULL, "%s", which);
}

/* Each of "a|b|c". */
static void offer_words(const struct line *l, const char *words)
{
    while (*words) {
        size_t len = strcspn(words, "|");
        _cleanup_free_ char *word = xasprintf("%.*s", (int)len, words);
        offer(l, word, "");
        words += len + (words[len] == '|');
    }
}

static void offer_verbs(const struct line *l)
{
    for (size_t i = 0; i < verbs_len; i++)
        if (!verbs[i].hidden)
            offer(l, verbs[i].name, verbs[i].summary);
}

/* The slugs of the leases; nothing where there are none or they can't be read. */
static void offer_leases(const struct line *l, const char *suffix)
{
    struct config cfg = {0};
    struct ops ops;
    _cleanup_free_ struct lease_entry *entries = NULL;
    size_t n = 0;
    struct error err = ERROR_INIT;
    if (ops_open(&ops, providers, &cfg, NULL, false, -1, &err) < 0)
        return;
    /* Not ops_list, which also keeps logs small: a look at names changes nothing. */
    if (store_list(&ops.store, &entries, &n, &err) == 0)
        for (size_t i = 0; i < n; i++) {
            const struct lease_entry *e = &entries[i];
            if (e->broken && !lease_id_valid(e->id)) /* nor would it be a word to the shell */
                continue;
            _cleanup_free_ char *word = xasprintf("%s%s", e->broken ? e->id : e->lease.slug,
                                                  suffix);
            offer(l, word, ops_view_name(ops_view(e)));
        }
    ops_close(&ops);
}

/* What a placeholder of the tables stands for. */
static void offer_kind(const struct line *l, const char *kind)
{
    if (strchr(kind, '|'))
        offer_words(l, kind);
    else if (str_eq(kind, "LEASE"))
        offer_leases(l, "");
    else if (str_eq(kind, "VERB")) {
        offer_verbs(l);
        offer(l, "config-flags", "the flags that set configuration keys");
    } else if (str_eq(kind, "DIR"))
        offer_names(":dirs");
    else if (str_eq(kind, "FILE") || str_eq(kind, "COMMAND"))
        offer_names(":files");
    else if (str_eq(kind, "PLACE")) { /* LEASE:PATH or a file */
        offer_leases(l, ":");
        offer_names(":files");
    }
}

/* ---- options ---- */

static const struct option_spec *find_option(const struct verb *v, const char *name)
{
    for (const struct option_spec *o = v->options; o->name; o++)
        if (str_eq(o->name, name))
            return o;
    return NULL;
}

/* The configuration key behind a flag or one of its shorter spellings. */
static const struct config_key *find_key(const struct verb *v, const char *name)
{
    if (!v->uses_config)
        return NULL;
    for (size_t i = 0; i < flag_aliases_len; i++)
        for (size_t k = 0; str_eq(flag_aliases[i].name, name) && k < config_keys_len; k++)
            if (str_eq(config_keys[k].name, flag_aliases[i].key))
                return &config_keys[k];
    return config_key_by_flag(name);
}

static bool takes_value(const struct verb *v, const char *name)
{
    const struct option_spec *o = find_option(v, name);
    return o ? o->kind != OPT_BOOL : find_key(v, name) != NULL;
}

static bool letter_takes_value(const struct verb *v, char letter)
{
    for (const struct option_spec *o = v->options; o->name; o++)
        if (o->letter == letter)
            return o->kind != OPT_BOOL;
    return false;
}

static void offer_values(const struct line *l)
{
    const struct option_spec *o = find_option(l->verb, l->option);
    const struct config_key *k = o ? NULL : find_key(l->verb, l->option);
    if (o && o->metavar)
        offer_kind(l, o->metavar);
    else if (k && k->type == CFG_ENUM)
        offer_words(l, k->choices);
    else if (k && k->type == CFG_BOOL)
        offer_words(l, "true|false");
    else if (k && k->type == CFG_PATH)
        offer_names(":files");
}

static void offer_options(const struct line *l)
{
    for (const struct option_spec *o = l->verb->options; o->name; o++) {
        _cleanup_free_ char *word = xasprintf("--%s", o->name);
        offer(l, word, o->help);
    }
    for (size_t i = 0; l->verb->uses_config && i < flag_aliases_len; i++) {
        _cleanup_free_ char *word = xasprintf("--%s", flag_aliases[i].name);
        offer(l, word, flag_aliases[i].key);
    }
    for (size_t i = 0; l->verb->uses_config && i < config_keys_len; i++) {
        if (find_option(l->verb, config_keys[i].flag))
            continue;
        _cleanup_free_ char *word = xasprintf("--%s", config_keys[i].flag);
        offer(l, word, config_keys[i].help);
    }
}

/* ---- the line ---- */

/* Reads the finished words as options_parse() does. */
static void read_words(struct line *l, const char *const *words, int n)
{
    for (int i = 1; i < n - 1; i++) {
        const char *w = words[i];
        if (l->only_args || w[0] != '-' || !w[1]) {
            l->n_args++;
            l->only_args = l->only_args || l->verb->stops_at_args;
        } else if (w[1] != '-' && !w[2] && letter_takes_value(l->verb, w[1])) {
            i++;
        } else if (str_eq(w, "--")) {
            l->only_args = true;
        } else if (w[1] == '-' && !strchr(w, '=') && takes_value(l->verb, w + 2)) {
            if (i + 1 == n - 1)
                l->option = w + 2;
            i++;
        }
    }
}

static void complete(struct line *l, const char *const *words, int n)
{
    l->word = words[n - 1];
    read_words(l, words, n);
    const char *eq = strchr(l->word, '=');
    _cleanup_free_ char *prefix = NULL;
    _cleanup_free_ char *name = NULL;
    if (!l->only_args && !l->option && str_has_prefix(l->word, "--") && eq) {
        prefix = xasprintf("%.*s", (int)(eq - l->word) + 1, l->word);
        name = xasprintf("%.*s", (int)(eq - l->word) - 2, l->word + 2);
        l->prefix = prefix;
        l->option = name;
        l->word = eq + 1;
    }
    if (l->option)
        offer_values(l);
    else if (!l->only_args && l->word[0] == '-')
        offer_options(l);
    else if (l->verb->takes && l->verb->stops_at_args && l->n_args > 0)
        offer_names(":files");
    else if (l->verb->takes && (l->verb->max_args < 0 || l->n_args < l->verb->max_args))
        offer_kind(l, strchr(l->verb->takes, '|') && l->n_args ? "FILE" : l->verb->takes);
}

int cmd_complete(struct invocation *in, struct error *err)
{
    struct line l = {.prefix = "", .word = ""};
    if (in->n_args == 0)
        return 0;
    if (in->n_args == 1) {
        l.word = in->args[0];
        offer_verbs(&l);
        return out_text("", err);
    }
    l.verb = verb_by_name(in->args[0]);
    if (l.verb && !l.verb->hidden)
        complete(&l, in->args, in->n_args);
    return out_text("", err);
}
