/* gitseed.c: what git keeps of a repository outside of its objects, read beneath its directory. */
#include "sync/gitseed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "sync/gitindex.h"
#include "sync/reach.h"
#include "sync/tree.h"
#include "sys/beneath.h"
#include "sys/file.h"

enum {
    BYTES_MAX = 256 * 1024 * 1024, /* of all that is read */
    INDEX_MAX = 128 * 1024 * 1024,
    REF_MAX = 4096,
    CONFIG_MAX = 1024 * 1024,
    REFS_MAX = 100000, /* files of refs; git packs them long before */
    DEPTH_MAX = 16,
};

#define IN_ONE_GO_NS 2000000000LL

void gitseed_free(struct gitseed *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->files[i].name);
        strbuf_free(&s->files[i].text);
    }
    free(s->files);
    strbuf_free(&s->oids);
    *s = (struct gitseed)GITSEED_INIT;
}

/* Adds a file of the repository's under its name. 1, 0 where there is none, -1. */
static int add(struct gitseed *s, int dirfd, const char *name, size_t max, struct error *err)
{
    struct gitseed_file f = {.text = STRBUF_INIT};
    int r = tree_read(dirfd, name, s->repo->git_dir, max, &f.text, err);
    if (r > 0 && (s->n == REFS_MAX || (s->bytes += f.text.len) > BYTES_MAX))
        r = error_set(err, ERR_SYNC, 0, "%s has more than %d refs or %d bytes of them",
                      s->repo->git_dir, REFS_MAX, BYTES_MAX);
    if (r <= 0) {
        strbuf_free(&f.text);
        return r;
    }
    if (s->n == s->alloc) {
        s->alloc = s->alloc ? 2 * s->alloc : 16;
        s->files = xrealloc(s->files, s->alloc * sizeof *s->files);
    }
    f.name = xstrdup(name);
    s->files[s->n++] = f;
    return 1;
}

/* What may be a component of a ref: never ".", ".." or something hidden. What else git refuses, it
 * refuses itself. */
static bool name_is_fit(const char *name, size_t len)
{
    return len && name[0] != '.' && !(len >= 5 && memcmp(name + len - 5, ".lock", 5) == 0) &&
           strcspn(name, " \t\n~^:?*[\\") >= len;
}

static bool ref_is_fit(const char *ref)
{
    for (const char *p = ref;; p++) {
        size_t len = strcspn(p, "/");
        if (!name_is_fit(p, len))
            return false;
        p += len;
        if (!*p)
            return true;
    }
}

/* All refs that are files of their own below a directory. */
static int add_refs(struct gitseed *s, const char *dir, int depth, struct error *err)
{
    struct stat st;
    int common = s->repo->common_fd;
    int fd = beneath_open(common, dir, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : error_set(err, ERR_SYNC, errno, "open %s/%s", s->repo->git_dir, dir);
    _cleanup_closedir_ DIR *d = fdopendir(fd);
    if (!d) {
        error_fill(err, ERR_SYNC, errno, "list %s", dir);
        CLOSE_FD(fd);
        return -1;
    }
    for (struct dirent *e; (e = dir_next(d));) {
        if (!name_is_fit(e->d_name, strlen(e->d_name)) || depth >= DEPTH_MAX ||
            fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, e->d_name);
        if (S_ISDIR(st.st_mode) ? add_refs(s, path, depth + 1, err) < 0
                                : add(s, common, path, REF_MAX, err) < 0)
            return -1;
    }
    return errno ? error_set(err, ERR_SYNC, errno, "list %s", dir) : 0;
}

/* HEAD, and the branch that it names. */
static int add_head(struct gitseed *s, struct error *err)
{
    static const char prefix[] = "ref: ";
    if (add(s, s->repo->git_fd, "HEAD", REF_MAX, err) <= 0)
        return error_is_set(err) ? -1 : error_set(err, ERR_SYNC, 0, "HEAD is missing");
    struct strbuf *head = &s->files[0].text;
    head->len = strcspn(head->buf, "\r\n");
    head->buf[head->len] = '\0';
    if (!str_has_prefix(head->buf, prefix))
        return 0;
    const char *ref = head->buf + strlen(prefix);
    if (!str_has_prefix(ref, "refs/heads/") || !ref_is_fit(ref) ||
        str_copy(s->branch, sizeof s->branch, ref) < 0)
        return error_set(err, ERR_SYNC, 0, "HEAD names %s, which is no branch", ref);
    return s->how == SYNC_GIT_FULL ? 0 : add(s, s->repo->common_fd, ref, REF_MAX, err);
}

static int parse_last(const struct gitseed *s, struct gitindex *x, struct error *err)
{
    const struct gitseed_file *f = &s->files[s->n - 1];
    return gitindex_parse(x, f->text.buf, f->text.len, f->name, err);
}

static int add_base(struct gitseed *s, struct gitindex *x, struct error *err)
{
    _cleanup_(gitindex_free) struct gitindex base = {0};
    _cleanup_free_ char *name = xasprintf("sharedindex.%s", x->base);
    int r = add(s, s->repo->git_fd, name, INDEX_MAX, err);
    if (r == 0)
        return error_set(err, ERR_SYNC, 0, "%s, a part of the index, is missing", name);
    return r < 0 || parse_last(s, &base, err) < 0 ? -1 : gitindex_merge(x, &base, name, err);
}

/* 1, 0 if there is none, -1. */
static int read_index(struct gitseed *s, struct gitindex *x, struct error *err)
{
    int r = add(s, s->repo->git_fd, "index", INDEX_MAX, err);
    if (r <= 0)
        return r;
    if (parse_last(s, x, err) < 0 || gitindex_strip(x, &s->files[s->n - 1].text, err) < 0)
        return -1;
    return *x->base && add_base(s, x, err) < 0 ? -1 : 1;
}

static int add_index(struct gitseed *s, struct error *err)
{
    _cleanup_(gitindex_free) struct gitindex x = {0};
    int r = read_index(s, &x, err);
    if (r <= 0)
        return r;
    for (size_t i = 0; i < x.n; i++)
        if (x.entries[i].kind == GITINDEX_FILE)
            strbuf_add(&s->oids, x.entries[i].oid, x.hash);
    s->hash = x.hash;
    return 0;
}

/* Whether a configuration says `worktree = PATH` in [core], of this directory. As git writes it:
 * whatever is quoted is no such line. */
static bool names_place(const struct repo *r, const char *file)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    static const char key[] = "worktree";
    bool in_core = false;
    if (tree_read(r->git_fd, file, r->git_dir, CONFIG_MAX, &text, NULL) <= 0)
        return false;
    char *rest = text.buf;
    for (char *line; (line = strsep(&rest, "\r\n"));) {
        line += strspn(line, " \t");
        if (*line == '[')
            in_core = str_eq(line, "[core]");
        if (!in_core || !str_has_prefix(line, key))
            continue;
        line += strlen(key);
        line += strspn(line, " \t");
        if (*line++ != '=')
            continue;
        _cleanup_free_ char *place = reach_name(r->git_dir, line + strspn(line, " \t"));
        if (str_eq(place, r->top))
            return true;
    }
    return false;
}

/* In nanoseconds; -1: the filesystem does not tell. */
static int64_t born(int dirfd, const char *name)
{
    struct statx st;
    int flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
    if (statx(dirfd, name, flags, STATX_BTIME, &st) < 0 || !(st.stx_mask & STATX_BTIME))
        return -1;
    return clock_ns((struct timespec){st.stx_btime.tv_sec, st.stx_btime.tv_nsec});
}

/* Whether the time of a file's last change is the kernel's or the server's own, which nobody sets.
 * Others have none, and show the time of its content there, which comes out of an archive. */
static bool keeps_changes(int fd)
{
    static const uint32_t known[] = {EXT4_SUPER_MAGIC,    XFS_SUPER_MAGIC, NFS_SUPER_MAGIC,
                                     F2FS_SUPER_MAGIC,    TMPFS_MAGIC,     RAMFS_MAGIC,
                                     REISERFS_SUPER_MAGIC};
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if ((uint32_t)fs.f_type == known[i])
            return true;
    return false;
}

/* When the .git of the worktree was made, or a time after that; INT64_MAX: it can't be known. */
static int64_t made_by(const struct repo *r)
{
    struct stat st;
    int64_t at = born(r->top_fd, ".git");
    if (at >= 0)
        return at;
    return keeps_changes(r->top_fd) && fstatat(r->top_fd, ".git", &st, AT_SYMLINK_NOFOLLOW) == 0
               ? clock_ns(st.st_ctim)
               : INT64_MAX;
}

/* git makes .git and writes down where it is in one go. A .git that came with an archive is
 * younger, also in a directory that stayed, which else is older than what git writes down. A copy
 * of all has a copy of both; but a worktree that was copied is none. */
static bool is_made_later(const struct repo *r, const char *file)
{
    struct stat named;
    bool is_module = r->kind == REPO_MODULE;
    if (fstatat(r->git_fd, file, &named, AT_SYMLINK_NOFOLLOW) < 0)
        return true;
    int64_t since = clock_ns(named.st_mtim);
    int64_t copied = is_module ? born(r->git_fd, file) : -1;
    if (!is_module && born(r->top_fd, "") > since)
        return true;
    return made_by(r) - IN_ONE_GO_NS > (copied > since ? copied : since);
}

/* Whether the index has a submodule at the path. 1, 0, -1. */
static int has_link(const struct repo *r, const char *path, struct error *err)
{
    struct gitseed s = {.repo = r, .oids = STRBUF_INIT};
    _cleanup_(gitindex_free) struct gitindex x = {0};
    int there = read_index(&s, &x, err);
    if (there > 0 && gitindex_settle(&x, r->git_dir, err) < 0)
        there = -1;
    gitseed_free(&s);
    const struct gitindex_entry *e = there > 0 ? gitindex_find(&x, path) : NULL;
    return there < 0 ? -1 : e && e->kind == GITINDEX_LINK;
}

/* git forgets neither the repository of a submodule that is removed, nor where it was. */
static int check_module(const struct repo *r, struct error *err)
{
    _cleanup_(repo_free) struct repo around = REPO_INIT;
    if (!names_place(r, "config") && !names_place(r, "config.worktree"))
        return error_set(err, ERR_SYNC, 0, "%s is that of a submodule at another place",
                         r->git_dir);
    _cleanup_close_ int above = tree_above(r->top_fd);
    if (above < 0 || repo_find(above, &around, err) < 0)
        return above < 0 ? error_set(err, ERR_SYNC, errno, "open the directory above") : -1;
    size_t len = around.top ? strlen(around.top) : 0;
    int linked = len && str_has_prefix(r->top, around.top) && r->top[len] == '/'
                     ? has_link(&around, r->top + len + 1, err)
                     : 0;
    return linked == 0  ? error_set(err, ERR_SYNC, 0,
                                    "%s is that of a submodule that is no longer here", r->git_dir)
           : linked < 0 ? -1
                        : 0;
}

/* A file .git chooses whose history goes. It may have come with an archive, so what it names has to
 * say that it belongs here. */
static int check_place(const struct repo *r, struct error *err)
{
    bool is_module = r->kind == REPO_MODULE;
    const char *file = is_module ? "config" : "gitdir";
    if (r->kind == REPO_PLAIN || (is_module && check_module(r, err) < 0))
        return r->kind == REPO_PLAIN ? 0 : -1;
    if (!is_made_later(r, file))
        return 0;
    if (made_by(r) == INT64_MAX)
        return error_set(err, ERR_SYNC, 0,
                         "the filesystem of %s does not tell whether its .git was made by git or "
                         "came later, with an archive; next: use a git clone of it, or --git none",
                         r->top);
    _cleanup_free_ char *named = xasprintf("%s/%s", r->git_dir, file);
    _cleanup_free_ char *quoted = str_shell_quoted(named);
    return error_set(err, ERR_SYNC, 0,
                     "%s is that of a %s that was here before this .git was made; "
                     "next: touch %s" REPO_IF_TRUSTED,
                     r->git_dir, is_module ? "submodule" : "worktree", quoted);
}

/* One that the objects of another are a part of would lead there, and it says where that is. */
static int check_objects(const struct repo *r, struct error *err)
{
    struct stat st;
    static const char *const others[] = {"alternates", "http-alternates"};
    /* Not by the path: either of the two may be a link, and an automounter's place behind it. */
    _cleanup_close_ int info = beneath_open(r->common_fd, "objects/info", O_PATH | O_DIRECTORY, 0);
    if (info < 0 && errno != ENOENT)
        return error_set(err, ERR_SYNC, errno, "open %s/objects/info", r->git_dir);
    for (size_t i = 0; info >= 0 && i < ARRAY_LEN(others); i++)
        if (fstatat(info, others[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
            return error_set(
                err, ERR_SYNC, 0,
                "%s/objects/info/%s takes objects from another repository; next: git repack -a -d "
                "and remove that file" REPO_IF_TRUSTED,
                r->git_dir, others[i]);
    if (fstatat(r->common_fd, "reftable", &st, AT_SYMLINK_NOFOLLOW) == 0)
        return error_set(err, ERR_SYNC, 0, "%s keeps its refs in a reftable, which is not read",
                         r->git_dir);
    return 0;
}

static int name_it(struct gitseed *s, struct error *err)
{
    _cleanup_strbuf_ struct strbuf all = STRBUF_INIT;
    strbuf_addf(&all, "%d", (int)s->how);
    for (size_t i = 0; i < s->n; i++) {
        char hash[SHA256_HEX_SIZE];
        if (sha256_bytes(s->files[i].text.buf, s->files[i].text.len, hash, err) < 0)
            return -1;
        strbuf_addf(&all, " %s %s", s->files[i].name, hash);
    }
    return sha256_bytes(all.buf, all.len, s->id, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct gitseed_file *)a)->name, ((const struct gitseed_file *)b)->name);
}

int gitseed_read(const struct repo *r, enum sync_git how, struct gitseed *out, struct error *err)
{
    struct gitseed s = {.how = how, .repo = r, .oids = STRBUF_INIT};
    bool full = how == SYNC_GIT_FULL;
    int common = r->common_fd;
    if (check_place(r, err) == 0 && check_objects(r, err) == 0 && add_head(&s, err) >= 0 &&
        add_index(&s, err) >= 0 && add(&s, common, "shallow", BYTES_MAX, err) >= 0 &&
        add(&s, common, "packed-refs", BYTES_MAX, err) >= 0 &&
        add_refs(&s, "refs/tags", 0, err) == 0 &&
        (!full ||
         (add_refs(&s, "refs/heads", 0, err) == 0 && add_refs(&s, "refs/remotes", 0, err) == 0))) {
        qsort(s.files, s.n, sizeof *s.files, by_name);
        if (name_it(&s, err) == 0) {
            *out = s;
            return 0;
        }
    }
    gitseed_free(&s);
    return -1;
}
