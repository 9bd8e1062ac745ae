#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "image/iso_write.h"
#include "image/seed.h"
#include "sys/file.h"

#define RUN_DIR "/run/crabbox-fc"

static cJSON *add_string(cJSON *list, const char *text)
{
    cJSON *s = cJSON_CreateString(text);
    cJSON_AddItemToArray(list, s);
    return s;
}

static void add_words(cJSON *list, const char *words)
{
    _cleanup_free_ char *copy = xasprintf("%s", words);
    char *rest = copy, *word;
    while ((word = strsep(&rest, " ")))
        add_string(list, word);
}

/* Adds an entry to write_files. All of ours are small and public, and belong to root. */
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

/* Adds what only our init reads; a stock cloud-init just writes the file. */
static void add_guest_json(cJSON *files, const struct seed_spec *spec)
{
    _cleanup_json_ cJSON *g = cJSON_CreateObject();
    cJSON_AddStringToObject(g, "workRoot", spec->work_root);
    cJSON_AddStringToObject(g, "user", spec->user);
    _cleanup_free_ char *text = json_print(g, false);
    add_file(files, RUN_DIR "/guest.json", text);
}

/* Adds the guest's resolv.conf. Our init first makes one from network-config, and then replaces it
 * by this one, because network-config can't have options. */
static void add_resolv_conf(cJSON *files, const struct seed_spec *spec)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    for (unsigned i = 0; i < spec->n_dns; i++)
        strbuf_addf(&text, "nameserver %s\n", spec->dns[i]);
    if (spec->dns_search[0])
        strbuf_addf(&text, "search %s\n", spec->dns_search);
    /* A later value replaces an earlier one. */
    strbuf_addf(&text, "options timeout:2 attempts:2%s%s\n", spec->dns_options[0] ? " " : "",
                spec->dns_options);
    add_file(files, "/etc/resolv.conf", text.buf);
}

static void add_files(cJSON *root, const struct seed_spec *spec, const struct timespec *now)
{
    char text[160];
    cJSON *files = cJSON_AddArrayToObject(root, "write_files");
    (void)str_format(text, sizeof text, "%s\n", spec->nonce);
    add_file(files, SEED_NONCE_PATH, text);
    (void)str_format(text, sizeof text, "%lld.%09ld\n", (long long)now->tv_sec, now->tv_nsec);
    add_file(files, RUN_DIR "/clock", text);
    if (spec->stock)
        return;
    add_resolv_conf(files, spec);
    add_guest_json(files, spec);
}

/* Adds runcmd lines as lists of arguments, so that no shell interprets the names. */
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

/* All JSON here has no indentation, because cJSON indents with tabs, which YAML does not allow. */
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
    cJSON *names = cJSON_AddObjectToObject(eth, "nameservers");
    cJSON *dns = cJSON_AddArrayToObject(names, "addresses");
    for (unsigned i = 0; i < spec->n_dns; i++)
        add_string(dns, spec->dns[i]);
    if (spec->dns_search[0])
        add_words(cJSON_AddArrayToObject(names, "search"), spec->dns_search);
    return json_print(root, false);
}

int image_write_seed(int dirfd, const char *name, const struct seed_spec *spec, struct error *err)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    _cleanup_free_ char *user = seed_user_data(spec, &now), *meta = seed_meta_data(spec),
                        *net = seed_network_config(spec);
    _cleanup_strbuf_ struct strbuf volume = STRBUF_INIT;
    const struct iso_file files[] = {{"user-data", user, strlen(user)},
                                     {"meta-data", meta, strlen(meta)},
                                     {"network-config", net, strlen(net)}};
    if (iso_build("cidata", files, ARRAY_LEN(files), now.tv_sec, &volume, err) < 0)
        return -1;
    _cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "create %s", name);
    int r = fd_write_all(fd, volume.buf, volume.len, name, err);
    if (r < 0)
        (void)unlinkat(dirfd, name, 0);
    return r;
}
