/* A kernel that lacks a part of what the rules need, as libnftables reports it: warmup says the
 * same as doctor. */
#include "net/rules.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int lacks; /* what each transaction fails with */

/* In place of libnftables' own. */
struct nft_ctx;
int nft_run_cmd_from_buffer(struct nft_ctx *ctx, const char *text);
const char *nft_ctx_get_error_buffer(struct nft_ctx *ctx);

int nft_run_cmd_from_buffer(struct nft_ctx *ctx, const char *text)
{
    (void)ctx;
    (void)text;
    return -1;
}

const char *nft_ctx_get_error_buffer(struct nft_ctx *ctx)
{
    static char text[200];
    (void)ctx;
    (void)snprintf(text, sizeof text, "Error: Could not process rule: %s\nct count over 1 drop",
                   strerror(lacks));
    return text;
}

static void assert_names_the_modules(const struct error *err, bool names)
{
    assert_int_equal(err->kind, names ? ERR_ENV : ERR_NET);
    const char *next = strstr(err->msg, "; next: modprobe -a " NET_MODULES);
    assert_int_equal(next != NULL, names);
    if (names)
        assert_true(next[-1] != ' ');
}

static void test_a_missing_part_is_the_environments(void **state)
{
    (void)state;
    static const int errors[] = {ENOENT, EOPNOTSUPP, EBUSY};
    const struct net_lease pair = {
        .veth = "cbx0", .tap = "tap0", .pool = "10.213.0.0/16", .table = "crabbox_fc_00000000"};
    const struct net_lease chain = {.mode = NET_CNI, .tap = "tap0", .table = "crabbox_fc_00000001"};
    const struct net_view v = {.group = 1};
    const struct rules_near near = {.n_own = 0};
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        struct error host = ERROR_INIT, on_chain = ERROR_INIT, lease = ERROR_INIT,
                     tried = ERROR_INIT;
        bool missing = errors[i] != EBUSY;
        lacks = errors[i];
        assert_int_equal(rules_try(&tried), -1);
        assert_names_the_modules(&tried, missing);
        assert_int_equal(rules_add_host(&pair, &v, &host), -1);
        assert_names_the_modules(&host, missing);
        assert_int_equal(rules_add_host(&chain, &v, &on_chain), -1);
        assert_names_the_modules(&on_chain, missing);
        assert_int_equal(rules_add_lease(&chain, &near, &lease), -1);
        assert_names_the_modules(&lease, missing);
        assert_int_equal(rules_add_lease(&pair, NULL, NULL), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_missing_part_is_the_environments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
