/* cmd_misc.c: the verbs of a few lines: heartbeat, config, version, help. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"

int cmd_heartbeat(struct invocation *in, struct error *err)
{
    const char *ref = in->opt.id ? in->opt.id : in->n_args ? in->args[0] : NULL;
    char left[32];
    _cleanup_(session_close) struct session s = SESSION_INIT;
    if (!ref)
        return error_set(err, ERR_USAGE, 0, "heartbeat needs a lease; next: crabbox-fc list");
    /* session_find() marks the lease as used. */
    if (session_find(&in->ops, ref, 0, &s, err) < 0 ||
        (in->opt.idle_timeout &&
         ops_touch(&in->ops, s.lease.id, in->cfg.lease.idle_timeout_ms / 1000, &s.lease, err) < 0))
        return -1;
    const struct lease *l = &s.lease;
    out_left(l, left, sizeof left);
    if (!in->opt.json && l->keep)
        return out_line(err, "%s never expires (kept)", l->slug);
    bool by_ttl = l->last_touched_at + l->idle_timeout_s > lease_expires_at(l);
    if (!in->opt.json)
        return out_line(err, "%s expires in %s%s", l->slug, left,
                        by_ttl ? ", when its lifetime (lease.ttl) is over" : "");
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(j, "id", l->id);
    (void)cJSON_AddStringToObject(j, "leaseId", l->id);
    (void)cJSON_AddStringToObject(j, "slug", l->slug);
    (void)cJSON_AddStringToObject(j, "provider", l->kind->provider);
    (void)cJSON_AddStringToObject(j, "state", ops_view_name(VIEW_READY));
    ops_add_times(j, l);
    return out_json(j, err);
}

static int config_show(struct invocation *in, struct error *err)
{
    if (in->opt.json) {
        _cleanup_json_ cJSON *j = config_show_json(&in->cfg);
        return out_json(j, err);
    }
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    config_show_text(&in->cfg, &sb);
    return out_text(sb.buf, err);
}

static int config_path(struct invocation *in, struct error *err)
{
    if (in->opt.json) {
        _cleanup_json_ cJSON *j = config_paths_json(&in->cfg);
        return out_json(j, err);
    }
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    config_paths_text(&in->cfg, &sb);
    return out_text(sb.buf, err);
}

int cmd_config(struct invocation *in, struct error *err)
{
    const char *word = in->n_args ? in->args[0] : "show"; /* the parser lets no other words pass */
    return str_eq(word, "path") ? config_path(in, err) : config_show(in, err);
}

int cmd_version(struct invocation *in, struct error *err)
{
    if (!in->opt.json)
        return out_line(err, "crabbox-fc %s", CRABBOX_FC_VERSION);
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(j, "version", CRABBOX_FC_VERSION);
    json_add_i64(j, "recordSchema", LEASE_SCHEMA);
    return out_json(j, err);
}

int cmd_help(struct invocation *in, struct error *err)
{
    if (!in->n_args) {
        help_all();
        return 0;
    }
    if (str_eq(in->args[0], "config-flags")) {
        help_config_flags();
        return 0;
    }
    const struct verb *v = verb_by_name(in->args[0]);
    if (!v)
        return error_set(err, ERR_USAGE, 0, "no help on \"%s\"; next: crabbox-fc help",
                         in->args[0]);
    help_verb(v);
    return 0;
}
