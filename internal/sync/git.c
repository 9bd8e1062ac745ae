/* git.c: what belongs to a repository: the paths of its index, and the files that are not in it and
 * not ignored; what `git ls-files --cached --others --exclude-standard` lists.
 *
 * It is listed without git. git obeys the configuration of the repository that it is run in, and
 * that configuration names programs (fsmonitor, filters, the upload-pack of a promisor remote…),
 * other trees (core.worktree) and other files. There is no complete list of what to switch off.
 * Here nothing of it is obeyed, no program runs, and no objects are read, so there is nothing to
 * fetch. What is read:
 *
 *   .git            by repo.c, which also distinguishes a linked worktree and a submodule from a
 *                   .git that leads elsewhere
 *   config          by repocheck.c: of what format the repository is, and whether it is bare
 *   index           and sharedindex.* where it is split (gitindex.c)
 *   info/exclude    and each .gitignore (gitignore.c)
 *   the user's own  core.excludesFile (gituser.c), which is not the repository's to set
 *
 * each beneath the directory that it belongs to, without a symlink on the way, regular and bounded.
 * A core.excludesFile of the repository's own configuration has no effect, by design.
 *
 * No matter who wrote these bytes, at worst the list is wrong: every path in it is resolved again
 * beneath the tree (tree.h) when it is looked at and when it is sent, and one with a .git, "..", or
 * an empty component is refused. So is one that its directory does not list: on filesystems that
 * ignore case or know short names, an index could otherwise name the user's files past all
 * patterns. As nothing is run, root may list another user's tree.
 *
 * Nested repositories: only where the index has a gitlink, with the repository's own index and
 * rules. Any other directory that has a .git is left out and reported as skipped, whatever the
 * index names below it: git writes no such entries, and they would pass by that repository's own
 * patterns. A bare repository is just files, unless .git leads there. If a sparse checkout has left
 * out a .gitignore, untracked files beside it are left out too: without the objects there is no way
 * to know whether they are ignored.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "sync/gitindex.h"
#include "sync/list.h"
#include "sys/beneath.h"
#include "sys/file.h"
#include "sys/worktree.h"

enum {
    INDEX_MAX = 128 * 1024 * 1024, /* a million files */
    PATTERNS_MAX = 1024 * 1024,    /* of one .gitignore */
    HELD_MAX = 4 * 1024 * 1024,    /* of all on the way to a directory: they are in memory at once,
                                      at several times their size, and each path is matched
                                      against all of them */
    NESTING_MAX = 32,              /* submodules in submodules */
    NESTED_ENTRIES_MAX = 3000000,  /* in the indexes of all nested repositories, present or not */
    NESTED_BYTES_MAX = 512 * 1024 * 1024, /* of these indexes */
    ANSWER_MS = 10000,                    /* for git to tell the user's configuration */
    DEPTH_MAX = 100, /* directories in directories: each holds a descriptor open, and
                        the usual limit is 1024; below TREE_DEPTH_MAX */
};

/* One repository of the tree. */
struct git_scan {
    struct scan *s;
    const struct repo *repo;
    const char *prefix; /* where it lies in the tree: "" or "sub/" */
    size_t prefix_len;
    unsigned nesting;
    struct gitindex index;
    size_t index_bytes;   /* that were read and worked through for it */
    size_t held;          /* bytes of the .gitignore files on the way to where the walk is */
    char *foreign;        /* the nested repository that was reported last; owned */
    char *looked_through; /* the directory that see_names has listed last; owned */
    struct strbuf links;  /* paths of the submodules to scan, each with its NUL */
};

static int scan_repo(struct scan *s, const struct repo *r, const char *prefix, unsigned nesting,
                     struct error *err);

/* ---- what is tracked ---- */

/* The entry of a name that a directory lists. */
static const struct gitindex_entry *see(struct git_scan *g, const char *own)
{
    const struct gitindex_entry *e = gitindex_find(&g->index, own);
    if (e)
        g->index.entries[e - g->index.entries].seen = true;
    return e;
}

static int read_index_file(struct git_scan *g, const char *name, struct gitindex *x,
                           struct error *err)
{
    const struct repo *r = g->repo;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_free_ char *what = xasprintf("%s/%s", r->git_dir, name);
    int there = tree_read(r->git_fd, name, r->git_dir, INDEX_MAX, &text, err);
    if (there <= 0)
        return there;
    int parsed = gitindex_parse(x, text.buf, text.len, what, err);
    g->index_bytes += text.len + x->n_change;
    return parsed < 0 ? -1 : 1;
}

/* No index is an index without entries: nothing was ever added. */
static int read_index(struct git_scan *g, struct error *err)
{
    struct gitindex *x = &g->index;
    const char *git_dir = g->repo->git_dir;
    _cleanup_(gitindex_free) struct gitindex base = {0};
    if (read_index_file(g, "index", x, err) < 0)
        return -1;
    if (*x->base) {
        _cleanup_free_ char *name = xasprintf("sharedindex.%s", x->base);
        int there = read_index_file(g, name, &base, err);
        if (there == 0)
            return error_set(err, ERR_SYNC, 0,
                             "%s/%s, a part of the index, is missing; next: git "
                             "status" REPO_IF_TRUSTED,
                             git_dir, name);
        if (there < 0 || gitindex_merge(x, &base, name, err) < 0)
            return -1;
    }
    return gitindex_settle(x, git_dir, err);
}

/* What an index may name: a path below the tree that is not git's own. */
static bool path_is_fit(const char *path)
{
    for (const char *p = path;; p++) {
        size_t len = strcspn(p, "/");
        if (len == 0 || (len == 1 && p[0] == '.') || (len == 2 && memcmp(p, "..", 2) == 0) ||
            tree_names_git(p, len))
            return false;
        p += len;
        if (!*p)
            return true;
    }
}

/* An entry below a directory that is a repository of its own, which is the first `len` bytes of
 * `path`. The directory is reported once: its entries follow each other. A submodule is listed by
 * its own index, so there it is the entry that is too much. */
static void skip_foreign(struct git_scan *g, const char *path, size_t len)
{
    _cleanup_free_ char *dir = xasprintf("%.*s", (int)len, path);
    if (g->foreign && str_eq(g->foreign, dir))
        return;
    const struct gitindex_entry *e = gitindex_find(&g->index, dir + g->prefix_len);
    if (!scan_leaves_out_all(g->s, dir))
        scan_stranger(g->s, e && e->kind == GITINDEX_LINK ? path : dir);
    free(g->foreign);
    g->foreign = TAKE_PTR(dir);
}

/* A gitlink that is a directory: a submodule, where it is initialised. It is scanned later, when
 * this index is no longer in memory. */
static void add_link(struct git_scan *g, int parent, const char *base, const char *path)
{
    struct scan *s = g->s;
    _cleanup_close_ int fd = scan_open_dir(s, parent, base);
    if (fd < 0)
        return;
    int git = worktree_has_git(fd, NULL);
    if (git == 0)
        scan_absent(s, path);
    else if (git < 0 || g->nesting >= NESTING_MAX)
        scan_skip(s, path);
    else
        strbuf_add(&g->links, path, strlen(path) + 1);
}

/* Lists a directory that the walk has not been in: its own patterns may leave it out. `own` is the
 * path of an entry in it. */
static int see_names(struct git_scan *g, int dirfd, const char *own, struct error *err)
{
    const char *slash = strrchr(own, '/');
    _cleanup_free_ char *dir = xasprintf("%.*s", slash ? (int)(slash - own + 1) : 0, own);
    if (g->looked_through && str_eq(g->looked_through, dir))
        return 0;
    _cleanup_closedir_ DIR *d = dir_reopen(dirfd);
    for (struct dirent *e; d && (e = dir_next(d));) {
        _cleanup_free_ char *name = xasprintf("%s%s", dir, e->d_name);
        if (scan_stop(g->s, err) < 0)
            return -1;
        (void)see(g, name);
    }
    free(g->looked_through);
    g->looked_through = TAKE_PTR(dir);
    return 0;
}

/* Whether a file that was found has this very name. Else the index would choose by which of its
 * names the user's .env goes to the guest, such as ENV~1, which no pattern leaves out. Names that
 * the walk came by are seen already. 1, 0, -1. */
static int is_so_named(struct git_scan *g, int parent, const char *path,
                       const struct gitindex_entry *e, struct error *err)
{
    if (!e->seen && tree_is_so_named(&g->s->tree, path, g->prefix_len) &&
        see_names(g, parent, e->path, err) < 0)
        return -1;
    if (!e->seen)
        scan_misnamed(g->s, path);
    return e->seen;
}

/* What is in the index but absent was deleted in the working tree. So was what is reached only by a
 * symlink: git lists the link in its place. */
static int add_tracked(struct git_scan *g, const struct gitindex_entry *e, struct error *err)
{
    struct scan *s = g->s;
    struct stat st;
    const char *base;
    _cleanup_free_ char *path = xasprintf("%s%s", g->prefix, e->path);
    if (!path_is_fit(e->path)) {
        scan_skip(s, path);
        return 0;
    }
    int parent = tree_parent(&s->tree, path, &base);
    int why = errno;
    size_t foreign = tree_find_git(&s->tree, path, g->prefix_len);
    if (foreign) {
        skip_foreign(g, path, foreign);
        return 0;
    }
    errno = why;
    if (parent < 0 || fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
            scan_skip(s, path);
        return 0;
    }
    bool is_dir = S_ISDIR(st.st_mode);
    if (is_dir && e->kind == GITINDEX_SPARSE)
        scan_skip(s, path);
    if (is_dir ? e->kind != GITINDEX_LINK || scan_leaves_out_all(s, path)
               : scan_leaves_out(s, path, false))
        return 0;
    int named = is_so_named(g, parent, path, e, err);
    if (named > 0 && is_dir)
        add_link(g, parent, base, path);
    return named > 0 && !is_dir ? scan_add(s, path, &st, err) : named < 0 ? -1 : 0;
}

/* ---- what is not ---- */

static int walk_others(struct git_scan *g, int fd, struct strbuf *path,
                       const struct gitignore *above, bool tracked, int depth, struct error *err);

static int parse_patterns(struct gitignore *g, const struct strbuf *text, const char *dir,
                          const char *name, struct effort *e, struct error *err)
{
    if (gitignore_parse(g, text->buf, text->len, e) < 0)
        return error_set(err, ERR_SYNC, 0, "%s%s%s has a line of more than %d bytes", dir,
                         *dir ? "/" : "", name, GITIGNORE_LINE_MAX);
    return 0;
}

/* The patterns of one directory. 0 where a sparse checkout has left them out, else 1 or -1. */
static int read_patterns(struct git_scan *g, int fd, const char *dir, struct gitignore *own,
                         struct error *err)
{
    static const char name[] = ".gitignore";
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_free_ char *path = xasprintf("%s%s%s", dir, *dir ? "/" : "", name);
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT)
            return error_set(err, ERR_SYNC, errno, "look at %s", path);
        const struct gitindex_entry *e = gitindex_find(&g->index, path + g->prefix_len);
        if (!e || !e->skipped)
            return 1;
        scan_skip(g->s, path);
        return 0;
    }
    if (!S_ISREG(st.st_mode)) {
        if (!g->s->n_odd++)
            g->s->first_odd = TAKE_PTR(path);
        return 1;
    }
    if (tree_read(fd, name, *dir ? dir : g->s->list->root, PATTERNS_MAX, &text, err) < 0)
        return -1;
    if (g->held + text.len > HELD_MAX)
        return error_set(err, ERR_SYNC, 0,
                         "%s and those above it add up to more than %d bytes; next: leave "
                         "the directory out by sync.exclude, or --no-sync",
                         path, HELD_MAX);
    return parse_patterns(own, &text, dir, name, &g->s->effort, err) < 0 ? -1 : 1;
}

static bool is_left_out(const struct git_scan *g, const struct gitignore *patterns,
                        const char *path, bool is_dir)
{
    struct scan *s = g->s;
    return gitignore_match(patterns, path, is_dir, &s->effort) ||
           scan_leaves_untracked(s, path, is_dir) ||
           (is_dir ? scan_leaves_out_all(s, path) : scan_leaves_out(s, path, false));
}

/* Enters a directory unless it is left out as a whole, or a repository of its own. */
static int other_dir(struct git_scan *g, int parent, const char *name, struct strbuf *path,
                     const struct gitignore *patterns, bool tracked, int depth, struct error *err)
{
    const char *own = path->buf + g->prefix_len;
    const struct gitindex_entry *e = tracked ? see(g, own) : NULL;
    if ((e && e->kind != GITINDEX_FILE) || is_left_out(g, patterns, path->buf, true))
        return 0;
    _cleanup_close_ int fd = scan_open_dir(g->s, parent, name);
    if (fd < 0 || depth >= DEPTH_MAX) {
        if (fd >= 0 || (errno != ENOENT && errno != ENOTDIR && errno != ELOOP))
            scan_skip(g->s, path->buf);
        return 0;
    }
    tracked = tracked && gitindex_holds(&g->index, own);
    if (worktree_has_git(fd, NULL) != 0) {
        if (!tracked) /* else its entries are reported */
            scan_stranger(g->s, path->buf);
        return 0;
    }
    return walk_others(g, TAKE_FD(fd), path, patterns, tracked, depth + 1, err);
}

static int other_file(struct git_scan *g, int fd, const char *name, const char *path,
                      const struct gitignore *patterns, bool tracked, struct error *err)
{
    struct stat st;
    if ((tracked && see(g, path + g->prefix_len)) || is_left_out(g, patterns, path, false) ||
        fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return S_ISREG(st.st_mode) || S_ISLNK(st.st_mode) ? scan_add(g->s, path, &st, err) : 0;
}

static int other_entry(struct git_scan *g, int fd, const struct dirent *e, struct strbuf *path,
                       const struct gitignore *patterns, bool tracked, int depth, struct error *err)
{
    const char *name = e->d_name;
    struct stat st;
    bool is_dir = e->d_type == DT_DIR;
    if (str_eq(name, ".") || str_eq(name, "..") || strcasecmp(name, ".git") == 0)
        return 0;
    if (e->d_type == DT_UNKNOWN)
        is_dir = fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
    size_t len = path->len;
    strbuf_addf(path, "%s%s", len ? "/" : "", name);
    int r = is_dir ? other_dir(g, fd, name, path, patterns, tracked, depth, err)
                   : other_file(g, fd, name, path->buf, patterns, tracked, err);
    path->len = len;
    path->buf[len] = '\0';
    return r;
}

/* Adds what is in the directory and not in the index. `path` is its own, from the tree's root;
 * `tracked` tells whether the index has anything below it. Consumes fd. */
static int walk_others(struct git_scan *g, int fd, struct strbuf *path,
                       const struct gitignore *above, bool tracked, int depth, struct error *err)
{
    _cleanup_(gitignore_free) struct gitignore own = {0};
    _cleanup_closedir_ DIR *dir = fdopendir(fd);
    if (!dir) {
        error_fill(err, ERR_SYNC, errno, "list %s", path->len ? path->buf : ".");
        CLOSE_FD(fd);
        return -1;
    }
    int r = read_patterns(g, dirfd(dir), path->buf, &own, err);
    if (r <= 0)
        return r;
    own.above = above;
    own.base = path->len ? path->len + 1 : 0;
    g->held += own.bytes;
    for (struct dirent *e; (e = dir_next(dir));)
        if (scan_stop(g->s, err) < 0 ||
            other_entry(g, dirfd(dir), e, path, own.n ? &own : above, tracked, depth, err) < 0)
            return -1;
    g->held -= own.bytes;
    return errno ? error_set(err, ERR_SYNC, errno, "list %s", path->len ? path->buf : ".") : 0;
}

/* ---- a repository and its submodules ---- */

/* Patterns of the repository that are not part of its tree. */
static int read_exclude(const struct git_scan *g, struct gitignore *out, struct error *err)
{
    static const char name[] = "info/exclude";
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (tree_read(g->repo->common_fd, name, g->repo->git_dir, PATTERNS_MAX, &text, err) < 0)
        return -1;
    return parse_patterns(out, &text, g->repo->git_dir, name, &g->s->effort, err);
}

/* Entries without a file cost a look each and count as no file, and thousands of repositories may
 * have one large index by hard links. */
static int check_nested(const struct git_scan *g, struct error *err)
{
    struct scan *s = g->s;
    if (!g->nesting)
        return 0;
    s->nested_entries += g->index.n;
    s->nested_bytes += g->index_bytes + g->repo->config_bytes;
    if (s->nested_entries <= NESTED_ENTRIES_MAX && s->nested_bytes <= NESTED_BYTES_MAX)
        return 0;
    return error_set(err, ERR_SYNC, 0,
                     "the indexes and configurations of the repositories in %s have more than %d "
                     "entries or %d bytes; "
                     "next: leave some of them out with .crabboxignore, or --no-sync",
                     s->list->root, NESTED_ENTRIES_MAX, NESTED_BYTES_MAX);
}

/* How many directories a prefix names. */
static int depth_of(const char *prefix)
{
    int n = 0;
    for (const char *p = strchr(prefix, '/'); p; p = strchr(p + 1, '/'))
        n++;
    return n;
}

static int scan_own(struct git_scan *g, struct error *err)
{
    struct gitignore user = g->s->user; /* borrows all of it */
    _cleanup_(gitignore_free) struct gitignore exclude = {0};
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    user.base = g->prefix_len;
    if (read_index(g, err) < 0)
        return -1;
    if (check_nested(g, err) < 0)
        return -1;
    if (read_exclude(g, &exclude, err) < 0)
        return -1;
    exclude.base = g->prefix_len;
    exclude.above = &user;
    strbuf_add(&path, g->prefix, g->prefix_len ? g->prefix_len - 1 : 0);
    int fd = openat(g->repo->top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_SYNC, errno, "list %s", g->repo->top);
    if (walk_others(g, fd, &path, &exclude, true, depth_of(g->prefix), err) < 0)
        return -1;
    for (size_t i = 0; i < g->index.n; i++)
        if (scan_stop(g->s, err) < 0 || add_tracked(g, &g->index.entries[i], err) < 0)
            return -1;
    return 0;
}

static int scan_nested(struct scan *s, int fd, const char *path, const struct repo *around,
                       unsigned nesting, struct error *err)
{
    _cleanup_(repo_free) struct repo r = REPO_INIT;
    _cleanup_free_ char *top = xasprintf("%s/%s", str_eq(s->list->root, "/") ? "" : s->list->root,
                                         path);
    _cleanup_free_ char *prefix = xasprintf("%s/", path);
    return repo_at(fd, top, around, &r, err) < 0 ? -1 : scan_repo(s, &r, prefix, nesting, err);
}

/* Not before this repository's index and patterns are freed: otherwise those of all submodules in
 * submodules would be in memory at once. */
static int scan_links(struct git_scan *g, struct error *err)
{
    const char *end = g->links.buf + g->links.len;
    for (const char *path = g->links.buf; path < end; path += strlen(path) + 1) {
        const char *base;
        int parent = tree_parent(&g->s->tree, path, &base);
        _cleanup_close_ int fd = parent < 0 ? -1 : scan_open_dir(g->s, parent, base);
        if (fd < 0) /* gone since */
            continue;
        if (scan_nested(g->s, fd, path, g->repo, g->nesting + 1, err) < 0)
            return -1;
    }
    return 0;
}

static int scan_repo(struct scan *s, const struct repo *r, const char *prefix, unsigned nesting,
                     struct error *err)
{
    struct git_scan g = {.s = s,
                         .repo = r,
                         .prefix = prefix,
                         .prefix_len = strlen(prefix),
                         .nesting = nesting,
                         .links = STRBUF_INIT};
    tree_set_git(&s->tree, r->git_fd, r->common_fd);
    int rc = scan_own(&g, err);
    gitindex_free(&g.index);
    free(g.foreign);
    free(g.looked_through);
    if (rc == 0)
        rc = scan_links(&g, err);
    strbuf_free(&g.links);
    return rc;
}

/* Once for all repositories of the tree, and only where there is one. */
static int know_user(struct scan *s, struct error *err)
{
    if (!s->user_known && git_user_ignore(s, ANSWER_MS, &s->user, err) < 0)
        return -1;
    s->user_known = true;
    return 0;
}

int scan_git(struct scan *s, const struct repo *r, struct error *err)
{
    return know_user(s, err) < 0 ? -1 : scan_repo(s, r, "", 0, err);
}

int scan_git_at(struct scan *s, int fd, const char *path, struct error *err)
{
    return know_user(s, err) < 0 ? -1 : scan_nested(s, fd, path, NULL, 1, err);
}
