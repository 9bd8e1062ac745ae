#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "image/seed.h"

#define RUN_DIR "/run/crabbox-fc"

static void free_archive(struct archive **a)
{
    if (*a)
        (void)archive_write_free(*a);
}

static cJSON *add_string(cJSON *list, const char *text)
{
    cJSON *s = cJSON_CreateString(text);
    cJSON_AddItemToArray(list, s);
    return s;
}

/* One entry of write_files; all of ours are small, public and root's. */
static void add_file(cJSON *files, const char *path, const char *content)
{
    cJSON *f = cJSON_CreateObject();
    cJSON_AddItemToArray(files, f);
    cJSON_AddStringToObject(f, "path", path);
    cJSON_AddStringToObject(f, "content", content);
    cJSON_AddStringToObject(f, "permissions", "0644");
    cJSON_AddStringToObject(f, "owner", "root:root");
}

static void add_user(cJSON *root, const struct seed_spec *spec)
{
    cJSON *user = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(root, "users"), user);
    cJSON_AddStringToObject(user, "name", spec->user);
    cJSON_AddStringToObject(user, "shell", "/bin/bash");
    cJSON_AddStringToObject(user, "sudo", "ALL=(ALL) NOPASSWD:ALL");
    cJSON_AddBoolToObject(user, "lock_passwd", true);
    add_string(cJSON_AddArrayToObject(user, "groups"), "sudo");
    add_string(cJSON_AddArrayToObject(user, "ssh_authorized_keys"), spec->authorized_key);
}

static void add_host_key(cJSON *root, const struct seed_spec *spec)
{
    cJSON *keys = cJSON_AddObjectToObject(root, "ssh_keys");
    cJSON_AddStringToObject(keys, "ed25519_private", spec->host_key_private);
    cJSON_AddStringToObject(keys, "ed25519_public", spec->host_key_public);
    cJSON_AddBoolToObject(root, "ssh_deletekeys", true);
    cJSON_AddBoolToObject(root, "ssh_pwauth", false);
    cJSON_AddBoolToObject(root, "disable_root", true);
}

/* What only our init reads; a stock cloud-init just writes the file. */
static void add_guest_json(cJSON *files, const struct seed_spec *spec)
{
    _cleanup_json_ cJSON *g = cJSON_CreateObject();
    cJSON_AddStringToObject(g, "workRoot", spec->work_root);
    cJSON_AddStringToObject(g, "user", spec->user);
    _cleanup_free_ char *text = json_print(g, false);
    add_file(files, RUN_DIR "/guest.json", text);
}

static void add_files(cJSON *root, const struct seed_spec *spec, const struct timespec *now)
{
    char text[160];
    cJSON *files = cJSON_AddArrayToObject(root, "write_files");
    (void)str_format(text, sizeof text, "%s\n", spec->nonce);
    add_file(files, SEED_NONCE_PATH, text);
    (void)str_format(text, sizeof text, "%lld.%09ld\n", (long long)now->tv_sec, now->tv_nsec);
    add_file(files, RUN_DIR "/clock", text);
    if (!spec->stock)
        add_guest_json(files, spec);
}

/* runcmd lines as argument lists: no shell reads the names. */
static void add_runcmd(cJSON *root, const struct seed_spec *spec)
{
    char owner[80];
    (void)str_format(owner, sizeof owner, "%s:", spec->user); /* "user:" is its login group */
    cJSON *list = cJSON_AddArrayToObject(root, "runcmd");
    cJSON *mkdir_line = cJSON_CreateArray(), *chown_line = cJSON_CreateArray();
    cJSON_AddItemToArray(list, mkdir_line);
    cJSON_AddItemToArray(list, chown_line);
    const char *const mkdir_argv[] = {"mkdir", "-p", "--", spec->work_root};
    const char *const chown_argv[] = {"chown", "--", owner, spec->work_root};
    for (size_t i = 0; i < ARRAY_LEN(mkdir_argv); i++)
        add_string(mkdir_line, mkdir_argv[i]);
    for (size_t i = 0; i < ARRAY_LEN(chown_argv); i++)
        add_string(chown_line, chown_argv[i]);
}

/* JSON without indentation everywhere here: cJSON indents with tabs, which YAML forbids. */
char *seed_user_data(const struct seed_spec *spec, const struct timespec *now)
{
    _cleanup_json_ cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "hostname", spec->hostname);
    add_user(root, spec);
    add_host_key(root, spec);
    add_files(root, spec, now);
    if (spec->stock)
        add_runcmd(root, spec);
    _cleanup_free_ char *json = json_print(root, false);
    return xasprintf("#cloud-config\n%s\n", json);
}

char *seed_meta_data(const struct seed_spec *spec)
{
    _cleanup_json_ cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "instance-id", spec->lease_id);
    cJSON_AddStringToObject(root, "local-hostname", spec->hostname);
    return json_print(root, false);
}

char *seed_network_config(const struct seed_spec *spec)
{
    char addr[64];
    _cleanup_json_ cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "version", 2);
    cJSON *eth = cJSON_AddObjectToObject(cJSON_AddObjectToObject(root, "ethernets"), "eth0");
    cJSON_AddStringToObject(cJSON_AddObjectToObject(eth, "match"), "macaddress", spec->guest_mac);
    cJSON_AddStringToObject(eth, "set-name", "eth0");
    (void)str_format(addr, sizeof addr, "%s/30", spec->guest_addr);
    add_string(cJSON_AddArrayToObject(eth, "addresses"), addr);
    cJSON *route = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(eth, "routes"), route);
    cJSON_AddStringToObject(route, "to", "0.0.0.0/0");
    cJSON_AddStringToObject(route, "via", spec->gateway);
    cJSON *dns = cJSON_AddArrayToObject(cJSON_AddObjectToObject(eth, "nameservers"), "addresses");
    for (unsigned i = 0; i < spec->n_dns; i++)
        add_string(dns, spec->dns[i]);
    return json_print(root, false);
}

static int iso_error(struct archive *a, const char *name, struct error *err)
{
    const char *why = archive_error_string(a);
    return error_set(err, ERR_IO, 0, "write seed drive %s: %s", name, why ? why : "out of memory");
}

static int add_iso_file(struct archive *a, const char *name, const char *file, const char *text,
                        struct error *err)
{
    size_t len = strlen(text);
    struct archive_entry *e = archive_entry_new();
    if (!e)
        return error_set(err, ERR_IO, ENOMEM, "write seed drive %s", name);
    archive_entry_set_pathname(e, file);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0600);
    archive_entry_set_size(e, (la_int64_t)len);
    int r = archive_write_header(a, e);
    archive_entry_free(e);
    if (r != ARCHIVE_OK || archive_write_data(a, text, len) != (la_ssize_t)len)
        return iso_error(a, name, err);
    return 0;
}

/* Rock Ridge and Joliet both, so that any reader finds the long names. */
static int write_iso(int fd, const char *name, const char *const files[][2], size_t n,
                     struct error *err)
{
    _cleanup_(free_archive) struct archive *a = archive_write_new();
    if (!a)
        return error_set(err, ERR_IO, ENOMEM, "write seed drive %s", name);
    if (archive_write_set_format_iso9660(a) != ARCHIVE_OK ||
        archive_write_set_options(a, "iso9660:volume-id=cidata,iso9660:rockridge=useful,"
                                     "iso9660:joliet,iso9660:!pad") != ARCHIVE_OK ||
        archive_write_open_fd(a, fd) != ARCHIVE_OK)
        return iso_error(a, name, err);
    for (size_t i = 0; i < n; i++)
        if (add_iso_file(a, name, files[i][0], files[i][1], err) < 0)
            return -1;
    return archive_write_close(a) == ARCHIVE_OK ? 0 : iso_error(a, name, err);
}

int image_write_seed(int dirfd, const char *name, const struct seed_spec *spec, struct error *err)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    _cleanup_free_ char *user = seed_user_data(spec, &now), *meta = seed_meta_data(spec),
                        *net = seed_network_config(spec);
    const char *const files[][2] = {
        {"user-data", user}, {"meta-data", meta}, {"network-config", net}};
    _cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "create %s", name);
    int r = write_iso(fd, name, files, ARRAY_LEN(files), err);
    if (r < 0)
        (void)unlinkat(dirfd, name, 0);
    return r;
}
