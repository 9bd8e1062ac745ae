#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd.h"
#include "sys/deadline.h"

/* "1h05m", "3m20s", "45s", "-" when passed or never. */
static void format_left(int64_t seconds, char *out, size_t size)
{
    if (seconds <= 0)
        (void)str_format(out, size, "-");
    else if (seconds >= 3600)
        (void)str_format(out, size, "%lldh%02lldm", (long long)(seconds / 3600),
                         (long long)(seconds / 60 % 60));
    else if (seconds >= 60)
        (void)str_format(out, size, "%lldm%02llds", (long long)(seconds / 60),
                         (long long)(seconds % 60));
    else
        (void)str_format(out, size, "%llds", (long long)seconds);
}

static void print_row(const struct lease_entry *e)
{
    const struct lease *l = &e->lease;
    char vmm[32];
    char left[32];
    if (e->broken) {
        printf("%-17s %-22s %-12s %s\n", e->id, "-", "broken", e->reason);
        return;
    }
    (void)str_format(vmm, sizeof vmm, "%s/%s", l->vmm.backend, l->vmm.accel);
    if (l->keep)
        (void)str_copy(left, sizeof left, "kept");
    else
        format_left(lease_expires_at(l) - clock_unix_s(), left, sizeof left);
    printf("%-17s %-22s %-12s %-16s %-16s %s\n", e->id, l->slug, ops_view_name(ops_view(e)), vmm,
           l->net.lease_addr, left);
}

int cmd_list(struct invocation *in, struct error *err)
{
    _cleanup_free_ struct lease_entry *all = NULL;
    size_t n;
    if (ops_list(&in->ops, &all, &n, err) < 0)
        return -1;
    if (in->opt.json) {
        _cleanup_json_ cJSON *rows = cJSON_CreateArray();
        for (size_t i = 0; i < n; i++)
            (void)cJSON_AddItemToArray(rows, ops_lease_json(&in->ops.store, &all[i]));
        return out_json(rows, err);
    }
    if (!n)
        return out_printf(err, "no leases; next: crabbox-fc warmup\n");
    printf("%-17s %-22s %-12s %-16s %-16s %s\n", "ID", "SLUG", "STATE", "VMM", "ADDRESS",
           "EXPIRES IN");
    for (size_t i = 0; i < n; i++)
        print_row(&all[i]);
    return 0;
}
