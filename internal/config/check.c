#include "config/check.h"

#include <string.h>

#include "base/text.h"
#include "config/values.h"
#include "sys/beneath.h"
#include "sys/program.h"
#include "sys/worktree.h"

/* The slot of a key that is known to be in the table. */
static struct config_slot *slot_of(struct config_priv *p, const char *name)
{
    return &p->slots[config_key_index(config_key_by_name(name))];
}

void check_note_locked_boot(struct config_priv *p)
{
    const struct config_slot *dir = slot_of(p, "image.dir");
    const struct config_slot *kernel = slot_of(p, "firecracker.kernel");
    const struct config_slot *rootfs = slot_of(p, "firecracker.rootfs");
    bool named = kernel->source == SRC_SYSTEM || rootfs->source == SRC_SYSTEM;
    if (!*dir->text || (dir->source == SRC_DEFAULT && named))
        p->boot_locked_by = kernel->locked_by ? kernel->locked_by : rootfs->locked_by;
}

int check_image_choice(struct config_priv *p, struct error *err)
{
    struct config_slot *dir = slot_of(p, "image.dir");
    const struct config_slot *kernel = slot_of(p, "firecracker.kernel");
    const struct config_slot *rootfs = slot_of(p, "firecracker.rootfs");
    const struct config_slot *stock = kernel->source >= rootfs->source ? kernel : rootfs;
    if (*dir->text && stock->source < dir->source && dir->source > SRC_SYSTEM && p->boot_locked_by)
        return error_set(err, ERR_TRUST, 0,
                         "what boots is locked by the system (%s); image.dir (%s) can't replace it",
                         SHOWN(p->boot_locked_by), SHOWN(dir->origin));
    if (!*dir->text || stock->source < dir->source || stock->source == SRC_DEFAULT)
        return 0;
    if (stock->source == dir->source)
        return error_set(
            err, ERR_CONFIG, 0,
            "image.dir (%s) and %s (%s) both choose what to boot; leave one out, or set "
            "image.dir to \"\"",
            SHOWN(dir->origin), stock == kernel ? "firecracker.kernel" : "firecracker.rootfs",
            SHOWN(stock->origin));
    if (dir->locked_by)
        return error_set(err, ERR_TRUST, 0,
                         "image.dir is locked by the system (%s); %s can't replace it",
                         SHOWN(dir->locked_by), SHOWN(stock->origin));
    free(dir->text);
    dir->text = xstrdup("");
    char *origin = xasprintf("%s (overridden by %s)", dir->origin, stock->origin);
    free(dir->origin);
    dir->origin = origin;
    return 0;
}

static int check_program(const struct config_key *key, const char *name, const char *cwd,
                         const char *const *envp, struct error *err)
{
    struct program p;
    (void)program_find(name, env_get(envp, "PATH"), cwd, NULL, &p);
    if (p.passed[0])
        return error_set(err, ERR_TRUST, 0,
                         "%s: PATH finds \"%s\" at %s, which may have come with the code that you "
                         "are working on; set %s to an absolute path elsewhere",
                         key->name, SHOWN(name), SHOWN(p.passed), key->name);
    return 0;
}

/* A path that was typed, or set as a variable, may lie in a repository. But it may not go through a
 * link of the repository, which could lead to a disk of the host, for example. */
static int check_links(const struct config_key *key, const struct config_slot *slot,
                       struct error *err)
{
    _cleanup_free_ char *what = xasprintf("%s (%s)", key->name, SHOWN(slot->origin));
    return beneath_check(what, slot->text, err);
}

/* A path from a file: trust covers the file, but nothing else that came with the code. */
static int check_outside(const struct config_priv *p, const struct config_key *key,
                         const struct config_slot *slot, const struct worktree_tops *tops,
                         struct error *err)
{
    const char *tree = worktree_leads_through_top(slot->text, tops);
    if (!tree)
        return 0;
    bool into_repo = str_eq(tree, p->repo_root);
    return error_set(err, ERR_TRUST, 0,
                     "%s (%s) leads into the %s %s, whose content trust does not cover; move it "
                     "out, or name it with --%s",
                     key->name, SHOWN(slot->origin), into_repo ? "repository" : "tree", SHOWN(tree),
                     key->flag);
}

int check_host_paths(const struct config_priv *p, const char *cwd, const char *const *envp,
                     struct error *err)
{
    struct worktree_tops tops;
    if (source_tops(cwd, &tops, err) < 0)
        return -1;
    (void)str_copy(tops.of[WORKTREE_OTHER], sizeof tops.of[WORKTREE_OTHER], p->repo_root);
    for (size_t i = 0; i < config_keys_len; i++) {
        const struct config_key *key = &config_keys[i];
        const struct config_slot *slot = &p->slots[i];
        if (key->type != CFG_PATH || !*slot->text)
            continue;
        if (slot->text[0] != '/') {
            if (check_program(key, slot->text, cwd, envp, err) < 0)
                return -1;
            continue;
        }
        bool from_file = slot->source >= SRC_SYSTEM && slot->source <= SRC_REPO;
        if (from_file && check_outside(p, key, slot, &tops, err) < 0)
            return -1;
        bool typed = slot->source == SRC_ENV || slot->source == SRC_FLAG;
        if (typed && check_links(key, slot, err) < 0)
            return -1;
    }
    return 0;
}

/* Every item of `next` is one of `current`. */
static bool is_part_of(const struct config_key *key, const char *current, const char *next)
{
    while (*next) {
        const char *end = strchrnul(next, key->separator);
        if (!value_has_item(key, current, next, (size_t)(end - next)))
            return false;
        next = *end ? end + 1 : end;
    }
    return true;
}

bool check_is_tightening(const struct config_key *key, const char *current, const char *next)
{
    if (key->rule == RULE_ENV_NAMES)
        return is_part_of(key, current, next);
    /* Patterns are added to the existing ones. Only a pattern with "!" could cancel those. */
    if (key->rule == RULE_PATTERNS)
        return !*current || (*next != '!' && !strstr(next, "\n!"));
    if (key->rule == RULE_INCLUDES)
        return !*current;
    if (config_key_is_number(key))
        return !value_is_more(key, value_number(key, next), value_number(key, current));
    if (key->type == CFG_ENUM && key->costs)
        return strstr(key->choices, next) <= strstr(key->choices, current);
    /* The default of a switch is its safe side. */
    return key->type == CFG_BOOL && str_eq(next, key->fallback);
}
