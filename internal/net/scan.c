#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/flows.h"
#include "net/link.h"
#include "net/listing.h"
#include "net/net.h"
#include "net/nft.h"
#include "net/plan.h"
#include "net/record.h"
#include "net/rules.h"

struct found {
    struct net_found *out;
    unsigned n, max;
};

static void found_add(struct found *f, const char *kind, const char *name)
{
    if (f->n == f->max)
        return;
    struct net_found *e = &f->out[f->n++];
    (void)str_copy(e->kind, sizeof e->kind, kind);
    (void)snprintf(e->name, sizeof e->name, "%.63s", name);
}

/* Ours are named "cbx<digits>" and have a local unicast MAC. */
static int found_link(const struct link_info *l, void *arg)
{
    if (net_is_our_link_name(l->name) && (l->mac[0] & 3) == 2)
        found_add(arg, "link", l->name);
    return 0;
}

static enum net_check have_cap(unsigned cap)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data) < 0)
        return NET_UNKNOWN;
    return data[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap) ? NET_OK : NET_MISSING;
}

/* The array of a listing; NULL with an error when nftables said something else. */
static cJSON *list_json(const char *command, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    /* Who may not ask is told so here: the library would print it as well. */
    if (have_cap(CAP_NET_ADMIN) == NET_MISSING)
        return error_null(err, ERR_ENV, EPERM, "%s (needs CAP_NET_ADMIN: run as root)", command);
    if (nft_list(command, NFT_JSON, &text, err) < 0)
        return NULL;
    return json_parse(text.buf, text.len, command, err);
}

static void found_table(const char *name, void *arg)
{
    found_add(arg, "nft-table", name);
}

static int found_tables(struct found *f, struct error *err)
{
    _cleanup_json_ cJSON *root = list_json("list tables inet", err);
    if (!root)
        return -1;
    listing_tables(root, found_table, f);
    return 0;
}

int net_scan(struct net_found *out, unsigned max, struct error *err)
{
    struct found f = {.out = out, .max = max};
    _cleanup_rt_ struct nl_sock *sk = rt_open(err);
    if (!sk || link_each(sk, found_link, &f, err) < 0 || found_tables(&f, err) < 0)
        return -1;
    return (int)f.n;
}

int net_check_rights(struct error *err)
{
    static const struct {
        unsigned cap;
        const char *name;
    } needed[] = {{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
                  {CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
                  {CAP_NET_RAW, "CAP_NET_RAW"}};
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if (have_cap(needed[i].cap) != NET_OK)
            return error_set(err, ERR_ENV, 0,
                             "uid %u can't make a lease's network without %s; next: %s",
                             (unsigned)geteuid(), needed[i].name,
                             geteuid() ? "put sudo before crabbox-fc"
                                       : "give this container or service that capability");
    return 0;
}

static enum net_check have_tun(void)
{
    _cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    return fd >= 0 ? NET_OK : NET_MISSING;
}

static void look_at_nft(struct net_host_state *s)
{
    struct error e = ERROR_INIT;
    _cleanup_json_ cJSON *root = list_json("list chains", &e);
    if (root) {
        s->nft = NET_OK;
        /* Such a chain hides every guest from the outside. */
        s->forward_drop = listing_drops_forwarded(root, s->forward_owner, sizeof s->forward_owner);
    } else {
        s->nft = e.kind == ERR_ENV && s->cap_net_admin != NET_OK ? NET_UNKNOWN : NET_MISSING;
    }
}

/* Without rights to ask, the answer is not known. */
static void look_at_rules(struct net_host_state *s)
{
    struct error e = ERROR_INIT;
    if (s->nft != NET_OK) {
        s->rules = NET_UNKNOWN;
        (void)str_copy(s->rules_lack, sizeof s->rules_lack, "nftables does not answer");
    } else if (flows_check(&e) < 0 || rules_try(&e) < 0) {
        s->rules = NET_MISSING;
        size_t len;
        (void)error_next(&e, &len);
        (void)snprintf(s->rules_lack, sizeof s->rules_lack, "%.*s", (int)(len < 190 ? len : 190),
                       e.msg);
    }
}

int net_host_look(const char *pool, struct net_host_state *out, struct error *err)
{
    struct net_host_state s = {.forward_drop = false};
    struct cidr cidr;
    struct plan_routes routes;
    if (cidr_parse(pool, &cidr, err) < 0 || plan_look_at_routes(cidr, &routes, err) < 0)
        return -1;
    s.pool_conflict = routes.conflict[0] != '\0';
    (void)str_copy(s.pool_route, sizeof s.pool_route, routes.conflict);
    s.cap_net_admin = have_cap(CAP_NET_ADMIN);
    s.cap_sys_admin = have_cap(CAP_SYS_ADMIN);
    s.tun = have_tun();
    look_at_nft(&s);
    look_at_rules(&s);
    *out = s;
    return 0;
}
