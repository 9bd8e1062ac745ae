/* unpack.c: makes files below one directory from an archive of the guest.
 *
 * A part without rights takes the archive apart (untar.h). fetch_unpack reads one entry after the
 * other from it. take decides what happens to it:
 * its name is checked (name.c), counted against the limits, left out if it is a link or if tools of
 * the host obey it (obeyed.c), and placed below the directory. Files are written under a temporary
 * name and renamed when they are complete. The first entry that breaks a rule ends the transfer.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/text.h"
#include "fetch/fetch.h"
#include "fetch/name.h"
#include "fetch/room.h"
#include "fetch/untar.h"
#include "sys/beneath.h"
#include "sys/caller.h"
#include "sys/deadline.h"
#include "sys/file.h"

enum {
    PROGRESS_MS = 100,
    CLOSED_MAX = 16 * 1024 *
                 1024, /* bytes of all paths of directories that are closed at the end */
};

/* The first entry shows whether a file or a directory was asked for. */
enum shape { SHAPE_UNKNOWN, SHAPE_FILE, SHAPE_DIR };

/* A directory that gets its own mode at the end: until then we have to be able to write into it. */
struct closed_dir {
    char *path; /* owned */
    dev_t dev;
    ino_t ino;
    mode_t mode;
};

struct unpack {
    const struct fetch_rules *rules;
    struct fetch_result *res;
    int fd;             /* borrowed: the entries */
    struct child *part; /* borrowed: what they come from */
    enum shape shape;
    size_t n_entries;
    int64_t promised; /* bytes of all files so far, by their headers */
    int64_t told_ms;
    bool in_content;           /* of the entry there is content left to read */
    struct closed_dir *closed; /* owned */
    size_t n_closed, closed_bytes;
    char left_out[PATH_MAX];      /* the last name that was left out because tools obey it */
    char text[UNTAR_LEN_MAX + 1]; /* what came with the last head */
};

/* The bits that are kept. Whether others may write here is not the guest's to say. */
static mode_t kept(mode_t perm)
{
    mode_t mask = umask(022);
    (void)umask(mask);
    return perm & 0777 & ~(mask & 022);
}

static bool is_stopped(const struct fetch_rules *rules)
{
    return rules->stop && atomic_load(rules->stop);
}

static int stopped(struct error *err)
{
    return error_set(err, ERR_SSH, ECANCELED, "read the guest's archive");
}

/* ---- entries ---- */

static int read_whole(const struct unpack *u, void *out, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = is_stopped(u->rules) ? 0 : read(u->fd, (char *)out + at, len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        at += (size_t)n;
    }
    return 0;
}

static int part_failed(struct unpack *u, const char *wrong, struct error *err)
{
    if (is_stopped(u->rules))
        return stopped(err);
    return fenced_failed(u->part, "reads the guest's archive", wrong, err);
}

/* The next head and its text. What the archive's failure is called comes from the part, like all
 * else. */
static int next(struct unpack *u, struct untar_head *head, struct error *err)
{
    char why[200];
    if (read_whole(u, head, sizeof *head) < 0)
        return part_failed(u, "is gone", err);
    if (head->len > UNTAR_LEN_MAX || head->kind < UNTAR_DIR || head->kind > UNTAR_FAILED)
        return part_failed(u, "answers nonsense", err);
    if (read_whole(u, u->text, head->len) < 0)
        return part_failed(u, "is gone", err);
    u->text[head->len] = '\0';
    if (head->kind != UNTAR_FAILED)
        return 0;
    text_copy(why, sizeof why, u->text);
    return error_set(err, ERR_SSH, 0, "the guest's archive can't be read: %s", why);
}

/* 1 with the next piece of content, 0 at its end. */
static int next_content(struct unpack *u, struct untar_head *head, struct error *err)
{
    if (next(u, head, err) < 0)
        return -1;
    u->in_content = head->kind == UNTAR_DATA;
    if (head->kind != UNTAR_DATA && head->kind != UNTAR_DONE)
        return part_failed(u, "answers nonsense", err);
    return u->in_content;
}

/* 1 with the next entry, 0 at the end of all. What was not read of the last one is dropped. */
static int next_entry(struct unpack *u, struct untar_head *e, struct error *err)
{
    while (u->in_content)
        if (next_content(u, e, err) < 0)
            return -1;
    if (next(u, e, err) < 0)
        return -1;
    if (e->kind == UNTAR_DATA || e->kind == UNTAR_DONE)
        return part_failed(u, "answers nonsense", err);
    u->in_content = e->kind == UNTAR_FILE;
    return e->kind != UNTAR_END;
}

static void skip(struct unpack *u, const char *name)
{
    if (u->res->n_skipped++ == 0)
        text_copy(u->res->first_skipped, sizeof u->res->first_skipped, name);
}

/* Counts a name that is left out because tools obey it. `name` ends with that component. The
 * entries of a directory come directly after it with the same name, so they don't count again. */
static void leave_obeyed(struct unpack *u, const char *name)
{
    if (str_eq(u->left_out, name))
        return;
    (void)str_copy(u->left_out, sizeof u->left_out, name);
    if (u->res->n_obeyed++ == 0)
        text_copy(u->res->first_obeyed, sizeof u->res->first_obeyed, name);
}

static void tell(struct unpack *u)
{
    int64_t now = clock_boot_ms();
    if (!u->rules->progress || now - u->told_ms < PROGRESS_MS)
        return;
    u->told_ms = now;
    u->rules->progress(u->rules->ctx, u->res->n_files, u->res->bytes);
}

/* ---- places on the host ---- */

static int too_many(const struct unpack *u, struct error *err)
{
    return error_set(err, ERR_SSH, 0, "the guest sends more than %zu files: given up",
                     u->rules->limits.max_entries);
}

/* Counts directories that have no entry of their own, because one path can have many of them. */
static int count_made(struct unpack *u, unsigned made, struct error *err)
{
    u->n_entries += made;
    return u->n_entries > u->rules->limits.max_entries ? too_many(u, err) : 0;
}

/* Opens the directory that `path` is in, making what is missing; no symlink is followed. *base gets
 * the last component. */
static int open_parent(struct unpack *u, const char *path, const char **base, struct error *err)
{
    unsigned made;
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *dir = slash ? xasprintf("%.*s", (int)(slash - path), path) : xstrdup(".");
    *base = slash ? slash + 1 : path;
    _cleanup_close_ int fd = beneath_mkdirs(u->rules->dirfd, dir, 0777, &made);
    if (fd < 0)
        return error_set(err, ERR_IO, errno,
                         "make the directories above %s (no symlink is followed)", path);
    return count_made(u, made, err) < 0 ? -1 : TAKE_FD(fd);
}

/* fd is an O_PATH one. A mode that keeps us out waits, in closed. */
static int set_dir_mode(struct unpack *u, int fd, const char *path, mode_t mode, struct error *err)
{
    struct stat st;
    if (fchmodat(fd, ".", mode | 0700, 0) < 0 || fstat(fd, &st) < 0)
        return error_set(err, ERR_IO, errno, "set the permissions of %s", path);
    if ((mode & 0700) == 0700)
        return 0;
    u->closed_bytes += strlen(path);
    if (u->closed_bytes > CLOSED_MAX)
        return error_set(err, ERR_SSH, 0,
                         "the guest sends too many directories that can't be written: given up");
    u->closed = xrealloc(u->closed, (u->n_closed + 1) * sizeof *u->closed);
    u->closed[u->n_closed++] = (struct closed_dir){xstrdup(path), st.st_dev, st.st_ino, mode};
    return 0;
}

/* Backwards: what is in a directory comes after it. Another directory that has been put in the
 * place of ours meanwhile stays as it is. */
static int close_dirs(struct unpack *u, struct error *err)
{
    for (size_t i = u->n_closed; i-- > 0;) {
        struct stat st;
        const struct closed_dir *c = &u->closed[i];
        _cleanup_close_ int fd = beneath_open(u->rules->dirfd, c->path, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0 || fstat(fd, &st) < 0)
            return error_set(err, ERR_IO, errno, "set the permissions of %s", c->path);
        if (st.st_dev == c->dev && st.st_ino == c->ino && fchmod(fd, c->mode) < 0)
            return error_set(err, ERR_IO, errno, "set the permissions of %s", c->path);
    }
    return 0;
}

static int make_dir(struct unpack *u, const char *path, mode_t mode, struct error *err)
{
    unsigned made;
    if (room_check(u->rules->dirfd, 0, path, err) < 0)
        return -1;
    _cleanup_close_ int fd = beneath_mkdirs(u->rules->dirfd, path, 0777, &made);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "make directory %s", path);
    if (made && u->rules->keep && set_dir_mode(u, fd, path, mode, err) < 0)
        return -1;
    return count_made(u, made ? made - 1 : 0, err); /* the directory itself was counted already */
}

/* Only a file or a symlink (which is not followed) may be replaced. */
static int may_replace(const struct unpack *u, int dirfd, const char *base, struct error *err)
{
    struct stat st;
    if (fstatat(dirfd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : error_set(err, ERR_IO, errno, "look at %s", base);
    if (u->rules->names)
        return error_set(err, ERR_SSH, 0, "the guest sent %s twice", SHOWN(base));
    if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
        return 0;
    return error_set(err, ERR_IO, 0, "%s exists and is not a regular file, so it is not replaced",
                     base);
}

/* Writes the content at the offsets in the archive, which must stay below the promised size. Other
 * processes write to the disk as well, so the free space is checked again and again. */
static int write_content(struct unpack *u, int fd, int64_t size, struct error *err)
{
    int64_t looked_at = 0;
    struct untar_head piece = {0};
    int r;
    while ((r = next_content(u, &piece, err)) > 0) {
        int64_t off = piece.offset, len = piece.len;
        if (off < 0 || off > size || len > size - off)
            return error_set(err, ERR_SSH, 0, "the guest sent more of a file than it had promised");
        if (lseek(fd, off, SEEK_SET) < 0)
            return error_set(err, ERR_IO, errno, "write a file of the guest");
        if (fd_write_all(fd, u->text, piece.len, "a file of the guest", err) < 0)
            return -1;
        u->res->bytes += len;
        tell(u);
        if (off + len - looked_at < ROOM_EVERY)
            continue;
        looked_at = off + len;
        if (room_check(fd, size - looked_at, "a file of the guest", err) < 0)
            return -1;
    }
    if (r == 0 && ftruncate(fd, size) < 0)
        return error_set(err, ERR_IO, errno, "write a file of the guest");
    return r;
}

/* Sets the mode and the time that the guest reports. It is no error if the filesystem can't store
 * them. */
static void set_attributes(const struct unpack *u, int fd, const struct untar_head *e)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = e->mtime, .tv_nsec = e->mtime_nsec}};
    if (u->rules->keep)
        (void)fchmod(fd, kept(e->perm));
    if (u->rules->keep && e->has_mtime)
        (void)futimens(fd, times);
}

/* An earlier copy may have made the directory, and closed it. */
static int no_file(const char *path, int why, struct error *err)
{
    (void)error_set(err, ERR_IO, why, "no file can be made where %s is to be", path);
    if (why == EACCES)
        return error_add_next(err, "chmod u+w its directory, or take another name");
    return why == ENOENT || why == EROFS ? error_add_next(err, "name another directory") : -1;
}

/* Writes the file under a temporary name first, so that nobody sees half a file. */
static int write_file(struct unpack *u, const char *path, const struct untar_head *e,
                      struct error *err)
{
    const char *base;
    char tmp[32];
    char hex[17];
    uint8_t raw[8];
    mode_t mode = (e->perm & 0777) | 0600;
    _cleanup_close_ int dirfd = open_parent(u, path, &base, err);
    if (dirfd < 0 || may_replace(u, dirfd, base, err) < 0 ||
        room_check(dirfd, e->size, path, err) < 0)
        return -1;
    random_bytes(raw, sizeof raw);
    str_hex(raw, sizeof raw, hex);
    (void)str_format(tmp, sizeof tmp, ".crabbox-%s", hex);
    _cleanup_close_ int fd = caller_openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return no_file(path, errno, err);
    int r = write_content(u, fd, e->size, err);
    set_attributes(u, fd, e);
    if (r == 0 && renameat(dirfd, tmp, dirfd, base) < 0)
        r = error_set(err, ERR_IO, errno, "replace %s", path);
    if (r < 0) {
        (void)unlinkat(dirfd, tmp, 0);
        return -1;
    }
    u->res->n_files++;
    if (u->rules->names)
        strbuf_add(u->rules->names, path, strlen(path) + 1);
    return 0;
}

/* ---- what may come ---- */

static int count(struct unpack *u, const struct untar_head *e, struct error *err)
{
    const struct fetch_limits *l = &u->rules->limits;
    if (++u->n_entries > l->max_entries)
        return too_many(u, err);
    if (e->kind != UNTAR_FILE)
        return 0;
    int64_t size = e->has_size ? e->size : -1;
    if (size < 0)
        return error_set(err, ERR_SSH, 0, "the guest sent a file without a size");
    if (size > l->max_bytes || u->promised > l->max_bytes - size)
        return error_set(err, ERR_SSH, 0, "the guest sends more than %lld MiB: given up",
                         (long long)(l->max_bytes >> 20));
    u->promised += size;
    return 0;
}

static int unexpected(const char *name, struct error *err)
{
    char shown[128];
    text_copy(shown, sizeof shown, name);
    return error_set(err, ERR_SSH, 0, "the guest sent \"%s\", which was not asked for", shown);
}

static bool matches_any(const char *const *globs, const char *name)
{
    for (; *globs; globs++)
        if (fetch_glob_match(*globs, name))
            return true;
    return false;
}

/* Whether the name is left out because tools obey it. A name that the user has given is not left
 * out, whether it is the thing to fetch or is written out in a pattern. Other such names below it
 * are left out. For an entry in a directory that is left out, `name` is cut to the name of that
 * directory. */
static bool obeyed(const struct unpack *u, char *name, bool is_dir)
{
    const struct fetch_rules *r = u->rules;
    size_t len = name_upto_obeyed(name, !r->is_store);
    if (!len)
        return false;
    if (!r->name) /* only files are found by a pattern, each by its whole path */
        return is_dir || !matches_any(r->globs, name);
    if (u->shape != SHAPE_DIR)
        return false;
    name[len] = '\0';
    return true;
}

/* Decides where an entry goes below dirfd. */
static int place(struct unpack *u, const char *name, bool is_dir, char *out, size_t size,
                 struct error *err)
{
    const struct fetch_rules *r = u->rules;
    if (!r->name) {
        if (!*name || is_dir || !matches_any(r->globs, name))
            return unexpected(name, err);
        return str_copy(out, size, name) < 0 ? unexpected(name, err) : 0;
    }
    if (u->shape == SHAPE_UNKNOWN)
        u->shape = !*name && is_dir ? SHAPE_DIR : SHAPE_FILE;
    else if (u->shape == SHAPE_FILE)
        return unexpected(name, err);
    /* A single file gets the name that was asked for, whatever the guest calls it. */
    if (u->shape == SHAPE_FILE || !*name) {
        if (u->shape == SHAPE_FILE && is_dir)
            return unexpected(name, err);
        return str_copy(out, size, r->name) < 0 ? unexpected(name, err) : 0;
    }
    return str_format(out, size, "%s/%s", r->name, name) < 0 ? unexpected(name, err) : 0;
}

static int take(struct unpack *u, const struct untar_head *e, struct error *err)
{
    char name[PATH_MAX];
    char path[PATH_MAX];
    const char *raw = e->has_name ? u->text : NULL;
    bool is_dir = e->kind == UNTAR_DIR;
    enum name_verdict verdict = name_clean(raw, name, sizeof name);
    if (verdict == NAME_HOSTILE)
        return unexpected(raw ? raw : "", err);
    tell(u);
    if (is_stopped(u->rules)) /* many entries can come with one read */
        return stopped(err);
    if (count(u, e, err) < 0)
        return -1;
    if (e->kind == UNTAR_OTHER) {
        skip(u, name);
        return 0;
    }
    if (obeyed(u, name, is_dir)) {
        leave_obeyed(u, name);
        return 0;
    }
    /* A file that was asked for has the name that the user gave it. */
    bool own_name = u->rules->name && u->shape == SHAPE_UNKNOWN && !is_dir;
    if (verdict == NAME_ODD && !own_name) {
        skip(u, name);
        return 0;
    }
    if (place(u, name, is_dir, path, sizeof path, err) < 0)
        return -1;
    return is_dir ? make_dir(u, path, kept(e->perm), err) : write_file(u, path, e, err);
}

static void cleanup_unpack(struct unpack **u)
{
    for (size_t i = 0; i < (*u)->n_closed; i++)
        free((*u)->closed[i].path);
    free((*u)->closed);
    free(*u);
}

int unpack_entries(int fd, struct child *part, const struct fetch_rules *rules,
                   struct fetch_result *res, struct error *err)
{
    _cleanup_(cleanup_unpack) struct unpack *u = xcalloc(1, sizeof *u);
    struct untar_head e = {0};
    int r;
    *res = (struct fetch_result){0};
    u->rules = rules;
    u->res = res;
    u->part = part;
    u->fd = fd;
    while ((r = next_entry(u, &e, err)) > 0)
        if (take(u, &e, err) < 0)
            return -1;
    if (r < 0 || close_dirs(u, err) < 0)
        return -1;
    res->empty = u->n_entries == 0;
    if (rules->progress)
        rules->progress(rules->ctx, res->n_files, res->bytes);
    return 0;
}

int fetch_unpack(int fd, const struct fetch_rules *rules, struct fetch_result *res,
                 struct error *err)
{
    int ends[2];
    _cleanup_(child_kill) struct child part = CHILD_INIT;
    *res = (struct fetch_result){0};
    if (is_stopped(rules))
        return stopped(err);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, ERR_ENV, errno, "make a pipe for an archive");
    _cleanup_close_ int from = ends[0], its = ends[1];
    if (fenced_start(&untar_part, fd, its, &part, err) < 0)
        return -1;
    CLOSE_FD(its);
    return unpack_entries(from, &part, rules, res, err);
}
