/* view_json.c: the documented JSON of a lease: our members, and those that Crabbox's scripts read.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "ops/access.h"
#include "ops/ops.h"
#include "ops/provider.h"
#include "sys/deadline.h"

static void add_label_i64(cJSON *labels, const char *key, int64_t v)
{
    char text[32];
    (void)str_format(text, sizeof text, "%lld", (long long)v);
    (void)cJSON_AddStringToObject(labels, key, text);
}

/* The labels that Crabbox's users know: all values are strings there. */
static cJSON *labels_json(const struct lease *l, const char *state)
{
    cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(j, "crabbox", "true");
    (void)cJSON_AddStringToObject(j, "created_by", "crabbox-fc");
    (void)cJSON_AddStringToObject(j, "lease", l->id);
    (void)cJSON_AddStringToObject(j, "slug", l->slug);
    (void)cJSON_AddStringToObject(j, "provider", l->kind->provider);
    (void)cJSON_AddStringToObject(j, "target", "linux");
    (void)cJSON_AddStringToObject(j, "state", state);
    (void)cJSON_AddStringToObject(j, "keep", l->keep ? "true" : "false");
    add_label_i64(j, "created_at", l->created_at);
    add_label_i64(j, "last_touched_at", l->last_touched_at);
    add_label_i64(j, "idle_timeout_secs", l->idle_timeout_s);
    add_label_i64(j, "ttl_secs", l->ttl_s);
    add_label_i64(j, "expires_at", lease_expires_at(l));
    (void)cJSON_AddStringToObject(j, "instance", l->name);
    (void)cJSON_AddStringToObject(j, "vmid", l->name);
    (void)cJSON_AddStringToObject(j, "ssh_user", l->user);
    add_label_i64(j, "ssh_port", l->ssh_port);
    (void)cJSON_AddStringToObject(j, "work_root", l->work_root);
    return j;
}

static void add_ssh(cJSON *j, const struct store *s, const struct lease *l)
{
    char host[LEASE_NAME_SIZE];
    cJSON *ssh = cJSON_AddObjectToObject(j, "ssh");
    _cleanup_free_ char *key = xasprintf("%s/leases/%s/" ACCESS_KEY, s->path, l->id);
    _cleanup_free_ char *config = xasprintf("%s/leases/%s/" ACCESS_SSH_CONFIG, s->path, l->id);
    access_host(l, host, sizeof host);
    (void)cJSON_AddStringToObject(ssh, "user", l->user);
    (void)cJSON_AddStringToObject(ssh, "host", provider_of(l)->words(l).address);
    json_add_i64(ssh, "port", l->ssh_port);
    (void)cJSON_AddStringToObject(ssh, "key", key);
    (void)cJSON_AddStringToObject(ssh, "config", config);
    (void)cJSON_AddStringToObject(ssh, "configHost", host);
    (void)cJSON_AddStringToObject(ssh, "hostKey", l->host_key);
}

static void add_machine(cJSON *j, const struct lease *l)
{
    cJSON *m = cJSON_AddObjectToObject(j, "machine");
    json_add_i64(m, "cpus", l->cpus);
    json_add_i64(m, "memoryMiB", l->memory_mib);
    json_add_i64(m, "diskMiB", l->disk_mib);
}

static void add_time(cJSON *j, const char *key, int64_t unix_s)
{
    char utc[STR_UTC_SIZE], seconds[32];
    str_utc(unix_s, utc);
    (void)cJSON_AddStringToObject(j, key, utc);
    (void)str_format(seconds, sizeof seconds, "%sUnix", key);
    json_add_i64(j, seconds, unix_s);
}

void ops_add_times(cJSON *j, const struct lease *l)
{
    char text[STR_TIME_SIZE];
    add_time(j, "lastTouchedAt", l->last_touched_at);
    str_time(l->idle_timeout_s * 1000, text);
    (void)cJSON_AddStringToObject(j, "idleTimeout", text);
    add_time(j, "expiresAt", lease_expires_at(l));
}

/* What Crabbox's scripts read in status; its words for a machine at a cloud. */
static void add_crabbox_status(cJSON *j, const struct store *s, const struct lease *l, bool ready)
{
    const struct machine_words words = machine_words(l);
    _cleanup_free_ char *key = xasprintf("%s/leases/%s/" ACCESS_KEY, s->path, l->id);
    _cleanup_free_ char *port = xasprintf("%lld", (long long)l->ssh_port);
    char idle[STR_TIME_SIZE];
    int64_t idle_s = clock_unix_s() - l->last_touched_at;
    str_time(idle_s > 0 ? idle_s * 1000 : 0, idle);
    (void)cJSON_AddStringToObject(j, "target", "linux");
    (void)cJSON_AddStringToObject(j, "serverId", l->name);
    (void)cJSON_AddStringToObject(j, "serverType", words.vmm);
    (void)cJSON_AddStringToObject(j, "host", words.address);
    (void)cJSON_AddStringToObject(j, "network", "public");
    (void)cJSON_AddStringToObject(j, "sshHost", words.address);
    (void)cJSON_AddStringToObject(j, "sshHostKey", l->host_key);
    (void)cJSON_AddStringToObject(j, "sshUser", l->user);
    (void)cJSON_AddStringToObject(j, "sshPort", port);
    (void)cJSON_AddStringToObject(j, "sshKey", key);
    (void)cJSON_AddStringToObject(j, "idleFor", idle);
    (void)cJSON_AddBoolToObject(j, "hasHost", *words.address != '\0');
    (void)cJSON_AddBoolToObject(j, "ready", ready);
}

/* The same for list. */
static void add_crabbox_row(cJSON *j, const struct lease *l, const char *state)
{
    const struct machine_words words = machine_words(l);
    (void)cJSON_AddStringToObject(j, "CloudID", l->name);
    (void)cJSON_AddStringToObject(j, "Provider", l->kind->provider);
    (void)cJSON_AddStringToObject(j, "status", state);
    cJSON *net = cJSON_AddObjectToObject(j, "public_net");
    (void)cJSON_AddStringToObject(cJSON_AddObjectToObject(net, "ipv4"), "ip", words.address);
    (void)cJSON_AddStringToObject(cJSON_AddObjectToObject(j, "server_type"), "name", words.vmm);
}

cJSON *ops_lease_json(const struct store *s, const struct lease_entry *e, enum ops_view_state view)
{
    const struct lease *l = &e->lease;
    const char *state = ops_view_name(view);
    cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(j, "id", e->id);
    (void)cJSON_AddStringToObject(j, "leaseId", e->id);
    if (e->broken) {
        (void)cJSON_AddStringToObject(j, "status", state);
        (void)cJSON_AddBoolToObject(j, "ready", false);
        (void)cJSON_AddStringToObject(j, "state", state);
        (void)cJSON_AddStringToObject(j, "reason", e->reason);
        (void)cJSON_AddStringToObject(j, "endedBy", ops_end_name(ops_end(e)));
        return j;
    }
    (void)cJSON_AddStringToObject(j, "slug", l->slug);
    (void)cJSON_AddStringToObject(j, "name", l->name);
    (void)cJSON_AddStringToObject(j, "cloudId", l->name);
    (void)cJSON_AddStringToObject(j, "provider", l->kind->provider);
    (void)cJSON_AddStringToObject(j, "state", state);
    (void)cJSON_AddBoolToObject(j, "keep", l->keep);
    (void)cJSON_AddBoolToObject(j, "busy", e->locked);
    (void)cJSON_AddBoolToObject(j, "inUse", e->in_use);
    add_time(j, "createdAt", l->created_at);
    ops_add_times(j, l);
    (void)cJSON_AddStringToObject(j, "endedBy", ops_end_name(ops_end(e)));
    (void)cJSON_AddStringToObject(j, "workRoot", l->work_root);
    if (*l->failure)
        (void)cJSON_AddStringToObject(j, "reason", l->failure);
    add_crabbox_status(j, s, l, view == VIEW_READY);
    add_crabbox_row(j, l, state);
    add_ssh(j, s, l);
    add_machine(j, l);
    (void)cJSON_AddItemToObject(j, "labels", labels_json(l, state));
    provider_of(l)->add_json(l, j);
    return j;
}
