#include "net/rates.h"

#include <inttypes.h>

#include "base/cleanup.h"
#include "base/fields.h"

/* What may come at once, as a part of what may come in a second: enough that the drops don't keep
 * TCP far below the rate, and at least a few of the largest frames that a guest may send. */
#define BURST_PART  8
#define BURST_BYTES (256 * 1024)
#define BURST_COUNT 32

static int64_t burst(int64_t rate, int64_t least)
{
    return rate / BURST_PART > least ? rate / BURST_PART : least;
}

static void add_bytes(const char *match, int64_t rate, struct strbuf *out)
{
    if (rate)
        strbuf_addf(out,
                    "  %slimit rate over %" PRId64 " bytes/second burst %" PRId64 " bytes drop\n",
                    match, rate, burst(rate, BURST_BYTES));
}

static void add_packets(const char *match, int64_t rate, struct strbuf *out)
{
    if (rate)
        strbuf_addf(out, "  %slimit rate over %" PRId64 "/second burst %" PRId64 " packets drop\n",
                    match, rate, burst(rate, BURST_COUNT));
}

void rates_out_text(const struct net_rates *r, struct strbuf *out)
{
    add_bytes("", r->out, out);
    add_packets("", r->packets, out);
}

void rates_in_text(const struct net_rates *r, const char *tap, struct strbuf *out)
{
    _cleanup_free_ char *match = xasprintf("oifname \"%s\" ", tap);
    if (!r->in && !r->packets)
        return;
    strbuf_adds(out, "chain inward {\n"
                     "  type filter hook postrouting priority filter; policy accept;\n");
    add_bytes(match, r->in, out);
    add_packets(match, r->packets, out);
    strbuf_adds(out, "}\n");
}

static const struct field rows[] = {
    FIELD_I64("in", struct net_rates, in),
    FIELD_I64("out", struct net_rates, out),
    FIELD_I64("packets", struct net_rates, packets),
};

cJSON *rates_to_json(const struct net_rates *r)
{
    if (!r->in && !r->out && !r->packets)
        return NULL;
    cJSON *j = cJSON_CreateObject();
    fields_add(j, rows, ARRAY_LEN(rows), r);
    return j;
}

int rates_from_json(const cJSON *j, struct net_rates *out, struct error *err)
{
    struct net_rates r = {0};
    if (j && fields_read(j, rows, ARRAY_LEN(rows), &r, err) < 0)
        return -1;
    if (r.in < 0 || r.out < 0 || r.packets < 0)
        return error_set(err, ERR_STATE, 0, "a rate is below 0");
    *out = r;
    return 0;
}
