#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cmd.h"
#include "ops/provider.h"

enum { COLUMNS = 6, CELL = 64 };

struct table_row {
    char cells[COLUMNS][CELL];
};

static void fill_row(const struct lease_entry *e, struct table_row *r)
{
    const struct lease *l = &e->lease;
    text_copy(r->cells[0], CELL, e->id);
    (void)str_copy(r->cells[1], CELL, e->broken ? "-" : l->slug);
    (void)str_copy(r->cells[2], CELL, ops_view_name(ops_view(e)));
    if (e->broken)
        return;
    const struct machine_words words = machine_words(l);
    _cleanup_free_ char *vmm = xasprintf("%s/%s%s", words.vmm, words.accel,
                                         *words.lacks ? " (degraded)" : "");
    text_copy(r->cells[3], CELL, vmm);
    text_copy(r->cells[4], CELL, words.address);
    out_ends(e, r->cells[5], CELL);
}

/* Columns as wide as what is in them; the reason of a broken record has the rest of its row. */
static int print_table(const struct lease_entry *all, size_t n, struct error *err)
{
    _cleanup_free_ struct table_row *rows = xcalloc(n + 1, sizeof *rows);
    int widths[COLUMNS] = {0};
    _cleanup_strbuf_ struct strbuf table = STRBUF_INIT;
    rows[0] = (struct table_row){{"ID", "SLUG", "STATE", "VMM", "ADDRESS", "ENDS"}};
    for (size_t i = 0; i < n; i++)
        fill_row(&all[i], &rows[i + 1]);
    for (size_t i = 0; i <= n; i++)
        for (int c = 0; c < COLUMNS; c++)
            if (widths[c] < (int)strlen(rows[i].cells[c]))
                widths[c] = (int)strlen(rows[i].cells[c]);
    for (size_t i = 0; i <= n; i++) {
        bool broken = i > 0 && all[i - 1].broken;
        _cleanup_strbuf_ struct strbuf row = STRBUF_INIT;
        for (int c = 0; c < (broken ? 3 : COLUMNS - 1); c++)
            strbuf_addf(&row, "%-*s  ", widths[c], rows[i].cells[c]);
        strbuf_adds(&row, broken ? all[i - 1].reason : rows[i].cells[COLUMNS - 1]);
        text_add(&table, row.buf);
        strbuf_addc(&table, '\n');
    }
    return out_text(table.buf, err); /* at once, or `| head -n 1` would make it fail at times */
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
            (void)cJSON_AddItemToArray(rows,
                                       ops_lease_json(&in->ops.store, &all[i], ops_view(&all[i])));
        return out_json(rows, err);
    }
    const char *chosen = getenv("CRABBOX_FC_STATE_DIR"); /* which may be mistyped */
    if (!n && chosen && *chosen && access(chosen, F_OK) < 0)
        return out_line(err,
                        "no leases: CRABBOX_FC_STATE_DIR is %s, which does not exist; next: "
                        "crabbox-fc warmup, which makes it",
                        chosen);
    if (!n)
        return out_line(err, "no leases; next: crabbox-fc warmup");
    return print_table(all, n, err);
}
