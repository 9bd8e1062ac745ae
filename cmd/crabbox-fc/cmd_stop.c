#include <stdio.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"

static void add_result(cJSON *rows, const char *ref, const struct ops_released *r,
                       const struct error *e)
{
    cJSON *row = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(row, "lease", ref);
    (void)cJSON_AddStringToObject(row, "result",
                                  r->absent         ? "absent"
                                  : error_is_set(e) ? "failed"
                                                    : "stopped");
    (void)cJSON_AddBoolToObject(row, "graceful", r->graceful);
    json_add_i64(row, "stopMs", r->took_us / 1000);
    if (error_is_set(e))
        (void)cJSON_AddStringToObject(row, "error", e->msg);
    (void)cJSON_AddItemToArray(rows, row);
}

/* A name that is near another one is rather misspelt than gone. */
static int print_result(struct invocation *in, const char *ref, const struct ops_released *r,
                        struct error *err)
{
    char near[LEASE_SLUG_SIZE];
    if (r->absent && store_nearest(&in->ops.store, ref, near))
        return out_line(err,
                        "nothing to stop: no lease has the id or slug \"%s\"; did you mean %s?",
                        ref, near);
    if (r->absent)
        return out_line(
            err, "nothing to stop: no lease has the id or slug \"%s\" (it is gone already)", ref);
    return out_line(err, "stopped %s in %lldms%s", ref, (long long)(r->took_us / 1000),
                    r->graceful ? "" : " (killed)");
}

/* One lease. That it is absent is an error, because its name may be misspelt and it run on, but
 * not for a script that stops twice on purpose. */
static int stop_one(struct invocation *in, const char *ref, cJSON *rows, struct error *err)
{
    struct ops_released r = {0};
    struct error e = ERROR_INIT;
    r.absent = ops_release(&in->ops, ref, &r, &e) < 0 && e.kind == ERR_NOT_FOUND;
    if (r.absent && in->opt.missing_ok)
        error_clear(&e);
    if (rows)
        add_result(rows, ref, &r, &e);
    else if (!error_is_set(&e))
        (void)print_result(in, ref, &r, &e);
    if (!error_is_set(&e))
        return 0;
    if (error_is_set(err)) /* several failed: the first is the result, the others are said */
        out_error(&e);
    else
        *err = e;
    return -1;
}

int cmd_stop(struct invocation *in, struct error *err)
{
    _cleanup_json_ cJSON *rows = in->opt.json ? cJSON_CreateArray() : NULL;
    const char *named = in->opt.id ? in->opt.id : in->opt.slug;
    int r = 0;
    if (!in->n_args && !named)
        return error_set(err, ERR_USAGE, 0,
                         "stop needs a lease; next: crabbox-fc list, crabbox-fc stop LEASE");
    if (named && stop_one(in, named, rows, err) < 0)
        r = -1;
    for (int i = 0; i < in->n_args; i++)
        if (stop_one(in, in->args[i], rows, err) < 0)
            r = -1;
    if (rows && out_json(rows, err) < 0)
        r = -1;
    return r;
}
