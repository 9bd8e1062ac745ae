#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cmd.h"

static const char *action_name(enum ops_reap_action a)
{
    static const char *const names[] = {
        [REAP_KEEP] = "keep",       [REAP_BUSY] = "busy",     [REAP_REMOVE] = "would-remove",
        [REAP_REMOVED] = "removed", [REAP_FAILED] = "failed", [REAP_BROKEN] = "broken",
    };
    return names[a];
}

static int print_row(const struct ops_reaped *r, struct error *err)
{
    if (r->action == REAP_KEEP)
        return 0;
    return out_line(err, "%-12s %s %s%s%s", action_name(r->action), r->id, r->slug,
                    *r->reason ? ": " : "", r->reason);
}

static cJSON *row_json(const struct ops_reaped *r)
{
    cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(j, "leaseId", r->id);
    (void)cJSON_AddStringToObject(j, "slug", r->slug);
    (void)cJSON_AddStringToObject(j, "action", action_name(r->action));
    (void)cJSON_AddStringToObject(j, "reason", r->reason);
    return j;
}

int cmd_cleanup(struct invocation *in, struct error *err)
{
    _cleanup_free_ struct ops_reaped *all = NULL;
    size_t n, removed = 0, failed = 0;
    int reaped = ops_reap(&in->ops, in->opt.dry_run, &all, &n, err);
    if (!all)
        return -1;
    _cleanup_json_ cJSON *rows = cJSON_CreateArray();
    for (size_t i = 0; i < n; i++) {
        removed += all[i].action == REAP_REMOVED || all[i].action == REAP_REMOVE;
        failed += all[i].action == REAP_FAILED || all[i].action == REAP_BROKEN;
        if (in->opt.json)
            (void)cJSON_AddItemToArray(rows, row_json(&all[i]));
        else if (print_row(&all[i], err) < 0)
            return -1;
    }
    int r = in->opt.json ? out_json(rows, err)
                         : out_line(err, "cleanup: %zu %s, %zu failed, %zu looked at", removed,
                                    in->opt.dry_run ? "to remove" : "removed", failed, n);
    return r < 0 || reaped < 0 ? -1 : failed ? 1 : 0;
}
