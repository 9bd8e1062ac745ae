/* Anything that a guest may answer to a survey, and a manifest that we know: entries only ever
 * become dirty, their paths stay as they were, and the names of mount points are sorted. */
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "sync/survey.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = {"a", "a/b", "a/b/c", "dir/file", "gone", "src/main.c"};

static struct manifest make(void)
{
    struct manifest m = {.n = 0};
    const struct sync_list tree = {.root = xstrdup("/w")};
    sync_manifest_begin(&m, &tree, "/work/x");
    free(tree.root);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        char path[32];
        (void)str_copy(path, sizeof path, paths[i]);
        const struct sync_file f = {.path = path};
        sync_manifest_append(&m, &f, i == 0);
    }
    return m;
}

static void check(const struct manifest *m, const struct survey_said *said)
{
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (!str_eq(m->entries[i].file.path, paths[i]))
            __builtin_trap();
    if (m->n != ARRAY_LEN(paths) || !m->entries[0].dirty || strlen(said->git_id) > 64)
        __builtin_trap();
    for (size_t i = 1; i < said->mounts.n; i++)
        if (strcmp(said->mounts.v[i - 1], said->mounts.v[i]) > 0)
            __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct survey_said said = {0};
    struct manifest m = make();
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    strbuf_add(&text, data, size);
    if (survey_apply(&m, text.buf, text.len, &said))
        check(&m, &said);
    survey_names_free(&said.mounts);
    sync_manifest_free(&m);
    return 0;
}
