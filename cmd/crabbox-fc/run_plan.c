#include "run_plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd.h"

enum { TOP = 20 };

/* Files and bytes below a directory. */
struct total {
    const char *path; /* the first `len` bytes of it; borrowed */
    size_t len, files;
    int64_t bytes;
};

/* A name may hold any byte but NUL; its row is one line. */
static void add_row(struct strbuf *out, const struct sync_file *f)
{
    strbuf_addf(out, "%12lld ", (long long)f->size);
    text_add(out, f->path);
    strbuf_adds(out, S_ISDIR(f->mode) ? "/\n" : "\n");
}

/* ---- as JSON ---- */

static int by_bytes(const void *a, const void *b)
{
    int64_t x = ((const struct total *)a)->bytes, y = ((const struct total *)b)->bytes;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Two levels at most, so that a deep tree has a few sums that say something; as in Crabbox. */
static size_t group_of(const char *path)
{
    const char *slash = strchr(path, '/');
    const char *second = slash ? strchr(slash + 1, '/') : NULL;
    return second ? (size_t)(second - path) : slash ? (size_t)(slash - path) : 0;
}

static void add_totals(cJSON *to, struct total *all, size_t n)
{
    qsort(all, n, sizeof *all, by_bytes);
    for (size_t i = 0; i < n && i < TOP; i++) {
        _cleanup_free_ char *path = xasprintf("%.*s", (int)all[i].len, all[i].path);
        cJSON *j = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(j, "path", *path ? path : ".");
        json_add_i64(j, "files", (int64_t)all[i].files);
        json_add_i64(j, "bytes", all[i].bytes);
        (void)cJSON_AddItemToArray(to, j);
    }
}

/* Puts the files of each group together. */
static int by_group(const void *a, const void *b)
{
    const struct total *x = a, *y = b;
    int r = memcmp(x->path, y->path, x->len < y->len ? x->len : y->len);
    return r ? r : x->len < y->len ? -1 : x->len > y->len;
}

static void add_sums(cJSON *j, const struct sync_list *l)
{
    _cleanup_free_ struct total *all = xcalloc(l->n_files + 1, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < l->n_files; i++)
        all[i] = (struct total){l->files[i].path, strlen(l->files[i].path), 1, l->files[i].size};
    add_totals(cJSON_AddArrayToObject(j, "topFiles"), all, l->n_files);
    for (size_t i = 0; i < l->n_files; i++)
        all[i].len = group_of(all[i].path);
    qsort(all, l->n_files, sizeof *all, by_group);
    for (size_t i = 0; i < l->n_files; i++) {
        if (n && by_group(&all[n - 1], &all[i]) == 0) {
            all[n - 1].files++;
            all[n - 1].bytes += all[i].bytes;
        } else {
            all[n++] = all[i];
        }
    }
    add_totals(cJSON_AddArrayToObject(j, "topDirs"), all, n);
}

static int print_json(const struct sync_list *l, const char *git_dir, struct error *err)
{
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(j, "root", l->root);
    cJSON *candidate = cJSON_AddObjectToObject(j, "candidate");
    json_add_i64(candidate, "files", (int64_t)l->n_files);
    json_add_i64(candidate, "bytes", l->bytes);
    add_sums(j, l);
    cJSON *left = cJSON_AddArrayToObject(j, "leftOut");
    for (size_t i = 0; i < l->n_left && i < SYNC_LEFT_MAX; i++) {
        cJSON *e = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(e, "path", l->left[i].path);
        (void)cJSON_AddStringToObject(e, "pattern", l->left[i].pattern);
        (void)cJSON_AddItemToArray(left, e);
    }
    json_add_i64(j, "leftOutCount", (int64_t)l->n_left);
    json_add_i64(j, "skippedCount", (int64_t)l->n_skipped);
    (void)cJSON_AddStringToObject(j, "firstSkipped", l->first_skipped ? l->first_skipped : "");
    json_add_i64(j, "misnamedCount", (int64_t)l->n_misnamed);
    (void)cJSON_AddStringToObject(j, "firstMisnamed", l->first_misnamed ? l->first_misnamed : "");
    json_add_i64(j, "nestedCount", (int64_t)l->n_nested);
    (void)cJSON_AddStringToObject(j, "firstNested", l->first_nested ? l->first_nested : "");
    (void)cJSON_AddStringToObject(j, "gitDir", git_dir ? git_dir : "");
    return out_json(j, err);
}

/* ---- as text ---- */

static void say_left(const struct sync_list *l)
{
    for (size_t i = 0; i < l->n_left && i < SYNC_LEFT_MAX; i++)
        log_info("left out: %s (untracked, and the built-in pattern %s matches)", l->left[i].path,
                 l->left[i].pattern);
    if (l->n_left)
        log_info("left out by built-in patterns: %zu; next: write !PATTERN in .crabboxignore to "
                 "copy what one matches",
                 l->n_left);
}

static int print_text(const struct invocation *in, const struct sync_list *l, const char *git_dir,
                      struct error *err)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    for (size_t i = 0; i < l->n_files; i++)
        add_row(&out, &l->files[i]);
    int r = out_text(out.buf, err);
    say_left(l);
    log_info("%zu files, %lld bytes of %s would go to %s/LEASE/%s", l->n_files, (long long)l->bytes,
             l->root, in->cfg.firecracker.work_root, l->name);
    if (git_dir)
        log_info("its repository would go too (--git %s): commits and files out of %s; next: "
                 "--git none, if the guest needs none",
                 in->cfg.run.git, git_dir);
    return r;
}

struct sync_limits run_plan_limits(const struct invocation *in)
{
    struct sync_limits limits = SYNC_LIMITS_DEFAULT;
    limits.never = in->ops.store.path;
    limits.include = in->cfg.run.include;
    limits.no_git = in->opt.no_git;
    if (in->opt.force_sync_large) {
        limits.max_files = 0;
        limits.max_bytes = 0;
    }
    return limits;
}

int run_plan_print(struct invocation *in, int dir_fd, struct error *err)
{
    const struct sync_limits limits = run_plan_limits(in);
    struct deadline d = deadline_never();
    struct sync_list list = {0};
    d.cancel_fd = in->cancel_fd;
    if (sync_scan(dir_fd, in->cfg.run.exclude, &limits, &d, &list, err) < 0)
        return -1;
    sync_warn(&list);
    _cleanup_free_ char *git_dir = sync_git_plan(&list, sync_git_named(in->cfg.run.git));
    int r = in->opt.json ? print_json(&list, git_dir, err) : print_text(in, &list, git_dir, err);
    sync_list_free(&list);
    return r;
}
