#include "guest/seed.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/text.h"
#include "guest/iso9660.h"
#include "guest/seed_net.h"
#include "guest/seedjson.h"

#define GUEST_JSON_PATH "/run/crabbox-fc/guest.json"
#define CLOCK_PATH      "/run/crabbox-fc/clock"

static int bad(struct error *err, const char *what)
{
    return error_set(err, ERR_STATE, 0, "seed drive: %s", what);
}

/* Names that end up in /etc/passwd, /etc/hostname and paths: no separators, no control. */
static bool is_name(const char *s)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    return *s && *s != '-' && *s != '.' && s[strspn(s, allowed)] == '\0';
}

/* Text that becomes a line or a field of a system file. */
static bool is_line(const char *s)
{
    for (; *s; s++)
        if (text_is_control(*s))
            return false;
    return true;
}

/* Absolute, without "." or ".." parts. */
static bool is_path(const char *s)
{
    if (*s != '/' || !is_line(s) || strlen(s) >= 1024)
        return false;
    for (; *s; s += strcspn(s, "/")) {
        s += strspn(s, "/");
        size_t n = strcspn(s, "/");
        if ((n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
            return false;
    }
    return true;
}

static int copy_name(char *dst, size_t size, const char *src, const char *what, struct error *err)
{
    if (!src || !is_name(src) || str_copy(dst, size, src) < 0)
        return error_set(err, ERR_STATE, 0, "seed drive: %s is missing or not a plain name", what);
    return 0;
}

static int parse_groups(const json_t *user, struct seed_user *out, struct error *err)
{
    size_t i;
    const json_t *g;
    json_array_foreach(json_object_get(user, "groups"), i, g)
    {
        if (!json_is_string(g) || out->ngroups == SEED_GROUPS_MAX)
            return bad(err, "users[0].groups is no short list of names");
        if (copy_name(out->groups[out->ngroups], sizeof out->groups[0], json_string_value(g),
                      "a group", err) < 0)
            return -1;
        out->ngroups++;
    }
    return 0;
}

static int parse_keys(const json_t *user, struct seed_user *out, struct error *err)
{
    size_t i;
    const json_t *k;
    json_array_foreach(json_object_get(user, "ssh_authorized_keys"), i, k)
    {
        const char *key = json_string_value(k);
        if (!key || !*key || !is_line(key))
            return bad(err, "users[0].ssh_authorized_keys has an entry that is not one line");
        if (out->nkeys == SEED_KEYS_MAX)
            return bad(err, "users[0].ssh_authorized_keys has too many entries");
        out->keys[out->nkeys++] = xstrdup(key);
    }
    return 0;
}

/* Our user is the first of the list that is an object ("default" may stand before it). */
static int parse_user(const json_t *root, struct seed_user *out, struct error *err)
{
    const json_t *users = json_object_get(root, "users");
    size_t first = 0;
    while (first < json_array_size(users) && !json_is_object(json_array_get(users, first)))
        first++;
    const json_t *user = json_array_get(users, first);
    if (!user)
        return bad(err, "user-data names no user");
    if (copy_name(out->name, sizeof out->name, seedjson_string(user, "name"), "users[0].name",
                  err) < 0)
        return -1;
    const char *shell = seedjson_string(user, "shell");
    if (shell && (!is_path(shell) || strchr(shell, ':')))
        return bad(err, "users[0].shell is not an absolute path");
    out->shell = xstrdup(shell ? shell : "/bin/sh");
    const char *sudo = seedjson_string(user, "sudo");
    if (sudo && !is_line(sudo))
        return bad(err, "users[0].sudo is not one line");
    out->sudo = sudo ? xstrdup(sudo) : NULL;
    if (parse_groups(user, out, err) < 0)
        return -1;
    return parse_keys(user, out, err);
}

/* "0644", octal as cloud-init wants it. */
static int parse_mode(const char *text, mode_t *out)
{
    mode_t mode = 0;
    if (!text) {
        *out = 0644;
        return 0;
    }
    if (!*text || strlen(text) > 4)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '7')
            return -1;
        mode = mode * 8 + (mode_t)(*text - '0');
    }
    *out = mode;
    return 0;
}

static int parse_file(const json_t *f, struct seed *out, struct error *err)
{
    const char *path = seedjson_string(f, "path"), *content = seedjson_string(f, "content");
    const char *owner = seedjson_string(f, "owner");
    if (out->nfiles == SEED_FILES_MAX)
        return bad(err, "write_files has too many entries");
    if (!path || !is_path(path))
        return bad(err, "write_files has a path that is not absolute and plain");
    if (json_object_get(f, "encoding") || json_object_get(f, "append") ||
        json_object_get(f, "defer"))
        return error_set(err, ERR_STATE, 0,
                         "seed drive: write_files %s uses encoding, append or defer, which the "
                         "guest does not know",
                         path);
    struct seed_file file = {.root_owned = !owner || str_has_prefix(owner, "root")};
    if (parse_mode(seedjson_string(f, "permissions"), &file.mode) < 0)
        return error_set(err, ERR_STATE, 0, "seed drive: permissions of %s are not octal", path);
    file.path = xstrdup(path);
    file.content = xstrdup(content ? content : "");
    out->files[out->nfiles++] = file;
    return 0;
}

int seed_clock_parse(const char *text, struct timespec *out)
{
    uint64_t sec = 0;
    long nsec = 0;
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 12)
        return -1;
    for (size_t i = 0; i < n; i++)
        sec = sec * 10 + (uint64_t)(text[i] - '0');
    const char *p = text + n;
    if (*p == '.') {
        long scale = 100000000;
        for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
            nsec += (*p - '0') * scale;
    }
    if (*p != '\0' && *p != '\n')
        return -1;
    *out = (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = nsec};
    return 0;
}

/* A size that tmpfs takes: digits and one of k, m, g or %. */
static bool is_tmpfs_size(const char *s)
{
    size_t n = strspn(s, "0123456789");
    return n > 0 && n < 12 && (s[n] == '\0' || (strchr("kmg%", s[n]) && s[n + 1] == '\0'));
}

static int parse_guest_json(const char *text, struct seed *out, struct error *err)
{
    _cleanup_seedjson_ json_t *g = seedjson_parse(text, GUEST_JSON_PATH, err);
    if (!g)
        return -1;
    const char *work_root = seedjson_string(g, "workRoot"),
               *upper = seedjson_string(g, "tmpfsSize");
    const char *user = seedjson_string(g, "user");
    if (user && !str_eq(user, out->user.name))
        return bad(err, "guest.json names another user than user-data");
    if (work_root && !is_path(work_root))
        return bad(err, "workRoot in guest.json is not an absolute path");
    if (upper && (!is_tmpfs_size(upper) || str_copy(out->upper, sizeof out->upper, upper) < 0))
        return bad(err, "tmpfsSize in guest.json is not a size such as 50% or 512m");
    out->work_root = work_root ? xstrdup(work_root) : NULL;
    return 0;
}

/* write_files, two of which speak to this init itself. */
static int parse_files(const json_t *root, struct seed *out, struct error *err)
{
    size_t i;
    const json_t *f;
    json_array_foreach(json_object_get(root, "write_files"), i, f)
    {
        if (parse_file(f, out, err) < 0)
            return -1;
        const struct seed_file *file = &out->files[out->nfiles - 1];
        if (str_eq(file->path, GUEST_JSON_PATH) && !out->work_root &&
            parse_guest_json(file->content, out, err) < 0)
            return -1;
        if (str_eq(file->path, CLOCK_PATH)) {
            if (seed_clock_parse(file->content, &out->clock) < 0)
                return bad(err, CLOCK_PATH " is not a time in seconds");
            out->clock_known = true;
        }
    }
    return 0;
}

static int parse_user_data(const char *text, struct seed *out, struct error *err)
{
    static const char header[] = "#cloud-config";
    if (!str_has_prefix(text, header))
        return bad(err, "user-data does not start with #cloud-config");
    text += sizeof header - 1;
    _cleanup_seedjson_ json_t *root = seedjson_parse(text, "user-data", err);
    if (!root)
        return -1;
    const json_t *keys = json_object_get(root, "ssh_keys");
    const char *priv = seedjson_string(keys, "ed25519_private");
    const char *pub = seedjson_string(keys, "ed25519_public");
    if (!priv || !pub)
        return bad(err, "user-data has no ed25519 host key");
    out->host_private = xstrdup(priv);
    out->host_public = xstrdup(pub);
    const char *hostname = seedjson_string(root, "hostname");
    if (hostname && copy_name(out->hostname, sizeof out->hostname, hostname, "hostname", err) < 0)
        return -1;
    if (parse_user(root, &out->user, err) < 0)
        return -1;
    return parse_files(root, out, err);
}

static int parse_meta_data(const char *text, struct seed *out, struct error *err)
{
    _cleanup_seedjson_ json_t *root = seedjson_parse(text, "meta-data", err);
    if (!root)
        return -1;
    if (copy_name(out->instance_id, sizeof out->instance_id, seedjson_string(root, "instance-id"),
                  "instance-id", err) < 0)
        return -1;
    return copy_name(out->hostname, sizeof out->hostname, seedjson_string(root, "local-hostname"),
                     "local-hostname", err);
}

int seed_parse(const char *user_data, const char *meta_data, const char *network_config,
               struct seed *out, struct error *err)
{
    *out = (struct seed){0};
    _cleanup_seed_ struct seed seed = {0};
    if (parse_meta_data(meta_data, &seed, err) < 0 || parse_user_data(user_data, &seed, err) < 0)
        return -1;
    if (network_config) {
        if (seed_net_parse(network_config, &seed.net, err) < 0)
            return -1;
        seed.has_net = true;
    }
    *out = seed;
    seed = (struct seed){0};
    return 0;
}

/* The text of one file of the drive; NUL bytes would cut it short and are refused. */
static int read_text(const struct iso *iso, const char *name, struct strbuf *sb, struct error *err)
{
    if (iso_read_file(iso, name, SEED_FILE_MAX, sb, err) < 0)
        return -1;
    if (memchr(sb->buf, '\0', sb->len))
        return error_set(err, ERR_STATE, 0, "seed drive: %s has a NUL byte", name);
    return 0;
}

int seed_read(int fd, struct seed *out, struct error *err)
{
    struct iso iso;
    struct error absent = ERROR_INIT;
    _cleanup_strbuf_ struct strbuf user = STRBUF_INIT, meta = STRBUF_INIT, net = STRBUF_INIT;
    *out = (struct seed){0};
    if (iso_open(fd, &iso, err) < 0)
        return -1;
    if (!iso_label_is(&iso, SEED_LABEL))
        return error_set(err, ERR_NOT_FOUND, 0, "ISO9660 volume is labelled \"%s\", not %s",
                         iso.label, SEED_LABEL);
    if (read_text(&iso, "user-data", &user, err) < 0 ||
        read_text(&iso, "meta-data", &meta, err) < 0)
        return -1;
    bool has_net = read_text(&iso, "network-config", &net, &absent) == 0;
    if (!has_net && absent.kind != ERR_NOT_FOUND) {
        *err = absent;
        return -1;
    }
    return seed_parse(user.buf, meta.buf, has_net ? net.buf : NULL, out, err);
}

void seed_free(struct seed *seed)
{
    free(seed->user.shell);
    free(seed->user.sudo);
    for (unsigned i = 0; i < seed->user.nkeys; i++)
        free(seed->user.keys[i]);
    for (unsigned i = 0; i < seed->nfiles; i++) {
        free(seed->files[i].path);
        free(seed->files[i].content);
    }
    free(seed->host_private);
    free(seed->host_public);
    free(seed->work_root);
    *seed = (struct seed){0};
}
