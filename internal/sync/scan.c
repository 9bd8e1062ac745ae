/* scan.c: from a directory to the sorted list of what will be sent. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "sync/list.h"

#define IGNORE_FILE     ".crabboxignore"
#define IGNORE_FILE_MAX (1024 * 1024)
/* Left out unless the user asks for them with "!". */
#define BUILT_IN ".DS_Store\n"

static void cleanup_scan(struct scan *s)
{
    tree_close(&s->tree);
    ignore_free(&s->ignore);
    free(s->never);
}

static void cleanup_list(struct sync_list *l)
{
    sync_list_free(l);
}

void sync_list_free(struct sync_list *l)
{
    for (size_t i = 0; i < l->n_files; i++)
        free(l->files[i].path);
    free(l->files);
    free(l->root);
    free(l->name);
    free(l->subdir);
    free(l->first_skipped);
    *l = (struct sync_list){0};
}

void scan_skip(struct scan *s, const char *path)
{
    if (!s->list->n_skipped++)
        s->list->first_skipped = xstrdup(path);
}

bool scan_never(const struct scan *s, const char *path)
{
    size_t len = s->never ? strlen(s->never) : 0;
    return len && strncmp(path, s->never, len) == 0 && (!path[len] || path[len] == '/');
}

static int find_never(struct scan *s, struct error *err)
{
    const char *root = s->list->root;
    size_t len = str_eq(root, "/") ? 0 : strlen(root);
    _cleanup_free_ char *real = s->limits.never ? realpath(s->limits.never, NULL) : NULL;
    size_t real_len = real ? strlen(real) : 0;
    if (real && strncmp(root, real, real_len) == 0 && (!root[real_len] || root[real_len] == '/'))
        return error_set(err, ERR_SYNC, 0,
                         "%s holds crabbox-fc's own state, which is never copied; next: cd into a "
                         "working tree, or --no-sync",
                         root);
    if (real && strncmp(real, root, len) == 0 && real[len] == '/')
        s->never = xstrdup(real + len + 1);
    return 0;
}

static int check_max(const struct scan *s, struct error *err)
{
    const struct sync_list *l = s->list;
    static const char hint[] = "leave files out with " IGNORE_FILE " or sync.exclude, or "
                               "--force-sync-large";
    if (s->limits.max_files && l->n_files > s->limits.max_files)
        return error_set(err, ERR_SYNC, 0, "%s has more than %zu files to sync: %s", l->root,
                         s->limits.max_files, hint);
    if (s->limits.max_bytes && l->bytes > s->limits.max_bytes)
        return error_set(err, ERR_SYNC, 0, "%s has more than %lld MiB to sync: %s", l->root,
                         (long long)(s->limits.max_bytes >> 20), hint);
    return 0;
}

static int64_t time_ns(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

int scan_add(struct scan *s, const char *path, const struct stat *st, struct error *err)
{
    struct sync_list *l = s->list;
    const char *base;
    if (scan_never(s, path))
        return 0;
    if (!S_ISREG(st->st_mode) && !S_ISLNK(st->st_mode)) {
        scan_skip(s, path);
        return 0;
    }
    /* root reads everything; asking costs others one call a file */
    if (S_ISREG(st->st_mode) && geteuid() != 0) {
        int parent = tree_parent(&s->tree, path, &base);
        if (parent < 0 || faccessat(parent, base, R_OK, AT_EACCESS) < 0) {
            scan_skip(s, path);
            return 0;
        }
    }
    if (l->n_files == s->alloc) {
        s->alloc = s->alloc ? 2 * s->alloc : 256;
        l->files = xrealloc(l->files, s->alloc * sizeof *l->files);
    }
    l->files[l->n_files++] = (struct sync_file){
        .path = xstrdup(path),
        .size = S_ISREG(st->st_mode) ? st->st_size : 0,
        .mtime_ns = time_ns(&st->st_mtim),
        .ctime_ns = time_ns(&st->st_ctim),
        .mode = st->st_mode,
    };
    l->bytes += l->files[l->n_files - 1].size;
    return check_max(s, err);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct sync_file *)a)->path, ((const struct sync_file *)b)->path);
}

/* git lists a file in conflict once for each side. */
static void sort_unique(struct sync_list *l)
{
    size_t kept = 0;
    if (l->n_files == 0)
        return;
    qsort(l->files, l->n_files, sizeof *l->files, by_path);
    for (size_t i = 1; i < l->n_files; i++) {
        if (str_eq(l->files[kept].path, l->files[i].path)) {
            l->bytes -= l->files[i].size;
            free(l->files[i].path);
        } else {
            l->files[++kept] = l->files[i];
        }
    }
    l->n_files = kept + 1;
}

static int load_ignore(struct scan *s, const char *exclude, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    ignore_add(&s->ignore, BUILT_IN);
    ignore_add(&s->ignore, exclude);
    if (tree_read(s->tree.root_fd, IGNORE_FILE, s->list->root, IGNORE_FILE_MAX, &text, err) < 0)
        return -1;
    ignore_add(&s->ignore, text.buf);
    return 0;
}

/* Finds the root and where `dir` lies in it. */
static int find_root(struct scan *s, const char *dir, struct repo *repo, struct error *err)
{
    struct sync_list *l = s->list;
    _cleanup_free_ char *real = realpath(dir, NULL);
    if (!real)
        return error_set(err, ERR_SYNC, errno, "find the working tree %s", dir);
    if (repo_find(real, repo, err) < 0)
        return -1;
    const char *top = repo->top;
    size_t len = top && !str_eq(top, "/") ? strlen(top) : 0;
    l->git = top != NULL;
    l->subdir = xstrdup(top && real[len] == '/' ? real + len + 1 : "");
    l->root = xstrdup(top ? top : real);
    l->name = xstrdup(strrchr(l->root, '/') ? strrchr(l->root, '/') + 1 : l->root);
    return 0;
}

static void cleanup_repo(struct repo *r)
{
    repo_free(r);
}

int sync_scan(const char *dir, const char *exclude, const struct sync_limits *limits,
              const struct deadline *d, struct sync_list *out, struct error *err)
{
    static const struct sync_limits defaults = SYNC_LIMITS_DEFAULT;
    _cleanup_(cleanup_list) struct sync_list list = {0};
    _cleanup_(cleanup_scan) struct scan s = {.list = &list,
                                             .tree = TREE_INIT,
                                             .ignore = IGNORE_INIT,
                                             .limits = limits ? *limits : defaults,
                                             .d = d};
    _cleanup_(cleanup_repo) struct repo repo = REPO_INIT;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    list.scanned_ns = time_ns(&now);
    if (find_root(&s, dir, &repo, err) < 0 || tree_open(&s.tree, list.root, err) < 0 ||
        load_ignore(&s, exclude, err) < 0 || find_never(&s, err) < 0)
        return -1;
    if ((list.git ? scan_git(&s, &repo, err) : scan_walk(&s, err)) < 0)
        return -1;
    sort_unique(&list);
    *out = list;
    list = (struct sync_list){0};
    return 0;
}

int sync_walk(const char *dir, const struct sync_limits *limits, const struct deadline *d,
              struct sync_list *out, struct error *err)
{
    static const struct sync_limits defaults = SYNC_LIMITS_DEFAULT;
    _cleanup_(cleanup_list) struct sync_list list = {0};
    _cleanup_(cleanup_scan) struct scan s = {.list = &list,
                                             .tree = TREE_INIT,
                                             .ignore = IGNORE_INIT,
                                             .limits = limits ? *limits : defaults,
                                             .d = d,
                                             .all = true};
    list.root = realpath(dir, NULL);
    if (!list.root)
        return error_set(err, ERR_SYNC, errno, "find %s", dir);
    list.name = xstrdup(strrchr(list.root, '/') + 1);
    list.subdir = xstrdup("");
    if (tree_open(&s.tree, list.root, err) < 0 || scan_walk(&s, err) < 0)
        return -1;
    sort_unique(&list);
    *out = list;
    list = (struct sync_list){0};
    return 0;
}
