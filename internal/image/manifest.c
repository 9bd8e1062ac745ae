#include "image/manifest.h"

#include <string.h>

#include "base/json.h"
#include "base/text.h"

static const char *const members[] = {
    "schema",     "name",          "kernel", "initrd",       "rootfs",
    "rootfsType", "kernelRelease", "init",   "distribution", "sha256",
};

/* Whether the name stays in the directory and can be printed on one line. */
static bool is_plain_name(const char *s)
{
    if (!*s || str_eq(s, ".") || str_eq(s, ".."))
        return false;
    for (; *s; s++)
        if (*s == '/' || text_is_control(*s))
            return false;
    return true;
}

static int check_members(const cJSON *j, struct error *err)
{
    const cJSON *m;
    cJSON_ArrayForEach(m, j)
    {
        bool known = false;
        for (size_t i = 0; i < ARRAY_LEN(members); i++)
            known = known || str_eq(m->string, members[i]);
        if (known)
            continue;
        const char *near = str_nearest(m->string, members, ARRAY_LEN(members));
        return error_set(err, ERR_CONFIG, 0, "unknown member \"%.64s\"%s%s%s", m->string,
                         near ? ": did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    return 0;
}

static int check_schema(const cJSON *j, struct error *err)
{
    int64_t schema = 0;
    if (json_get_i64(j, "schema", &schema, err) < 0)
        return -1;
    if (schema != MANIFEST_SCHEMA)
        return error_set(err, ERR_CONFIG, 0,
                         "schema %lld is not the one known here (%d): build the image with this "
                         "version's scripts/build-image.sh",
                         (long long)schema, MANIFEST_SCHEMA);
    return 0;
}

static int get_name(const cJSON *j, const char *key, char *dst, size_t size, struct error *err)
{
    if (json_copy_string(j, key, dst, size, err) < 0)
        return -1;
    if (!is_plain_name(dst))
        return error_set(err, ERR_CONFIG, 0,
                         "\"%s\" is not a plain name: no '/', \"..\" or control characters", key);
    return 0;
}

static bool is_sha256(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static int get_file(const cJSON *j, const char *key, struct manifest_file *out, struct error *err)
{
    const char *hash;
    if (get_name(j, key, out->name, sizeof out->name, err) < 0)
        return -1;
    const cJSON *hashes = cJSON_GetObjectItemCaseSensitive(j, "sha256");
    if (!cJSON_IsObject(hashes))
        return error_set(err, ERR_CONFIG, 0, "\"sha256\" is missing or not an object");
    if (json_get_string(hashes, out->name, &hash, err) < 0)
        return error_prefix(err, "sha256 of the %s", key);
    if (!is_sha256(hash) || str_copy(out->sha256, sizeof out->sha256, hash) < 0)
        return error_set(err, ERR_CONFIG, 0, "sha256 of \"%s\" is not 64 lower-case hex digits",
                         out->name);
    return 0;
}

static int fill(const cJSON *j, struct manifest *out, struct error *err)
{
    if (!cJSON_IsObject(j))
        return error_set(err, ERR_CONFIG, 0, "not a JSON object");
    if (check_schema(j, err) < 0 || check_members(j, err) < 0)
        return -1;
    if (get_name(j, "name", out->name, sizeof out->name, err) < 0 ||
        get_file(j, "kernel", &out->kernel, err) < 0 ||
        get_file(j, "initrd", &out->initrd, err) < 0 ||
        get_file(j, "rootfs", &out->rootfs, err) < 0)
        return -1;
    if (str_eq(out->kernel.name, out->initrd.name) || str_eq(out->kernel.name, out->rootfs.name) ||
        str_eq(out->initrd.name, out->rootfs.name))
        return error_set(err, ERR_CONFIG, 0, "kernel, initrd and rootfs name the same file");
    if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(j, "sha256")) != 3)
        return error_set(err, ERR_CONFIG, 0, "\"sha256\" has entries beyond the three files");
    if (get_name(j, "rootfsType", out->rootfs_type, sizeof out->rootfs_type, err) < 0 ||
        get_name(j, "kernelRelease", out->kernel_release, sizeof out->kernel_release, err) < 0)
        return -1;
    if (get_name(j, "init", out->init, sizeof out->init, err) < 0)
        return -1;
    if (!cJSON_HasObjectItem(j, "distribution"))
        return 0;
    return get_name(j, "distribution", out->distribution, sizeof out->distribution, err);
}

int image_manifest_parse(const char *text, size_t len, const char *path, struct manifest *out,
                         struct error *err)
{
    struct error local = ERROR_INIT;
    *out = (struct manifest){0};
    _cleanup_json_ cJSON *j = json_parse(text, len, path, &local);
    if (j && fill(j, out, &local) == 0)
        return 0;
    /* The JSON helpers report ERR_STATE, but a bad image is an error of the configuration. */
    return error_set(err, ERR_CONFIG, 0, j ? "%s: %s" : "%.0s%s", path, local.msg);
}
