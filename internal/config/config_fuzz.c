/* config_fuzz.c: any bytes as a configuration file. What is accepted must be canonical and stay so;
 * what is refused must say where, in printable text. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "config/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check_entry(const struct config_entry *e, const struct value_ctx *ctx)
{
    char why[VALUE_WHY_MAX];
    _cleanup_strbuf_ struct strbuf again = STRBUF_INIT;
    require(value_normalise(e->key, e->value, ctx, &again, why) == 0);
    require(str_eq(again.buf, e->value));
    require(e->line >= 1 && e->column >= 1);
    if (e->key->type == CFG_INT || e->key->type == CFG_MIB || e->key->type == CFG_DURATION) {
        int64_t n = value_number(e->key, e->value);
        require(n >= e->key->min && n <= e->key->max);
    }
}

static void parse(const char *text, size_t size, bool with_floor)
{
    const struct value_ctx ctx = {.home = "/h", .cwd = NULL};
    struct config_doc doc;
    struct error err = ERROR_INIT;
    int rc = config_parse_yaml("f.yaml", text, size, with_floor, &ctx, &doc, &err);
    for (size_t i = 0; rc == 0 && i < doc.n_entries; i++) {
        check_entry(&doc.entries[i], &ctx);
        for (size_t k = 0; k < i; k++)
            require(doc.entries[k].key != doc.entries[i].key);
    }
    if (rc < 0) {
        require(err.kind == ERR_CONFIG && str_has_prefix(err.msg, "f.yaml"));
        for (const char *s = err.msg; *s; s++)
            require((unsigned char)*s >= 0x20 && *s != 0x7f);
    }
    config_doc_free(&doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse((const char *)data, size, false);
    parse((const char *)data, size, true);
    return 0;
}
