#include "run_results.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "base/text.h"
#include "sys/beneath.h"

static const char *const *words(const struct option_list *l)
{
    return (const char *const *)l->items;
}

void words_free(struct option_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct option_list){0};
}

static void split_commas(const char *text, struct option_list *to)
{
    _cleanup_free_ char *copy = xstrdup(text);
    char *rest = copy;
    for (char *word; (word = strsep(&rest, ","));) {
        to->items = xrealloc(to->items, (to->n + 2) * sizeof *to->items);
        to->items[to->n++] = xstrdup(word);
        to->items[to->n] = NULL;
    }
}

/* --junit takes "a.xml,b.xml" as well as being repeated. */
static void take_reports(const struct invocation *in, struct option_list *reports)
{
    const struct option_list *junit = &in->opt.junit;
    for (size_t i = 0; i < junit->n; i++)
        split_commas(junit->items[i], reports);
    if (!junit->n && *in->cfg.results.junit)
        split_commas(in->cfg.results.junit, reports);
}

int results_request(const struct invocation *in, struct option_list *reports, struct ops_collect *c,
                    struct error *err)
{
    const struct options *o = &in->opt;
    take_reports(in, reports);
    *c = (struct ops_collect){
        .downloads = words(&o->download),
        .artifacts = words(&o->artifact_glob),
        .required = words(&o->require_artifact),
        .reports = words(reports),
        .strict_reports = o->junit.n > 0,
        .auto_reports = in->cfg.results.automatic && !reports->n,
        .artifact_dir = o->artifact_dir,
        .fail_on_test_failures = o->fail_on_test_failures || in->cfg.results.fail_on_failures,
    };
    if (o->fail_on_test_failures && !reports->n && !c->auto_reports)
        return error_set(err, ERR_USAGE, 0,
                         "--fail-on-test-failures needs --junit or --results-auto");
    bool asked = o->download.n || o->artifact_glob.n || o->require_artifact.n || o->junit.n;
    if (o->sync_only && (asked || o->capture_stdout || o->capture_stderr))
        return error_set(err, ERR_USAGE, 0, "--sync-only runs nothing that could have results");
    if (o->terminal && (o->capture_stdout || o->capture_stderr))
        return error_set(err, ERR_USAGE, 0, "--terminal and --capture-* can't be used together");
    return collect_check(c, err);
}

int capture_open(const char *option, const char *path, int *fd, struct error *err)
{
    if (!path)
        return 0;
    *fd = beneath_output(option, path, err);
    return *fd < 0 ? -1 : 0;
}

void results_text(const struct junit *t, struct strbuf *out)
{
    if (!t->n_reports)
        return;
    strbuf_addf(out, "tests: %zu run, %zu failed, %zu error%s, %zu skipped (%zu report%s)\n",
                t->tests, t->failures, t->errors, t->errors == 1 ? "" : "s", t->skipped,
                t->n_reports, t->n_reports == 1 ? "" : "s");
    for (size_t i = 0; i < t->n_names; i++) {
        strbuf_adds(out, "  failed: ");
        text_add(out, t->names[i]);
        strbuf_addc(out, '\n');
    }
    if (t->failures + t->errors > t->n_names)
        strbuf_addf(out, "  and %zu more\n", t->failures + t->errors - t->n_names);
}

void results_print(const struct ops_collected *r)
{
    _cleanup_strbuf_ struct strbuf tests = STRBUF_INIT;
    if (r->n_files)
        log_info("%zu file%s, %lld bytes brought back%s%s", r->n_files, r->n_files == 1 ? "" : "s",
                 (long long)r->bytes, *r->artifact_dir ? "; artifacts in " : "", r->artifact_dir);
    results_text(&r->junit, &tests);
    char *rest = tests.len ? tests.buf : NULL;
    for (char *line; (line = strsep(&rest, "\n")) && *line;)
        log_info("%s", line);
}

void results_json(cJSON *j, const struct ops_collected *r)
{
    json_add_i64(j, "collectMs", r->us / 1000);
    json_add_i64(j, "collectFiles", (int64_t)r->n_files);
    json_add_i64(j, "collectBytes", r->bytes);
    if (*r->artifact_dir)
        (void)cJSON_AddStringToObject(j, "artifactDir", r->artifact_dir);
    if (!r->junit.n_reports)
        return;
    cJSON *t = cJSON_AddObjectToObject(j, "junit");
    json_add_i64(t, "reports", (int64_t)r->junit.n_reports);
    json_add_i64(t, "tests", (int64_t)r->junit.tests);
    json_add_i64(t, "failures", (int64_t)r->junit.failures);
    json_add_i64(t, "errors", (int64_t)r->junit.errors);
    json_add_i64(t, "skipped", (int64_t)r->junit.skipped);
}
