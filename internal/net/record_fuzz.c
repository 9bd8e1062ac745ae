/* Any JSON as the record of a lease's network: what is accepted is planned or empty, survives being
 * written and read again, and puts nothing into a rule that could end a word. */
#include "net/record.h"
#include "net/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rules(const struct net_lease *n)
{
    struct error err = ERROR_INIT;
    struct net_view v;
    const struct rules_near near = {.source = 0x0a580001, .own = {{0x0a580002, 24}}, .n_own = 1};
    _cleanup_strbuf_ struct strbuf host = STRBUF_INIT, lease = STRBUF_INIT;
    if (net_view(n, &v, &err) < 0)
        __builtin_trap();
    rules_host_text(n, &v, &host);
    rules_lease_text(n, n->mode == NET_CNI ? &near : NULL, &lease);
    if (strchr(host.buf, '#') || strchr(lease.buf, '#') || strstr(lease.buf, "include"))
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    struct net_lease n, again;
    const char *text = (const char *)data;
    _cleanup_json_ cJSON *j = json_parse(text, size, "fuzz", &err);
    if (!j || net_lease_from_json(j, &n, &err) < 0)
        return 0;
    if (net_is_planned(&n))
        check_rules(&n);
    _cleanup_json_ cJSON *out = net_lease_to_json(&n);
    _cleanup_free_ char *written = json_print(out, false);
    _cleanup_json_ cJSON *back = json_parse(written, strlen(written), "written", &err);
    if (net_lease_from_json(back, &again, &err) < 0)
        __builtin_trap();
    _cleanup_json_ cJSON *twice = net_lease_to_json(&again);
    _cleanup_free_ char *rewritten = json_print(twice, false);
    if (strcmp(written, rewritten) != 0)
        __builtin_trap();
    return 0;
}
