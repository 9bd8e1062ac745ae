/* Reports of tests as a guest may write them: totals that add up, and nothing that crashes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "junit/junit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct junit sum = {0};
    struct error err = ERROR_INIT;
    if (junit_parse((const char *)data, size, "report", -1, &sum, &err) < 0) {
        if (sum.tests || sum.n_reports || !error_is_set(&err))
            abort();
        return 0;
    }
    if (sum.n_reports != 1 || !sum.tests || sum.failures + sum.errors + sum.skipped > sum.tests ||
        sum.n_names > sum.failures + sum.errors)
        abort();
    for (size_t i = 0, at; i < sum.n_names; i++)
        if (!text_ok(sum.names[i], strlen(sum.names[i]), false, &at))
            abort();
    return 0;
}
