/* chain.c: finds the network list, checks it, and lists the programs that it needs.
 *
 * cni_chain_load reads every file of the directory, not only up to the first match, because two
 * lists of one name are an error. A single plugin's file becomes a list of one plugin. Then the
 * entries that this program replaces are taken out, and all types are checked before one of them
 * becomes part of a path.
 */
#include "cni/chain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/file.h"
#include "sys/program.h"
#include "sys/trusted.h"
#include "sys/worktree.h"

#define LIST_MAX (256u * 1024) /* bytes of one file */

#define BIN_DIR_WHAT "directory of CNI plugins" /* for messages */
#define USE_NAT      "or use --firecracker-network nat, which needs no plugins"

static const char *const versions[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

void cni_chain_free(struct cni_chain *c)
{
    cJSON_Delete(c->list);
    c->list = NULL;
}

static cJSON *plugins_of(const cJSON *list)
{
    return cJSON_GetObjectItemCaseSensitive(list, "plugins");
}

size_t cni_chain_len(const struct cni_chain *c)
{
    return (size_t)cJSON_GetArraySize(plugins_of(c->list));
}

const char *cni_chain_type(const struct cni_chain *c, size_t i)
{
    return json_opt_string(cJSON_GetArrayItem(plugins_of(c->list), (int)i), "type", "");
}

bool cni_chain_speaks(const struct cni_chain *c, int major, int minor)
{
    const char *v = json_opt_string(c->list, "cniVersion", "");
    int has = v[0] - '0'; /* one of `versions`: one digit each */
    return has > major || (has == major && v[2] - '0' >= minor);
}

/* ---- checking it ---- */

/* A word that may be joined to the directory of plugins and may be quoted in a message. */
static bool is_plain_name(const char *s)
{
    return *s && strlen(s) < CNI_NAME_SIZE && s[0] != '.' && s[0] != '-' &&
           !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")];
}

static int check_version(const cJSON *list, struct error *err)
{
    const char *v = json_opt_string(list, "cniVersion", "");
    for (size_t i = 0; i < ARRAY_LEN(versions); i++)
        if (str_eq(v, versions[i]))
            return 0;
    const char *near = str_nearest(v, versions, ARRAY_LEN(versions));
    if (!*v)
        return error_set(err, ERR_CONFIG, 0,
                         "\"cniVersion\" is missing; next: set it to \"1.0.0\"");
    return error_set(
        err, ERR_CONFIG, 0,
        "cniVersion \"%.20s\" is not one of 0.3.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0%s%s%s", v,
        near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int check_plugin(const cJSON *plugin, int n, struct error *err)
{
    const char *type = json_opt_string(plugin, "type", "");
    const cJSON *ipam = cJSON_GetObjectItemCaseSensitive(plugin, "ipam");
    const cJSON *ipam_type = cJSON_GetObjectItemCaseSensitive(ipam, "type");
    if (!cJSON_IsObject(plugin) || !is_plain_name(type))
        return error_set(err, ERR_CONFIG, 0,
                         "plugin %d has no \"type\" that is the name of a program", n);
    if (ipam_type && (!cJSON_IsString(ipam_type) || !is_plain_name(ipam_type->valuestring)))
        return error_set(err, ERR_CONFIG, 0,
                         "plugin %d (%s): \"ipam\".\"type\" is not the name of a program", n, type);
    return 0;
}

/* Takes out the entries whose work this program does itself. */
static bool leave_out_redirect(cJSON *plugins)
{
    bool left_out = false;
    for (int i = cJSON_GetArraySize(plugins) - 1; i >= 0; i--) {
        const cJSON *p = cJSON_GetArrayItem(plugins, i);
        if (str_eq(json_opt_string(p, "type", ""), "tc-redirect-tap")) {
            cJSON_DeleteItemFromArray(plugins, i);
            left_out = true;
        }
    }
    return left_out;
}

int cni_chain_take(cJSON *list, const char *bin_dir, struct cni_chain *out, struct error *err)
{
    *out = (struct cni_chain){.list = list};
    cJSON *plugins = plugins_of(list);
    const char *name = json_opt_string(list, "name", "");
    int n = 0;
    if (str_copy(out->bin_dir, sizeof out->bin_dir, bin_dir) < 0 || !is_plain_name(name) ||
        str_copy(out->network, sizeof out->network, name) < 0)
        return error_set(err, ERR_CONFIG, 0, "\"name\" is not a name (letters, digits, . _ and -)");
    if (check_version(list, err) < 0)
        return -1;
    if (!cJSON_IsArray(plugins))
        return error_set(err, ERR_CONFIG, 0, "\"plugins\" is missing or not a list");
    out->redirect_left_out = leave_out_redirect(plugins);
    const cJSON *p;
    cJSON_ArrayForEach(p, plugins) if (check_plugin(p, ++n, err) < 0) return -1;
    if (n < 1 || n > CNI_PLUGINS_MAX)
        return error_set(err, ERR_CONFIG, 0, "\"plugins\" names %s plugins%s",
                         n ? "too many" : "no", out->redirect_left_out ? " that make a link" : "");
    return 0;
}

/* ---- finding it ---- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_list(const struct dirent *de)
{
    return str_has_suffix(de->d_name, ".conflist");
}

static int is_single(const struct dirent *de)
{
    return str_has_suffix(de->d_name, ".conf") || str_has_suffix(de->d_name, ".json");
}

/* Makes a list of a single plugin's file. */
static cJSON *list_of_single(cJSON *plugin)
{
    cJSON *list = cJSON_CreateObject();
    cJSON *plugins = cJSON_CreateArray();
    (void)cJSON_AddStringToObject(list, "cniVersion", json_opt_string(plugin, "cniVersion", ""));
    (void)cJSON_AddStringToObject(list, "name", json_opt_string(plugin, "name", ""));
    (void)cJSON_AddItemToArray(plugins, plugin);
    (void)cJSON_AddItemToObject(list, "plugins", plugins);
    return list;
}

static cJSON *read_list(const char *dir, int dirfd, const char *name, bool single,
                        struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    struct stat st;
    /* Links are followed, because other programs install their lists as links. */
    _cleanup_close_ int fd = openat(dirfd, name, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_null(err, ERR_CONFIG, errno, "open %s", name);
    if (!S_ISREG(st.st_mode))
        return error_null(err, ERR_CONFIG, 0, "%s is not a file", name);
    if (fd_reopen(&fd, O_RDONLY) < 0)
        return error_null(err, ERR_CONFIG, errno, "open %s", name);
    if (trusted_path(NULL, path, "CNI list", err) < 0 || trusted_fd(fd, path, "CNI list", err) < 0)
        return NULL;
    if (fd_read_all(fd, LIST_MAX, name, &text, err) < 0)
        return NULL;
    cJSON *j = json_parse(text.buf, text.len, name, err);
    if (j && !cJSON_IsObject(j)) {
        cJSON_Delete(j);
        return error_null(err, ERR_CONFIG, 0, "%s: not a JSON object", name);
    }
    return j && single ? list_of_single(j) : j;
}

/* Reads every file. Otherwise the names of the files would decide between two lists of one name. */
static int find_in(const char *dir, int dirfd, int (*filter)(const struct dirent *),
                   const char *network, struct cni_chain *c, struct error *err)
{
    struct dirent **files = NULL;
    int r = 0, n = scandirat(dirfd, ".", &files, filter, by_name);
    for (int i = 0; i < n; i++) {
        const char *name = files[i]->d_name;
        cJSON *j = r == 0 ? read_list(dir, dirfd, name, filter == is_single, err) : NULL;
        if (r == 0 && !j)
            r = -1;
        if (!j || !str_eq(json_opt_string(j, "name", ""), network)) {
            cJSON_Delete(j);
        } else if (c->list) {
            cJSON_Delete(j);
            r = error_set(err, ERR_CONFIG, 0,
                          "%s and %s both name the network \"%s\"; next: remove one", c->file, name,
                          network);
        } else {
            c->list = j;
            (void)str_copy(c->file, sizeof c->file, name);
        }
    }
    for (int i = 0; i < n; i++)
        free(files[i]);
    free(files);
    if (n < 0)
        return error_set(err, ERR_ENV, errno, "read the directory");
    return r;
}

/* Since CNI 1.1 a list may have further plugins in a folder of its name. Without them the chain
 * would do less than its list demands. */
static int refuse_folder(int dirfd, const struct cni_chain *c, struct error *err)
{
    struct stat st;
    if (json_opt_bool(c->list, "loadOnlyInlinedPlugins", false) ||
        fstatat(dirfd, c->network, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return 0;
    return error_set(
        err, ERR_CONFIG, 0,
        "plugins from the folder %s are not built yet; next: write them into %s and set "
        "\"loadOnlyInlinedPlugins\": true",
        c->network, c->file);
}

static int load_from(const char *dir, int dirfd, const char *bin_dir, const char *network,
                     struct cni_chain *c, struct error *err)
{
    char file[sizeof c->file];
    if (trusted_path(NULL, dir, "directory of CNI lists", err) < 0 ||
        find_in(dir, dirfd, is_list, network, c, err) < 0 ||
        (!c->list && find_in(dir, dirfd, is_single, network, c, err) < 0))
        return -1;
    if (!c->list)
        return error_set(
            err, ERR_CONFIG, 0,
            "no CNI network list is named \"%s\"; next: put one there "
            "(docs/NETWORK.md has one to start from), set firecracker.cniNetwork, " USE_NAT,
            network);
    memcpy(file, c->file, sizeof file);
    if (cni_chain_take(TAKE_PTR(c->list), bin_dir, c, err) < 0)
        return error_prefix(err, "%s", file);
    memcpy(c->file, file, sizeof file);
    return refuse_folder(dirfd, c, err);
}

/* The hint for users without a list: where to get one. */
static int open_failed(const char *conf_dir, int sys, struct error *err)
{
    _cleanup_free_ char *quoted = str_shell_quoted(conf_dir);
    if (sys == ENOENT)
        return error_set(
            err, ERR_ENV, 0,
            "firecracker.cniConfDir: there is no directory %s; next: mkdir -p %s and "
            "put a CNI network list there (docs/NETWORK.md has one to start from), " USE_NAT,
            conf_dir, quoted);
    return error_set(err, ERR_ENV, sys,
                     "open firecracker.cniConfDir %s; next: set it to the directory of CNI network "
                     "lists, " USE_NAT,
                     conf_dir);
}

int cni_chain_load(const char *conf_dir, const char *bin_dir, const char *network,
                   struct cni_chain *out, struct error *err)
{
    *out = (struct cni_chain){.list = NULL};
    _cleanup_close_ int dirfd = open(conf_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return open_failed(conf_dir, errno, err);
    if (load_from(conf_dir, dirfd, bin_dir, network, out, err) == 0)
        return 0;
    cni_chain_free(out);
    if (err && err->kind == ERR_STATE) /* a file that is not JSON counts as wrong configuration */
        err->kind = ERR_CONFIG;
    if (err && err->kind == ERR_TRUST)
        return -1;
    (void)error_prefix(err, "CNI lists in %s", conf_dir);
    return error_append(err, "; next: correct it (docs/NETWORK.md has a list to start from)");
}

/* ---- what it needs ---- */

static void need(const char *dir, const char *name, struct strbuf *all, struct strbuf *missing,
                 size_t *n)
{
    char path[PATH_MAX];
    struct stat st;
    bool there = str_format(path, sizeof path, "%s/%s", dir, name) == 0 && stat(path, &st) == 0 &&
                 S_ISREG(st.st_mode) && access(path, X_OK) == 0;
    strbuf_addf(all, "%s%s", all->len ? "," : "", name);
    if (there)
        return;
    strbuf_addf(missing, "%s%s", missing->len ? ", " : "", name);
    ++*n;
}

char *cni_plugins_path(struct error *err)
{
    _cleanup_free_ char *dirs = xstrdup(PROGRAM_PATH_LOCAL);
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    struct error why = ERROR_INIT;
    for (char *rest = dirs, *dir; (dir = strsep(&rest, ":"));)
        if (trusted_path(NULL, dir, "directory of programs", &why) == 0)
            strbuf_addf(&path, "%s%s", path.len ? ":" : "", dir);
    if (path.len)
        return strbuf_detach(&path);
    (void)error_set(err, ERR_TRUST, 0, "%s", why.msg);
    return NULL;
}

/* Whether the plugin calls iptables: some always do, others only to masquerade. */
static bool wants_iptables(const cJSON *plugin)
{
    const char *type = json_opt_string(plugin, "type", "");
    return str_eq(type, "portmap") || json_opt_bool(plugin, "ipMasq", false) ||
           (str_eq(type, "firewall") &&
            !str_eq(json_opt_string(plugin, "backend", ""), "firewalld"));
}

static bool have_iptables(void)
{
    struct program p;
    _cleanup_free_ char *path = cni_plugins_path(NULL);
    return path && program_find("iptables", path, "/", NULL, &p);
}

static int program_trusted(const char *dir, const char *name, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    return *name ? trusted_path(NULL, path, "CNI plugin", err) : 0;
}

/* If a shell lay there, a list could name it as a plugin and run any command with it. */
static bool is_one_of(const char *dir, const char *path)
{
    char real[PATH_MAX], other[PATH_MAX];
    _cleanup_free_ char *dirs = xstrdup(path);
    if (!realpath(dir, real))
        return false;
    for (char *rest = dirs, *d; (d = strsep(&rest, ":"));)
        if (realpath(d, other) && str_eq(real, other))
            return true;
    return false;
}

/* The directory that a lease's record names. The record alone does not make its programs
 * trustworthy. But DEL needs the programs that ADD used, whatever the working directory is now.
 * Earlier versions also accepted directories in which the administrator has other programs. */
static int check_recorded_dir(const char *dir, struct error *err)
{
    char tree[PATH_MAX];
    if (*dir != '/' || is_one_of(dir, PROGRAM_PATH))
        return error_set(err, ERR_TRUST, 0,
                         "the " BIN_DIR_WHAT " \"%s\", as the lease's record names it, "
                         "can't be one; next: stop the lease with the version of crabbox-fc that "
                         "made it",
                         SHOWN(dir));
    int r = worktree_on_way(dir, "", tree);
    if (r < 0)
        return error_set(err, ERR_TRUST, errno, "look at the " BIN_DIR_WHAT " %s", SHOWN(dir));
    if (r == 0)
        return 0;
    return error_set(err, ERR_TRUST, 0,
                     "the " BIN_DIR_WHAT " %s, as the lease's record names it, leads into "
                     "the working tree %s; next: move its .git away until the lease is stopped",
                     SHOWN(dir), SHOWN(tree));
}

static int check_bin_dir(const char *dir, struct error *err)
{
    struct worktree_tops around;
    char tree[PATH_MAX];
    if (*dir != '/')
        return error_set(err, ERR_TRUST, 0,
                         "the " BIN_DIR_WHAT " \"%s\" is not an absolute path; next: set "
                         "firecracker.cniBinDir to one",
                         SHOWN(dir));
    int r = worktree_tops(".", &around);
    for (size_t i = 0; r == 0 && i < WORKTREE_TOPS; i++)
        r = worktree_on_way(dir, around.of[i], tree);
    if (r < 0)
        return error_set(err, ERR_TRUST, errno,
                         "find out whether the " BIN_DIR_WHAT " %s is in a working tree; "
                         "next: cd to another directory",
                         SHOWN(dir));
    if (r > 0)
        return error_set(
            err, ERR_TRUST, 0,
            "the " BIN_DIR_WHAT " %s leads into %s, which is a working tree or may have "
            "come with the code that you are working on; next: put the plugins elsewhere and set "
            "firecracker.cniBinDir to that, or cd elsewhere",
            SHOWN(dir), SHOWN(tree));
    if (is_one_of(dir, PROGRAM_PATH_LOCAL))
        return error_set(err, ERR_TRUST, 0,
                         "the " BIN_DIR_WHAT " %s holds ordinary programs, too; next: put "
                         "the plugins into a directory of their own and set firecracker.cniBinDir "
                         "to that",
                         SHOWN(dir));
    return 0;
}

int cni_chain_trusted(const struct cni_chain *c, struct error *err)
{
    const cJSON *p;
    if ((c->recorded ? check_recorded_dir : check_bin_dir)(c->bin_dir, err) < 0)
        return -1;
    cJSON_ArrayForEach(p, plugins_of(c->list))
    {
        const cJSON *ipam = cJSON_GetObjectItemCaseSensitive(p, "ipam");
        if (program_trusted(c->bin_dir, json_opt_string(p, "type", ""), err) < 0 ||
            program_trusted(c->bin_dir, json_opt_string(ipam, "type", ""), err) < 0)
            return -1;
    }
    /* Checks the directory too, as a plugin may start others that the list does not name. */
    return trusted_path(NULL, c->bin_dir, BIN_DIR_WHAT, err);
}

size_t cni_chain_programs(const struct cni_chain *c, struct strbuf *all, struct strbuf *missing)
{
    size_t n = 0;
    bool iptables = false;
    const cJSON *p;
    cJSON_ArrayForEach(p, plugins_of(c->list))
    {
        const cJSON *ipam = cJSON_GetObjectItemCaseSensitive(p, "ipam");
        need(c->bin_dir, json_opt_string(p, "type", ""), all, missing, &n);
        if (*json_opt_string(ipam, "type", ""))
            need(c->bin_dir, json_opt_string(ipam, "type", ""), all, missing, &n);
        iptables = iptables || wants_iptables(p);
    }
    if (!iptables)
        return n;
    strbuf_adds(all, ",iptables");
    if (!have_iptables()) {
        strbuf_addf(missing, "%siptables", missing->len ? ", " : "");
        n++;
    }
    return n;
}
