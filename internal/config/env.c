#include "config/env.h"

#include <string.h>

#include "base/str.h"
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

static int fail_unknown(const char *name, struct error *err)
{
    const char *names[CONFIG_KEYS_MAX + ARRAY_LEN(others)];
    char shown[80];
    size_t n = 0;
    for (size_t i = 0; i < config_keys_len; i++)
        names[n++] = config_keys[i].env;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        names[n++] = others[i];
    value_printable(name, shown, sizeof shown);
    const char *near = str_nearest(name, names, n);
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
        if (!str_has_prefix(*envp, "CRABBOX_FIRECRACKER_") && !str_has_prefix(*envp, "CRABBOX_FC_"))
            continue;
        _cleanup_free_ char *name = xstrdup(*envp);
        name[strcspn(name, "=")] = '\0';
        if (!is_known(name))
            return fail_unknown(name, err);
    }
    return 0;
}
