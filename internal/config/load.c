/* load.c: applies the layers of the configuration, weakest first, and fills the struct.
 *
 * A layer is applied as a whole or not at all: it is parsed, checked against trust and floor, and
 * only then written to the slots. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "config/check.h"
#include "config/config.h"
#include "config/env.h"
#include "config/priv.h"
#include "config/trust.h"
#include "config/values.h"
#include "config/yaml.h"

static const char *const source_names[] = {"default", "system", "user", "repo", "env", "flag"};

static void slot_set(struct config_slot *slot, const char *text, enum config_source source,
                     char *origin)
{
    free(slot->text);
    free(slot->origin);
    slot->text = xstrdup(text);
    slot->origin = origin;
    slot->source = source;
}

/* ---- the floor ---- */

/* A later source may repeat a locked value but not change it, and may set any value up to a
 * ceiling. `where` names the source in the message. */
static int check_floor(const struct config_slot *slot, const struct config_key *key,
                       const char *value, const char *where, struct error *err)
{
    if (slot->locked_by && !str_eq(slot->text, value))
        return error_set(err, ERR_TRUST, 0,
                         "%s: %s is locked to \"%s\" by the system (%s) and can't be changed",
                         where, key->name, SHOWN(slot->text), SHOWN(slot->locked_by));
    if (slot->max_by && value_is_more(key, value_number(key, value), slot->max)) {
        _cleanup_strbuf_ struct strbuf max = STRBUF_INIT;
        value_format_number(key->type, slot->max, &max);
        return error_set(err, ERR_TRUST, 0, "%s: %s is more than %s, the system's ceiling (%s)",
                         where, key->name, max.buf, SHOWN(slot->max_by));
    }
    return 0;
}

/* The meaning of a locked value must not depend on the environment. */
static int check_lockable(const struct config_priv *p, const char *path,
                          const struct config_doc *doc, size_t i, struct error *err)
{
    const struct config_key *key = &config_keys[i];
    const char *text = p->slots[i].text;
    const char *why = NULL;
    if (key->rule == RULE_PROGRAM && *text && *text != '/')
        why = "is a name that is looked up in PATH, which anybody can set";
    for (size_t n = 0; n < doc->n_entries; n++)
        if (doc->entries[n].key == key && doc->entries[n].from_home)
            why = "starts from ~, and anybody can set HOME";
    if (!why)
        return 0;
    return error_set(err, ERR_CONFIG, 0,
                     "%s:%zu: %s can't be locked: \"%s\" %s; write the whole path in this file",
                     SHOWN(path), doc->floor[i].locked_line, key->name, SHOWN(text), why);
}

/* Applies the floor block, after the system's own values. */
static int apply_floor(struct config_priv *p, const char *path, const struct config_doc *doc,
                       struct error *err)
{
    for (size_t i = 0; i < config_keys_len; i++) {
        struct config_slot *slot = &p->slots[i];
        size_t line = doc->floor[i].max_line;
        if (doc->floor[i].locked_line) {
            if (check_lockable(p, path, doc, i, err) < 0)
                return -1;
            slot->locked_by = xasprintf("%s:%zu", path, doc->floor[i].locked_line);
        }
        if (!line)
            continue;
        if (value_is_more(&config_keys[i], value_number(&config_keys[i], slot->text),
                          doc->floor[i].max))
            return error_set(err, ERR_CONFIG, 0,
                             "%s:%zu: %s is above its ceiling in \"floor.max\" already (%s); set a "
                             "lower value in this file",
                             SHOWN(path), line, config_keys[i].name, SHOWN(slot->origin));
        slot->max_by = xasprintf("%s:%zu", path, line);
        slot->max = doc->floor[i].max;
    }
    check_note_locked_boot(p);
    return 0;
}

/* ---- files ---- */

/* Patterns from a repository that is not trusted are added to the user's patterns; they don't
 * replace them.
 */
static void add_patterns(struct config_slot *slot, const struct config_entry *e, const char *path)
{
    _cleanup_free_ char *both = xasprintf("%s\n%s", slot->text, e->value);
    char *origin = xasprintf("repo:%s:%zu (added to %s)", path, e->line, slot->origin);
    slot_set(slot, both, SRC_REPO, origin);
}

/* Checks all entries first, and then applies them. */
static int apply_doc(struct config_priv *p, enum config_source src, const char *path, bool trusted,
                     const struct config_doc *doc, struct error *err)
{
    for (size_t i = 0; i < doc->n_entries; i++) {
        const struct config_entry *e = &doc->entries[i];
        char where[SHOWN_MAX + 64];
        (void)str_format(where, sizeof where, "%s:%zu:%zu", SHOWN(path), e->line, e->column);
        if (check_floor(&p->slots[config_key_index(e->key)], e->key, e->value, where, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < doc->n_entries; i++) {
        const struct config_entry *e = &doc->entries[i];
        struct config_slot *slot = &p->slots[config_key_index(e->key)];
        if (!trusted && e->key->rule == RULE_PATTERNS && *slot->text)
            add_patterns(slot, e, path);
        else
            slot_set(slot, e->value, src, xasprintf("%s:%s:%zu", source_names[src], path, e->line));
    }
    return src == SRC_SYSTEM ? apply_floor(p, path, doc, err) : 0;
}

/* The first entry that an untrusted file may not set; NULL if there is none. An entry that only
 * makes things stricter is fine, such as passing fewer variables to the guest, or asking for less
 * than is allowed. */
static const struct config_entry *first_untrusted(const struct config_priv *p,
                                                  const struct config_doc *doc)
{
    for (size_t i = 0; i < doc->n_entries; i++) {
        const struct config_entry *e = &doc->entries[i];
        const struct config_slot *slot = &p->slots[config_key_index(e->key)];
        if (config_key_is_judged(e->key) && !check_is_tightening(e->key, slot->text, e->value))
            return e;
    }
    return NULL;
}

static void add_value(const struct config_key *key, const char *text, struct strbuf *out)
{
    if (config_key_is_number(key))
        value_format_number(key->type, value_number(key, text), out);
    else
        strbuf_adds(out, text);
}

/* Why an untrusted file may not set `bad`: "firecracker.cpus is 32, but ... at most 4 (default)".
 */
static void why_untrusted(const struct config_priv *p, const struct config_entry *bad,
                          struct strbuf *out)
{
    const struct config_key *key = bad->key;
    const struct config_slot *slot = &p->slots[config_key_index(key)];
    if (!config_key_is_number(key) && !key->costs) {
        strbuf_addf(out, "%s concerns the host, so only a trusted source may set it", key->name);
        return;
    }
    strbuf_addf(out, "%s is ", key->name);
    add_value(key, bad->value, out);
    strbuf_adds(out, ", but a repository that is not trusted gets at most ");
    add_value(key, slot->text, out);
    strbuf_addf(out, " (%s)", SHOWN(slot->origin));
}

/* Patterns of a trusted file replace the user's. Patterns of any other file are added to the
 * user's. */
static bool has_patterns(const struct config_doc *doc)
{
    for (size_t i = 0; i < doc->n_entries; i++)
        if (doc->entries[i].key->rule == RULE_PATTERNS)
            return true;
    return false;
}

/* Checks what a repository's file sets. It may set everything if this exact content was trusted,
 * otherwise only what is harmless, and nothing at all if the file belongs to another user. */
static int check_repo_trust(const struct config_args *args, const struct config_priv *p,
                            const struct source_file *file, const struct config_doc *doc,
                            struct config_file *entry, struct error *err)
{
    const struct config_entry *bad = first_untrusted(p, doc);
    if (!bad && !file->foreign && !has_patterns(doc))
        return 0;
    int64_t other_at;
    if (trust_check(args->envp, entry->path, file->sha256, &entry->trusted, &other_at, err) < 0)
        return -1;
    if (entry->trusted || (!bad && !file->foreign))
        return 0;
    /* The path only helps the reader: without it, the verb finds the same file. */
    _cleanup_strbuf_ struct strbuf quoted = STRBUF_INIT;
    if (strlen(entry->path) < SHOWN_MAX)
        strbuf_add_shell_quoted(&quoted, SHOWN(entry->path));
    char changed[96] = "", utc[STR_UTC_SIZE];
    if (other_at >= 0) {
        str_utc(other_at, utc);
        (void)str_format(changed, sizeof changed, "; it has changed since it was trusted at %s",
                         utc);
    }
    if (!bad)
        return error_set(err, ERR_TRUST, 0,
                         "%s belongs to another user or can be written by anybody%s; nothing in it "
                         "was applied. Read it, then run: crabbox-fc trust add %s",
                         SHOWN(entry->path), changed, quoted.buf);
    _cleanup_strbuf_ struct strbuf why = STRBUF_INIT;
    why_untrusted(p, bad, &why);
    return error_set(
        err, ERR_TRUST, 0,
        "%s:%zu:%zu: %s%s; nothing in the file was applied. Work from another directory, "
        "or %s, then run: crabbox-fc trust add %s",
        SHOWN(entry->path), bad->line, bad->column, why.buf, changed,
        config_key_is_number(bad->key) ? "set it in your own configuration, or read the file"
                                       : "read it",
        quoted.buf);
}

static void cleanup_source(struct source_file *f)
{
    strbuf_free(&f->text);
}

/* Reads, checks and applies one file, and notes that it was looked for. `dir_fd` is the directory
 * of the repository's file. */
static int load_file(const struct config_args *args, struct config_priv *p, enum config_source src,
                     int dir_fd, const char *path, struct error *err)
{
    struct config_file *entry = &p->files[p->n_files++];
    entry->kind = source_names[src];
    if (!*path)
        return 0;
    entry->path = xstrdup(path);
    _cleanup_(cleanup_source) struct source_file file = SOURCE_FILE_INIT;
    int r = src == SRC_REPO ? source_read_repo(dir_fd, path, args->envp, &file, err)
                            : source_read(src, path, p->repo_root, args->envp, &file, err);
    if (r < 0)
        return -1;
    entry->read = file.found;
    entry->trusted = file.found && src != SRC_REPO;
    if (!file.found)
        return 0;
    memcpy(entry->sha256, file.sha256, sizeof entry->sha256);
    const struct value_ctx ctx = {.home = source_home_for_files(p->here, args->envp), .cwd = NULL};
    _cleanup_(config_doc_free) struct config_doc doc;
    if (config_parse_yaml(path, file.text.buf, file.text.len, src == SRC_SYSTEM, &ctx, &doc, err) <
        0)
        return -1;
    if (src == SRC_REPO && check_repo_trust(args, p, &file, &doc, entry, err) < 0)
        return -1;
    return apply_doc(p, src, path, entry->trusted, &doc, err);
}

static int load_files(const struct config_args *args, struct config_priv *p, struct error *err)
{
    _cleanup_(source_repo_free) struct source_repo repo = SOURCE_REPO_INIT;
    char user[PATH_MAX];
    const char *system_file = args->system_file ? args->system_file : CONFIG_SYSTEM_FILE;
    if (source_find_repo(args->cwd, &repo, err) < 0 || source_user_dir(args->envp, user, err) < 0)
        return -1;
    memcpy(p->repo_root, repo.root, sizeof p->repo_root);
    memcpy(p->here, repo.here, sizeof p->here);
    if (source_check_user_dir(user, args->cwd, false, args->envp, err) < 0)
        return -1;
    size_t n = strlen(user);
    if (n && str_format(user + n, sizeof user - n, "/" CONFIG_USER_NAME) < 0)
        return error_set(err, ERR_CONFIG, ENAMETOOLONG, "%s/" CONFIG_USER_NAME, user);
    if (load_file(args, p, SRC_SYSTEM, -1, system_file, err) < 0 ||
        load_file(args, p, SRC_USER, -1, user, err) < 0)
        return -1;
    return load_file(args, p, SRC_REPO, repo.dir_fd, repo.file, err);
}

/* ---- environment and flags ---- */

/* Normalises and applies one value that does not come from a file. `where` names its source in
 * messages. */
static int apply_value(struct config_priv *p, const struct config_key *key, const char *raw,
                       const struct value_ctx *ctx, enum config_source src, const char *where,
                       struct error *err)
{
    char why[VALUE_WHY_MAX];
    struct config_slot *slot = &p->slots[config_key_index(key)];
    _cleanup_strbuf_ struct strbuf value = STRBUF_INIT;
    if (value_normalise(key, raw, ctx, &value, why) < 0)
        return error_set(err, src == SRC_FLAG ? ERR_USAGE : ERR_CONFIG, 0, "%s: %s %s", where,
                         key->name, why);
    if (check_floor(slot, key, value.buf, where, err) < 0)
        return -1;
    slot_set(slot, value.buf, src, xasprintf("%s:%s", source_names[src], where));
    return 0;
}

static int load_env(const struct config_args *args, struct config_priv *p, struct error *err)
{
    const struct value_ctx ctx = {.home = env_get(args->envp, "HOME"), .cwd = NULL};
    if (env_check_names(args->envp, err) < 0)
        return -1;
    for (size_t i = 0; i < config_keys_len; i++) {
        const struct config_key *key = &config_keys[i];
        const char *name;
        const char *raw = env_find(key, args->envp, &name);
        if (raw && apply_value(p, key, raw, &ctx, SRC_ENV, name, err) < 0)
            return -1;
    }
    env_note_unused(args->envp);
    return 0;
}

static int load_flags(const struct config_args *args, struct config_priv *p, struct error *err)
{
    const struct value_ctx ctx = {.home = env_get(args->envp, "HOME"), .cwd = p->here};
    for (size_t i = 0; i < args->n_flags; i++) {
        const struct config_flag *f = &args->flags[i];
        const struct config_key *key = config_key_by_name(f->key);
        if (!key)
            return error_set(err, ERR_INTERNAL, 0, "%s: no key \"%s\"", f->spelling, f->key);
        /* Of "--x=value", only "--x" is shown. A list that is given again is added to. */
        _cleanup_free_ char *where = xasprintf("%.*s", (int)strcspn(f->spelling, "="), f->spelling);
        const struct config_slot *slot = &p->slots[config_key_index(key)];
        bool grows = key->type == CFG_LIST && slot->source == SRC_FLAG && *slot->text && *f->value;
        _cleanup_free_ char *both = grows
                                        ? xasprintf("%s%c%s", slot->text, key->separator, f->value)
                                        : NULL;
        if (apply_value(p, key, both ? both : f->value, &ctx, SRC_FLAG, where, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- the result ---- */

static int set_defaults(struct config_priv *p, struct error *err)
{
    const struct value_ctx ctx = {.home = NULL, .cwd = NULL};
    char why[VALUE_WHY_MAX];
    for (size_t i = 0; i < config_keys_len; i++) {
        _cleanup_strbuf_ struct strbuf value = STRBUF_INIT;
        if (value_normalise(&config_keys[i], config_keys[i].fallback, &ctx, &value, why) < 0)
            return error_set(err, ERR_INTERNAL, 0, "default of %s %s", config_keys[i].name, why);
        slot_set(&p->slots[i], value.buf, SRC_DEFAULT, xstrdup("default"));
    }
    return 0;
}

/* Copies each value to its place in the struct, which the table of keys knows, by its type. */
static void fill(struct config *out, const struct config_priv *p)
{
    for (size_t i = 0; i < config_keys_len; i++) {
        const struct config_key *key = &config_keys[i];
        void *at = (char *)out + key->offset;
        switch (key->type) {
        case CFG_INT:
        case CFG_MIB:
        case CFG_DURATION:
            *(int64_t *)at = value_number(key, p->slots[i].text);
            break;
        case CFG_BOOL:
            *(bool *)at = value_number(key, p->slots[i].text) != 0;
            break;
        default:
            *(const char **)at = p->slots[i].text;
        }
    }
}

int config_load(const struct config_args *args, struct config *out, struct error *err)
{
    struct config_priv *p = xcalloc(1, sizeof *p);
    *out = (struct config){.priv = p};
    if (set_defaults(p, err) < 0 || load_files(args, p, err) < 0 || load_env(args, p, err) < 0 ||
        load_flags(args, p, err) < 0 || check_image_choice(p, err) < 0 ||
        check_host_paths(p, args->cwd, args->envp, err) < 0) {
        config_free(out);
        return -1;
    }
    fill(out, p);
    return 0;
}

void config_free(struct config *cfg)
{
    struct config_priv *p = config_priv(cfg);
    for (size_t i = 0; p && i < CONFIG_KEYS_MAX; i++) {
        free(p->slots[i].text);
        free(p->slots[i].origin);
        free(p->slots[i].locked_by);
        free(p->slots[i].max_by);
    }
    for (size_t i = 0; p && i < p->n_files; i++)
        free(p->files[i].path);
    free(p);
    *cfg = (struct config){.priv = NULL};
}

const char *config_value_source(const struct config *cfg, const struct config_key *key)
{
    return config_priv(cfg)->slots[config_key_index(key)].origin;
}

int config_check_keep(const struct config *cfg, const char *where, struct error *err)
{
    const struct config_key *ttl = config_key_by_name("lease.ttl");
    const struct config_slot *slot = &config_priv(cfg)->slots[config_key_index(ttl)];
    const char *by = slot->locked_by ? slot->locked_by : slot->max_by;
    if (!by)
        return 0;
    return error_set(err, ERR_TRUST, 0,
                     "%s: a kept lease never expires, but the system limits lease.ttl (%s); "
                     "leave it out",
                     where, SHOWN(by));
}

const char *config_repo_root(const struct config *cfg)
{
    return config_priv(cfg)->repo_root;
}
