/* doctor's checks of the network: what a lease's links and rules need of the host. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "net/net.h"
#include "ops/doctor_check.h"
#include "sys/file.h"

#define CONFLIST_MAX  (256u * 1024) /* bytes of one CNI file */
#define CONFLISTS_MAX 128           /* files that are looked at */

/* ---- network: nat ---- */

struct need {
    const char *name; /* detail */
    enum net_check state;
    const char *lack; /* message when missing */
    const char *mend;
};

/* The first need that is not met becomes the verdict; all are in the details. */
static bool needs_met(struct doctor_check *c, const struct need *needs, size_t n)
{
    static const char *const words[] = {
        [NET_OK] = "ok", [NET_MISSING] = "missing", [NET_UNKNOWN] = "unknown"};
    const struct need *first = NULL;
    for (size_t i = 0; i < n; i++) {
        check_detail(c, needs[i].name, "%s", words[needs[i].state]);
        if (!first && needs[i].state != NET_OK)
            first = &needs[i];
    }
    if (!first)
        return true;
    check_fail(c, CLASS_ENV, "%s%s", first->lack,
               first->state == NET_UNKNOWN ? " (could not be checked, which counts as missing)"
                                           : "");
    check_mend(c, "%s", first->mend);
    return false;
}

static void check_nat(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct net_host_state s;
    struct error err = ERROR_INIT;
    const char *pool = ctx->cfg->network.pool;
    check_detail(c, "pool", "%s", pool);
    if (net_host_look(pool, &s, &err) < 0) {
        check_fail(c, err.kind == ERR_CONFIG ? CLASS_CONFIG : CLASS_ENV, "%s", err.msg);
        check_mend(c, "run doctor as root; see network.pool in docs/CONFIG.md");
        return;
    }
    const struct need needs[] = {
        {"capNetAdmin", s.cap_net_admin, "no CAP_NET_ADMIN: links and rules can't be made",
         "run crabbox-fc as root"},
        {"capSysAdmin", s.cap_sys_admin, "no CAP_SYS_ADMIN: network namespaces can't be made",
         "run crabbox-fc as root"},
        {"tun", s.tun, "/dev/net/tun does not open", "modprobe tun"},
        {"nft", s.nft, "nftables does not answer", "modprobe nf_tables nft_nat nft_masq"},
        {"ipForward", s.ip_forward, "the host does not forward IPv4",
         "sysctl -w net.ipv4.ip_forward=1"},
    };
    if (s.pool_conflict)
        check_detail(c, "conflict", "%s", s.pool_route);
    if (!needs_met(c, needs, ARRAY_LEN(needs)))
        return;
    if (s.pool_conflict) {
        check_fail(c, CLASS_CONFIG, "network.pool %s overlaps the host's route %s", pool,
                   s.pool_route);
        check_mend(c, "set network.pool to a range that the host does not use");
        return;
    }
    check_ok(c, "nat out of %s: capabilities, tun, nftables and forwarding are there", pool);
}

/* ---- network: cni ---- */

/* Loads one file of the configuration directory; NULL when it is no JSON object. */
static cJSON *load_conf(int dirfd, const char *name)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (file_read_at(dirfd, name, CONFLIST_MAX, &text, NULL) < 0)
        return NULL;
    return json_parse(text.buf, text.len, name, NULL);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_conf(const struct dirent *de)
{
    return str_has_suffix(de->d_name, ".conflist") || str_has_suffix(de->d_name, ".conf");
}

/* The list whose "name" is `network`, the first in the order of file names as CNI takes it. */
static cJSON *find_network(int dirfd, const char *network, struct doctor_check *c)
{
    struct dirent **files = NULL;
    cJSON *found = NULL;
    int n = scandirat(dirfd, ".", &files, is_conf, by_name);
    for (int i = 0; i < n; i++) {
        if (!found && i < CONFLISTS_MAX) {
            cJSON *j = load_conf(dirfd, files[i]->d_name);
            if (j && str_eq(json_opt_string(j, "name", ""), network)) {
                check_detail(c, "cniFile", "%s", files[i]->d_name);
                found = TAKE_PTR(j);
            }
            cJSON_Delete(j);
        }
        free(files[i]);
    }
    free(files);
    return found;
}

static bool plugin_there(const char *bin_dir, const char *type)
{
    char path[PATH_MAX];
    return *type && !strchr(type, '/') && type[0] != '.' &&
           str_format(path, sizeof path, "%s/%s", bin_dir, type) == 0 &&
           find_program(path, path, sizeof path);
}

/* Every plugin of the chain, and the address plugin that it names in turn. */
static bool plugins_there(const cJSON *list, const char *bin_dir, struct doctor_check *c)
{
    const cJSON *plugins = cJSON_GetObjectItemCaseSensitive(list, "plugins");
    const cJSON *p;
    _cleanup_strbuf_ struct strbuf missing = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf all = STRBUF_INIT;
    cJSON_ArrayForEach(p, plugins)
    {
        const char *types[] = {
            json_opt_string(p, "type", "(no type)"),
            json_opt_string(cJSON_GetObjectItemCaseSensitive(p, "ipam"), "type", ""),
        };
        for (size_t i = 0; i < ARRAY_LEN(types); i++) {
            if (i > 0 && !*types[i])
                continue;
            strbuf_addf(&all, "%s%.64s", all.len ? "," : "", types[i]);
            if (!plugin_there(bin_dir, types[i]))
                strbuf_addf(&missing, "%s%.64s", missing.len ? ", " : "", types[i]);
        }
    }
    check_detail(c, "cniPlugins", "%s", all.buf);
    if (all.len == 0) {
        check_fail(c, CLASS_CONFIG, "CNI network list names no plugins");
        check_mend(c, "add \"plugins\" to the list in firecracker.cniConfDir");
        return false;
    }
    if (missing.len == 0)
        return true;
    check_fail(c, CLASS_ENV, "CNI plugins are missing in %s: %s", bin_dir, missing.buf);
    check_mend(c,
               "apt-get install containernetworking-plugins and set firecracker.cniBinDir to "
               "/usr/lib/cni, or put the plugins into %s",
               bin_dir);
    return false;
}

static void check_cni(struct doctor_ctx *ctx, struct doctor_check *c)
{
    const struct config_firecracker *f = &ctx->cfg->firecracker;
    check_detail(c, "cniNetwork", "%s", f->cni_network);
    check_detail(c, "cniConfDir", "%s", f->cni_conf_dir);
    check_detail(c, "cniBinDir", "%s", f->cni_bin_dir);
    if (!*f->cni_network) {
        check_fail(c, CLASS_CONFIG, "firecracker.cniNetwork is blank");
        check_mend(c, "set firecracker.cniNetwork to the name of a CNI network list");
        return;
    }
    _cleanup_close_ int dirfd = open(f->cni_conf_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0) {
        check_fail(c, CLASS_ENV, "firecracker.cniConfDir %s: %s", f->cni_conf_dir, strerror(errno));
        check_mend(c, "mkdir -p %s and put a CNI network list there", f->cni_conf_dir);
        return;
    }
    _cleanup_json_ cJSON *list = find_network(dirfd, f->cni_network, c);
    if (!list) {
        check_fail(c, CLASS_CONFIG, "no CNI network list in %s is named \"%s\"", f->cni_conf_dir,
                   f->cni_network);
        check_mend(c, "put a list of that name there, or set firecracker.cniNetwork");
        return;
    }
    if (!plugins_there(list, f->cni_bin_dir, c))
        return;
    /* True to what warmup does: the list is sound, but nothing runs it yet. */
    check_fail(c, CLASS_CONFIG,
               "CNI network \"%s\" is sound, but launching with network: cni isn't built yet",
               f->cni_network);
    check_mend(c, "set firecracker.network to nat");
}

void doctor_network(struct doctor_ctx *ctx, struct doctor_check *c)
{
    const char *mode = ctx->cfg->firecracker.network;
    check_detail(c, "mode", "%s", mode);
    if (str_eq(mode, "cni"))
        check_cni(ctx, c);
    else if (str_eq(mode, "nat"))
        check_nat(ctx, c);
    else {
        check_fail(c, CLASS_CONFIG, "firecracker.network \"%s\" is neither nat nor cni", mode);
        check_mend(c, "set firecracker.network to nat");
    }
}

/* ---- forwarding ---- */

void doctor_forwarding(struct doctor_ctx *ctx, struct doctor_check *c)
{
    struct net_host_state s;
    struct error err = ERROR_INIT;
    if (!str_eq(ctx->cfg->firecracker.network, "nat")) {
        check_skip(c, "not needed: firecracker.network is %s", ctx->cfg->firecracker.network);
        return;
    }
    if (net_host_look(ctx->cfg->network.pool, &s, &err) < 0 || s.nft != NET_OK) {
        check_fail(c, CLASS_ENV, "the host's firewall could not be read%s%s",
                   error_is_set(&err) ? ": " : "", err.msg);
        check_mend(c, "run doctor as root");
        return;
    }
    if (!s.forward_drop) {
        check_ok(c, "no other table drops what is forwarded");
        return;
    }
    /* SSH to a guest is not forwarded by the host, so a lease works; its way out does not. */
    check_detail(c, "owner", "%s", s.forward_owner);
    check_warn(c, "table %s drops forwarded packets: guests would not reach the outside",
               s.forward_owner);
    check_mend(c,
               "let cbx* through there, with Docker for example: iptables -I DOCKER-USER -i cbx+ "
               "-j ACCEPT; iptables -I DOCKER-USER -o cbx+ -j ACCEPT");
}
