#include "standin/standin_fault.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "sys/file.h"

#define FILE_NAME "standin.faults"
#define FILE_MAX  (64u * 1024)
#define PREFIX    "CRABBOX_STANDIN_"

int faults_write(const char *dir, const char *const *env, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_close_ int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (; *env; env++)
        if (str_has_prefix(*env, PREFIX))
            strbuf_addf(&text, "%s\n", *env);
    if (text.len == 0)
        return file_unlink(dirfd, FILE_NAME, err);
    return file_write_new(dirfd, FILE_NAME, text.buf, text.len, 0644, err);
}

/* The nearest file: the VMM's directory is four levels below the bed's. Read once, before the
 * stand-in goes anywhere else. */
static const char *faults(void)
{
    static const char *const places[] = {FILE_NAME, "../" FILE_NAME, "../../" FILE_NAME,
                                         "../../../" FILE_NAME, "../../../../" FILE_NAME};
    static struct strbuf text = STRBUF_INIT;
    static bool looked;
    for (size_t i = 0; !looked && i < ARRAY_LEN(places); i++)
        if (file_read_at(AT_FDCWD, places[i], FILE_MAX, &text, NULL) == 0)
            break;
    looked = true;
    return text.buf;
}

const char *fault_get(const char *name)
{
    static char value[1024];
    size_t n = strlen(name);
    for (const char *p = faults(); *p; p += strcspn(p, "\n"), p += *p == '\n') {
        if (!str_has_prefix(p, PREFIX) || strncmp(p + sizeof PREFIX - 1, name, n) != 0 ||
            p[sizeof PREFIX - 1 + n] != '=')
            continue;
        const char *v = p + sizeof PREFIX + n;
        size_t len = strcspn(v, "\n");
        return len && str_format(value, sizeof value, "%.*s", (int)len, v) == 0 ? value : NULL;
    }
    return NULL;
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
