#include "testutil/standin_fault.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

const char *fault_get(const char *name)
{
    char var[64];
    if (str_format(var, sizeof var, "CRABBOX_STANDIN_%s", name) < 0)
        return NULL;
    const char *v = getenv(var);
    return v && *v ? v : NULL;
}

bool fault_is(const char *name, const char *value)
{
    const char *v = fault_get(name);
    return v && str_eq(v, value);
}

bool fault_hits(const char *name, const struct request *r)
{
    const char *v = fault_get(name);
    const char *space = v ? strchr(v, ' ') : NULL;
    if (!space)
        return false;
    size_t n = (size_t)(space - v);
    return strlen(r->method) == n && strncmp(v, r->method, n) == 0 &&
           str_has_prefix(r->path, space + 1);
}

void fault_mark(void)
{
    const char *path = fault_get("MARK");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        (void)close(fd);
}

/* One step down: a member of an object, or an element of an array. */
static cJSON *descend(cJSON *at, const char *key)
{
    uint64_t index;
    if (cJSON_IsArray(at))
        return str_to_u64(key, &index) < 0 ? NULL : cJSON_GetArrayItem(at, (int)index);
    return cJSON_GetObjectItemCaseSensitive(at, key);
}

void fault_alter(cJSON *config)
{
    const char *spec = fault_get("ALTER");
    if (!spec)
        return;
    _cleanup_free_ char *copy = xstrdup(spec);
    char *value = strchr(copy, '=');
    if (value)
        *value++ = '\0';
    char *rest = copy, *key = strsep(&rest, ".");
    cJSON *at = config;
    for (; rest && at; key = strsep(&rest, "."))
        at = descend(at, key);
    if (!at)
        return;
    cJSON *lie = value ? cJSON_Parse(value) : NULL;
    if (value && !lie)
        lie = cJSON_CreateString(value);
    cJSON_DeleteItemFromObjectCaseSensitive(at, key);
    if (lie)
        cJSON_AddItemToObject(at, key, lie);
}
