/* scan.c: from a directory to the sorted list of files to send.
 *
 * sync_scan goes up from the directory to the nearest .git (repo.c). That directory is the root of
 * the tree; without a .git the directory itself is. The root is opened once, and every file is
 * reached beneath this descriptor, without following a link (tree.c). The patterns of sync.exclude
 * and .crabboxignore are loaded. In a repository, git.c then lists the files by git's rules,
 * without running git. Elsewhere walk.c lists all files. Both give each file to scan_add, which
 * skips special and unreadable files and enforces the limits. The finished list is sorted, because
 * update.c compares it with the sorted manifest.
 *
 * sync_walk lists a whole directory without any patterns, for `cp`.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sync/home.h"
#include "sync/list.h"

#define IGNORE_FILE     ".crabboxignore"
#define IGNORE_FILE_MAX (1024 * 1024)
enum {
    ENTRY_COST = 1000, /* in units of effort */
    PATH_BYTES = 512,  /* of a file's path, on the average */
};
/* Left out unless the user asks for them with "!". */
#define BUILT_IN ".DS_Store\n"
/* Likewise, but only of what git does not track: caches, what was built, and what a run brought
 * back. As in Crabbox, but ".local" and ".tmp". */
static const char *const built_in[] = {
    "._*",           "node_modules/",
    ".turbo/",       ".next/",
    ".vite/",        ".parcel-cache/",
    "dist/",         "dist-runtime/",
    "coverage/",     "playwright-report/",
    "test-results/", ".cache/",
    ".swiftpm/",     ".build/",
    ".pnpm-store/",  ".npm/",
    ".yarn/cache/",  ".venv/",
    "__pycache__/",  ".pytest_cache/",
    ".mypy_cache/",  ".ruff_cache/",
    ".gradle/",      "target/",
    ".crabbox/",     SYNC_OWN_RESULTS,
};

static void cleanup_scan(struct scan *s)
{
    tree_close(&s->tree);
    ignore_free(&s->always);
    ignore_free(&s->ignore);
    ignore_free(&s->built_in);
    ignore_free(&s->untracked);
    ignore_free(&s->include);
    gitignore_free(&s->user);
    free(s->first_odd);
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
    if (l->root)
        CLOSE_FD(l->root_fd);
    free(l->root);
    free(l->name);
    free(l->subdir);
    free(l->first_skipped);
    free(l->first_nested);
    free(l->first_misnamed);
    free(l->first_absent);
    for (size_t i = 0; i < l->n_left && i < SYNC_LEFT_MAX; i++)
        free(l->left[i].path);
    *l = (struct sync_list){0};
}

void scan_skip(struct scan *s, const char *path)
{
    if (!s->list->n_skipped++)
        s->list->first_skipped = xstrdup(path);
}

void scan_stranger(struct scan *s, const char *path)
{
    if (!s->list->n_nested++)
        s->list->first_nested = xstrdup(path);
}

void scan_misnamed(struct scan *s, const char *path)
{
    if (!s->list->n_misnamed++)
        s->list->first_misnamed = xstrdup(path);
}

void scan_absent(struct scan *s, const char *path)
{
    if (!s->list->n_absent++)
        s->list->first_absent = xstrdup(path);
}

bool scan_leaves_out(struct scan *s, const char *path, bool is_dir)
{
    return ignore_match(&s->always, path, is_dir, &s->effort) ||
           ignore_match(&s->ignore, path, is_dir, &s->effort);
}

bool scan_leaves_out_all(struct scan *s, const char *path)
{
    return (!s->always.has_negated && ignore_match(&s->always, path, true, &s->effort)) ||
           (!s->ignore.has_negated && ignore_match(&s->ignore, path, true, &s->effort));
}

bool scan_leaves_untracked(struct scan *s, const char *path, bool is_dir)
{
    struct sync_list *l = s->list;
    const struct ignore_pattern *p = ignore_find(&s->built_in, path, is_dir, &s->effort);
    if (!p || (is_dir && s->ignore.has_negated) ||
        !ignore_match(&s->untracked, path, is_dir, &s->effort))
        return false;
    /* Where a directory could not be left out as a whole, its first file stands for it. */
    if (l->n_left < SYNC_LEFT_MAX)
        l->left[l->n_left] = (struct sync_left){xasprintf("%s%s", path, is_dir ? "/" : ""),
                                                built_in[p - s->built_in.patterns]};
    l->n_left++;
    return true;
}

int scan_stop(struct scan *s, struct error *err)
{
    return effort_tick(&s->effort, ENTRY_COST) ? 0 : effort_check(&s->effort, s->list->root, err);
}

int scan_open_dir(const struct scan *s, int parent, const char *name)
{
    struct stat st;
    _cleanup_close_ int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    if (tree_is_closed(&s->tree, parent, &st)) {
        errno = ENOENT;
        return -1;
    }
    return TAKE_FD(fd);
}

/* By what it is: it may have other names, and get them later. */
static int find_never(struct scan *s, int root_fd, struct error *err)
{
    struct stat st;
    struct sync_list *l = s->list;
    if (!s->limits.never || stat(s->limits.never, &st) < 0)
        return 0;
    l->never = tree_id_of(&st);
    int within = tree_is_within(root_fd, &l->never);
    if (within < 0)
        return error_set(err, ERR_SYNC, errno, "look at the directories above %s", l->root);
    if (within)
        return error_set(
            err, ERR_SYNC, 0, "%s holds crabbox-fc's own state, which is never copied; next: %s",
            l->root, s->all ? "name another directory" : "cd into a working tree, or --no-sync");
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
    if (s->limits.max_files && s->path_bytes > s->limits.max_files * PATH_BYTES)
        return error_set(err, ERR_SYNC, 0, "the file names of %s add up to more than %zu bytes: %s",
                         l->root, s->limits.max_files * PATH_BYTES, hint);
    if (s->limits.max_bytes && l->bytes > s->limits.max_bytes)
        return error_set(err, ERR_SYNC, 0, "%s has more than %lld MiB to sync: %s", l->root,
                         (long long)(s->limits.max_bytes >> 20), hint);
    return 0;
}

/* With a copy of the path. */
static int append(struct scan *s, const char *path, const struct sync_file *f, struct error *err)
{
    if (s->include.n && !ignore_match(&s->include, path, S_ISDIR(f->mode), &s->effort))
        return 0;
    struct sync_list *l = s->list;
    if (l->n_files == s->alloc) {
        s->alloc = s->alloc ? 2 * s->alloc : 256;
        l->files = xrealloc(l->files, s->alloc * sizeof *l->files);
    }
    l->files[l->n_files] = *f;
    l->files[l->n_files++].path = xstrdup(path);
    l->bytes += f->size;
    s->path_bytes += strlen(path) + 1;
    return check_max(s, err);
}

int scan_add_dir(struct scan *s, const char *path, mode_t mode, struct error *err)
{
    return strlen(path) < PATH_MAX ? append(s, path, &(struct sync_file){.mode = mode}, err) : 0;
}

int scan_add(struct scan *s, const char *path, const struct stat *st, struct error *err)
{
    const char *base;
    if ((!S_ISREG(st->st_mode) && !S_ISLNK(st->st_mode)) || strlen(path) >= PATH_MAX) {
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
    const struct sync_file f = {
        .size = S_ISREG(st->st_mode) ? st->st_size : 0,
        .mtime_ns = clock_ns(st->st_mtim),
        .ctime_ns = clock_ns(st->st_ctim),
        .mode = st->st_mode,
    };
    return append(s, path, &f, err);
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

/* The patterns of sync.include begin at the root, with or without a slash. */
static int load_include(struct scan *s, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    for (const char *line = s->limits.include; line && *line;) {
        size_t len = strcspn(line, "\n");
        if (len)
            strbuf_addf(&text, "%s%.*s\n", *line == '/' ? "" : "/", (int)len, line);
        line += len + (line[len] == '\n');
    }
    return ignore_add(&s->include, text.buf, "sync.include", &s->effort, err);
}

static int load_ignore(struct scan *s, const char *exclude, struct error *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf own = STRBUF_INIT;
    for (size_t i = 0; i < ARRAY_LEN(built_in); i++)
        strbuf_addf(&own, "%s\n", built_in[i]);
    if (load_include(s, err) < 0 ||
        ignore_add(&s->built_in, own.buf, "sync", &s->effort, err) < 0 ||
        ignore_add(&s->untracked, own.buf, "sync", &s->effort, err) < 0 ||
        ignore_add(&s->untracked, exclude, "sync.exclude", &s->effort, err) < 0 ||
        ignore_add(&s->always, exclude, "sync.exclude", &s->effort, err) < 0 ||
        ignore_add(&s->ignore, BUILT_IN, "sync", &s->effort, err) < 0 ||
        ignore_add(&s->ignore, exclude, "sync.exclude", &s->effort, err) < 0)
        return -1;
    if (tree_read(s->tree.root_fd, IGNORE_FILE, s->list->root, IGNORE_FILE_MAX, &text, err) < 0)
        return -1;
    s->list->held_back = text.len > 0 || s->include.n > 0 || (exclude && *exclude);
    return ignore_add(&s->untracked, text.buf, IGNORE_FILE, &s->effort, err) < 0 ||
                   ignore_add(&s->ignore, text.buf, IGNORE_FILE, &s->effort, err) < 0
               ? -1
               : 0;
}

static void set_mark(struct sync_list *l)
{
    struct statx st;
    if (statx(l->root_fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) == 0 &&
        (st.stx_mask & STATX_BTIME))
        (void)str_format(l->mark, sizeof l->mark, "%llu %lld %u", (unsigned long long)st.stx_ino,
                         (long long)st.stx_btime.tv_sec, (unsigned)st.stx_btime.tv_nsec);
}

/* Takes the root, which is named after where it is now. */
static int take_root(struct scan *s, int root_fd, struct error *err)
{
    struct sync_list *l = s->list;
    _cleanup_close_ int fd = openat(root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_free_ char *name = fd < 0 ? NULL : tree_name(fd);
    if (!name)
        return error_set(err, ERR_SYNC, errno, "find the working tree's name");
    l->root = TAKE_PTR(name);
    l->root_fd = TAKE_FD(fd);
    l->name = xstrdup(strrchr(l->root, '/') + 1);
    set_mark(l);
    if (find_never(s, l->root_fd, err) < 0)
        return -1;
    if (tree_init(&s->tree, l->root_fd, &l->never, l->whole) < 0)
        return error_set(err, ERR_SYNC, errno, "hold %s open", l->root);
    return 0;
}

/* An archive that was unpacked in a home directory can leave a .git there, and then a run from a
 * directory below would send the whole home. Users who mean that can run it there, or name it. */
static int check_above(const struct scan *s, int dirfd, struct error *err)
{
    const struct sync_list *l = s->list;
    struct stat root, here;
    if (fstat(l->root_fd, &root) < 0 || fstat(dirfd, &here) < 0)
        return error_set(err, ERR_SYNC, errno, "look at %s", l->root);
    const struct tree_id id = tree_id_of(&root);
    if (tree_id_is(&id, &here) || !home_is_within(l->root_fd, true))
        return 0;
    return error_set(
        err, ERR_USAGE, 0,
        "the nearest .git is that of %s, which is or contains your home directory, and "
        "all of it would be copied; next: remove %s/.git if you did not put it there, "
        "or git init in your working tree, or --dir %s if you mean it",
        l->root, str_eq(l->root, "/") ? "" : l->root, l->root);
}

/* Finds the root and where `dirfd` lies in it. */
static int find_root(struct scan *s, int dirfd, struct repo *repo, struct error *err)
{
    struct sync_list *l = s->list;
    if ((!s->limits.no_git && repo_find(dirfd, repo, err) < 0) ||
        take_root(s, repo->top ? repo->top_fd : dirfd, err) < 0)
        return -1;
    l->git = repo->top != NULL;
    if (l->git && check_above(s, dirfd, err) < 0)
        return -1;
    _cleanup_free_ char *here = tree_name(dirfd);
    size_t len = str_eq(l->root, "/") ? 0 : strlen(l->root);
    bool below = here && strncmp(here, l->root, len) == 0 && here[len] == '/' && here[len + 1];
    l->subdir = xstrdup(below ? here + len + 1 : "");
    return 0;
}

/* A tree may hold any number of the same oddity: the first stands for all. */
static const char *and_more(char buf[static 40], size_t n)
{
    *buf = '\0';
    if (n > 1)
        (void)str_format(buf, 40, " (and %zu more)", n - 1);
    return buf;
}

static void warn_of_odd(const struct scan *s)
{
    char more[40];
    if (s->n_odd)
        log_warn("%s%s is not a regular file: git ignores its patterns, and so does sync",
                 s->first_odd, and_more(more, s->n_odd));
}

static void warn_of_absent(const struct sync_list *l)
{
    char more[40];
    if (!l->n_absent)
        return;
    _cleanup_free_ char *quoted = str_shell_quoted(l->root);
    log_warn("not synced: the submodule %s%s, which is not initialised; next: name it in "
             ".crabboxignore, or if you trust the repository: git -C %s submodule update --init "
             "--recursive",
             l->first_absent, and_more(more, l->n_absent), quoted);
}

void sync_warn(const struct sync_list *l)
{
    char more[40];
    if (l->n_nested)
        log_warn("not synced: the repository %s%s, which is not a submodule; next: name it in "
                 ".crabboxignore if it is meant to stay, or add it as a submodule",
                 l->first_nested, and_more(more, l->n_nested));
    if (l->n_misnamed)
        log_warn("not synced: %s%s: the repository's index names a file so that has another name "
                 "here (in another case, or a short one); next: git status in %s" REPO_IF_TRUSTED,
                 l->first_misnamed, and_more(more, l->n_misnamed), l->root);
    if (l->n_skipped)
        log_warn("not synced: %s%s: sockets, devices or unreadable files; next: list in "
                 ".crabboxignore what need not be copied",
                 l->first_skipped, and_more(more, l->n_skipped));
}

/* Hands the finished list over. A listing that had to end was cut short wherever it was. */
static int finish(struct scan *s, struct sync_list *out, struct error *err)
{
    if (effort_check(&s->effort, s->list->root, err) < 0)
        return -1;
    sort_unique(s->list);
    warn_of_odd(s);
    warn_of_absent(s->list);
    *out = *s->list;
    *s->list = (struct sync_list){0};
    return 0;
}

int sync_scan(int dirfd, const char *exclude, const struct sync_limits *limits,
              const struct deadline *d, struct sync_list *out, struct error *err)
{
    static const struct sync_limits defaults = SYNC_LIMITS_DEFAULT;
    _cleanup_(cleanup_list) struct sync_list list = {0};
    _cleanup_(cleanup_scan) struct scan s = {.list = &list,
                                             .tree = TREE_INIT,
                                             .always = IGNORE_INIT,
                                             .ignore = IGNORE_INIT,
                                             .limits = limits ? *limits : defaults,
                                             .effort = EFFORT_INIT(d)};
    _cleanup_(repo_free) struct repo repo = REPO_INIT;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    list.scanned_ns = clock_ns(now);
    if (find_root(&s, dirfd, &repo, err) < 0 || load_ignore(&s, exclude, err) < 0)
        return -1;
    if ((list.git ? scan_git(&s, &repo, err) : scan_walk(&s, err)) < 0)
        return -1;
    return finish(&s, out, err);
}

int sync_locate(int dirfd, const struct sync_limits *limits, struct sync_list *out,
                struct error *err)
{
    _cleanup_(cleanup_list) struct sync_list list = {0};
    _cleanup_(cleanup_scan) struct scan s = {.list = &list, .tree = TREE_INIT, .limits = *limits};
    _cleanup_(repo_free) struct repo repo = REPO_INIT;
    if (find_root(&s, dirfd, &repo, err) < 0)
        return -1;
    *out = list;
    list = (struct sync_list){0};
    return 0;
}

int sync_walk(int dirfd, const struct sync_limits *limits, const struct deadline *d,
              struct sync_list *out, struct error *err)
{
    static const struct sync_limits defaults = SYNC_LIMITS_DEFAULT;
    _cleanup_(cleanup_list) struct sync_list list = {0};
    _cleanup_(cleanup_scan) struct scan s = {.list = &list,
                                             .tree = TREE_INIT,
                                             .always = IGNORE_INIT,
                                             .ignore = IGNORE_INIT,
                                             .limits = limits ? *limits : defaults,
                                             .effort = EFFORT_INIT(d),
                                             .all = true};
    list.whole = true;
    if (take_root(&s, dirfd, err) < 0)
        return -1;
    list.subdir = xstrdup("");
    return scan_walk(&s, err) < 0 ? -1 : finish(&s, out, err);
}
