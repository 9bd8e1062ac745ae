#include "config/env.h"

#include <ctype.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/text.h"
#include "config/keys.h"
#include "config/source.h"
#include "config/values.h"

/* Variables of ours that are not configuration keys: the state directory, and those of tests. */
static const char *const others[] = {"CRABBOX_FC_STATE_DIR"};
#define TEST_PREFIX "CRABBOX_FC_TEST_"

static bool is_known(const char *name)
{
    if (config_key_by_env(name) || str_has_prefix(name, TEST_PREFIX))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (str_eq(name, others[i]))
            return true;
    return false;
}

#define NAMES_MAX (CONFIG_KEYS_MAX + ARRAY_LEN(others))

static size_t all_names(const char *names[static NAMES_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < config_keys_len; i++)
        names[n++] = config_keys[i].env;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        names[n++] = others[i];
    return n;
}

/* Finds a typing error in the prefix that makes a variable ours (CRABBOX_FIRECRAKER_CPUS,
 * crabbox_fc_vmm), which would go unnoticed otherwise. Crabbox has variables of its own, so only
 * names that are very close to one of ours count. */
static const char *near_miss(const char *name)
{
    const char *names[NAMES_MAX];
    if ((*name != 'C' && *name != 'c') || strlen(name) < strlen("CRABBOX_FC_"))
        return NULL;
    _cleanup_free_ char *upper = xstrdup(name);
    for (char *p = upper; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    for (size_t i = 0, n = all_names(names); i < n; i++)
        if (str_distance(upper, names[i]) <= 2)
            return names[i];
    return NULL;
}

/* What tells a variable from others: behind CRABBOX_ and FC_. */
static const char *own_part(const char *name)
{
    static const char *const prefixes[] = {"CRABBOX_", "FC_"};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        name += str_has_prefix(name, prefixes[i]) ? strlen(prefixes[i]) : 0;
    return name;
}

/* The known name that ends with the same words (CRABBOX_FC_CPUS), or whose own part is near. */
static const char *nearest(const char *name)
{
    const char *names[NAMES_MAX], *parts[NAMES_MAX];
    size_t n = all_names(names);
    _cleanup_free_ char *end = xasprintf("_%s", own_part(name));
    for (size_t i = 0; i < n; i++) {
        if (end[1] && str_has_suffix(names[i], end))
            return names[i];
        parts[i] = own_part(names[i]);
    }
    const char *near = str_nearest(own_part(name), parts, n);
    for (size_t i = 0; near && i < n; i++)
        if (parts[i] == near)
            return names[i];
    return NULL;
}

static int fail_unknown(const char *name, const char *near, struct error *err)
{
    char shown[80];
    text_copy(shown, sizeof shown, name);
    if (!near)
        near = nearest(name);
    if (near)
        return error_set(err, ERR_CONFIG, 0, "environment: unknown variable %s; did you mean %s?",
                         shown, near);
    return error_set(err, ERR_CONFIG, 0,
                     "environment: unknown variable %s; docs/CONFIG.md lists the known ones",
                     shown);
}

/* ---- Crabbox's other variables ---- */

/* The variables of Crabbox that mean the same as a key of ours. */
static const struct {
    const char *name, *key;
} same[] = {
    {"CRABBOX_TARGET_OS", "target"},
    {"CRABBOX_TTL", "lease.ttl"},
    {"CRABBOX_IDLE_TIMEOUT", "lease.idleTimeout"},
    {"CRABBOX_ENV_ALLOW", "run.allowEnv"},
    {"CRABBOX_WORK_ROOT", "firecracker.workRoot"},
};

const char *env_find(const struct config_key *key, const char *const *envp, const char **name)
{
    const char *value = env_get(envp, key->env);
    *name = key->env;
    for (size_t i = 0; (!value || !*value) && i < ARRAY_LEN(same); i++)
        if (str_eq(same[i].key, key->name)) {
            *name = same[i].name;
            value = env_get(envp, *name);
        }
    return value && *value ? value : NULL;
}

/* True for variables that affect Crabbox with a provider like this one, but have no effect here.
 * Variables of its other providers and of its coordinator don't count: they are not meant for
 * us. */
static bool is_unused(const char *name)
{
    static const char *const begin[] = {"CRABBOX_SYNC_", "CRABBOX_CACHE_", "CRABBOX_ACTIONS_",
                                        "CRABBOX_SSH_"};
    static const char *const whole[] = {
        "CRABBOX_ARCH", "CRABBOX_CONFIG",          "CRABBOX_DEFAULT_CLASS", "CRABBOX_NETWORK",
        "CRABBOX_OS",   "CRABBOX_PREFLIGHT_TOOLS", "CRABBOX_PROFILE",       "CRABBOX_SERVER_TYPE",
    };
    if (str_eq(name, "CRABBOX_SYNC_ALLOW_LARGE")) /* run takes it */
        return false;
    for (size_t i = 0; i < ARRAY_LEN(begin); i++)
        if (str_has_prefix(name, begin[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(whole); i++)
        if (str_eq(name, whole[i]))
            return true;
    return false;
}

void env_note_unused(const char *const *envp)
{
    _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;
    for (; envp && *envp; envp++) {
        _cleanup_free_ char *name = xasprintf("%.*s", (int)strcspn(*envp, "="), *envp);
        if (is_unused(name) && (*envp)[strlen(name)] && (*envp)[strlen(name) + 1])
            strbuf_addf(&names, "%s%s", names.len ? ", " : "", SHOWN(name));
    }
    if (names.len)
        log_warn("environment: these variables of Crabbox have no effect here: %s", names.buf);
}

int env_check_names(const char *const *envp, struct error *err)
{
    for (; envp && *envp; envp++) {
        _cleanup_free_ char *name = xasprintf("%.*s", (int)strcspn(*envp, "="), *envp);
        bool ours = str_has_prefix(name, "CRABBOX_FIRECRACKER_") ||
                    str_has_prefix(name, "CRABBOX_FC_");
        if (is_known(name))
            continue;
        const char *near = ours ? NULL : near_miss(name);
        if (near || ours)
            return fail_unknown(name, near, err);
    }
    return 0;
}
