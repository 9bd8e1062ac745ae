#include "config/env.h"

#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "base/text.h"
#include "config/keys.h"
#include "config/values.h"

/* Variables of ours that are no configuration keys: where state is kept, and the test harness's. */
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

/* A slip in the part that makes a variable ours (CRABBOX_FIRECRAKER_CPUS, crabbox_fc_vmm) would
 * else go unnoticed. Crabbox has variables of its own, so only what is all but ours counts. */
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

static int fail_unknown(const char *name, const char *near, struct error *err)
{
    const char *names[NAMES_MAX];
    char shown[80];
    text_copy(shown, sizeof shown, name);
    if (!near)
        near = str_nearest(name, names, all_names(names));
    if (near)
        return error_set(err, ERR_CONFIG, 0, "environment: unknown variable %s; did you mean %s?",
                         shown, near);
    return error_set(err, ERR_CONFIG, 0,
                     "environment: unknown variable %s; see docs/CONFIG.md for those there are",
                     shown);
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
